//! The life of a model in memory: instances come and go, the whole drains and closes.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::withdrawal::{Aftermath, ending};
use super::{Phase, Pool, Running};
use crate::error::{Error, ErrorKind};
use crate::recorder::Place;
use crate::reply::{Left, Ticket};
use crate::sync::{Wakers, discard};

/// Somebody who keeps something for a model, and hears when it takes nothing in any more.
pub(crate) trait Follower: Send + Sync {
    fn ended(&self, error: &Error);
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Has somebody hear of the end, unless it has come.
    pub(crate) fn follow(&self, follower: Weak<dyn Follower>) -> Result<(), Error> {
        let mut state = self.state.lock();
        match &state.phase {
            Phase::Draining(error) | Phase::Closed(error) => Err(error.clone()),
            Phase::Open => {
                state.followers.retain(|known| known.strong_count() > 0);
                state.followers.push(follower);
                Ok(())
            }
        }
    }

    /// An instance thread has begun.
    pub(crate) fn thread_began(&self) {
        self.threads.send_modify(|threads| *threads += 1);
    }

    /// An instance thread has ended. The last one leaves nobody waiting.
    pub(crate) fn thread_ended(&self) {
        if *self.threads.borrow() == 1 {
            let error = match &self.state.lock().phase {
                Phase::Draining(error) | Phase::Closed(error) => error.clone(),
                Phase::Open => Error::new(ErrorKind::NotReady, "its last instance has ended"),
            };
            self.close(error);
        }
        self.threads.send_modify(|threads| *threads -= 1);
        // Those in a pause may have been waiting for this one to run dry.
        self.tell_all();
    }

    /// Wakes whoever waits for this model to change.
    pub(crate) fn tell_all(&self) {
        self.calls.iter().for_each(|call| {
            call.notify_all();
        });
        self.changed.notify_all();
        self.environment.arbiter.look_again(self.now());
        self.environment.memory.stir();
    }

    /// How many instance threads there are, to be watched.
    pub(crate) fn threads(&self) -> watch::Receiver<usize> {
        self.threads.subscribe()
    }

    /// So many instances are about to be built: each comes up or fails.
    pub(crate) fn instances_begun(&self, instances: usize) {
        self.state.lock().building += instances;
    }

    /// An instance is built and whole.
    pub(crate) fn instance_up(&self) {
        let mut state = self.state.lock();
        state.building = state.building.saturating_sub(1);
        state.live += 1;
        if state.building == 0 {
            state.first.get_or_insert(Ok(()));
        }
        state.broken = None;
        drop(state);
        self.tell_all();
    }

    /// An instance has gone, for good or to be replaced. Whoever had leased it has lost it.
    pub(crate) fn instance_down(&self, slot: usize) {
        let now = self.now();
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        state.live -= 1;
        if state.holds.is_held(slot) {
            let message = "its instance broke down, and is replaced; acquire another lease";
            let error = self.error(ErrorKind::ModelCrashed, message);
            self.end_lease(&mut state, now, slot, &error, &mut aftermath);
        }
        drop(state);
        self.follow_up(now, aftermath);
    }

    /// An instance has gone in the middle of something: whoever waits for its run is told.
    pub(crate) fn abandon(&self, slot: usize) {
        let Some(running) = self.running[slot].lock().take() else { return };
        let mut state = self.state.lock();
        running.company.iter().for_each(|ticket| state.forget(ticket));
        drop(state);
        let error = self.error(ErrorKind::ModelCrashed, "its instance broke down; it is replaced");
        self.give_up(running.company.iter(), &error);
        running.run.end(&mut Wakers::default());
    }

    /// An instance could not be built. While there is no other, nor one on its way, nobody waits in vain.
    pub(crate) fn instance_failed(&self, slot: usize, error: &Error) {
        let now = self.now();
        let mut state = self.state.lock();
        state.building = state.building.saturating_sub(1);
        if state.live >= state.roster.least() && state.roster.dismiss(slot) {
            state.roster.put_off(now);
        }
        if state.live > 0 || state.building > 0 {
            if state.building == 0 {
                state.first.get_or_insert(Ok(()));
            }
            drop(state);
            self.changed.notify_all();
            return;
        }
        let message = format!("no instance could be built: {}; it is tried again", error.message());
        let error = self.error(ErrorKind::NotReady, message);
        state.first.get_or_insert_with(|| Err(error.clone()));
        state.broken = Some(error.clone());
        let queued: Vec<_> = state.queue.drain().collect();
        queued.iter().for_each(|waiting| state.forget(&waiting.ticket));
        self.publish(&mut state, now);
        let mut room = Wakers::default();
        room.extend(state.wants_room.drain(..));
        drop(state);
        self.tell_all();
        self.give_up(queued.iter().map(|waiting| &waiting.ticket), &error);
        discard(queued);
    }

    /// Blocks until each of the first instances is up or could not be built, or there will be none.
    pub(crate) fn wait_until_up(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        loop {
            match (&state.phase, &state.first) {
                (Phase::Draining(error) | Phase::Closed(error), _) => return Err(error.clone()),
                (Phase::Open, Some(first)) => return first.clone(),
                (Phase::Open, None) => self.changed.wait(&mut state),
            }
        }
    }

    /// Blocks for `pause`, as long as an instance in this slot is not wanted, or until there is nothing left to live for.
    /// False: that is so. Otherwise one is to be built.
    pub(crate) fn pause(&self, slot: usize, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = self.state.lock();
        loop {
            let spare = state.roster.is_spare(slot);
            let needed = match state.phase {
                Phase::Open => true,
                Phase::Draining(_) => !spare && !state.queue.is_empty(),
                Phase::Closed(_) => false,
            };
            if !needed {
                return false;
            }
            if spare {
                self.changed.wait(&mut state);
            } else if Instant::now() >= until {
                return Self::begin_in(&mut state, slot);
            } else {
                self.changed.wait_until(&mut state, until);
            }
        }
    }

    /// Takes nothing in any more, with `error` for whoever asks, and runs what it has.
    pub(crate) fn drain(&self, error: Error) {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Open) {
            state.phase = Phase::Draining(error.of_model(&self.name));
        }
        let followers = std::mem::take(&mut state.followers);
        let told = match &state.phase {
            Phase::Draining(error) | Phase::Closed(error) => error.clone(),
            Phase::Open => unreachable!("it was closed just now"),
        };
        // Nobody need wait for room where nobody is let in.
        let mut room = Wakers::default();
        room.extend(state.wants_room.drain(..));
        let waited_for = !state.queue.is_empty();
        drop(state);
        drop(room);
        self.tell_all();
        tell(&followers, &told);
        if !waited_for {
            self.warming.cancel();
        }
    }

    /// Ends everything with `error`: what is queued leaves, leases are over, what runs is cancelled. Does not block.
    pub(crate) fn close(&self, error: Error) {
        let (now, error) = (self.now(), error.of_model(&self.name));
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        for slot in 0..self.running.len() {
            self.end_lease(&mut state, now, slot, &error, &mut aftermath);
        }
        state.phase = Phase::Closed(error.clone());
        state.deadlines.clear();
        state.newest.clear();
        let followers = std::mem::take(&mut state.followers);
        let queued: Vec<_> = state.queue.drain().collect();
        self.publish(&mut state, now);
        let mut room = Wakers::default();
        room.extend(state.wants_room.drain(..));
        drop(state);
        drop(room);
        // Before what they have asked for is given up: nothing may take its place.
        tell(&followers, &error);
        self.warming.cancel();
        // Before the runs are looked at: one that begins after that finds it.
        let error = self.closed.get_or_init(|| error);
        let company = |slot: &Mutex<Option<Running<O>>>| Some(Arc::clone(&slot.lock().as_ref()?.company));
        let running: Vec<_> = self.running.iter().filter_map(company).collect();
        self.tell_all();
        let tickets =
            queued.iter().map(|waiting| &waiting.ticket).chain(running.iter().flat_map(|run| run.iter()));
        self.give_up(tickets, error);
        self.follow_up(now, aftermath);
        discard(queued);
    }

    /// Ends requests with `error`, and stops the runs in which nobody waits any more.
    pub(super) fn give_up<'a>(&self, tickets: impl Iterator<Item = &'a Arc<Ticket<O>>>, error: &Error)
    where
        O: 'a,
    {
        let now = self.now();
        let (mut wakers, mut runs, mut endings) = (Wakers::default(), Vec::new(), Vec::new());
        let (tickets, carriers) = self.those_behind(tickets);
        for carrier in &carriers {
            if let Left::Run(run) = carrier.close() {
                runs.push(run);
            }
        }
        for ticket in &tickets {
            let (left, waker) = ticket.give_up(|| error.clone());
            wakers.add(waker);
            let place = match left {
                Left::Nowhere => continue,
                Left::Queue => Place::Queue,
                Left::Run(run) => {
                    let began = run.began();
                    runs.push(run);
                    Place::Running { began }
                }
            };
            self.meter.ended(error.kind());
            if self.recorder.is_on() {
                endings.push(ending(ticket, now, place, Err(error.clone())));
            }
        }
        drop(wakers);
        runs.iter().for_each(|run| run.leave());
        self.recorder.end(endings);
    }
}

fn tell(followers: &[Weak<dyn Follower>], error: &Error) {
    followers.iter().filter_map(Weak::upgrade).for_each(|follower| follower.ended(error));
}
