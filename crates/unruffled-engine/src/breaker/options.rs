//! What can be set about a breaker.

use std::time::Duration;

/// When a [`Breaker`](crate::Breaker) opens, and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct BreakerOptions {
    pub(crate) failure_rate: f64,
    pub(crate) calls_min: usize,
    pub(crate) calls_max: usize,
    pub(crate) window: Duration,
    pub(crate) open: Duration,
    pub(crate) open_max: Duration,
    pub(crate) probes: usize,
    pub(crate) successes: usize,
}

impl Default for BreakerOptions {
    /// Opens when half of the last 32 calls within 10 seconds failed, 5 at least; stays open for a second, twice as long
    /// after each probe that failed, 30 seconds at most; one probe at a time, and two good ones close it.
    fn default() -> Self {
        Self {
            failure_rate: 0.5,
            calls_min: 5,
            calls_max: 32,
            window: Duration::from_secs(10),
            open: Duration::from_secs(1),
            open_max: Duration::from_secs(30),
            probes: 1,
            successes: 2,
        }
    }
}

impl BreakerOptions {
    /// Which part of the calls must have failed, above 0 and up to 1; what is outside is brought inside.
    pub fn with_failure_rate(mut self, rate: f64) -> Self {
        // Written so that what is no number ends up inside, too.
        self.failure_rate = if rate > 0.0 { rate.min(1.0) } else { f64::MIN_POSITIVE };
        self
    }

    /// How many calls there must have been before their rate says anything; at least 1.
    pub fn with_calls_min(mut self, calls: usize) -> Self {
        self.calls_min = calls.max(1);
        self.calls_max = self.calls_max.max(self.calls_min);
        self
    }

    /// Which calls count: so many of the last, none of them older than `window`. At most 4,096 calls, and no fewer than
    /// [`with_calls_min`](Self::with_calls_min) wants.
    pub fn with_window(mut self, calls: usize, window: Duration) -> Self {
        self.calls_max = calls.clamp(1, 4096).max(self.calls_min);
        self.window = window;
        self
    }

    /// How long it stays open at first, and at most: each probe that fails doubles the time.
    pub fn with_open(mut self, first: Duration, max: Duration) -> Self {
        self.open = first;
        self.open_max = max.max(first);
        self
    }

    /// How many probes go on at a time while it is half open, and how many must succeed to close it; each at least 1.
    pub fn with_probes(mut self, at_a_time: usize, successes: usize) -> Self {
        self.probes = at_a_time.max(1);
        self.successes = successes.max(1);
        self
    }
}
