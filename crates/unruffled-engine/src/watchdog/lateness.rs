//! How late beats are.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest lateness that quantiles tell apart.
const TOP: Duration = Duration::from_secs(60);

/// How late something was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lateness {
    /// The median, to 1 %.
    pub p50: Duration,
    /// What 99 of 100 did not exceed, to 1 %. Quantiles above a minute count as a minute.
    pub p99: Duration,
    /// The most, exactly.
    pub max: Duration,
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1?}, p99 {:.1?}, max {:.1?}", self.p50, self.p99, self.max)
    }
}

/// The lateness of all beats so far, in about 20 KiB.
pub(super) struct Record {
    histogram: Histogram<u64>,
    max: Duration,
}

impl Record {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1_000, nanoseconds(TOP), 2);
        Self { histogram: histogram.expect("constant bounds that fit"), max: Duration::ZERO }
    }

    /// Records a beat, and those that were missed because it was late: each is as late as it would have been. Without
    /// them, a loop that is blocked for a second of every two would look late once in a hundred times.
    pub(super) fn add(&mut self, late: Duration, beat: Duration) {
        self.max = self.max.max(late);
        let mut late = late.min(TOP);
        loop {
            self.histogram.saturating_record(nanoseconds(late));
            match late.checked_sub(beat) {
                Some(missed) => late = missed,
                None => break,
            }
        }
    }

    pub(super) fn summary(&self) -> Lateness {
        let at = |quantile| {
            let bucket = Duration::from_nanos(self.histogram.value_at_quantile(quantile));
            // A bucket is named by its upper end.
            bucket.min(self.max)
        };
        Lateness { p50: at(0.5), p99: at(0.99), max: self.max }
    }
}

/// How many beats came and went while one was late.
pub(super) fn missed(late: Duration, beat: Duration) -> u32 {
    u32::try_from(late.as_nanos() / beat.as_nanos()).unwrap_or(u32::MAX)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn missed_beats_count() {
        let mut record = Record::new();
        for _ in 0..100 {
            record.add(Duration::ZERO, ms(10));
        }
        // A beat a second late, and the hundred that it kept from coming.
        record.add(ms(1000), ms(10));
        let summary = record.summary();
        assert_eq!(summary.max, ms(1000));
        assert!(summary.p99 > ms(950), "{summary}");
        assert!(summary.p50 <= ms(10), "{summary}");
        assert_eq!((missed(ms(9), ms(10)), missed(ms(1000), ms(10))), (0, 100));
    }

    #[test]
    fn the_most_is_exact_and_nothing_exceeds_it() {
        let mut record = Record::new();
        assert_eq!(record.summary(), Lateness::default());
        record.add(Duration::from_secs(3601), ms(1000));
        record.add(Duration::from_nanos(1_234_567), ms(1000));
        let summary = record.summary();
        assert_eq!(summary.max, Duration::from_secs(3601));
        assert!(summary.p99 <= Duration::from_secs(61), "{summary}");
    }
}
