//! Admission: a request is checked and weighed, and enters the queue or is refused at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use parking_lot::MutexGuard;
use tracing::Span;
use unruffled_model::{Footprint, OutputSink, Priority, RequestContext, RequestId};

use super::cache::Sought;
use super::withdrawal::Aftermath;
use super::{Phase, Pool, State, Waiting, Wish};
use crate::error::{Error, ErrorKind};
use crate::queue::Key;
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
pub(crate) struct Refusal<I, O> {
    pub(crate) error: Error,
    /// Given back when the queue is full and another try makes sense once there is room.
    pub(crate) input: Option<I>,
    /// How much room that takes.
    pub(crate) bytes: usize,
    /// Given back when this pool takes nothing any more: another may have taken its place. Not counted as refused yet.
    pub(crate) gone: Option<Box<Demand<I, O>>>,
}

impl<I, O> Refusal<I, O> {
    /// One that gives nothing back.
    pub(crate) fn of(error: Error) -> Self {
        Self { error, input: None, bytes: 0, gone: None }
    }
}

/// What came of a request that was sent to a pool.
pub(crate) type Submitted<I, O> = Result<Arc<Ticket<O>>, Refusal<I, O>>;

/// What a refused request brought and nobody gets back: dropping it runs the callers' code.
type Unwanted<I, O> = (Option<I>, Option<Outlet<O>>);

/// How a request came in, or did not.
type Entered<I, O> = Result<Arc<Ticket<O>>, (Refusal<I, O>, Unwanted<I, O>)>;

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
    pub(crate) fn submit(&self, now: Instant, demand: Demand<I, O>) -> Submitted<I, O> {
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
    ) -> Vec<Submitted<I, O>> {
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
    pub(super) fn consider(
        &self,
        now: Instant,
        demand: Demand<I, O>,
    ) -> Result<Candidate<I, O>, Refusal<I, O>> {
        let refuse = |error| {
            self.meter.refused(Error::kind(&error));
            Refusal::of(error)
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
        let context = context(&demand.options, arrival);
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
        if let Phase::Draining(error) | Phase::Closed(error) = &state.phase {
            let gone = Some(Box::new(demand));
            return Err((Refusal { gone, ..Refusal::of(error.clone()) }, (None, None)));
        }
        let Demand { input, options, outlet } = demand;
        if let Err(error) = self.is_open(state) {
            self.meter.refused(error.kind());
            return Err((Refusal::of(error), (Some(input), outlet)));
        }
        state.used = now;
        if options.patient && self.is_full(state, &footprint) {
            let error = self.error(ErrorKind::Overloaded, "the queue is full");
            let refusal = Refusal { input: Some(input), bytes: footprint.bytes, ..Refusal::of(error) };
            return Err((refusal, (None, outlet)));
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
            let refusal = Refusal { input: again, bytes: footprint.bytes, ..Refusal::of(error) };
            return Err((refusal, (unwanted, outlet)));
        }
        self.meter.accepted();
        let had_older = older.is_some();
        self.supersede(state, now, older, aftermath);
        // Who takes outputs one by one may be slow, and is nobody's neighbour.
        let cohort = if outlet.is_some() { state.new_cohort() } else { 0 };
        let (sink, stop) = outlet.map(|Outlet { sink, stop }| (sink, stop)).unzip();
        let supersede = options.supersede;
        let ticket = Ticket::new(Submission { key, footprint, context, supersede, arrival, span, stop });
        state.remember(&ticket, aftermath);
        let carrier = match sought {
            Some(sought) => self.set_out(state, sought, &ticket),
            None => Arc::clone(&ticket),
        };
        self.line_up(state, now, carrier, Wish::Run { input, sink }, cohort, aftermath);
        if had_older {
            self.publish(state, now);
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

    /// Puts a request that was let in into the queue, and calls whoever is to take it.
    pub(super) fn line_up(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        ticket: Arc<Ticket<O>>,
        wish: Wish<I, O>,
        cohort: u64,
        aftermath: &mut Aftermath<I, O>,
    ) {
        let key = *ticket.key();
        state.queue.push(now, Waiting { ticket, wish }.entry(cohort));
        state.roster.waits(now, true);
        // Nothing less urgent than before waits, unless somebody has left.
        self.urgency.add(key.class(), key.due());
        if let Some(slot) = state.seats.call() {
            aftermath.calls.push(slot);
            return;
        }
        if key.class() == Priority::Interactive {
            aftermath.make_way = true;
            aftermath.victim = self.victim(state);
        }
        self.grow(state, now, aftermath);
    }

    pub(super) fn request_span(&self, context: &RequestContext) -> Span {
        let trace = context.trace().map(tracing::field::display);
        tracing::debug_span!("request", model = &*self.name, id = %context.id(), trace)
    }
}

/// What travels with a request, its name included.
pub(super) fn context(options: &RequestOptions, arrival: u64) -> RequestContext {
    match options {
        RequestOptions { context: Some(context), named: true, .. } => context.clone(),
        RequestOptions { context: Some(context), .. } => context.clone().with_id(RequestId::Number(arrival)),
        RequestOptions { context: None, .. } => RequestContext::new(RequestId::Number(arrival)),
    }
}

impl<I, O> State<I, O> {
    /// Remembers whom to tell when its deadline passes, or a newer one of its key comes.
    pub(super) fn remember(&mut self, ticket: &Arc<Ticket<O>>, aftermath: &mut Aftermath<I, O>) {
        if let Some(key) = &ticket.submission.supersede {
            self.newest.insert(key.clone(), Arc::clone(ticket));
        }
        let Some(deadline) = ticket.deadline() else { return };
        let next = self.deadlines.first_key_value().map(|((due, _), _)| *due);
        self.deadlines.insert((deadline, ticket.key().arrival()), Arc::clone(ticket));
        if next.is_none_or(|next| deadline < next) {
            aftermath.wake_timer(deadline);
        }
    }
}
