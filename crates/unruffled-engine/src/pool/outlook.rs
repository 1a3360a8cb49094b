//! Outlook: whether there is room for a request that comes in, what stands before it, and whether it can be in time.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use unruffled_model::{Footprint, Priority, RequestContext};

use super::forecast::{Newcomer, Place, Prospect};
use super::{Phase, Pool, State};
use crate::error::{Error, ErrorKind};
use crate::queue::{Ahead, Entry, Full, Key};
use crate::recorder::Arrival;
use crate::reply::Run;
use crate::sync::Wakers;

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Whether requests are taken in at all.
    pub(super) fn is_open(&self, state: &State<I, O>) -> Result<(), Error> {
        match (&state.phase, &state.broken) {
            (Phase::Draining(error) | Phase::Closed(error), _) | (Phase::Open, Some(error)) => {
                Err(error.clone())
            }
            (Phase::Open, None) => Ok(()),
        }
    }

    /// Whether there is room for a request, once the one has left whose place it takes.
    pub(super) fn has_room(
        &self,
        state: &State<I, O>,
        footprint: &Footprint,
        leaving: Option<&Footprint>,
    ) -> Result<(), Error> {
        let limits = self.options.queue;
        let message = match state.queue.has_room(footprint, leaving) {
            Ok(()) => return Ok(()),
            Err(Full::Items) => format!("the queue is full: {} requests wait", limits.items),
            Err(Full::Bytes) => {
                let (held, most) = (state.queue.bytes(), limits.bytes);
                format!("the queue is full: it holds {held} of {most} bytes")
            }
        };
        Err(self.overloaded(state, &message))
    }

    /// There is no room: says when to come again, as far as that is known.
    fn overloaded(&self, state: &State<I, O>, message: &str) -> Error {
        let hands = self.hands(state, None);
        let costs = self.costs.lock();
        let wait = self.forecast(&costs, self.now()).drain_time(state.queue.rows(), hands);
        drop(costs);
        // Nobody knows how long leases are held.
        let wait = wait.filter(|_| hands > 0);
        let message = match wait {
            Some(wait) => format!("{message}; try again in about {wait:.0?}"),
            None => format!("{message}; try again later"),
        };
        self.error(ErrorKind::Overloaded, message).retry_after_wait(wait)
    }

    /// Whether there is no room now, but may be later.
    pub(super) fn is_full(&self, state: &State<I, O>, footprint: &Footprint) -> bool {
        footprint.bytes <= self.options.queue.bytes && state.queue.has_room(footprint, None).is_err()
    }

    /// Ready once there is room in the queue for an input of so many bytes, whoever takes it then, or there never will be.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let mut state = self.state.lock();
        if self.is_open(&state).is_err() || state.queue.has_room(&Footprint::single(bytes), None).is_ok() {
            return Poll::Ready(());
        }
        if !state.wants_room.iter().any(|known| known.will_wake(cx.waker())) {
            state.wants_room.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Somebody who wanted room has gone. Whose waker that was cannot be told: all others ask again.
    pub(crate) fn forget_room(&self) {
        let mut gone = Wakers::default();
        gone.extend(self.state.lock().wants_room.drain(..));
    }

    /// What stands before a request that comes in, and what that means for it. Only a deadline makes anybody ask.
    pub(super) fn look_ahead(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        key: &Key,
        footprint: &Footprint,
        context: &RequestContext,
    ) -> (Arrival, Option<Prospect>) {
        let mut arrival =
            Arrival { ahead_requests: state.queue.len(), ahead_rows: state.queue.rows(), ..Arrival::at(now) };
        let Some(deadline) = context.deadline() else { return (arrival, None) };
        state.rate.observe(now, footprint.rows);
        let caller = context.caller();
        let ahead = if state.queue.is_empty() { Ahead::default() } else { state.queue.ahead_of(key, caller) };
        (arrival.ahead_requests, arrival.ahead_rows) = (ahead.requests, ahead.rows);
        // Those that run nothing are about to take something.
        let mut free = vec![Duration::ZERO; self.hands(state, Some(key))];
        let mut busy = free.iter_mut();
        for (slot, running) in self.running.iter().enumerate() {
            let running = running.lock();
            let Some(running) = running.as_ref() else { continue };
            arrival.running += 1;
            let end = running.expected_end.map_or(Duration::ZERO, |end| end.saturating_duration_since(now));
            if !state.holds.is_held(slot)
                && let Some(free) = busy.next()
            {
                *free = end;
            }
        }
        // All are leased, or will be before it is its turn: nobody knows for how long.
        if free.is_empty() {
            return (arrival, None);
        }
        let costs = self.costs.lock();
        let forecast = self.forecast(&costs, now);
        let from = forecast.look_from(ahead.own);
        let place = |entry: &Entry<_>| Place {
            bucket: entry.footprint.bucket,
            rows: entry.footprint.rows,
            deadline: entry.deadline,
        };
        let line = state.queue.line_from(key.class(), caller, from).map(place);
        let own = Place { bucket: footprint.bucket, rows: footprint.rows, deadline: Some(deadline) };
        let own_before = ((ahead.rows - ahead.others_rows) * from).checked_div(ahead.own).unwrap_or(0);
        let newcomer = Newcomer { own, at: ahead.own - from, rows_before: ahead.others_rows + own_before };
        let prospect = forecast.prospect(line, &newcomer, &mut free, &state.rate);
        arrival.predicted_wait = prospect.map(|prospect| prospect.wait);
        arrival.predicted_run = prospect.map(|prospect| prospect.run);
        (arrival, prospect)
    }

    /// When the answer to a request is to be expected that would come in now: in at most so long, 19 times out of 20. `None`
    /// as long as nothing is known of the model, or if it would not take the input.
    pub(crate) fn expected(
        &self,
        now: Instant,
        input: &I,
        context: Option<&RequestContext>,
    ) -> Option<Duration> {
        let footprint = self.model.admit(input).ok()?;
        let class = context.map_or_else(Priority::default, RequestContext::priority);
        let caller = context.and_then(RequestContext::caller);
        // After all that came before it.
        let key = Key::new(class, context.and_then(RequestContext::deadline), now, u64::MAX);
        let state = self.state.lock();
        let ahead = if state.queue.is_empty() { 0 } else { state.queue.ahead_of(&key, caller).rows };
        // All are leased: nobody knows for how long.
        let instances = Some(self.hands(&state, None)).filter(|hands| *hands > 0)?;
        let mut ends: Vec<Duration> = Vec::new();
        for running in &self.running {
            if let Some(running) = running.lock().as_ref() {
                let end =
                    running.expected_end.map_or(Duration::ZERO, |end| end.saturating_duration_since(now));
                ends.push(end);
            }
        }
        let busy = if ends.len() < instances { None } else { ends.into_iter().min() };
        let costs = self.costs.lock();
        let run = costs.estimate(footprint.bucket, footprint.rows)?.p95;
        let queue = self.forecast(&costs, now).drain_time(ahead, instances).unwrap_or_default();
        Some(busy.unwrap_or_default() + queue + run)
    }

    /// Refuses what cannot make its deadline, or would keep others from making theirs, by what runs have cost.
    pub(super) fn is_feasible(
        &self,
        now: Instant,
        context: &RequestContext,
        prospect: Option<Prospect>,
    ) -> Result<(), Error> {
        let (Some(deadline), Some(prospect)) = (context.deadline(), prospect) else { return Ok(()) };
        let Prospect { wait, run, at_least: Some(at_least), is_in_time } = prospect else { return Ok(()) };
        let left = deadline.saturating_duration_since(now);
        if at_least > left {
            let message = format!("a run takes about {run:.1?} and {left:.1?} are left");
            return Err(self.late(&message));
        }
        // Whatever is believed, an idle model tries: how else would it learn better?
        if is_in_time || wait.is_zero() {
            return Ok(());
        }
        let message = format!(
            "about {wait:.1?} of work is ahead, a run takes about {run:.1?} and {left:.1?} are left; try again in about {wait:.0?}"
        );
        Err(self.error(ErrorKind::Overloaded, message).retry_after_wait(Some(wait)))
    }

    /// How many runs of the queue may go on at the same time, leases apart: those that there are and those that come before
    /// this place, or before all that may come.
    pub(super) fn hands(&self, state: &State<I, O>, before: Option<&Key>) -> usize {
        let cores = match self.model.info().threads {
            0 => usize::MAX,
            threads => self.environment.arbiter.total() / threads,
        };
        let leased = state.holds.count() + state.queue.wholes_before(before);
        state.live.max(1).saturating_sub(leased).min(cores.max(1))
    }

    /// A bulk run of this model to be stopped, because something interactive waits and no instance is free.
    pub(super) fn victim(&self, state: &State<I, O>) -> Option<Arc<Run>> {
        let (mut running, mut yielding, mut latest) = (0, 0, None);
        for (at, slot) in self.running.iter().enumerate() {
            // Who has leased an instance is not disturbed.
            if state.holds.is_held(at) {
                continue;
            }
            let slot = slot.lock();
            let Some(one) = slot.as_ref() else { continue };
            running += 1;
            if one.run.is_yielding() {
                yielding += 1;
            } else if one.may_yield && latest.as_ref().is_none_or(|(end, _)| *end < one.expected_end) {
                latest = Some((one.expected_end, Arc::clone(&one.run)));
            }
        }
        // One that runs nothing is about to take something.
        let all_run = running + state.holds.count() >= state.live;
        let wanted = state.queue.waiting(Priority::Interactive) > yielding;
        latest.filter(|_| all_run && wanted).map(|(_, run)| run)
    }
}
