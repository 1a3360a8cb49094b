//! Withdrawal: requests that end without their run, queued or running, and what follows once the lock is let go.

use std::sync::Arc;
use std::time::Instant;

use super::cache::{Forgotten, Role};
use super::{Pool, State, Waiting};
use crate::error::{Error, ErrorKind};
use crate::recorder::{Ending, Place};
use crate::reply::{Left, Run, Ticket};
use crate::sync::{Wakers, discard};

/// What is to be done once the lock is let go.
pub(super) struct Aftermath<I, O> {
    /// Instances to be woken.
    pub(super) calls: Vec<usize>,
    /// An instance is to be built.
    pub(super) build: bool,
    wake_timer_by: Option<Instant>,
    /// Something urgent waits.
    pub(super) make_way: bool,
    /// Nothing waits any more where something did.
    pub(super) emptied: bool,
    /// Runs in which one fewer waits.
    left: Vec<Arc<Run>>,
    /// A run that is to let something more urgent go first.
    pub(super) victim: Option<Arc<Run>>,
    pub(super) wakers: Wakers,
    /// What was taken out of the queue: dropping it runs the callers' code.
    removed: Vec<Waiting<I, O>>,
    /// What is not remembered any more: the same goes for it.
    pub(super) forgotten: Vec<Forgotten<O>>,
    pub(super) endings: Vec<Ending>,
}

impl<I, O> Default for Aftermath<I, O> {
    fn default() -> Self {
        Self {
            calls: Vec::new(),
            build: false,
            wake_timer_by: None,
            make_way: false,
            emptied: false,
            left: Vec::new(),
            victim: None,
            wakers: Wakers::default(),
            removed: Vec::new(),
            forgotten: Vec::new(),
            endings: Vec::new(),
        }
    }
}

impl<I, O> Aftermath<I, O> {
    /// Drops something once the lock is let go.
    pub(super) fn discard(&mut self, waiting: Waiting<I, O>) {
        self.removed.push(waiting);
    }

    /// Has the timer look at the pool, at this time or before.
    pub(super) fn wake_timer(&mut self, at: Instant) {
        self.wake_timer_by = Some(self.wake_timer_by.map_or(at, |known| known.min(at)));
    }
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// What must not be done under the lock.
    pub(super) fn follow_up(&self, now: Instant, aftermath: Aftermath<I, O>) {
        for slot in aftermath.calls {
            self.calls[slot].notify_one();
        }
        if aftermath.build {
            self.changed.notify_all();
        }
        if let (Some(due), Some(alarm)) = (aftermath.wake_timer_by, self.alarm.get()) {
            alarm.wake_by(due);
        }
        // Callers first; then the models' hooks, and the inputs, which may be large.
        drop(aftermath.wakers);
        aftermath.left.iter().for_each(|run| run.leave());
        if let Some(victim) = aftermath.victim {
            victim.preempt();
        }
        if aftermath.make_way {
            self.environment.arbiter.make_way(now);
        }
        if aftermath.emptied {
            // Those who came for what has gone may have nothing left to live for.
            self.environment.arbiter.look_again(now);
            self.changed.notify_all();
        }
        self.recorder.end(aftermath.endings);
        discard(aftermath.removed);
        discard(aftermath.forgotten);
    }

    /// Ends a request, queued or running, with an error.
    pub(super) fn end_early(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        ticket: &Arc<Ticket<O>>,
        error: &Error,
        aftermath: &mut Aftermath<I, O>,
    ) {
        state.forget(ticket);
        let (left, waker) = ticket.give_up(|| error.clone());
        aftermath.wakers.add(waker);
        self.leave(state, now, ticket, left, error, aftermath);
    }

    /// Takes a request that was given up out of where it was.
    fn leave(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        ticket: &Ticket<O>,
        left: Left,
        error: &Error,
        aftermath: &mut Aftermath<I, O>,
    ) {
        if matches!(left, Left::Nowhere) {
            return;
        }
        let place = match state.part(ticket, aftermath) {
            Role::Single => self.take_out(state, now, ticket, left, aftermath),
            // One that stands for several is nobody's own: its end is theirs.
            Role::Carrier(members) => {
                self.take_out(state, now, ticket, left, aftermath);
                for member in &members {
                    self.end_early(state, now, member, error, aftermath);
                }
                return;
            }
            Role::Member { carrier, is_last } => {
                let place = match carrier.current_run() {
                    Some(run) => Place::Running { began: run.began() },
                    None => Place::Queue,
                };
                if is_last {
                    self.take_out(state, now, &carrier, carrier.close(), aftermath);
                }
                place
            }
        };
        self.meter.ended(error.kind());
        if self.recorder.is_on() {
            aftermath.endings.push(ending(ticket, now, place, Err(error.clone())));
        }
    }

    /// Takes a request out of the queue, or lets it leave its run; says where it was.
    pub(super) fn take_out(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        ticket: &Ticket<O>,
        left: Left,
        aftermath: &mut Aftermath<I, O>,
    ) -> Place {
        match left {
            Left::Queue | Left::Nowhere => {
                let context = ticket.context();
                let queued = state.queue.remove(ticket.key(), context.caller());
                aftermath.removed.extend(queued.or_else(|| state.holds.remove(ticket, now)));
                aftermath.wakers.extend(state.wants_room.drain(..));
                aftermath.emptied |= state.queue.is_empty() || state.holds.count() > 0;
                Place::Queue
            }
            Left::Run(run) => {
                let began = run.began();
                aftermath.left.push(run);
                Place::Running { began }
            }
        }
    }

    /// The caller has gone: queued work is taken out, running work is stopped if nobody else waits for it.
    pub(crate) fn withdraw(&self, ticket: &Arc<Ticket<O>>) {
        let left = ticket.close();
        if matches!(left, Left::Nowhere) {
            return;
        }
        let now = self.now();
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        state.forget(ticket);
        let error = self.error(ErrorKind::Cancelled, "its caller has gone");
        self.leave(&mut state, now, ticket, left, &error, &mut aftermath);
        self.publish(&mut state, now);
        drop(state);
        self.follow_up(now, aftermath);
    }

    /// Ends a request with an error that its caller is told.
    pub(crate) fn cancel(&self, ticket: &Arc<Ticket<O>>, message: &str) {
        let now = self.now();
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        let error = self.error(ErrorKind::Cancelled, message);
        self.end_early(&mut state, now, ticket, &error, &mut aftermath);
        self.publish(&mut state, now);
        drop(state);
        self.follow_up(now, aftermath);
    }

    /// Does what is due: requests end with `DeadlineExceeded`, forgotten leases are taken back, instances come or go. Says
    /// when the next is due.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        while let Some(entry) = state.deadlines.first_entry().filter(|entry| entry.key().0 <= now) {
            let ticket = entry.remove();
            self.end_early(&mut state, now, &ticket, &self.late("the deadline passed"), &mut aftermath);
        }
        self.take_back_forgotten(&mut state, now, &mut aftermath);
        self.publish(&mut state, now);
        let size = self.resize(&mut state, now, &mut aftermath);
        let leases = state.holds.next_look(now, self.options.lease_idle_max);
        let deadline = state.deadlines.first_key_value().map(|((due, _), _)| *due);
        drop(state);
        self.follow_up(now, aftermath);
        [deadline, leases, size].into_iter().flatten().min()
    }

    pub(super) fn late(&self, message: &str) -> Error {
        self.error(ErrorKind::DeadlineExceeded, message)
    }

    pub(super) fn error(&self, kind: ErrorKind, message: impl Into<Box<str>>) -> Error {
        Error::new(kind, message).of_model(&self.name)
    }
}

/// What the recorder keeps of a request that has ended.
pub(super) fn ending<O>(
    ticket: &Ticket<O>,
    now: Instant,
    place: Place,
    outcome: Result<(), Error>,
) -> Ending {
    let context = ticket.context();
    Ending {
        id: context.id().clone(),
        priority: context.priority(),
        deadline: context.deadline(),
        arrival: ticket.submission.arrival,
        ended: now,
        place,
        outcome,
    }
}
