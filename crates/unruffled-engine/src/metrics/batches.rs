//! [`Batches`]: what runs of each size have cost together.

use std::time::Duration;

/// So many sizes are told apart; a run of another size counts as one of the next smaller, or of the smallest.
const SIZES: usize = 64;

/// Runs of one size that gave an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchMetrics {
    /// How many rows each had.
    pub rows: usize,
    /// How many there were.
    pub runs: u64,
    /// How long they took together.
    pub sum: Duration,
}

/// Runs by size, in the order of sizes.
#[derive(Clone, Debug, Default)]
pub(super) struct Batches(Vec<BatchMetrics>);

impl Batches {
    pub(super) fn record(&mut self, rows: usize, run: Duration) {
        self.add(BatchMetrics { rows, runs: 1, sum: run });
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|batch| self.add(*batch));
    }

    fn add(&mut self, more: BatchMetrics) {
        let at = match self.0.binary_search_by_key(&more.rows, |batch| batch.rows) {
            Ok(at) => at,
            Err(at) if self.0.len() < SIZES => return self.0.insert(at, more),
            Err(at) => at.saturating_sub(1),
        };
        let batch = &mut self.0[at];
        batch.runs += more.runs;
        batch.sum = batch.sum.saturating_add(more.sum);
    }

    pub(super) fn report(self) -> Vec<BatchMetrics> {
        self.0
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<BatchMetrics>()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BatchMetrics, Batches, SIZES};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn sizes_are_told_apart_up_to_a_number() {
        let mut batches = Batches::default();
        for rows in [4, 1, 4] {
            batches.record(rows, MS);
        }
        let mut twice = batches.clone();
        twice.merge(&batches);
        let expected =
            [BatchMetrics { rows: 1, runs: 2, sum: 2 * MS }, BatchMetrics { rows: 4, runs: 4, sum: 4 * MS }];
        assert_eq!(twice.report(), expected);

        (0..1000).for_each(|rows| batches.record(2 * rows, MS));
        let report = batches.report();
        assert_eq!(report.len(), SIZES);
        assert_eq!(report.iter().map(|batch| batch.runs).sum::<u64>(), 1003, "none is lost");
    }
}
