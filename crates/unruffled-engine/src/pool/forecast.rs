//! What the learned cost of a model says about batches that might run, and about requests that have just come.

use std::time::{Duration, Instant};

use unruffled_model::Batching;

use crate::cost::CostModel;
use crate::queue::{Ahead, Draft, Rule};

/// Sequential rows that share a hand-over at most, however cheap they are.
const SEQUENTIAL_MAX: usize = 16;

/// One hand-over between threads is worth so much work: rows that run one after the other share it up to here.
const HAND_OVER: Duration = Duration::from_micros(200);

/// What is known at one moment.
pub(crate) struct Forecast<'a> {
    pub(crate) costs: &'a CostModel,
    pub(crate) batching: Batching,
    pub(crate) max_batch: usize,
    pub(crate) now: Instant,
}

/// What awaits a request that comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prospect {
    /// Until its run begins; unknown before the first run.
    pub(crate) wait: Option<Duration>,
    /// Its run, alone.
    pub(crate) run: Option<Duration>,
    /// The least that its run takes, by evidence so fresh that it may be refused by it.
    pub(crate) at_least: Option<Duration>,
    /// Its run, in the company that it will probably have.
    pub(crate) shared_run: Option<Duration>,
}

impl Forecast<'_> {
    /// How many rows, and requests, a batch may have whatever their deadlines.
    fn most(&self, bucket: u64) -> usize {
        match self.batching {
            Batching::Single => 1,
            Batching::Joint => self.max_batch,
            Batching::Sequential => {
                let row = self.costs.per_row(bucket, 1);
                let rows = row.map_or(1, |row| HAND_OVER.as_nanos() / row.as_nanos().max(1));
                rows.clamp(1, SEQUENTIAL_MAX as u128) as usize
            }
        }
    }

    /// What to expect of a request with this before it: `free_in` is when the next instance should be free.
    pub(crate) fn prospect(
        &self,
        bucket: u64,
        rows: usize,
        ahead: Ahead,
        instances: usize,
        free_in: Duration,
    ) -> Prospect {
        let most = self.most(bucket);
        let cost = |rows| self.costs.estimate(bucket, rows);
        let run = cost(rows).map(|cost| cost.p50);
        // Those before it run in full batches; the last of them takes it along.
        let (full, left) = match self.batching {
            Batching::Joint => (ahead.rows / most, ahead.rows % most),
            _ => (ahead.rows, 0),
        };
        let each = if self.batching == Batching::Joint { most } else { 1 };
        let before = cost(each).map(|cost| cost.p50.mul_f64(full as f64 / instances.max(1) as f64));
        let company = (left + rows).min(most.max(rows));
        Prospect {
            wait: before.map(|before| before + free_in),
            run,
            at_least: self.costs.at_least(bucket, rows, self.now),
            shared_run: cost(company).map(|cost| cost.p95),
        }
    }

    /// How long so many rows take to run off on so many instances.
    pub(crate) fn drain_time(&self, rows: usize, instances: usize) -> Option<Duration> {
        let most = if self.batching == Batching::Joint { self.max_batch } else { 1 };
        let row = self.costs.per_row(0, most)?;
        Duration::try_from_secs_f64(row.as_secs_f64() * rows as f64 / instances.max(1) as f64).ok()
    }
}

impl Rule for Forecast<'_> {
    fn is_hopeless(&self, alone: Draft) -> bool {
        let Some(deadline) = alone.deadline else { return false };
        if deadline <= self.now {
            return true;
        }
        let cost = self.costs.at_least(alone.bucket, alone.rows, self.now);
        cost.is_some_and(|cost| self.now + cost > deadline)
    }

    fn allows(&self, draft: Draft) -> bool {
        let most = self.most(draft.bucket);
        let rows = if self.batching == Batching::Joint { most } else { usize::MAX };
        if draft.requests > most || draft.rows > rows {
            return false;
        }
        let Some(deadline) = draft.deadline else { return true };
        let cost = self.costs.estimate(draft.bucket, draft.rows);
        draft.rows <= self.costs.rows_trusted(draft.bucket)
            && cost.is_none_or(|cost| self.now + cost.p95 <= deadline)
    }
}
