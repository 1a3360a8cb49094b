//! How late beats are.

use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::metrics::DurationCounts;

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
    /// The most of the last one to two seconds, exactly.
    pub recent_max: Duration,
    /// How many beats there were, the missed ones included.
    pub count: u64,
    /// How late they were all together.
    pub sum: Duration,
    counts: DurationCounts,
}

impl Lateness {
    /// How many were so late at most, for bounds from 10 microseconds to 100 seconds, 1, 2 and 5 of each decade.
    pub fn at_most(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.counts.iter()
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1?}, p99 {:.1?}, max {:.1?}", self.p50, self.p99, self.max)
    }
}

/// The lateness of all beats so far, in about 20 KiB.
pub(super) struct Record {
    histogram: Histogram<u64>,
    sum: Duration,
    max: Duration,
    recent: Recent,
}

/// The most of the last one to two seconds: of the second that goes on, and of the one before.
#[derive(Clone, Copy, Default)]
struct Recent {
    began: Option<Instant>,
    current: Duration,
    before: Duration,
}

impl Recent {
    const SECOND: Duration = Duration::from_secs(1);

    fn add(&mut self, late: Duration, now: Instant) {
        *self = self.at(now);
        self.current = self.current.max(late);
    }

    /// As it is when the time is `now`.
    fn at(self, now: Instant) -> Self {
        let began = self.began.unwrap_or(now);
        match now.saturating_duration_since(began).as_secs() {
            0 => Self { began: Some(began), ..self },
            1 => Self { began: Some(began + Self::SECOND), current: Duration::ZERO, before: self.current },
            _ => Self { began: Some(now), current: Duration::ZERO, before: Duration::ZERO },
        }
    }

    fn max(self) -> Duration {
        self.current.max(self.before)
    }
}

impl Record {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1_000, nanoseconds(TOP), 2);
        Self {
            histogram: histogram.expect("constant bounds that fit"),
            sum: Duration::ZERO,
            max: Duration::ZERO,
            recent: Recent::default(),
        }
    }

    /// Records a beat, and those that were missed because it was late: each is as late as it would have been. Without
    /// them, a loop that is blocked for a second of every two would look late once in a hundred times.
    pub(super) fn add(&mut self, late: Duration, beat: Duration, now: Instant) {
        self.max = self.max.max(late);
        self.recent.add(late, now);
        let mut late = late.min(TOP);
        loop {
            self.histogram.saturating_record(nanoseconds(late));
            self.sum = self.sum.saturating_add(late);
            match late.checked_sub(beat) {
                Some(missed) => late = missed,
                None => break,
            }
        }
    }

    pub(super) fn summary(&self, now: Instant) -> Lateness {
        let at = |quantile| {
            let bucket = Duration::from_nanos(self.histogram.value_at_quantile(quantile));
            // A bucket is named by its upper end.
            bucket.min(self.max)
        };
        Lateness {
            p50: at(0.5),
            p99: at(0.99),
            max: self.max,
            recent_max: self.recent.at(now).max(),
            count: self.histogram.len(),
            sum: self.sum,
            counts: DurationCounts::of(&self.histogram),
        }
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
        let now = Instant::now();
        for _ in 0..100 {
            record.add(Duration::ZERO, ms(10), now);
        }
        // A beat a second late, and the hundred that it kept from coming.
        record.add(ms(1000), ms(10), now);
        let summary = record.summary(now);
        assert_eq!(summary.count, 201);
        assert_eq!(summary.sum, ms((0..=100).map(|missed| 10 * missed).sum()));
        let at_most = |bound| summary.at_most().find(|(known, _)| *known == bound).unwrap().1;
        assert_eq!([ms(100), ms(500), ms(1000)].map(at_most), [111, 151, 201]);
        assert_eq!(summary.max, ms(1000));
        assert!(summary.p99 > ms(950), "{summary}");
        assert!(summary.p50 <= ms(10), "{summary}");
        assert_eq!((missed(ms(9), ms(10)), missed(ms(1000), ms(10))), (0, 100));
    }

    #[test]
    fn the_most_is_exact_and_nothing_exceeds_it() {
        let mut record = Record::new();
        let now = Instant::now();
        assert_eq!(record.summary(now), Lateness::default());
        record.add(Duration::from_secs(3601), ms(1000), now);
        record.add(Duration::from_nanos(1_234_567), ms(1000), now);
        let summary = record.summary(now);
        assert_eq!(summary.max, Duration::from_secs(3601));
        assert!(summary.p99 <= Duration::from_secs(61), "{summary}");
    }

    #[test]
    fn the_recent_most_is_forgotten_after_two_seconds() {
        let mut record = Record::new();
        let begin = Instant::now();
        record.add(ms(30), ms(1000), begin);
        record.add(ms(7), ms(1000), begin + ms(1100));
        let recent = |after| record.summary(begin + ms(after)).recent_max;
        assert_eq!([1100, 1999, 2000, 2999, 3000].map(recent), [ms(30), ms(30), ms(7), ms(7), ms(0)]);
        assert_eq!(record.summary(begin + ms(9000)).max, ms(30));
    }
}
