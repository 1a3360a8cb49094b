//! A load: callers that each ask again as soon as they are answered, and what they saw.

use std::time::{Duration, Instant};

use benches::{histogram, record};
use hdrhistogram::Histogram;

/// What callers saw.
pub(crate) struct Seen {
    times: Histogram<u64>,
    lasted: Duration,
}

impl Seen {
    pub(crate) fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.lasted.as_secs_f64()
    }

    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        benches::quantile(&self.times, quantile)
    }
}

/// Counts answers from a moment on, so that what comes before can warm up.
pub(crate) struct Counter {
    times: Histogram<u64>,
    begin: Instant,
    end: Instant,
}

impl Counter {
    pub(crate) fn new(warm_up: Duration, length: Duration) -> Self {
        let begin = Instant::now() + warm_up;
        Self { times: histogram(), begin, end: begin + length }
    }

    /// Counts an answer; whether there is time for another.
    pub(crate) fn answered(&mut self, asked: Instant) -> bool {
        let now = Instant::now();
        if now >= self.begin && now < self.end {
            record(&mut self.times, now - asked);
        }
        now < self.end
    }

    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    pub(crate) fn seen(self) -> Seen {
        Seen { lasted: self.end - self.begin, times: self.times }
    }
}
