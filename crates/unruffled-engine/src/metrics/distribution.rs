//! Distributions: what is recorded of many durations or sizes, and what is said about them.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer durations count as this long in the quantiles; mean and maximum stay exact.
const LONGEST: Duration = Duration::from_secs(3600);

/// Nanoseconds apart in the lowest bucket: two significant digits from a microsecond on.
const FINEST_NANOS: u64 = 8;

/// Larger sizes count as this in the quantiles; mean and maximum stay exact.
const LARGEST: u64 = 1 << 20;

const DIGITS: u8 = 2;

/// Up to which durations [`Distribution::at_most`] counts: 1, 2 and 5 of each decade from 10 microseconds to 100 seconds.
const DURATION_BOUNDS: [Duration; 22] = {
    let mut bounds = [Duration::ZERO; 22];
    let (mut at, mut micros) = (0, 10);
    while at < bounds.len() {
        let step = [1, 2, 5][at % 3];
        bounds[at] = Duration::from_micros(micros * step);
        if step == 5 {
            micros *= 10;
        }
        at += 1;
    }
    bounds
};

/// Up to which sizes [`SizeDistribution::at_most`] counts: the powers of two to 1,024.
const SIZE_BOUNDS: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/// How many durations there were up to each of some bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DurationCounts([u64; DURATION_BOUNDS.len()]);

impl DurationCounts {
    /// Counts what is in a histogram of nanoseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let nanos = DURATION_BOUNDS.map(|bound| u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX));
        Self(cumulative(histogram, nanos))
    }

    /// Each bound, and how many there were up to it.
    pub(crate) fn iter(self) -> impl Iterator<Item = (Duration, u64)> {
        DURATION_BOUNDS.into_iter().zip(self.0)
    }
}

/// How a kind of duration was spread. Quantiles have two significant digits between 1 microsecond and 1 hour, and are
/// rounded up; count, sum, mean and maximum are exact. All zero as long as there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Distribution {
    /// How many there were.
    pub count: u64,
    /// All of them together.
    pub sum: Duration,
    /// The average.
    pub mean: Duration,
    /// Half of them took this long at most.
    pub p50: Duration,
    /// Nine out of ten took this long at most.
    pub p90: Duration,
    /// 99 out of 100 took this long at most.
    pub p99: Duration,
    /// 999 out of 1,000 took this long at most.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
    counts: DurationCounts,
}

impl Distribution {
    /// How many took so long at most, for bounds from 10 microseconds to 100 seconds, 1, 2 and 5 of each decade. Counts that
    /// monitoring can add up and take the difference of. Durations are compared to two significant digits.
    pub fn at_most(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.counts.iter()
    }
}

/// How a kind of size was spread. Quantiles are exact below 256, and have two significant digits above, rounded up, as far
/// as a million; count, sum, mean and maximum are exact. All zero as long as there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SizeDistribution {
    /// How many there were.
    pub count: u64,
    /// All of them together.
    pub sum: u64,
    /// The average.
    pub mean: f64,
    /// Half of them were this large at most.
    pub p50: u64,
    /// Nine out of ten were this large at most.
    pub p90: u64,
    /// 99 out of 100 were this large at most.
    pub p99: u64,
    /// 999 out of 1,000 were this large at most.
    pub p999: u64,
    /// The largest.
    pub max: u64,
    counts: [u64; SIZE_BOUNDS.len()],
}

impl SizeDistribution {
    /// How many were so large at most, for the powers of two from 1 to 1,024.
    pub fn at_most(&self) -> impl Iterator<Item = (u64, u64)> {
        SIZE_BOUNDS.into_iter().zip(self.counts)
    }
}

/// Durations as they come in. Takes 2 KiB at first and 1 KiB more for each doubling of the longest above 2 microseconds:
/// 18 KiB at 100 ms, 33 KiB at most.
pub(super) struct Durations {
    histogram: Histogram<u64>,
    sum: Duration,
    max: Duration,
}

impl Durations {
    pub(super) fn new() -> Self {
        Self { histogram: histogram(FINEST_NANOS), sum: Duration::ZERO, max: Duration::ZERO }
    }

    pub(super) fn record(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.min(LONGEST).as_nanos()).unwrap_or(u64::MAX);
        self.histogram.record(nanos).expect("grows up to the longest");
        self.sum = self.sum.saturating_add(duration);
        self.max = self.max.max(duration);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("grows as large as the other");
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    pub(super) fn count(&self) -> u64 {
        self.histogram.len()
    }

    pub(super) fn report(&self) -> Distribution {
        let count = self.count();
        let nanos = self.sum.as_nanos() / u128::from(count.max(1));
        let quantile = |q| Duration::from_nanos(self.histogram.value_at_quantile(q)).min(self.max);
        Distribution {
            count,
            sum: self.sum,
            mean: Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: self.max,
            counts: DurationCounts::of(&self.histogram),
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        bytes(&self.histogram)
    }
}

/// Sizes as they come in. Takes 2 KiB up to 255, and 14 KiB at most.
pub(super) struct Sizes {
    histogram: Histogram<u64>,
    sum: u64,
    max: u64,
}

impl Sizes {
    pub(super) fn new() -> Self {
        Self { histogram: histogram(1), sum: 0, max: 0 }
    }

    pub(super) fn record(&mut self, size: usize) {
        let size = size as u64;
        self.histogram.record(size.min(LARGEST)).expect("grows up to the largest");
        self.sum = self.sum.saturating_add(size);
        self.max = self.max.max(size);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("grows as large as the other");
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    pub(super) fn report(&self) -> SizeDistribution {
        let count = self.histogram.len();
        let quantile = |q| self.histogram.value_at_quantile(q).min(self.max);
        SizeDistribution {
            count,
            sum: self.sum,
            mean: self.sum as f64 / count.max(1) as f64,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: self.max,
            counts: cumulative(&self.histogram, SIZE_BOUNDS),
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        bytes(&self.histogram)
    }
}

/// How many values there are up to each of these bounds, which ascend.
fn cumulative<const N: usize>(histogram: &Histogram<u64>, bounds: [u64; N]) -> [u64; N] {
    let mut counts = [0; N];
    for step in histogram.iter_recorded() {
        // A bucket that holds a bound counts as within it.
        let value = histogram.lowest_equivalent(step.value_iterated_to());
        if let Some(count) = counts.get_mut(bounds.partition_point(|bound| *bound < value)) {
            *count += step.count_at_value();
        }
    }
    let mut sum = 0;
    counts.map(|count| {
        sum += count;
        sum
    })
}

/// The smallest one of this resolution, which grows with what it is given.
fn histogram(finest: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(finest, 2 * finest, DIGITS)
        .expect("the bounds are constants that it takes");
    histogram.auto(true);
    histogram
}

#[cfg(test)]
fn bytes(histogram: &Histogram<u64>) -> usize {
    histogram.distinct_values() * size_of::<u64>()
}
