//! Completion: answers are handed back, and what a run has left unanswered is put back or answered for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use unruffled_model::{Batching, ModelError, ModelErrorKind, OutputSink, Rerun, RowParts};

use super::admission::{Aftermath, ending};
use super::dispatch::{Failure, Work};
use super::{Phase, Pool, State, Waiting};
use crate::error::{Error, ErrorKind};
use crate::metrics::RunFigures;
use crate::queue::Entry;
use crate::recorder::{Place, RunEnd, RunNote, listed};
use crate::reply::{Outcome, Ticket};
use crate::request::{Response, Timings};

/// A run that costs less than this is cheaper than a hand-over between threads.
const CHEAP: Duration = Duration::from_micros(20);

/// A request that its run has not answered and that may be run again.
struct Leftover<I, O> {
    ticket: Arc<Ticket<O>>,
    input: I,
    sink: Option<Box<dyn OutputSink<O>>>,
}

/// What becomes of those that a run has left.
enum Verdict {
    /// They gave way to something more urgent, and go on as they are.
    GaveWay,
    /// One of them is to blame: they are run again in two parts, the first of this many.
    Split(usize),
    /// Another is to blame: they are run again.
    Innocent,
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
        let Work { batch, run, tickets, cohort, rows, taken, predicted, permit, span, inline, .. } = work;
        drop(span);
        let took = now.saturating_duration_since(taken);
        let gave_way = run.is_yielding();
        // How long outputs are taken one by one is their caller's doing, and says nothing of the model.
        let is_paced = tickets[0].submission.stop.is_some();
        if failure.is_none() && !gave_way && !is_paced {
            let bucket = tickets[0].footprint().bucket;
            let mut costs = self.costs.lock();
            costs.observe(bucket, rows, took, now);
            let cheap = costs.is_always_below(CHEAP);
            drop(costs);
            if self.is_cheap.load(Ordering::Relaxed) != cheap {
                self.is_cheap.store(cheap, Ordering::Relaxed);
            }
        }

        // Who has an answer, and who is left.
        let (mut answered, mut left) = (Vec::with_capacity(tickets.len()), Vec::new());
        let mut culprit_known = false;
        for (ticket, row) in tickets.iter().zip(batch.into_rows()) {
            let RowParts { input, answer, sink, .. } = row.into_parts();
            let broken_off = |answer: &Result<_, ModelError>| {
                gave_way && answer.as_ref().is_err_and(|error| error.kind() == ModelErrorKind::Cancelled)
            };
            match (answer.filter(|answer| !broken_off(answer)), input) {
                (None, Some(input)) if (failure.is_some() || gave_way) && self.may_rerun() => {
                    left.push(Leftover { ticket: Arc::clone(ticket), input, sink });
                }
                (answer, unused) => {
                    culprit_known |= answer.is_none();
                    answered.push((ticket, answer, unused, sink));
                }
            }
        }
        // A failure of one request is its own.
        if !gave_way && left.len() == 1 && !culprit_known {
            if let Some(Leftover { ticket, input, sink }) = left.pop() {
                let at = tickets.iter().position(|other| Arc::ptr_eq(other, &ticket)).unwrap_or_default();
                answered.push((&tickets[at], None, Some(input), sink));
            }
        }
        let verdict = match (gave_way, culprit_known, self.model.info().batching) {
            (true, ..) => Verdict::GaveWay,
            (false, true, _) => Verdict::Innocent,
            // Rows are run in order: the first that has no answer is the one.
            (false, false, Batching::Sequential) => Verdict::Split(1),
            (false, false, _) => Verdict::Split(left.len() / 2),
        };
        let stopped = run.cancel_token().is_cancelled() && !gave_way;
        let end = match (failure, left.is_empty()) {
            (None, _) if !gave_way => RunEnd::Completed,
            (_, false) if gave_way => RunEnd::Preempted,
            (_, true) if gave_way => RunEnd::Completed,
            _ if stopped => RunEnd::Stopped,
            (_, false) => RunEnd::Split,
            (Some(Failure::Panic(_)), _) => RunEnd::Crashed,
            _ => RunEnd::Failed,
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
        let must_forget = answered
            .iter()
            .any(|(ticket, ..)| ticket.deadline().is_some() || ticket.submission.supersede.is_some());
        let mut survivors = Vec::new();
        if must_forget || !left.is_empty() {
            let mut state = self.state.lock();
            answered.iter().for_each(|(ticket, ..)| state.forget(ticket));
            survivors = self.put_back(&mut state, now, left, &verdict, cohort, &mut aftermath);
        }

        // The slot is free once all are answered: what a panic leaves open, `abandon` finds there.
        // All answers first, then all wake-ups: woken callers take the core from this thread.
        let (mut endings, mut figures, mut unused) =
            (Vec::new(), Vec::with_capacity(answered.len()), Vec::new());
        for (ticket, answer, input, sink) in answered {
            unused.push((input, sink));
            let queue = taken.saturating_duration_since(ticket.arrived());
            let timings = Timings {
                queue,
                run: took,
                batch_requests: tickets.len(),
                batch_rows: rows,
                instance: slot,
                attempts: ticket.attempts(),
            };
            let outcome = self.outcome(answer, failure, ticket, timings);
            let told = outcome.as_ref().map(|_| ()).map_err(Error::clone);
            match ticket.answer(outcome) {
                Ok(waker) => {
                    aftermath.wakers.add(waker);
                    let total = now.saturating_duration_since(ticket.arrived());
                    figures.push((queue, total, told.as_ref().err().map(Error::kind)));
                    if let Some(note) = &note {
                        endings.push(ending(ticket, now, Place::Ran(Arc::clone(note)), told));
                    }
                }
                Err(unwanted) => {
                    survivors.extend(note.as_ref().map(|_| ticket.context().id().clone()));
                    unused.push((None, None));
                    drop(unwanted);
                }
            }
        }
        match inline {
            true => self.meter.inline_run(took, rows, figures.first().and_then(|(.., outcome)| *outcome)),
            false => self.meter.run(slot, RunFigures { run: took, requests: tickets.len(), rows }, figures),
        }
        if let Some(note) = &note {
            self.recorder.run(&survivors, note);
            self.recorder.end(endings);
        }
        *self.running[slot].lock() = None;
        drop(permit);
        run.end(&mut aftermath.wakers);
        self.follow_up(now, aftermath);
        drop(unused);
        took / row_count
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
        verdict: &Verdict,
        cohort: u64,
        aftermath: &mut Aftermath<I, O>,
    ) -> Vec<unruffled_model::RequestId> {
        let cohorts = match verdict {
            Verdict::GaveWay => [cohort; 2],
            Verdict::Innocent => [state.new_cohort(); 2],
            Verdict::Split(_) => [state.new_cohort(), state.new_cohort()],
        };
        let first = match verdict {
            Verdict::Split(first) => *first,
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
            let waiting = Waiting { ticket, input, sink };
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
            let ticket = &waiting.ticket;
            let entry = Entry {
                key: *ticket.key(),
                deadline: ticket.deadline(),
                footprint: ticket.footprint(),
                cohort: cohorts[part],
                caller: ticket.context().caller().cloned(),
                item: waiting,
            };
            state.queue.push(now, entry);
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
        ticket: &Ticket<O>,
        timings: Timings,
    ) -> Outcome<O> {
        let error = match (answer, failure) {
            (Some(Ok(output)), _) => {
                return Ok(Response { output, id: ticket.context().id().clone(), timings });
            }
            (Some(Err(error)), _) => Error::from_model(error),
            (None, Some(Failure::Error(error))) => Error::from_model(error.clone()),
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
