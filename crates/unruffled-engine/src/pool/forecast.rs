//! What the learned cost of a model says about batches that might run, and about requests that have just come.

use std::time::{Duration, Instant};

use unruffled_model::{Batching, Priority};

use crate::cost::{CostModel, Estimate};
use crate::queue::{Draft, Rule, WHOLE};

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
    /// Whether a bulk run can be stopped for something more urgent.
    pub(crate) gives_way: bool,
    pub(crate) now: Instant,
}

/// A shape that no request has: what is known of all shapes together is believed of it.
const ANY: u64 = WHOLE;

/// So many requests behind a newcomer are looked at, whether they would still be in time.
const VICTIMS_MAX: usize = 128;

/// By so much at most a run that somebody waits for may take longer for taking others along.
const RIDERS: f64 = 1.25;

/// Bulk work that nobody can stop keeps an instance so long at most: a click may come meanwhile.
const BULK: Duration = Duration::from_millis(100);

/// Unless each further row costs less than this part of one alone: then throughput is worth more.
const BULK_PAYS: f64 = 0.5;

/// One request in a line, as far as time goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) bucket: u64,
    pub(crate) rows: usize,
    pub(crate) deadline: Option<Instant>,
}

/// Where a request would come in.
pub(crate) struct Newcomer {
    pub(crate) own: Place,
    /// How many of its line are before it, counted from where the line is looked at.
    pub(crate) at: usize,
    /// Rows that run before those.
    pub(crate) rows_before: usize,
}

/// A batch as it would be if the line stood still.
struct Chunk {
    bucket: u64,
    rows: usize,
    /// The earliest deadline in it, the newcomer's apart.
    deadline: Option<Instant>,
    holds_newcomer: bool,
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

    /// From where a line is looked at for a newcomer in this place: the batch that it would be in.
    pub(crate) fn look_from(&self, place: usize) -> usize {
        match self.batching {
            Batching::Joint => place - place % self.max_batch,
            Batching::Single | Batching::Sequential => place,
        }
    }

    /// What to expect of a request that joins a line; nothing before the first run.
    ///
    /// The line is cut into batches as if it stood still, and each must be over before the first deadline in it. Only the
    /// newcomer's own batch is taken to grow, as fast as requests arrive just now, so that it is not promised what those
    /// who come after it would have to break. `free` is when each instance will be, and is used up.
    pub(crate) fn prospect(
        &self,
        line: impl Iterator<Item = Place>,
        newcomer: &Newcomer,
        free: &mut [Duration],
        rate: &ArrivalRate,
    ) -> Option<Prospect> {
        let Newcomer { own, at, rows_before } = newcomer;
        let most = if self.batching == Batching::Joint { self.max_batch } else { 1 };
        let run = self.costs.estimate(own.bucket, own.rows)?.p50;
        // What runs before is spread over all instances.
        let (before, left) = (rows_before / most, rows_before % most);
        let each = self.costs.estimate(ANY, most)?.p50;
        let share = each.saturating_mul(u32::try_from(before / free.len().max(1)).unwrap_or(u32::MAX));
        free.iter_mut().for_each(|free| *free = free.saturating_add(share));
        for _ in 0..before % free.len().max(1) {
            *free.iter_mut().min()? += each;
        }

        let (mut wait, mut is_in_time) = (None, true);
        let mut close = |chunk: &Chunk| {
            let cost = |rows: usize| self.costs.estimate(chunk.bucket, rows);
            let first = free.iter_mut().min()?;
            let begins = *first;
            *first = first.saturating_add(cost(chunk.rows)?.p50);
            let is_late = |deadline: Instant, rows: usize| {
                cost(rows).is_some_and(|cost| self.now + begins + cost.p95 > deadline)
            };
            // Who is late whatever happens is not the newcomer's victim.
            let is_victim = |deadline| is_late(deadline, chunk.rows) && !is_late(deadline, 1);
            is_in_time &= !chunk.deadline.is_some_and(is_victim);
            if chunk.holds_newcomer {
                wait = Some(begins);
                let grown = (chunk.rows + rate.in_(begins)).min(most.max(chunk.rows));
                is_in_time &= !own.deadline.is_some_and(|deadline| is_late(deadline, grown));
            }
            Some(())
        };
        // One batch of each shape is open at a time.
        let fresh = |bucket, rows| Chunk { bucket, rows, deadline: None, holds_newcomer: false };
        let mut open = vec![fresh(own.bucket, left)];
        let mut line = line.take(at + VICTIMS_MAX);
        for place in 0.. {
            let is_own = place == *at;
            let Some(next) = (if is_own { Some(*own) } else { line.next() }) else { break };
            let known = open.iter().position(|chunk| chunk.bucket == next.bucket);
            let at = known.unwrap_or(open.len());
            if known.is_none() {
                open.push(fresh(next.bucket, 0));
            } else if open[at].rows > 0 && open[at].rows + next.rows > most {
                close(&std::mem::replace(&mut open[at], fresh(next.bucket, 0)))?;
            }
            let chunk = &mut open[at];
            chunk.rows += next.rows;
            chunk.holds_newcomer |= is_own;
            if !is_own {
                chunk.deadline = [chunk.deadline, next.deadline].into_iter().flatten().min();
            }
        }
        for chunk in open.iter().filter(|chunk| chunk.rows > 0) {
            close(chunk)?;
        }
        let at_least = self.costs.at_least(own.bucket, own.rows, self.now);
        Some(Prospect { wait: wait.unwrap_or_default(), run, at_least, is_in_time })
    }

    /// How long so many rows take to run off on so many instances.
    pub(crate) fn drain_time(&self, rows: usize, instances: usize) -> Option<Duration> {
        let most = if self.batching == Batching::Joint { self.max_batch } else { 1 };
        let row = self.costs.per_row(ANY, most)?;
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
        let cost = self.costs.estimate(draft.bucket, draft.rows);
        // Somebody looks at the screen and waits: others ride along only if that is hardly felt.
        if draft.class == Priority::Interactive && draft.rows > draft.own_rows {
            let own = self.costs.estimate(draft.bucket, draft.own_rows);
            let is_felt = |(cost, own): (Estimate, Estimate)| cost.p50 > own.p50.mul_f64(RIDERS);
            if cost.zip(own).is_none_or(is_felt) {
                return false;
            }
        }
        if draft.class == Priority::Bulk && !self.gives_way && cost.is_some_and(|cost| cost.p50 > BULK) {
            let added = self.costs.added_by_row(draft.bucket, draft.rows);
            if added.is_none_or(|added| added > BULK_PAYS) {
                return false;
            }
        }
        let Some(deadline) = draft.deadline else { return true };
        draft.rows <= self.costs.rows_trusted(draft.bucket)
            && cost.is_none_or(|cost| self.now + cost.p95 <= deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use unruffled_model::{Batching, Priority};

    use super::{BULK, Forecast};
    use crate::cost::CostModel;
    use crate::queue::{Draft, Rule};

    const SHAPE: u64 = 7;

    /// How many requests of one row share a run at most, if runs cost so much.
    fn share(class: Priority, gives_way: bool, runs: &[(usize, Duration)]) -> usize {
        let (mut costs, now) = (CostModel::new(), Instant::now());
        for (rows, took) in runs {
            costs.observe(SHAPE, *rows, *took, now);
            costs.observe(SHAPE, *rows, *took, now);
        }
        let forecast = Forecast { costs: &costs, batching: Batching::Joint, max_batch: 32, gives_way, now };
        let draft =
            |rows| Draft { bucket: SHAPE, requests: rows, rows, own_rows: rows, class, deadline: None };
        (2..).find(|rows| !forecast.allows(draft(*rows))).expect("32 are the most") - 1
    }

    #[test]
    fn bulk_runs_that_cannot_be_stopped_are_short_unless_long_ones_pay() {
        use Priority::{Bulk, Normal};

        let ms = Duration::from_millis;
        let dear = [(1, ms(30)), (32, ms(960))];
        assert_eq!(share(Bulk, false, &dear), 3, "{BULK:?}");
        assert_eq!(share(Bulk, true, &dear), 32, "it is stopped if need be");
        assert_eq!(share(Normal, false, &dear), 32);
        assert_eq!(share(Bulk, false, &[(1, ms(300)), (32, ms(500))]), 32, "they pay");
        assert_eq!(share(Bulk, false, &[(1, ms(1)), (32, ms(30))]), 32, "they are short");
        // Whether they pay is tried.
        assert_eq!(share(Bulk, false, &[(32, ms(960))]), 1);
        assert_eq!(share(Bulk, false, &[]), 32, "nothing is known");
    }
}
