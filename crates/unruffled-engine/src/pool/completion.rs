//! Completion: answers are handed back, and what a run has left unanswered is put back or answered for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use unruffled_model::{
    Batch, Batching, Kept, ModelError, ModelErrorKind, OutputSink, Provenance, RequestId, Rerun, Row,
    RowParts,
};

use super::dispatch::{Failure, Work};
use super::recall::shared_provenance;
use super::withdrawal::{Aftermath, ending};
use super::{Phase, Pool, State, Waiting, Wish};
use crate::error::{Error, ErrorKind};
use crate::metrics::RunFigures;
use crate::recorder::{Place, RunEnd, RunNote, listed};
use crate::reply::Ticket;
use crate::request::{Response, Timings};
use crate::sync::discard;

/// A run that costs less than this is cheaper than a hand-over between threads.
const CHEAP: Duration = Duration::from_micros(20);

/// A run that takes one part in so many of the ageing time is long.
const LONG: u32 = 8;

/// A request that its run has not answered and that may be run again.
struct Leftover<I, O> {
    ticket: Arc<Ticket<O>>,
    input: I,
    sink: Option<Box<dyn OutputSink<O>>>,
}

/// A request whose row is done with.
struct Done<I, O> {
    ticket: Arc<Ticket<O>>,
    answer: Option<Result<Option<O>, ModelError>>,
    provenance: Option<Box<Provenance>>,
    /// What it brought, if the model has left it.
    unused: Unused<I, O>,
    /// Its output, to be given to several.
    kept: Option<Kept<O>>,
    /// For whom it stands, if it is nobody's own.
    members: Option<Vec<Arc<Ticket<O>>>>,
}

impl<I, O> Done<I, O> {
    fn new(ticket: Arc<Ticket<O>>, answer: Option<Result<Option<O>, ModelError>>) -> Self {
        Self { ticket, answer, provenance: None, unused: (None, None), kept: None, members: None }
    }
}

/// What one caller is told.
struct Told<O> {
    ticket: Arc<Ticket<O>>,
    outcome: Result<Option<O>, Error>,
    provenance: Option<Box<Provenance>>,
    attempts: u32,
}

/// The rows of a run, once it is over.
struct Sorted<I, O> {
    done: Vec<Done<I, O>>,
    left: Vec<Leftover<I, O>>,
    verdict: Verdict,
}

/// What becomes of those that a run has left.
#[derive(Clone, Copy)]
enum Verdict {
    /// They gave way to something more urgent, and go on as they are.
    GaveWay,
    /// One of them is to blame: they are run again in two parts, the first of this many.
    Split(usize),
    /// Another is to blame: they are run again.
    Innocent,
}

/// What a request brought and its run has left.
type Unused<I, O> = (Option<I>, Option<Box<dyn OutputSink<O>>>);

/// One run, as those that were part of it are told.
struct Ran {
    slot: usize,
    requests: usize,
    rows: usize,
    began: Instant,
    ended: Instant,
    inline: bool,
}

impl Ran {
    fn took(&self) -> Duration {
        self.ended.saturating_duration_since(self.began)
    }
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Hands the answers of a run back and frees its slot. Returns what one row has cost.
    pub(crate) fn complete(
        &self,
        slot: usize,
        work: Work<I, O>,
        failure: Option<&Failure>,
        now: Instant,
    ) -> Duration {
        let row_count = work.rows().max(1);
        let Work {
            batch, run, tickets, cohort, rows, taken, predicted, permit, span, inline, leased, ..
        } = work;
        drop(span);
        let ran = Ran { slot, requests: tickets.len(), rows, began: taken, ended: now, inline };
        let gave_way = run.is_yielding();
        let was_stopped = run.cancel_token().is_cancelled();
        if failure.is_none() && !was_stopped {
            self.learn(&tickets[0], &ran);
        }
        let Sorted { mut done, left, verdict } = self.sort(batch, &tickets, failure, gave_way);
        let end = match (failure, left.is_empty()) {
            (_, false) if gave_way => RunEnd::Preempted,
            _ if was_stopped && !gave_way && done.iter().any(|done| done.answer.is_none()) => RunEnd::Stopped,
            (None, _) => RunEnd::Completed,
            (_, false) => RunEnd::Split,
            (Some(Failure::Panic(_)), true) => RunEnd::Crashed,
            (Some(Failure::Error(_)), true) => RunEnd::Failed,
        };
        let note = self.recorder.is_on().then(|| {
            Arc::new(RunNote {
                requests: listed(tickets.iter().map(|ticket| ticket.context().id())),
                request_count: tickets.len(),
                instance: slot,
                rows,
                began: taken,
                ended: now,
                predicted,
                end,
            })
        });

        let mut aftermath = Aftermath::default();
        let is_remembered =
            |ticket: &Ticket<O>| ticket.deadline().is_some() || ticket.submission.supersede.is_some();
        // As long as a run of its class goes on, a class is not passed over; a short run makes no difference.
        let was_long = ran.took() * LONG >= self.environment.options.ageing;
        // Before the lock is taken: it is the callers' code that copies.
        for done in &mut done {
            done.kept = self.keep(done.answer.as_ref());
        }
        if was_long
            || leased
            || !left.is_empty()
            || self.memo.is_some()
            || done.iter().any(|done| is_remembered(&done.ticket))
        {
            let mut state = self.state.lock();
            if was_long {
                state.queue.served(tickets[0].context().priority(), now);
            }
            done.iter().for_each(|done| state.forget(&done.ticket));
            if leased {
                state.holds.rest(slot, now);
            }
            for done in &mut done {
                done.members = self.land(
                    &mut state,
                    now,
                    &done.ticket,
                    done.kept.as_ref(),
                    done.provenance.as_deref(),
                    &mut aftermath,
                );
            }
            let back = self.put_back(&mut state, now, left, verdict, cohort, &mut aftermath);
            drop(state);
            if let Some(note) = &note {
                self.recorder.run(&back, note);
            }
        }
        // The slot is free once all are answered: what a panic leaves open, `abandon` finds there.
        let discard_unwanted = self.answer(done, failure, &ran, note.as_ref(), &mut aftermath);
        *self.running[slot].lock() = None;
        run.end(&mut aftermath.wakers);
        self.follow_up(now, aftermath);
        // After the callers: whoever gets the core may have to be woken, and others' hooks be run.
        drop(permit);
        discard_unwanted();
        ran.took() / row_count
    }

    /// Remembers what a run has cost.
    fn learn(&self, first: &Ticket<O>, ran: &Ran) {
        // How long outputs are taken one by one is their caller's doing, and says nothing of the model.
        if first.submission.stop.is_some() {
            return;
        }
        let mut costs = self.costs.lock();
        costs.observe(first.footprint().bucket, ran.rows, ran.took(), ran.ended);
        let cheap = costs.is_always_below(CHEAP);
        drop(costs);
        // Written only when it changes: callers read it.
        if self.is_cheap.load(Ordering::Relaxed) != cheap {
            self.is_cheap.store(cheap, Ordering::Relaxed);
        }
    }

    /// Tells those whose row is done with from those that may be run again.
    fn sort(
        &self,
        batch: Batch<I, O>,
        tickets: &[Arc<Ticket<O>>],
        failure: Option<&Failure>,
        gave_way: bool,
    ) -> Sorted<I, O> {
        let reruns = (failure.is_some() || gave_way) && self.may_rerun();
        let (mut done, mut left) = (Vec::with_capacity(tickets.len()), Vec::new());
        let mut culprit_is_known = false;
        let mut rows = batch.into_rows();
        // The model may have moved them, or kept some.
        if !rows.is_sorted_by_key(Row::index) {
            rows.sort_by_key(Row::index);
        }
        let mut rows = rows.into_iter().peekable();
        for (at, ticket) in tickets.iter().enumerate() {
            let ticket = Arc::clone(ticket);
            while rows.next_if(|row| row.index() < at).is_some() {}
            let Some(row) = rows.next_if(|row| row.index() == at) else {
                culprit_is_known = true;
                done.push(Done::new(ticket, None));
                continue;
            };
            let RowParts { input, answer, sink, spent, provenance, .. } = row.into_parts();
            let was_broken_off = |answer: &Result<_, ModelError>| {
                gave_way && answer.as_ref().is_err_and(|error| error.kind() == ModelErrorKind::Cancelled)
            };
            match (answer.filter(|answer| !was_broken_off(answer)), input) {
                (None, Some(input)) if reruns && !spent => left.push(Leftover { ticket, input, sink }),
                (answer, input) => {
                    let crashed = |error: &ModelError| error.kind() == ModelErrorKind::Crashed;
                    let is_culprit =
                        |answer: &Result<_, ModelError>| answer.as_ref().err().is_some_and(crashed);
                    culprit_is_known |= answer.as_ref().is_none_or(is_culprit);
                    done.push(Done { provenance, unused: (input, sink), ..Done::new(ticket, answer) });
                }
            }
        }
        let verdict = match (gave_way, culprit_is_known, self.model.info().batching) {
            (true, ..) => Verdict::GaveWay,
            (false, true, _) => Verdict::Innocent,
            // Rows are run in order: the first that has no answer is the one.
            (false, false, Batching::Sequential) => Verdict::Split(1),
            (false, false, _) => Verdict::Split(left.len() / 2),
        };
        // Who failed alone is to blame.
        if matches!(verdict, Verdict::Split(_)) && left.len() == 1 {
            let alone = left.drain(..).map(|Leftover { ticket, input, sink }| Done {
                unused: (Some(input), sink),
                ..Done::new(ticket, None)
            });
            done.extend(alone);
        }
        Sorted { done, left, verdict }
    }

    /// Gives all answers, then counts and records them. Nobody is woken yet: woken callers take the core from this thread.
    /// Returns what drops what is the callers', to be called when nothing can be lost any more.
    fn answer(
        &self,
        done: Vec<Done<I, O>>,
        failure: Option<&Failure>,
        ran: &Ran,
        note: Option<&Arc<RunNote>>,
        aftermath: &mut Aftermath<I, O>,
    ) -> impl FnOnce() + use<I, O> {
        let (mut unused, mut unwanted) = (Vec::with_capacity(done.len()), Vec::new());
        let (mut figures, mut endings, mut gone) = (Vec::with_capacity(done.len()), Vec::new(), Vec::new());
        let (told, surplus) = self.tell(done, failure, ran.inline, &mut unused, &mut gone);
        for Told { ticket, outcome, provenance, attempts } in told {
            let queue = ran.began.saturating_duration_since(ticket.arrived());
            let timings = Timings {
                queue,
                run: ran.took(),
                batch_requests: ran.requests,
                batch_rows: ran.rows,
                instance: ran.slot,
                attempts,
            };
            let outcome = outcome.map(|output| Response {
                output,
                id: ticket.context().id().clone(),
                timings,
                provenance: self.label.stamp(provenance),
            });
            let told = outcome.as_ref().map(|_| ()).map_err(Error::clone);
            match ticket.answer(outcome) {
                Ok(waker) => {
                    aftermath.wakers.add(waker);
                    let total = ran.ended.saturating_duration_since(ticket.arrived());
                    figures.push((queue, total, told.as_ref().err().map(Error::kind)));
                    if let Some(note) = note {
                        endings.push(ending(&ticket, ran.ended, Place::Ran(Arc::clone(note)), told));
                    }
                }
                Err(late) => {
                    unwanted.push(late);
                    gone.extend(note.map(|_| ticket.context().id().clone()));
                }
            }
        }
        match ran.inline {
            true => {
                let kind = figures.first().and_then(|(.., kind)| *kind);
                self.meter.inline_run(ran.took(), ran.rows, ran.ended, kind);
            }
            false => {
                let run = RunFigures { run: ran.took(), requests: ran.requests, rows: ran.rows };
                self.meter.run(ran.slot, run, ran.ended, figures);
            }
        }
        if let Some(note) = note {
            self.recorder.run(&gone, note);
            self.recorder.end(endings);
        }
        move || {
            discard(unused);
            discard(unwanted);
            discard(surplus);
        }
    }

    /// Who is told what: those for whom a request stands, in its place. Also gives the outputs that nobody wants any more.
    fn tell(
        &self,
        done: Vec<Done<I, O>>,
        failure: Option<&Failure>,
        inline: bool,
        unused: &mut Vec<Unused<I, O>>,
        gone: &mut Vec<RequestId>,
    ) -> (Vec<Told<O>>, Vec<Option<O>>) {
        let (mut all, mut surplus) = (Vec::with_capacity(done.len()), Vec::new());
        for Done { ticket, answer, provenance, unused: own, kept, members } in done {
            unused.push(own);
            let attempts = ticket.attempts();
            let outcome = self.outcome(answer, failure, inline);
            let Some(members) = members else {
                all.push(Told { ticket, outcome, provenance, attempts });
                continue;
            };
            if self.retire(&ticket).is_err() && self.recorder.is_on() {
                gone.push(ticket.context().id().clone());
            }
            let outcomes = self.share(outcome, kept.as_ref(), members.len(), &mut surplus);
            for (member, outcome) in members.into_iter().zip(outcomes) {
                let provenance = shared_provenance(provenance.as_deref(), &member, &ticket);
                all.push(Told { ticket: member, outcome, provenance, attempts });
            }
        }
        (all, surplus)
    }

    /// Whether a row that has its input still may be run with it again.
    fn may_rerun(&self) -> bool {
        let info = self.model.info();
        info.rerun == Rerun::Safe || info.batching == Batching::Sequential
    }

    /// Puts those that a run has left back into the queue, and says who they were.
    fn put_back(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        left: Vec<Leftover<I, O>>,
        verdict: Verdict,
        cohort: u64,
        aftermath: &mut Aftermath<I, O>,
    ) -> Vec<RequestId> {
        let cohorts = match verdict {
            Verdict::GaveWay => [cohort; 2],
            Verdict::Innocent => [state.new_cohort(); 2],
            Verdict::Split(_) => [state.new_cohort(), state.new_cohort()],
        };
        let first = match verdict {
            Verdict::Split(first) => first,
            _ => left.len(),
        };
        if matches!(verdict, Verdict::GaveWay) && !left.is_empty() {
            self.meter.preempted();
        }
        let mut extra_runs = [false; 2];
        let mut survivors = Vec::new();
        for (at, Leftover { ticket, input, sink }) in left.into_iter().enumerate() {
            if self.recorder.is_on() {
                survivors.push(ticket.context().id().clone());
            }
            let waiting = Waiting { ticket, wish: Wish::Run { input, sink } };
            if let Phase::Closed(error) = &state.phase {
                let error = error.clone();
                self.end_early(state, now, &waiting.ticket, &error, aftermath);
            }
            if !waiting.ticket.requeue() {
                aftermath.discard(waiting);
                continue;
            }
            if matches!(verdict, Verdict::GaveWay) {
                waiting.ticket.count_preemption();
            }
            let part = usize::from(at >= first);
            extra_runs[part] = !matches!(verdict, Verdict::GaveWay);
            state.queue.push(now, waiting.entry(cohorts[part]));
        }
        // A part of which all have gone meanwhile needs no run.
        extra_runs.iter().filter(|needed| **needed).for_each(|_| self.meter.extra_run());
        if !state.queue.is_empty() {
            aftermath.calls.extend(state.seats.call());
        }
        self.publish(state, now);
        survivors
    }

    fn outcome(
        &self,
        answer: Option<Result<Option<O>, ModelError>>,
        failure: Option<&Failure>,
        inline: bool,
    ) -> Result<Option<O>, Error> {
        let error = match (answer, failure) {
            (Some(Ok(output)), _) => return Ok(output),
            (Some(Err(error)), _) => Error::from_model(error),
            (None, Some(Failure::Error(error))) => Error::from_model(error.clone()),
            (None, Some(Failure::Panic(text))) if inline => {
                Error::new(ErrorKind::ModelCrashed, format!("panicked: {text}"))
            }
            (None, Some(Failure::Panic(text))) => {
                Error::new(ErrorKind::ModelCrashed, format!("panicked: {text}; its instance is replaced"))
            }
            (None, None) => Error::new(ErrorKind::ModelFailed, "gave no answer for this row"),
        };
        Err(error.of_model(&self.name))
    }

    /// Ends a request that was taken out of the queue and is in no run.
    pub(super) fn end_taken(&self, now: Instant, ticket: &Arc<Ticket<O>>, error: &Error) {
        let mut aftermath = Aftermath::default();
        let mut state = self.state.lock();
        self.end_early(&mut state, now, ticket, error, &mut aftermath);
        drop(state);
        self.follow_up(now, aftermath);
    }
}
