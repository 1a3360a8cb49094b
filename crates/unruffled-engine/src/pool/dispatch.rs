//! Dispatch: an instance takes a batch out of the queue, formed at that moment, and hands the answers back.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use unruffled_model::{Batch, ModelError, RequestContext, RunContext};

use super::{Company, Phase, Pool, State};
use crate::error::{Error, ErrorKind};
use crate::reply::{Outcome, Run, Ticket};
use crate::request::{Response, Timings};

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
}

/// Why a run left rows unanswered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The model said so.
    Error(ModelError),
    /// It panicked, with this text.
    Panic(String),
}

impl Failure {
    /// The failure behind a caught panic.
    pub(crate) fn panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Failure::Panic(text.unwrap_or("no message").to_owned())
    }
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Waits for work. `None`: there will be no more.
    pub(crate) fn next(&self, slot: usize) -> Option<Work<I, O>> {
        let mut state = self.state.lock();
        loop {
            let (now, mut expired) = (Instant::now(), Vec::new());
            let work = self.take_locked(&mut state, slot, now, &mut expired);
            if !expired.is_empty() {
                parking_lot::MutexGuard::unlocked(&mut state, || self.tell_late(&mut expired));
                if work.is_none() {
                    continue;
                }
            }
            if work.is_some() {
                return work;
            }
            if !matches!(state.phase, Phase::Open) {
                return None;
            }
            state.idle += 1;
            self.work.wait(&mut state);
            state.idle -= 1;
        }
    }

    /// Takes the next batch, if there is one.
    #[cfg(test)]
    pub(crate) fn take(&self, slot: usize, now: Instant) -> Option<Work<I, O>> {
        let mut expired = Vec::new();
        let work = self.take_locked(&mut self.state.lock(), slot, now, &mut expired);
        self.tell_late(&mut expired);
        work
    }

    fn take_locked(
        &self,
        state: &mut State<I, O>,
        slot: usize,
        now: Instant,
        expired: &mut Vec<Arc<Ticket<O>>>,
    ) -> Option<Work<I, O>> {
        debug_assert!(
            state.running[slot].is_none(),
            "an instance runs one batch at a time"
        );
        let run = Run::new();
        let (mut tickets, mut inputs, mut requests) = (Vec::new(), Vec::new(), Vec::new());
        let (mut rows, mut deadline) = (0, Some(now));
        let limit = self.batch_limit(&state.cost);
        // Those whose time is up, or whose caller has just gone, leave the batch empty: the next ones are tried.
        while tickets.is_empty() && !state.queue.is_empty() {
            state.queue.take_batch(limit, |waiting| {
                let ticket = waiting.ticket;
                if ticket.deadline.is_some_and(|deadline| deadline <= now) {
                    expired.push(ticket);
                } else if ticket.join(&run) {
                    rows += ticket.footprint.rows;
                    deadline = deadline.zip(ticket.deadline).map(|(known, own)| known.max(own));
                    requests.push(ticket.context.clone());
                    inputs.push(waiting.input);
                    tickets.push(ticket);
                }
            });
        }
        for ticket in expired.iter() {
            state.deadlines.remove(&(
                ticket.deadline.expect("only deadlines expire"),
                ticket.key.arrival(),
            ));
        }
        if tickets.is_empty() {
            return None;
        }
        let tickets: Company<O> = tickets.into();
        state.running[slot] = Some(Arc::clone(&tickets));
        Some(Work {
            batch: Batch::new(inputs),
            run,
            tickets,
            requests,
            deadline,
            rows,
            taken: now,
        })
    }

    fn tell_late(&self, expired: &mut Vec<Arc<Ticket<O>>>) {
        for ticket in expired.drain(..) {
            if let (_, Some(waker)) = ticket.give_up(|| self.late("the deadline passed in the queue")) {
                waker.wake();
            }
        }
    }

    /// Hands the answers of a run back and frees its slot.
    pub(crate) fn complete(&self, slot: usize, work: Work<I, O>, failure: Option<&Failure>, now: Instant) {
        let Work {
            batch,
            tickets,
            rows,
            taken,
            ..
        } = work;
        let run = now.saturating_duration_since(taken);

        let mut state = self.state.lock();
        state.running[slot] = None;
        for ticket in tickets.iter() {
            if let Some(deadline) = ticket.deadline {
                state.deadlines.remove(&(deadline, ticket.key.arrival()));
            }
        }
        if failure.is_none() {
            state.cost.observe(run, rows);
        }
        drop(state);

        // All answers first, then all wake-ups: woken callers take the core from this thread.
        let mut wakers = Vec::with_capacity(tickets.len());
        for (ticket, row) in tickets.iter().zip(batch.into_rows()) {
            let timings = Timings {
                queue: taken.saturating_duration_since(ticket.arrived),
                run,
                batch_requests: tickets.len(),
                batch_rows: rows,
                instance: slot,
            };
            let outcome = self.outcome(row.into_answer(), failure, &ticket.context, timings);
            wakers.extend(ticket.answer(outcome));
        }
        wakers.into_iter().for_each(std::task::Waker::wake);
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
                return Ok(Response {
                    output,
                    id: context.id.clone(),
                    timings,
                });
            }
            (Some(Err(error)), _) => Error::from_model(error),
            (None, Some(Failure::Error(error))) => Error::from_model(error.clone()),
            (None, Some(Failure::Panic(text))) => Error::new(
                ErrorKind::ModelCrashed,
                format!("panicked: {text}; its instance is replaced"),
            ),
            (None, None) => Error::new(ErrorKind::ModelFailed, "gave no answer for this row"),
        };
        Err(error.of_model(&self.name))
    }
}
