//! What runs of a model have cost so far, by rows and shape, and what follows from it. Plain data: knows no queue, and
//! takes `now` as an argument.
//!
//! What is believed here decides which requests run together and which are refused. So it follows changes within some
//! 32 runs, bears outliers, and does not outlive its evidence.

mod class;
mod curve;
mod slowest;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use curve::Curve;
use slowest::Slowest;

/// How many shapes are told apart. Of more, the one that was not observed for longest is forgotten.
const BUCKETS: usize = 32;

/// What a run is expected to take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) p50: Duration,
    pub(crate) p95: Duration,
}

/// What runs of one model cost, learned from those that were.
#[derive(Debug, Default)]
pub(crate) struct CostModel {
    buckets: Vec<Bucket>,
    /// Runs of all shapes, for those that are not known.
    overall: Curve,
    runs: u64,
    single: Slowest,
}

/// What is known of one shape.
#[derive(Debug)]
struct Bucket {
    id: u64,
    /// Which run of the model was its newest.
    newest: u64,
    rows_max: usize,
    curve: Curve,
}

impl CostModel {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A run has taken so long.
    pub(crate) fn observe(&mut self, bucket: u64, rows: usize, took: Duration, now: Instant) {
        let rows = rows.max(1);
        let counted = u32::try_from(rows).unwrap_or(u32::MAX);
        self.runs += 1;
        if rows == 1 {
            self.single.observe(took);
        }
        self.overall.observe(counted, took, now);
        let newest = self.runs;
        let bucket = self.bucket_mut(bucket);
        bucket.newest = newest;
        bucket.rows_max = bucket.rows_max.max(rows);
        bucket.curve.observe(counted, took, now);
    }

    /// What a run of `rows` is expected to take; `None` while nothing at all is known of the model.
    ///
    /// Never less for more rows. Beyond the largest run it is an upper bound, below the smallest p95 is one.
    pub(crate) fn estimate(&self, bucket: u64, rows: usize) -> Option<Estimate> {
        let point = self.curve(bucket).at(rows.max(1) as f64)?;
        Some(Estimate { p50: duration(point.p50), p95: duration(point.p95) })
    }

    /// The least that a run of `rows` takes, by what was observed of this bucket lately: fit to refuse a request by.
    ///
    /// Sizes that were not run lately are bounded by those that were, so that one cannot vouch for a stale belief about
    /// another, and the newest run has a veto, so that a belief ends with the first run that contradicts it.
    pub(crate) fn at_least(&self, bucket: u64, rows: usize, now: Instant) -> Option<Duration> {
        self.bucket(bucket)?.curve.at_least(rows.max(1) as f64, now).map(duration)
    }

    /// The most rows that a run with a deadline may have as yet: twice those of the largest run that was seen.
    pub(crate) fn rows_trusted(&self, bucket: u64) -> usize {
        self.bucket(bucket).map_or(1, |bucket| bucket.rows_max.saturating_mul(2))
    }

    /// What each row adds to the time in which a queue is worked off, in runs of up to `max_rows`.
    pub(crate) fn per_row(&self, bucket: u64, max_rows: usize) -> Option<Duration> {
        self.curve(bucket).per_row(max_rows.max(1) as f64).map(duration)
    }

    /// What each further row adds to a run, up to so many, as a part of what one costs in small runs: 1 if a batch saves nothing.
    /// `None` if smaller runs are not known.
    pub(crate) fn added_by_row(&self, bucket: u64, rows: usize) -> Option<f64> {
        self.curve(bucket).added_by_row(rows as f64)
    }

    /// Whether each of the last runs of one row, 64 at least, took less than `budget`: fit for the caller's thread.
    pub(crate) fn is_always_below(&self, budget: Duration) -> bool {
        self.single.is_always_below(budget)
    }

    fn bucket(&self, id: u64) -> Option<&Bucket> {
        self.buckets.iter().find(|bucket| bucket.id == id)
    }

    fn curve(&self, id: u64) -> &Curve {
        self.bucket(id).map_or(&self.overall, |bucket| &bucket.curve)
    }

    /// Finds the bucket, or makes room for it.
    fn bucket_mut(&mut self, id: u64) -> &mut Bucket {
        let known = self.buckets.iter().position(|bucket| bucket.id == id);
        let at = known.unwrap_or_else(|| {
            let fresh = Bucket { id, newest: 0, rows_max: 0, curve: Curve::default() };
            let oldest = self.buckets.iter().enumerate().min_by_key(|(_, bucket)| bucket.newest);
            match oldest {
                Some((oldest, _)) if self.buckets.len() >= BUCKETS => {
                    self.buckets[oldest] = fresh;
                    oldest
                }
                _ => {
                    self.buckets.push(fresh);
                    self.buckets.len() - 1
                }
            }
        });
        &mut self.buckets[at]
    }
}

fn duration(secs: f64) -> Duration {
    Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX)
}
