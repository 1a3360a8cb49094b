//! Admission: a request is checked and weighed, and enters the queue or is refused at once. Withdrawal undoes it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tracing::Span;
use unruffled_model::{Footprint, OutputSink, Priority, RequestContext, RequestId};

use super::forecast::{Place as LinePlace, Prospect};
use super::{Phase, Pool, State, Waiting};
use crate::error::{Error, ErrorKind};
use crate::queue::{Ahead, Entry, Full, Key};
use crate::recorder::{Arrival, Ending, Place};
use crate::reply::{Left, Run, Stop, Submission, Ticket};
use crate::request::RequestOptions;
use crate::sync::Wakers;

/// One request on its way in.
pub(crate) struct Demand<I, O> {
    pub(crate) input: I,
    pub(crate) options: RequestOptions,
    /// Where outputs go that come before the last, and who is blocked there.
    pub(crate) outlet: Option<Outlet<O>>,
}

/// The way out for several outputs.
pub(crate) struct Outlet<O> {
    pub(crate) sink: Box<dyn OutputSink<O>>,
    pub(crate) stop: Arc<dyn Stop>,
}

/// A request that was not taken in, and what it brought.
pub(crate) struct Refusal<I> {
    pub(crate) error: Error,
    /// Given back when the queue is full and another try makes sense once there is room.
    pub(crate) input: Option<I>,
    /// How much room that takes.
    pub(crate) bytes: usize,
}

/// What a refused request brought and nobody gets back: dropping it runs the callers' code.
type Unwanted<I, O> = (Option<I>, Option<Outlet<O>>);

/// How a request came in, or did not.
type Entered<I, O> = Result<Arc<Ticket<O>>, (Refusal<I>, Unwanted<I, O>)>;

/// A request that has been checked and weighed.
pub(super) struct Candidate<I, O> {
    pub(super) key: Key,
    pub(super) footprint: Footprint,
    pub(super) context: RequestContext,
    pub(super) demand: Demand<I, O>,
}

/// What is to be done once the lock is let go.
pub(super) struct Aftermath<I, O> {
    /// Instances to be woken.
    pub(super) calls: Vec<usize>,
    wake_timer_by: Option<Instant>,
    /// Something urgent waits.
    look_again: bool,
    /// Runs in which one fewer waits.
    left: Vec<Arc<Run>>,
    /// A run that is to let something more urgent go first.
    victim: Option<Arc<Run>>,
    pub(super) wakers: Wakers,
    /// What was taken out of the queue: dropping it runs the callers' code.
    removed: Vec<Waiting<I, O>>,
    endings: Vec<Ending>,
}

impl<I, O> Default for Aftermath<I, O> {
    fn default() -> Self {
        Self {
            calls: Vec::new(),
            wake_timer_by: None,
            look_again: false,
            left: Vec::new(),
            victim: None,
            wakers: Wakers::default(),
            removed: Vec::new(),
            endings: Vec::new(),
        }
    }
}

impl<I, O> Aftermath<I, O> {
    /// Drops something once the lock is let go.
    pub(super) fn discard(&mut self, waiting: Waiting<I, O>) {
        self.removed.push(waiting);
    }
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Takes a request in, or says why not. Runs on the caller's thread.
    pub(crate) fn submit(&self, now: Instant, demand: Demand<I, O>) -> Result<Arc<Ticket<O>>, Refusal<I>> {
        let candidate = self.consider(now, demand)?;
        let candidate = match self.run_inline(now, candidate) {
            Ok(ticket) => return Ok(ticket),
            Err(candidate) => candidate,
        };
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        let outcome = self.enter(&mut state, now, candidate, &mut aftermath);
        drop(state);
        self.follow_up(now, aftermath);
        outcome.map_err(|(refusal, _)| refusal)
    }

    /// Takes several in at once, so that they may share a run.
    pub(crate) fn submit_all(
        &self,
        now: Instant,
        demands: impl IntoIterator<Item = Demand<I, O>>,
    ) -> Vec<Result<Arc<Ticket<O>>, Refusal<I>>> {
        let candidates: Vec<_> = demands.into_iter().map(|demand| self.consider(now, demand)).collect();
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        let entered: Vec<_> = candidates
            .into_iter()
            .map(|candidate| match candidate {
                Ok(candidate) => self.enter(&mut state, now, candidate, &mut aftermath),
                Err(refusal) => Err((refusal, (None, None))),
            })
            .collect();
        drop(state);
        self.follow_up(now, aftermath);
        entered.into_iter().map(|outcome| outcome.map_err(|(refusal, _)| refusal)).collect()
    }

    /// Checks and weighs, without any lock.
    fn consider(&self, now: Instant, demand: Demand<I, O>) -> Result<Candidate<I, O>, Refusal<I>> {
        let refuse = |error| {
            self.meter.refused(Error::kind(&error));
            Refusal { error, input: None, bytes: 0 }
        };
        let admitted = self.model.admit(&demand.input);
        let mut footprint =
            admitted.map_err(|error| refuse(Error::from_model(error).of_model(&self.name)))?;
        // So that sums over the queue cannot overflow.
        footprint.rows = footprint.rows.min(u32::MAX as usize);
        let (bytes, most) = (footprint.bytes, self.options.queue.bytes);
        if bytes > most {
            let message = format!("the input has {bytes} bytes; the queue takes {most} at most");
            return Err(refuse(self.error(ErrorKind::InvalidInput, message)));
        }
        let arrival = self.arrivals.fetch_add(1, Ordering::Relaxed);
        let context = match &demand.options {
            RequestOptions { context: Some(context), named: true, .. } => context.clone(),
            RequestOptions { context: Some(context), .. } => {
                context.clone().with_id(RequestId::Number(arrival))
            }
            RequestOptions { context: None, .. } => RequestContext::new(RequestId::Number(arrival)),
        };
        if context.deadline().is_some_and(|deadline| deadline <= now) {
            return Err(refuse(self.late("the deadline had passed on arrival")));
        }
        let key = Key::new(context.priority(), context.deadline(), now, arrival);
        Ok(Candidate { key, footprint, context, demand })
    }

    /// Puts a request into the queue, if it may.
    /// What must not be dropped under the lock goes out with the refusal.
    fn enter(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        candidate: Candidate<I, O>,
        aftermath: &mut Aftermath<I, O>,
    ) -> Entered<I, O> {
        let Candidate { key, footprint, context, demand } = candidate;
        let Demand { input, options, outlet } = demand;
        if let Err(error) = self.is_open(state) {
            self.meter.refused(error.kind());
            return Err((Refusal { error, input: None, bytes: 0 }, (Some(input), outlet)));
        }
        if options.patient && self.is_full(state, &footprint) {
            let error = self.error(ErrorKind::Overloaded, "the queue is full");
            return Err((Refusal { error, input: Some(input), bytes: footprint.bytes }, (None, outlet)));
        }
        if let Some(older) = options.supersede.as_ref().and_then(|key| state.newest.remove(key)) {
            self.meter.superseded();
            let error = self.error(ErrorKind::Cancelled, "superseded by a newer request of its key");
            self.end_early(state, now, &older, &error, aftermath);
        }
        let (arrival, prospect) = self.look_ahead(state, now, &key, &footprint, &context);
        let room = self.has_room(state, &footprint);
        if let Err(error) = room.and_then(|()| self.is_feasible(now, &context, prospect)) {
            self.meter.refused(error.kind());
            if self.recorder.is_on() {
                aftermath.endings.push(Ending {
                    id: context.id().clone(),
                    priority: context.priority(),
                    deadline: context.deadline(),
                    arrival,
                    ended: now,
                    place: Place::Arrival,
                    outcome: Err(error.clone()),
                });
            }
            let (again, unwanted) =
                if self.is_full(state, &footprint) { (Some(input), None) } else { (None, Some(input)) };
            return Err((Refusal { error, input: again, bytes: footprint.bytes }, (unwanted, outlet)));
        }
        self.meter.accepted();
        // Who takes outputs one by one may be slow, and is nobody's neighbour.
        let cohort = if outlet.is_some() { state.new_cohort() } else { 0 };
        let (sink, stop) = outlet.map(|Outlet { sink, stop }| (sink, stop)).unzip();
        let caller = context.caller().cloned();
        let span = self.request_span(&context);
        let (deadline, supersede) = (context.deadline(), options.supersede);
        let ticket = Ticket::new(Submission { key, footprint, context, supersede, arrival, span, stop });
        if let Some(key) = &ticket.submission.supersede {
            state.newest.insert(key.clone(), Arc::clone(&ticket));
        }
        if let Some(deadline) = deadline {
            let next = state.deadlines.first_key_value().map(|((due, _), _)| *due);
            state.deadlines.insert((deadline, key.arrival()), Arc::clone(&ticket));
            if next.is_none_or(|next| deadline < next) {
                aftermath.wake_timer_by = Some(deadline);
            }
        }
        let item = Waiting { ticket: Arc::clone(&ticket), input, sink };
        state.queue.push(now, Entry { key, deadline, footprint, cohort, caller, item });
        self.publish(state, now);
        match state.seats.call() {
            Some(slot) => aftermath.calls.push(slot),
            None if key.class() == Priority::Interactive => {
                aftermath.look_again = true;
                aftermath.victim = self.victim(state);
            }
            None => {}
        }
        Ok(ticket)
    }

    pub(super) fn request_span(&self, context: &RequestContext) -> Span {
        let trace = context.trace().map(tracing::field::display);
        tracing::debug_span!("request", model = &*self.name, id = %context.id(), trace)
    }

    /// What must not be done under the lock.
    pub(super) fn follow_up(&self, now: Instant, aftermath: Aftermath<I, O>) {
        for slot in aftermath.calls {
            self.calls[slot].notify_one();
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
        if aftermath.look_again {
            self.environment.arbiter.look_again(now);
        }
        self.recorder.end(aftermath.endings);
        drop(aftermath.removed);
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
        let place = match left {
            Left::Nowhere => return,
            Left::Queue => {
                let context = ticket.context();
                aftermath.removed.extend(state.queue.remove(ticket.key(), context.caller()));
                aftermath.wakers.extend(state.wants_room.drain(..));
                self.publish(state, now);
                Place::Queue
            }
            Left::Run(run) => {
                let began = run.began();
                aftermath.left.push(run);
                Place::Running { began }
            }
        };
        self.meter.ended(error.kind());
        if self.recorder.is_on() {
            aftermath.endings.push(ending(ticket, now, place, Err(error.clone())));
        }
    }

    fn is_open(&self, state: &State<I, O>) -> Result<(), Error> {
        match (&state.phase, &state.broken) {
            (Phase::Draining(error) | Phase::Closed(error), _) | (Phase::Open, Some(error)) => {
                Err(error.clone())
            }
            (Phase::Open, None) => Ok(()),
        }
    }

    /// Whether there is no room now, but may be later.
    fn is_full(&self, state: &State<I, O>, footprint: &Footprint) -> bool {
        footprint.bytes <= self.options.queue.bytes && state.queue.has_room(footprint).is_err()
    }

    fn has_room(&self, state: &State<I, O>, footprint: &Footprint) -> Result<(), Error> {
        let limits = self.options.queue;
        let message = match state.queue.has_room(footprint) {
            Ok(()) => return Ok(()),
            Err(Full::Items) => format!("the queue is full: {} requests wait", limits.items),
            Err(Full::Bytes) => {
                let (held, most) = (state.queue.bytes(), limits.bytes);
                format!("the queue is full: it holds {held} of {most} bytes")
            }
        };
        let forecast = self.costs.lock();
        let wait =
            self.forecast(&forecast, self.now()).drain_time(state.queue.rows(), self.options.instances);
        drop(forecast);
        let message = match wait {
            Some(wait) => format!("{message}; try again in about {wait:.0?}"),
            None => format!("{message}; try again later"),
        };
        Err(self.error(ErrorKind::Overloaded, message).retry_after_wait(wait))
    }

    /// What stands before a request that comes in, and what that means for it. Only a deadline makes anybody ask.
    fn look_ahead(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        key: &Key,
        footprint: &Footprint,
        context: &RequestContext,
    ) -> (Arrival, Option<Prospect>) {
        let mut arrival = Arrival {
            at: now,
            ahead_requests: state.queue.len(),
            ahead_rows: state.queue.rows(),
            running: 0,
            predicted_wait: None,
            predicted_run: None,
        };
        let Some(deadline) = context.deadline() else { return (arrival, None) };
        state.rate.observe(now, footprint.rows);
        let caller = context.caller();
        let ahead = if state.queue.is_empty() { Ahead::default() } else { state.queue.ahead_of(key, caller) };
        (arrival.ahead_requests, arrival.ahead_rows) = (ahead.requests, ahead.rows);
        // An instance that runs nothing is about to take something.
        let mut free = vec![Duration::ZERO; state.live.clamp(1, self.environment.arbiter.total())];
        for running in &self.running {
            let running = running.lock();
            let Some(running) = running.as_ref() else { continue };
            let end = running.expected_end.map_or(Duration::ZERO, |end| end.saturating_duration_since(now));
            if let Some(free) = free.get_mut(arrival.running) {
                *free = end;
            }
            arrival.running += 1;
        }
        let costs = self.costs.lock();
        let line =
            state.queue.line_of(key.class(), caller).map(|(rows, deadline)| LinePlace { rows, deadline });
        let own = LinePlace { rows: footprint.rows, deadline: Some(deadline) };
        let prospect = self.forecast(&costs, now).prospect(
            footprint.bucket,
            line,
            (ahead.own, own),
            ahead.others_rows,
            &mut free,
            &state.rate,
        );
        arrival.predicted_wait = prospect.map(|prospect| prospect.wait);
        arrival.predicted_run = prospect.map(|prospect| prospect.run);
        (arrival, prospect)
    }

    /// Refuses what cannot make its deadline, or would keep others from making theirs, by what runs have cost.
    fn is_feasible(
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

    /// A bulk run of this model to be stopped, because something interactive waits and no instance is free.
    fn victim(&self, state: &State<I, O>) -> Option<Arc<Run>> {
        let (mut yielding, mut latest) = (0, None);
        for slot in &self.running {
            let slot = slot.lock();
            let Some(running) = slot.as_ref() else { return None };
            if running.run.is_yielding() {
                yielding += 1;
            } else if running.may_yield && latest.as_ref().is_none_or(|(end, _)| *end < running.expected_end)
            {
                latest = Some((running.expected_end, Arc::clone(&running.run)));
            }
        }
        (state.queue.waiting(Priority::Interactive) > yielding).then_some(latest?.1)
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
        drop(state);
        self.follow_up(now, aftermath);
    }

    /// Ends what is due with `DeadlineExceeded`, and says when the next is due.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        while let Some(entry) = state.deadlines.first_entry().filter(|entry| entry.key().0 <= now) {
            let ticket = entry.remove();
            self.end_early(&mut state, now, &ticket, &self.late("the deadline passed"), &mut aftermath);
        }
        let next = state.deadlines.first_key_value().map(|((due, _), _)| *due);
        drop(state);
        self.follow_up(now, aftermath);
        next
    }

    /// Ready once there is room in the queue for an input of so many bytes, whoever takes it then, or there never will be.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let mut state = self.state.lock();
        if self.is_open(&state).is_err() || state.queue.has_room(&Footprint::single(bytes)).is_ok() {
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
