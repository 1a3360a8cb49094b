//! Inline execution: a model that costs less than a hand-over between threads runs where it is asked for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use unruffled_model::Stateless;

use super::admission::Candidate;
use super::dispatch::Failure;
use super::{Inline, Phase, Pool, Running};
use crate::recorder::Arrival;
use crate::reply::{Run, Submission, Ticket};
use crate::sync::panic_text;

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Runs a request at once, on this thread, if the model is cheap enough and one of its instances has nothing to do: its
    /// slot is used, so that no more runs go on than there are instances. Otherwise gives the request back.
    #[allow(clippy::result_large_err, reason = "what is given back is what came, and goes on into the queue")]
    pub(super) fn run_inline(
        &self,
        now: Instant,
        candidate: Candidate<I, O>,
    ) -> Result<Arc<Ticket<O>>, Candidate<I, O>> {
        if !self.runs_inline() {
            return Err(candidate);
        }
        let demand = &candidate.demand;
        // What has a key may have to cancel another, and what gives several outputs may be kept waiting.
        if demand.options.elsewhere
            || demand.options.supersede.is_some()
            || demand.outlet.is_some()
            || candidate.footprint.rows != 1
        {
            return Err(candidate);
        }
        let Some(model) = self.model.stateless() else {
            return Err(candidate);
        };
        let slot = {
            let mut state = self.state.lock();
            let free = matches!(state.phase, Phase::Open) && state.queue.is_empty() && state.live > 0;
            match free.then(|| state.seats.lend()).flatten() {
                Some(slot) => slot,
                None => return Err(candidate),
            }
        };
        Ok(self.run_on_loan(&Loan { pool: self, slot }, now, model, candidate))
    }

    /// Whether requests run on their callers' threads, when an instance is free.
    pub(super) fn runs_inline(&self) -> bool {
        self.is_cheap.load(Ordering::Relaxed)
            && self.options.inline == Inline::WhenCheap
            && self.model.stateless().is_some()
    }

    fn run_on_loan(
        &self,
        loan: &Loan<'_, I, O>,
        now: Instant,
        model: &dyn Stateless<I, O>,
        candidate: Candidate<I, O>,
    ) -> Arc<Ticket<O>> {
        let slot = loan.slot;
        let Candidate { key, footprint, context, demand, span } = candidate;
        let arrival = Arrival::at(now);
        let ticket =
            Ticket::new(Submission { key, footprint, context, supersede: None, arrival, span, stop: None });
        self.meter.accepted();
        let run = Run::new(now);
        let joined = ticket.join(&run);
        debug_assert!(joined, "nobody else knows the request yet");
        let company = Arc::from([Arc::clone(&ticket)]);
        let running = Running { company, run: Arc::clone(&run), expected_end: None, may_yield: false };
        *self.running[slot].lock() = Some(running);
        if let Some(error) = self.closed.get() {
            self.give_up(std::iter::once(&ticket), error);
        }
        run.leave();

        let mut work = self.work_of(&ticket, run, demand.input, now, slot);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let span = work.span().clone();
            let _entered = span.enter();
            let (batch, ctx) = work.parts();
            model.run(batch, &ctx)
        }));
        let failure = match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Failure::Error(error)),
            Err(payload) => Some(Failure::Panic(panic_text(&*payload).to_owned())),
        };
        let _cost = self.complete(slot, work, failure.as_ref(), self.now());
        ticket
    }
}

/// A slot that its instance has lent; given back however the run ends, a panic of the caller's own code included.
struct Loan<'a, I: Send + 'static, O: Send + 'static> {
    pool: &'a Pool<I, O>,
    slot: usize,
}

impl<I: Send + 'static, O: Send + 'static> Drop for Loan<'_, I, O> {
    fn drop(&mut self) {
        let Self { pool, slot } = *self;
        // Nothing is left to tell unless that panicked.
        pool.abandon(slot);
        let mut state = pool.state.lock();
        state.seats.give_back(slot);
        let over = !matches!(state.phase, Phase::Open);
        let called = if state.queue.is_empty() { None } else { state.seats.call() };
        drop(state);
        if let Some(called) = called {
            pool.calls[called].notify_one();
        }
        if over {
            pool.calls[slot].notify_one();
        }
    }
}
