//! Recall: requests that are answered with what is remembered, or wait for an equal one that is under way.

use std::any::Any;
use std::hash::BuildHasher as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use parking_lot::MutexGuard;
use unruffled_model::{
    Footprint, Kept, LoadedModel, Memo, MemoKey, ModelError, Priority, Provenance, TensorMemo, Tensors,
};

use super::admission::{Candidate, Demand};
use super::cache::{Answer, Flight, Forgotten, Place, Role, Sought};
use super::withdrawal::Aftermath;
use super::{Pool, State, Waiting};
use crate::error::{Error, ErrorKind};
use crate::queue::Entry;
use crate::recorder::{self, Arrival, Ending};
use crate::reply::{Submission, Ticket};
use crate::request::{Response, Timings};
use crate::sync::panic_text;

/// Seeded once, so that nobody outside can make inputs of equal hashes.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// How the answers of a model are remembered: as it says, or as tensors are.
pub(super) fn memo_of<I: Send + 'static, O: Send + 'static>(
    model: &dyn LoadedModel<Input = I, Output = O>,
) -> Option<Arc<dyn Memo<I, O>>> {
    model.memo().or_else(|| {
        let tensors: Arc<dyn Memo<Tensors, Tensors>> = Arc::new(TensorMemo);
        let tensors: Box<dyn Any> = Box::new(tensors);
        tensors.downcast::<Arc<dyn Memo<I, O>>>().ok().map(|memo| *memo)
    })
}

type Tickets<O> = Vec<Arc<Ticket<O>>>;

impl<I, O> State<I, O> {
    /// A request leaves those with the same input.
    pub(super) fn part(&mut self, ticket: &Ticket<O>, aftermath: &mut Aftermath<I, O>) -> Role<O> {
        self.cache.as_mut().map_or(Role::Single, |cache| cache.part(ticket, &mut aftermath.forgotten))
    }
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Whether what the options want can be done.
    pub(crate) fn check_cache(&self) -> Result<(), Error> {
        if self.options.cache.is_none() || self.memo.is_some() {
            return Ok(());
        }
        let message = "its answers cannot be cached: nothing tells its inputs apart; say what does with \
                       `FnModel::with_memo` or `LoadedModel::memo`";
        Err(self.error(ErrorKind::InvalidInput, message))
    }

    /// By what the answer to a request might be found; `None` if it is run in any case. Without any lock.
    pub(super) fn seek(&self, demand: &Demand<I, O>, footprint: &Footprint) -> Option<Sought> {
        let (memo, options) = self.memo.as_ref().zip(self.options.cache)?;
        if demand.outlet.is_some() || footprint.bytes > options.input_bytes_max {
            return None;
        }
        let key = memo.key(&demand.input);
        Some(Sought { hash: HASHES.hash_one(&key), key: Arc::new(key), place: None })
    }

    /// Answers a request with what is remembered, or has it wait for an equal one. Otherwise gives it back.
    #[allow(clippy::result_large_err, reason = "what is given back is what came, and goes on into the queue")]
    pub(super) fn recall(
        &self,
        state: &mut MutexGuard<'_, State<I, O>>,
        now: Instant,
        mut candidate: Candidate<I, O>,
        aftermath: &mut Aftermath<I, O>,
    ) -> Result<Arc<Ticket<O>>, Candidate<I, O>> {
        let Some(sought) = &mut candidate.sought else { return Err(candidate) };
        self.find(state, sought, aftermath);
        let place = sought.place;
        let (Some(place), true) = (place, self.is_open(state).is_ok()) else { return Err(candidate) };
        let Some(cache) = &mut state.cache else { return Err(candidate) };
        if let Some((kept, provenance)) = cache.recall(place, now, &mut aftermath.forgotten) {
            return Ok(self.answer_at_once(state, now, candidate, (&kept, provenance), aftermath));
        }
        match self.to_be_joined(state, place, &candidate) {
            Some(carrier) => Ok(self.join(state, now, candidate, &carrier, aftermath)),
            None => Err(candidate),
        }
    }

    /// Finds out whether the input is known. Compares without the lock, since that is the callers' code.
    fn find(
        &self,
        state: &mut MutexGuard<'_, State<I, O>>,
        sought: &mut Sought,
        aftermath: &mut Aftermath<I, O>,
    ) {
        loop {
            let Some(cache) = &state.cache else { return };
            let known = cache.of_hash(sought.hash);
            if known.is_empty() {
                return;
            }
            let is_equal = |(_, key): &&(Place, Arc<MemoKey>)| **key == *sought.key;
            let found = MutexGuard::unlocked(state, || known.iter().find(is_equal).map(|(place, _)| *place));
            let Some(cache) = &state.cache else { return };
            sought.place = found.filter(|place| cache.knows(*place));
            // Others may have come meanwhile.
            let is_settled = sought.place.is_some() || cache.has_no_other(sought.hash, &known);
            aftermath.forgotten.extend(known.into_iter().map(|(_, key)| Forgotten::Key(key)));
            if is_settled {
                return;
            }
        }
    }

    /// One under way with this input that a newcomer loses nothing by waiting for.
    fn to_be_joined(
        &self,
        state: &State<I, O>,
        place: Place,
        newcomer: &Candidate<I, O>,
    ) -> Option<Arc<Ticket<O>>> {
        let cache = state.cache.as_ref()?;
        // As many may wait for others as may wait in the queue.
        if cache.joined() >= self.options.queue.items {
            return None;
        }
        let context = &newcomer.context;
        let key = |caller: Option<&unruffled_model::Caller>| caller.map(|caller| caller.key.clone());
        let suits = |flight: &&Flight<O>| {
            let carrier = &flight.carrier;
            if carrier.current_run().is_some() {
                // A run of the lowest class may be stopped for something more urgent.
                let class = carrier.context().priority();
                return class != Priority::Bulk || context.priority() == Priority::Bulk;
            }
            // In the queue, it must go before the newcomer, whose deadline must not be forgotten in a batch.
            let is_in_time = match (carrier.deadline(), context.deadline()) {
                (_, None) => true,
                (own, Some(deadline)) => own.is_some_and(|own| own <= deadline),
            };
            let (same, caller) = (carrier.context().caller(), context.caller());
            is_in_time
                && carrier.key() <= &newcomer.key
                && key(same) == key(caller)
                && state.queue.contains(carrier.key(), same)
        };
        cache.flights(place).iter().find(suits).map(|flight| Arc::clone(&flight.carrier))
    }

    fn answer_at_once(
        &self,
        state: &mut MutexGuard<'_, State<I, O>>,
        now: Instant,
        candidate: Candidate<I, O>,
        (kept, provenance): (&Kept<O>, Option<Provenance>),
        aftermath: &mut Aftermath<I, O>,
    ) -> Arc<Ticket<O>> {
        let Candidate { key, footprint, context, demand, span, .. } = candidate;
        let older = demand.options.supersede.as_ref().and_then(|key| state.newest.get(key)).cloned();
        self.meter.accepted();
        self.supersede(state, now, older, aftermath);
        self.publish(state, now);
        let output = MutexGuard::unlocked(state, || self.give(kept));
        let (id, zero, arrival) = (context.id().clone(), Duration::ZERO, Arrival::at(now));
        if self.recorder.is_on() {
            aftermath.endings.push(Ending {
                id: id.clone(),
                priority: context.priority(),
                deadline: context.deadline(),
                arrival,
                ended: now,
                place: recorder::Place::Arrival,
                outcome: output.as_ref().map(|_| ()).map_err(Error::clone),
            });
        }
        match &output {
            Ok(_) => self.meter.recalled(zero),
            Err(error) => self.meter.ended(error.kind()),
        }
        let timings =
            Timings { queue: zero, run: zero, batch_requests: 0, batch_rows: 0, instance: 0, attempts: 0 };
        let provenance = Some(Box::new(of_cache(provenance)));
        let outcome = output.map(|output| Response { output: Some(output), id, timings, provenance });
        let ticket =
            Ticket::new(Submission { key, footprint, context, supersede: None, arrival, span, stop: None });
        let is_first = ticket.answer(outcome).is_ok();
        debug_assert!(is_first, "nobody else knows the request yet");
        aftermath.discard(Waiting { ticket: Arc::clone(&ticket), input: demand.input, sink: None });
        ticket
    }

    fn join(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        candidate: Candidate<I, O>,
        carrier: &Arc<Ticket<O>>,
        aftermath: &mut Aftermath<I, O>,
    ) -> Arc<Ticket<O>> {
        let Candidate { key, footprint, context, demand, span, .. } = candidate;
        let Demand { input, options, .. } = demand;
        let supersede = options.supersede;
        let older = supersede.as_ref().and_then(|key| state.newest.get(key)).cloned();
        self.meter.accepted();
        let arrival = Arrival::at(now);
        let ticket =
            Ticket::new(Submission { key, footprint, context, supersede, arrival, span, stop: None });
        // Joined before the older goes: that may be the last that the carrier has.
        state.cache.as_mut().expect("looked up just now").join(carrier, &ticket);
        self.supersede(state, now, older, aftermath);
        self.remember(state, &ticket, aftermath);
        self.publish(state, now);
        aftermath.discard(Waiting { ticket: Arc::clone(&ticket), input, sink: None });
        ticket
    }

    /// A request goes into the queue for all that will wait for the same: returns who stands there for it.
    pub(super) fn set_out(
        &self,
        state: &mut State<I, O>,
        sought: Sought,
        ticket: &Arc<Ticket<O>>,
    ) -> Arc<Ticket<O>> {
        let Some(cache) = &mut state.cache else { return Arc::clone(ticket) };
        let carrier = Ticket::new(Submission {
            key: *ticket.key(),
            footprint: ticket.footprint(),
            context: ticket.context().clone(),
            supersede: None,
            arrival: ticket.submission.arrival,
            span: ticket.submission.span.clone(),
            stop: None,
        });
        cache.set_out(sought, &carrier, ticket);
        carrier
    }

    /// An output in a form that can be given to several. Without any lock.
    pub(super) fn keep(&self, answer: Option<&Result<Option<O>, ModelError>>) -> Option<Kept<O>> {
        let memo = self.memo.as_ref()?;
        let output = answer?.as_ref().ok()?.as_ref()?;
        catch_unwind(AssertUnwindSafe(|| memo.keep(output))).ok()
    }

    /// One of several outputs. Those who wait must not suffer for a copy that panics.
    fn give(&self, kept: &Kept<O>) -> Result<O, Error> {
        catch_unwind(AssertUnwindSafe(|| kept.give())).map_err(|payload| {
            let message = format!("its output cannot be copied: panicked: {}", panic_text(&*payload));
            self.error(ErrorKind::ModelFailed, message)
        })
    }

    /// A request is done with: whoever waits for the same, to be told; the answer is remembered. `None`: it is its caller's
    /// own.
    pub(super) fn land(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        ticket: &Ticket<O>,
        kept: Option<&Kept<O>>,
        provenance: Option<&Provenance>,
        aftermath: &mut Aftermath<I, O>,
    ) -> Option<Tickets<O>> {
        let cache = state.cache.as_mut()?;
        // What could be had instead of an answer is none to remember.
        let is_degraded = provenance.is_some_and(|provenance| provenance.degraded.is_some());
        let answer = kept.filter(|_| !is_degraded);
        let answer = answer.map(|kept| Answer { output: kept.clone(), provenance: provenance.cloned() });
        let flights = cache.land(ticket, now, answer, &mut aftermath.forgotten);
        if flights.is_empty() {
            return None;
        }
        let mut members = Vec::new();
        for flight in flights {
            // Others that were to find out the same need not any more.
            if !std::ptr::eq(&*flight.carrier, ticket) {
                self.take_out(state, &flight.carrier, flight.carrier.close(), aftermath);
            }
            flight.members.iter().for_each(|member| state.forget(member));
            members.extend(flight.members);
        }
        self.publish(state, now);
        Some(members)
    }

    /// Who stood for others has done so. `Err`: nobody was left to wait.
    pub(super) fn retire(&self, carrier: &Ticket<O>) -> Result<(), ()> {
        let done = self.error(ErrorKind::Cancelled, "those whom it stood for have their answers");
        carrier.answer(Err(done)).map(|_| ()).map_err(|_| ())
    }

    /// One outcome for so many; what is left over is nobody's.
    pub(super) fn share(
        &self,
        outcome: Result<Option<O>, Error>,
        kept: Option<&Kept<O>>,
        count: usize,
        surplus: &mut Vec<Option<O>>,
    ) -> Vec<Result<Option<O>, Error>> {
        let copy = |_| match (&outcome, kept) {
            (Err(error), _) => Err(error.clone()),
            (Ok(None), _) => Ok(None),
            (Ok(Some(_)), Some(kept)) => self.give(kept).map(Some),
            (Ok(Some(_)), None) => Err(self.error(ErrorKind::ModelFailed, "its output cannot be copied")),
        };
        let mut all: Vec<_> = (1..count).map(copy).collect();
        match count {
            0 => surplus.extend(outcome.ok()),
            _ => all.insert(0, outcome),
        }
        all
    }

    /// What could not be in time goes back into the queue if others wait for the same who have more time. Returns the rest.
    pub(super) fn put_back_shared(
        &self,
        now: Instant,
        hopeless: Vec<Entry<Waiting<I, O>>>,
    ) -> Vec<Entry<Waiting<I, O>>> {
        if self.memo.is_none() {
            return hopeless;
        }
        let mut aftermath = Aftermath::default();
        let mut rest = Vec::new();
        let mut state = self.state.lock();
        for mut entry in hopeless {
            let carrier = Arc::clone(&entry.item.ticket);
            let members = state.cache.as_ref().and_then(|cache| cache.carried_by(&carrier));
            let members: Vec<_> = members.unwrap_or_default().to_vec();
            let has_time = |member: &Arc<Ticket<O>>| match (member.deadline(), entry.deadline) {
                (Some(own), Some(missed)) => own > missed,
                (own, _) => own.is_none(),
            };
            let (patient, late): (Vec<_>, Vec<_>) = members.into_iter().partition(has_time);
            if patient.is_empty() || self.closed.get().is_some() {
                rest.push(entry);
                continue;
            }
            let error = self.late("the deadline cannot be met any more");
            for member in &late {
                self.end_early(&mut state, now, member, &error, &mut aftermath);
            }
            entry.deadline = patient.iter().filter_map(|member| member.deadline()).min();
            state.queue.push(now, entry);
            aftermath.calls.extend(state.seats.call());
        }
        self.publish(&mut state, now);
        drop(state);
        self.follow_up(now, aftermath);
        rest
    }

    /// Requests as their callers know them, and those that stood for several.
    pub(super) fn those_behind<'a>(
        &self,
        tickets: impl Iterator<Item = &'a Arc<Ticket<O>>>,
    ) -> (Tickets<O>, Tickets<O>)
    where
        O: 'a,
    {
        if self.memo.is_none() {
            return (tickets.cloned().collect(), Vec::new());
        }
        let (mut own, mut carriers, mut forgotten) = (Vec::new(), Vec::new(), Vec::new());
        let mut state = self.state.lock();
        for ticket in tickets {
            match state.cache.as_mut().and_then(|cache| cache.fall(ticket, &mut forgotten)) {
                None => own.push(Arc::clone(ticket)),
                Some(flight) => {
                    flight.members.iter().for_each(|member| state.forget(member));
                    own.extend(flight.members);
                    carriers.push(flight.carrier);
                }
            }
        }
        drop(state);
        crate::sync::discard(forgotten);
        (own, carriers)
    }
}

/// What is to be said of an answer that was computed for another.
fn of_cache(provenance: Option<Provenance>) -> Provenance {
    let mut provenance = provenance.unwrap_or_default();
    provenance.cached = true;
    provenance
}

/// What is to be said of an answer to one of those for whom a request stood.
pub(super) fn shared_provenance<O>(
    provenance: Option<&Provenance>,
    member: &Ticket<O>,
    carrier: &Ticket<O>,
) -> Option<Box<Provenance>> {
    // The first was to be computed for anyhow.
    if member.key().arrival() == carrier.key().arrival() {
        return provenance.cloned().map(Box::new);
    }
    Some(Box::new(of_cache(provenance.cloned())))
}
