//! Dispatch: an instance takes a batch out of the queue, formed at that moment, and hands the answers back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use unruffled_model::{Batch, ModelError, RequestContext, RunContext};

use super::{Company, Phase, Pool, State, Waiting};
use crate::error::{Error, ErrorKind};
use crate::reply::{Outcome, Run};
use crate::request::{Response, Timings};
use crate::sync::Wakers;

/// With one core, looking for work keeps away whoever would bring it.
static SINGLE_CORE: LazyLock<bool> =
    LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1));

/// One batch on its way through an instance.
pub(crate) struct Work<I, O> {
    pub(crate) batch: Batch<I, O>,
    run: Arc<Run>,
    tickets: Company<O>,
    requests: Vec<RequestContext>,
    deadline: Option<Instant>,
    rows: usize,
    taken: Instant,
}

impl<I, O> Work<I, O> {
    /// The batch, and what the model may ask about its run.
    pub(crate) fn parts(&mut self) -> (&mut Batch<I, O>, RunContext<'_>) {
        let ctx = RunContext::new(self.run.cancel_token(), self.deadline, &self.requests);
        (&mut self.batch, ctx)
    }

    /// How many rows the batch has.
    pub(crate) fn rows(&self) -> u32 {
        u32::try_from(self.rows).unwrap_or(u32::MAX)
    }
}

/// Why a run left rows unanswered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The model said so.
    Error(ModelError),
    /// It panicked, with this text.
    Panic(String),
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Waits for work. `None`: there will be no more.
    pub(crate) fn next(&self, slot: usize) -> Option<Work<I, O>> {
        self.spin();
        loop {
            let mut state = self.state.lock();
            while state.queue.is_empty() {
                if !matches!(state.phase, Phase::Open) {
                    return None;
                }
                state.idle += 1;
                self.work.wait(&mut state);
                state.idle -= 1;
            }
            let work = self.take_from(state, slot, Instant::now());
            if work.is_some() {
                return work;
            }
        }
    }

    /// Looks for work for a while, in the hope that it need not sleep.
    fn spin(&self) {
        if self.options.spin.is_zero() || *SINGLE_CORE {
            return;
        }
        let begin = Instant::now();
        while !self.has_work.load(Ordering::Acquire) && begin.elapsed() < self.options.spin {
            // Whoever has something to do goes first.
            std::thread::yield_now();
        }
    }

    /// Takes the next batch, if there is one.
    #[cfg(test)]
    pub(crate) fn take(&self, slot: usize, now: Instant) -> Option<Work<I, O>> {
        self.take_from(self.state.lock(), slot, now)
    }

    fn take_from(
        &self,
        mut state: MutexGuard<'_, State<I, O>>,
        slot: usize,
        now: Instant,
    ) -> Option<Work<I, O>> {
        let taken = state.queue.take_batch(self.batch_limit());
        if state.queue.is_empty() {
            self.has_work.store(false, Ordering::Release);
        }
        drop(state);
        // The rest needs no lock that a caller might wait for.
        let run = Run::new();
        let size = taken.len();
        let (mut tickets, mut inputs) = (Vec::with_capacity(size), Vec::with_capacity(size));
        let mut requests = Vec::with_capacity(size);
        // Dropped when nothing can be lost any more: an input's end is its owner's code, and may panic.
        let mut unwanted = Vec::new();
        let (mut rows, mut deadline) = (0, Some(now));
        for Waiting { ticket, input } in taken {
            if ticket.deadline.is_some_and(|deadline| deadline <= now) {
                // The timer is on its way for it, too.
                self.give_up([&ticket].into_iter(), &self.late("the deadline passed in the queue"));
            } else if ticket.join(&run) {
                rows += ticket.footprint.rows;
                deadline = deadline.zip(ticket.deadline).map(|(known, own)| known.max(own));
                requests.push(ticket.context.clone());
                inputs.push(input);
                tickets.push(ticket);
                continue;
            }
            unwanted.push(input);
        }
        if tickets.is_empty() {
            return None;
        }
        let tickets: Company<O> = tickets.into();
        let before = self.running[slot].lock().replace(Arc::clone(&tickets));
        debug_assert!(before.is_none(), "an instance runs one batch at a time");
        if let Some(error) = self.closed.get() {
            self.give_up(tickets.iter(), error);
        }
        run.leave();
        drop(unwanted);
        Some(Work { batch: Batch::new(inputs), run, tickets, requests, deadline, rows, taken: now })
    }

    /// Hands the answers of a run back and frees its slot. Returns what one row has cost.
    pub(crate) fn complete(
        &self,
        slot: usize,
        work: Work<I, O>,
        failure: Option<&Failure>,
        now: Instant,
    ) -> Duration {
        let row_count = work.rows().max(1);
        let Work { batch, tickets, rows, taken, .. } = work;
        let run = now.saturating_duration_since(taken);

        if tickets.iter().any(|ticket| ticket.deadline.is_some()) {
            let mut state = self.state.lock();
            tickets.iter().for_each(|ticket| state.forget_deadline(ticket));
        }
        if failure.is_none() {
            self.cost.observe(run, rows);
        }

        // The slot is free once all are answered: what a panic leaves open, `abandon` finds there.
        // All answers first, then all wake-ups: woken callers take the core from this thread.
        let mut wakers = Wakers::default();
        for (ticket, row) in tickets.iter().zip(batch.into_rows()) {
            let timings = Timings {
                queue: taken.saturating_duration_since(ticket.arrived),
                run,
                batch_requests: tickets.len(),
                batch_rows: rows,
                instance: slot,
            };
            let outcome = self.outcome(row.into_answer(), failure, &ticket.context, timings);
            wakers.add(ticket.answer(outcome));
        }
        *self.running[slot].lock() = None;
        drop(wakers);
        run / row_count
    }

    fn outcome(
        &self,
        answer: Option<Result<O, ModelError>>,
        failure: Option<&Failure>,
        context: &RequestContext,
        timings: Timings,
    ) -> Outcome<O> {
        let error = match (answer, failure) {
            (Some(Ok(output)), _) => {
                return Ok(Response { output, id: context.id.clone(), timings });
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
}
