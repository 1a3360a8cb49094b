//! Admission: a request is checked and weighed, and enters the queue or is refused at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::MutexGuard;
use tracing::Span;
use unruffled_model::{Footprint, OutputSink, Priority, RequestContext, RequestId};

use super::cache::Sought;
use super::withdrawal::Aftermath;
use super::{Pool, State, Waiting};
use crate::error::{Error, ErrorKind};
use crate::queue::{Entry, Key};
use crate::recorder::{Ending, Place};
use crate::reply::{Stop, Submission, Ticket};
use crate::request::RequestOptions;

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
    pub(super) span: Span,
    /// By what its answer might be found.
    pub(super) sought: Option<Sought>,
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
        let outcome = self.let_in(&mut state, now, candidate, &mut aftermath);
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
                Ok(candidate) => self.let_in(&mut state, now, candidate, &mut aftermath),
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
        // Before the lock is taken: it is a subscriber's code that runs.
        let span = self.request_span(&context);
        let sought = self.seek(&demand, &footprint);
        Ok(Candidate { key, footprint, context, demand, span, sought })
    }

    /// Answers a request with what is remembered, has it wait with an equal one, or puts it into the queue.
    fn let_in(
        &self,
        state: &mut MutexGuard<'_, State<I, O>>,
        now: Instant,
        candidate: Candidate<I, O>,
        aftermath: &mut Aftermath<I, O>,
    ) -> Entered<I, O> {
        match self.recall(state, now, candidate, aftermath) {
            Ok(ticket) => Ok(ticket),
            Err(candidate) => self.enter(state, now, candidate, aftermath),
        }
    }

    /// Puts a request into the queue, if it may. What must not be dropped under the lock goes out with the refusal.
    fn enter(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        candidate: Candidate<I, O>,
        aftermath: &mut Aftermath<I, O>,
    ) -> Entered<I, O> {
        let Candidate { key, footprint, context, demand, span, sought } = candidate;
        let Demand { input, options, outlet } = demand;
        if let Err(error) = self.is_open(state) {
            self.meter.refused(error.kind());
            return Err((Refusal { error, input: None, bytes: 0 }, (Some(input), outlet)));
        }
        if options.patient && self.is_full(state, &footprint) {
            let error = self.error(ErrorKind::Overloaded, "the queue is full");
            return Err((Refusal { error, input: Some(input), bytes: footprint.bytes }, (None, outlet)));
        }
        let older = options.supersede.as_ref().and_then(|key| state.newest.get(key)).cloned();
        let is_queued = |older: &&Arc<Ticket<O>>| state.queue.contains(older.key(), older.context().caller());
        let leaving = older.as_ref().filter(is_queued).map(|older| older.footprint());
        let (arrival, prospect) = self.look_ahead(state, now, &key, &footprint, &context);
        // The work of the older one is ahead as yet, and will not be: what is ahead says nothing then.
        let prospect = prospect.filter(|_| older.is_none());
        let room = self.has_room(state, &footprint, leaving.as_ref());
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
        let had_older = older.is_some();
        self.supersede(state, now, older, aftermath);
        // Who takes outputs one by one may be slow, and is nobody's neighbour.
        let cohort = if outlet.is_some() { state.new_cohort() } else { 0 };
        let (sink, stop) = outlet.map(|Outlet { sink, stop }| (sink, stop)).unzip();
        let caller = context.caller().cloned();
        let (deadline, supersede) = (context.deadline(), options.supersede);
        let ticket = Ticket::new(Submission { key, footprint, context, supersede, arrival, span, stop });
        self.remember(state, &ticket, aftermath);
        let carrier = match sought {
            Some(sought) => self.set_out(state, sought, &ticket),
            None => Arc::clone(&ticket),
        };
        let item = Waiting { ticket: carrier, input, sink };
        state.queue.push(now, Entry { key, deadline, footprint, cohort, caller, item });
        // Nothing less urgent than before waits, unless somebody has left.
        match had_older {
            true => self.publish(state, now),
            false => self.urgency.add(key.class(), key.due()),
        }
        match state.seats.call() {
            Some(slot) => aftermath.calls.push(slot),
            None if key.class() == Priority::Interactive => {
                aftermath.make_way = true;
                aftermath.victim = self.victim(state);
            }
            None => {}
        }
        Ok(ticket)
    }

    /// Ends the request whose place another takes.
    pub(super) fn supersede(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        older: Option<Arc<Ticket<O>>>,
        aftermath: &mut Aftermath<I, O>,
    ) {
        if let Some(older) = older {
            self.meter.superseded();
            let error = self.error(ErrorKind::Cancelled, "superseded by a newer request of its key");
            self.end_early(state, now, &older, &error, aftermath);
        }
    }

    /// Remembers whom to tell when its deadline passes, or a newer one of its key comes.
    pub(super) fn remember(
        &self,
        state: &mut State<I, O>,
        ticket: &Arc<Ticket<O>>,
        aftermath: &mut Aftermath<I, O>,
    ) {
        if let Some(key) = &ticket.submission.supersede {
            state.newest.insert(key.clone(), Arc::clone(ticket));
        }
        if let Some(deadline) = ticket.deadline() {
            let next = state.deadlines.first_key_value().map(|((due, _), _)| *due);
            state.deadlines.insert((deadline, ticket.key().arrival()), Arc::clone(ticket));
            if next.is_none_or(|next| deadline < next) {
                let earliest = aftermath.wake_timer_by.map_or(deadline, |known| known.min(deadline));
                aftermath.wake_timer_by = Some(earliest);
            }
        }
    }

    fn request_span(&self, context: &RequestContext) -> Span {
        let trace = context.trace().map(tracing::field::display);
        tracing::debug_span!("request", model = &*self.name, id = %context.id(), trace)
    }
}
