//! Leasing: a request for an instance waits in the queue with the others; once it has one, its calls wait in a line of their
//! own, and nobody else's run there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use unruffled_model::{Footprint, Priority, RequestContext};

use super::admission::{Candidate, Demand, Refusal, context};
use super::dispatch::{Work, is_long, row};
use super::forecast::Prospect;
use super::holds::Over;
use super::withdrawal::{Aftermath, ending};
use super::{Company, Hold, Pool, Running, State, Waiting, Wish};
use crate::arbiter::{MakesWay, Permit};
use crate::error::{Error, ErrorKind};
use crate::queue::{Draft, Entry, Full, Key, Rule, WHOLE};
use crate::recorder::{Arrival, Ending, Place};
use crate::reply::{Run, Submission, Ticket};
use crate::request::{RequestOptions, Response, Timings};
use crate::sync::{Wakers, discard};

/// What is to be done without the lock, once a lease was granted.
pub(super) struct Granted {
    waited: Duration,
    ending: Option<Ending>,
    /// When the timer is to look whether it was forgotten.
    look_at: Option<Instant>,
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Puts a request for an instance of its own into the queue, or says why not. Runs on the caller's thread.
    pub(crate) fn ask_for_lease(
        &self,
        now: Instant,
        options: &RequestOptions,
    ) -> Result<(Arc<Ticket<O>>, Arc<Hold>), Error> {
        let number = self.arrivals.fetch_add(1, Ordering::Relaxed);
        let context = context(options, number);
        let key = Key::new(context.priority(), context.deadline(), now, number);
        let footprint = Footprint::new(0, 0, WHOLE);
        let span = self.request_span(&context);
        let hold = Hold::new(context.id().clone());
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        let ahead = state.queue.ahead_of(&key, context.caller());
        let running = self.running.iter().filter(|slot| slot.lock().is_some()).count();
        let (ahead_requests, ahead_rows) = (ahead.requests, ahead.rows);
        let arrival = Arrival { ahead_requests, ahead_rows, running, ..Arrival::at(now) };
        let is_in_time = match context.deadline() {
            Some(deadline) if deadline <= now => Err(self.late("the deadline had passed on arrival")),
            _ => Ok(()),
        };
        let may_enter = is_in_time.and_then(|()| self.is_open(&state));
        if let Err(error) = may_enter.and_then(|()| self.has_room(&state, &footprint, None)) {
            drop(state);
            self.turn_away(&context, arrival, &error);
            return Err(error);
        }
        let submission = Submission { key, footprint, context, supersede: None, arrival, span, stop: None };
        let ticket = Ticket::new(submission);
        self.meter.accepted();
        // Nobody else is of its cohort: it shares with none.
        let cohort = state.new_cohort();
        state.remember(&ticket, &mut aftermath);
        self.line_up(
            &mut state,
            now,
            Arc::clone(&ticket),
            Wish::Lease(Arc::clone(&hold)),
            cohort,
            &mut aftermath,
        );
        drop(state);
        self.follow_up(now, aftermath);
        Ok((ticket, hold))
    }

    /// Counts and records a refusal. Without the lock.
    fn turn_away(&self, context: &RequestContext, arrival: Arrival, error: &Error) {
        self.meter.refused(error.kind());
        let ending = self.recorder.is_on().then(|| Ending {
            id: context.id().clone(),
            priority: context.priority(),
            deadline: context.deadline(),
            arrival,
            ended: arrival.at,
            place: Place::Arrival,
            outcome: Err(error.clone()),
        });
        self.recorder.end(ending);
    }

    /// Gives an instance to whoever was taken out of the queue, if that is what was asked for and is still wanted.
    pub(super) fn grant(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        slot: usize,
        taken: &[Entry<Waiting<I, O>>],
        wakers: &mut Wakers,
    ) -> Option<Granted> {
        let Some(Entry { item: Waiting { ticket, wish: Wish::Lease(hold) }, .. }) = taken.first() else {
            return None;
        };
        let waited = now.saturating_duration_since(ticket.arrived());
        let timings = Timings {
            queue: waited,
            run: Duration::ZERO,
            batch_requests: 0,
            batch_rows: 0,
            instance: slot,
            attempts: 0,
        };
        let id = ticket.context().id().clone();
        let waker = ticket.answer(Ok(Response { output: None, id, timings, provenance: None })).ok()?;
        // Before whoever is told can ask: that needs the lock.
        state.holds.grant(slot, Arc::clone(hold), now);
        state.forget(ticket);
        wakers.add(waker);
        let place = Place::Leased { instance: slot };
        let ending = self.recorder.is_on().then(|| ending(ticket, now, place, Ok(())));
        Some(Granted { waited, ending, look_at: now.checked_add(self.options.lease_idle_max) })
    }

    /// What follows a grant, without the lock.
    pub(super) fn follow_grant(&self, slot: usize, Granted { waited, ending, look_at }: Granted) {
        self.meter.leased(slot, waited);
        self.recorder.end(ending);
        if let (Some(at), Some(alarm)) = (look_at, self.alarm.get()) {
            alarm.wake_by(at);
        }
    }

    /// Takes a call on a lease in, or says why not. Runs on the caller's thread.
    pub(crate) fn call_leased(
        &self,
        now: Instant,
        hold: &Arc<Hold>,
        demand: Demand<I, O>,
    ) -> Result<Arc<Ticket<O>>, Refusal<I, O>> {
        let Candidate { key, footprint, context, demand, span, .. } = self.consider(now, demand)?;
        let Demand { input, outlet, .. } = demand;
        let (run, at_least) = {
            let costs = self.costs.lock();
            let Footprint { bucket, rows, .. } = footprint;
            (costs.estimate(bucket, rows).map(|cost| cost.p50), costs.at_least(bucket, rows, now))
        };
        let prospect = run.map(|run| Prospect { wait: Duration::ZERO, run, at_least, is_in_time: true });
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        let room = self.room_on_lease(&state, hold, &footprint);
        let ahead = room.as_ref().map_or((0, 0, 0), |slot| state.holds.ahead(*slot));
        let (ahead_requests, ahead_rows, running) = ahead;
        let arrival = Arrival { ahead_requests, ahead_rows, running, predicted_run: run, ..Arrival::at(now) };
        let feasible = room.and_then(|slot| self.is_feasible(now, &context, prospect).map(|()| slot));
        let slot = match feasible {
            Ok(slot) => slot,
            Err(error) => {
                drop(state);
                self.turn_away(&context, arrival, &error);
                // What it brought is the caller's.
                discard([(input, outlet)]);
                return Err(Refusal { bytes: footprint.bytes, ..Refusal::of(error) });
            }
        };
        self.meter.accepted();
        let (sink, stop) = outlet.map(|outlet| (outlet.sink, outlet.stop)).unzip();
        let ticket =
            Ticket::new(Submission { key, footprint, context, supersede: None, arrival, span, stop });
        state.remember(&ticket, &mut aftermath);
        let wish = Wish::Run { input, sink };
        state.holds.push(slot, Waiting { ticket: Arc::clone(&ticket), wish });
        aftermath.calls.push(slot);
        aftermath.make_way = key.class() == Priority::Interactive;
        drop(state);
        self.follow_up(now, aftermath);
        Ok(ticket)
    }

    /// The instance of a lease, if it is not over and its line is not full.
    fn room_on_lease(
        &self,
        state: &State<I, O>,
        hold: &Arc<Hold>,
        footprint: &Footprint,
    ) -> Result<usize, Error> {
        let Some(slot) = state.holds.slot_of(hold) else {
            let over = || self.error(ErrorKind::Cancelled, "the lease is over; acquire another");
            return Err(hold.ended().cloned().unwrap_or_else(over));
        };
        let limits = self.options.queue;
        match state.holds.has_room(slot, footprint.bytes, limits) {
            Ok(()) => Ok(slot),
            Err(Full::Items) => {
                let message =
                    format!("{} calls wait for the leased instance; await some of them", limits.items);
                Err(self.error(ErrorKind::Overloaded, message))
            }
            Err(Full::Bytes) => {
                let message = format!(
                    "the calls that wait for the leased instance would hold more than {} bytes; await some of them",
                    limits.bytes
                );
                Err(self.error(ErrorKind::Overloaded, message))
            }
        }
    }

    /// Takes the next call on a leased instance: each runs alone, in the order in which they came.
    pub(super) fn take_call(
        &self,
        mut state: MutexGuard<'_, State<I, O>>,
        slot: usize,
        now: Instant,
        permit: Option<Permit>,
    ) -> Option<Work<I, O>> {
        let run = Run::new(now);
        let (mut hopeless, mut unwanted, mut next) = (Vec::new(), Vec::new(), None);
        while let Some(Waiting { ticket, wish }) = state.holds.take(slot) {
            let Wish::Run { input, sink } = wish else { continue };
            if self.is_too_late(&ticket, now) {
                hopeless.push(ticket);
                unwanted.push((input, sink));
            } else if !ticket.join(&run) {
                unwanted.push((input, sink));
            } else {
                next = Some((ticket, input, sink));
                break;
            }
        }
        let Some((ticket, input, sink)) = next else {
            state.holds.rest(slot, now);
            drop(state);
            drop(permit);
            self.give_up_late(now, &hopeless);
            discard(unwanted);
            return None;
        };
        let footprint = ticket.footprint();
        let predicted = self.costs.lock().estimate(footprint.bucket, footprint.rows).map(|cost| cost.p50);
        let company: Company<O> = Arc::from([Arc::clone(&ticket)]);
        let expected_end = predicted.map(|predicted| now + predicted);
        let running = Running { company, run: Arc::clone(&run), expected_end, may_yield: false };
        // Under the lock: whoever ends the lease finds the call in the line, or here.
        let before = self.running[slot].lock().replace(running);
        debug_assert!(before.is_none(), "an instance runs one batch at a time");
        drop(state);
        run.leave();
        if let Some(permit) = permit.as_ref().filter(|_| predicted.is_some_and(is_long)) {
            permit.began(now, predicted, MakesWay::No);
        }
        self.give_up_late(now, &hopeless);
        discard(unwanted);
        let work = self.work_of(&ticket, run, row(input, sink), now, slot);
        Some(Work { permit, predicted, leased: true, ..work })
    }

    /// Whether a call cannot make its deadline, even at once.
    fn is_too_late(&self, ticket: &Ticket<O>, now: Instant) -> bool {
        let Footprint { rows, bucket, .. } = ticket.footprint();
        let (class, deadline) = (ticket.key().class(), ticket.deadline());
        let alone = Draft { bucket, requests: 1, rows, own_rows: rows, class, deadline };
        self.forecast(&self.costs.lock(), now).is_hopeless(alone)
    }

    /// The holder has let its lease go, or never came to know of it: calls that wait or run are cancelled, and the instance
    /// goes back to the others once nothing runs there any more. Gives the run that goes on, if there is one.
    pub(crate) fn release(&self, hold: &Arc<Hold>) -> Option<Arc<Run>> {
        let now = self.now();
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        let slot = state.holds.slot_of(hold)?;
        let error = self.error(ErrorKind::Cancelled, "its lease was let go");
        self.end_lease(&mut state, now, slot, &error, &mut aftermath);
        let parts = |running: &Running<O>| (Arc::clone(&running.company), Arc::clone(&running.run));
        let running = self.running[slot].lock().as_ref().map(parts);
        for ticket in running.iter().flat_map(|(company, _)| company.iter()) {
            self.end_early(&mut state, now, ticket, &error, &mut aftermath);
        }
        drop(state);
        self.follow_up(now, aftermath);
        running.map(|(_, run)| run)
    }

    /// Takes back the leases that have been idle for too long.
    pub(super) fn take_back_forgotten(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        aftermath: &mut Aftermath<I, O>,
    ) {
        let most = self.options.lease_idle_max;
        while let Some(slot) = state.holds.forgotten(now, most) {
            let message = format!("the lease was idle for {most:.0?} and was taken back; acquire another");
            let error = self.error(ErrorKind::Cancelled, message);
            tracing::warn!(model = &*self.name, instance = slot, "a forgotten lease is taken back");
            self.end_lease(state, now, slot, &error, aftermath);
        }
    }

    /// Ends a lease, if there is one, and the calls that wait for its instance. What runs there goes on.
    pub(super) fn end_lease(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        slot: usize,
        error: &Error,
        aftermath: &mut Aftermath<I, O>,
    ) {
        let Some(Over { hold, line }) = state.holds.end(slot) else { return };
        hold.end(error.clone());
        for call in line {
            self.end_early(state, now, &call.ticket, error, aftermath);
            aftermath.discard(call);
        }
        // The thread looks for other work, or for its end.
        aftermath.calls.push(slot);
        aftermath.emptied = true;
    }
}
