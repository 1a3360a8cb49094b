//! What the learned cost of a model says about batches that might run, and about requests that have just come.

use std::time::{Duration, Instant};

use unruffled_model::Batching;

use crate::cost::CostModel;
use crate::queue::{Draft, Rule};

/// Sequential rows that share a hand-over at most, however cheap they are.
const SEQUENTIAL_MAX: usize = 16;

/// One hand-over between threads is worth so much work: rows that run one after the other share it up to here.
const HAND_OVER: Duration = Duration::from_micros(200);

/// Over how long the rate of arrivals is averaged.
const RATE_MEMORY: Duration = Duration::from_millis(20);

/// How fast rows arrive at present.
#[derive(Debug, Default)]
pub(crate) struct ArrivalRate {
    rows_per_second: f64,
    last: Option<Instant>,
}

impl ArrivalRate {
    pub(crate) fn observe(&mut self, now: Instant, rows: usize) {
        let memory = RATE_MEMORY.as_secs_f64();
        let since = self
            .last
            .replace(now)
            .map_or(f64::INFINITY, |last| now.saturating_duration_since(last).as_secs_f64());
        self.rows_per_second = self.rows_per_second * (-since / memory).exp() + rows as f64 / memory;
    }

    /// How many rows arrive in so long.
    fn in_(&self, time: Duration) -> usize {
        (self.rows_per_second * time.as_secs_f64()) as usize
    }
}

/// What is known at one moment.
pub(crate) struct Forecast<'a> {
    pub(crate) costs: &'a CostModel,
    pub(crate) batching: Batching,
    pub(crate) max_batch: usize,
    pub(crate) now: Instant,
}

/// One request in a line, as far as time goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) rows: usize,
    pub(crate) deadline: Option<Instant>,
}

/// What awaits a request that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prospect {
    /// Until its run begins.
    pub(crate) wait: Duration,
    /// Its run, alone.
    pub(crate) run: Duration,
    /// The least that its run takes, by evidence so fresh that it may be refused by it.
    pub(crate) at_least: Option<Duration>,
    /// Whether it, and those behind it, are answered in time if it is let in.
    pub(crate) is_in_time: bool,
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

    /// What to expect of a request that joins a line in this place; nothing before the first run.
    ///
    /// The line is cut into batches as if it stood still, and each must be over before the first deadline in it. Only the
    /// newcomer's own batch is taken to grow, as fast as requests arrive just now, so that it is not promised what those
    /// who come after it would have to break. `free` is when each instance will be, and is used up; `before` are the rows
    /// that run before the line.
    pub(crate) fn prospect(
        &self,
        bucket: u64,
        line: impl Iterator<Item = Place>,
        newcomer: (usize, Place),
        before: usize,
        free: &mut [Duration],
        rate: &ArrivalRate,
    ) -> Option<Prospect> {
        let most = if self.batching == Batching::Joint { self.max_batch } else { 1 };
        let cost = |rows: usize| self.costs.estimate(bucket, rows);
        let (at, own) = newcomer;
        let run = cost(own.rows)?.p50;
        let mut is_in_time = true;
        // Begins a run on the instance that is free first, and says when.
        let mut begin = |rows: usize| {
            let first = free.iter_mut().min()?;
            let begins = *first;
            *first += cost(rows)?.p50;
            Some(begins)
        };
        for _ in 0..before / most {
            begin(most)?;
        }
        let mut wait = None;
        let mut batch = Place { rows: before % most, deadline: None };
        let mut holds_newcomer = false;
        let mut close = |batch: Place, holds_newcomer: bool| {
            let begins = begin(batch.rows)?;
            let mut rows = batch.rows;
            if holds_newcomer {
                wait = Some(begins);
                rows = (rows + rate.in_(begins)).min(most.max(rows));
            }
            let ends = |rows| Some(self.now + begins + cost(rows)?.p95);
            let late = |deadline: Instant, rows| ends(rows).is_some_and(|end| end > deadline);
            // Who is late whatever happens is not the newcomer's victim.
            let lost = |deadline: Instant| ends(1).is_some_and(|end| end > deadline);
            is_in_time &= batch.deadline.is_none_or(|deadline| !late(deadline, batch.rows) || lost(deadline));
            is_in_time &= !holds_newcomer || own.deadline.is_none_or(|deadline| !late(deadline, rows));
            Some(())
        };
        let mut line = line.enumerate().peekable();
        let mut placed = 0;
        loop {
            let is_own = placed == at;
            let next = if is_own { Some(own) } else { line.next().map(|(_, place)| place) };
            let Some(next) = next else { break };
            placed += 1;
            if batch.rows > 0 && batch.rows + next.rows > most {
                close(batch, holds_newcomer)?;
                (batch, holds_newcomer) = (Place { rows: 0, deadline: None }, false);
            }
            batch.rows += next.rows;
            let deadlines = [batch.deadline, next.deadline.filter(|_| !is_own)];
            batch.deadline = deadlines.into_iter().flatten().min();
            holds_newcomer |= is_own;
        }
        close(batch, holds_newcomer)?;
        let at_least = self.costs.at_least(bucket, own.rows, self.now);
        Some(Prospect { wait: wait.unwrap_or_default(), run, at_least, is_in_time })
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
