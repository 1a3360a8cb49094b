//! [`JobsOptions`]: how a runner goes about its jobs.

use std::time::Duration;

use super::retry::Backoff;

/// How a runner goes about its jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct JobsOptions {
    pub(super) in_flight: usize,
    pub(super) backoff: Backoff,
    pub(super) seed: u64,
}

impl Default for JobsOptions {
    /// 32 jobs of each model at a time. What may pass by itself is tried again after a quarter of a second, then after twice as
    /// long each time, up to half a minute.
    fn default() -> Self {
        let backoff = Backoff { first: Duration::from_millis(250), max: Duration::from_secs(30) };
        Self { in_flight: 32, backoff, seed: fastrand::u64(..) }
    }
}

impl JobsOptions {
    /// How many jobs of each model are with it at a time, queued or running; at least 1. As many may share a batch, and as many
    /// inputs are in memory.
    pub fn with_in_flight(mut self, jobs: usize) -> Self {
        self.in_flight = jobs.max(1);
        self
    }

    /// How long a job waits that is tried again: `first`, then twice as long each time up to `max`. The waits are spread, so
    /// that what failed together does not come back together.
    pub fn with_backoff(mut self, first: Duration, max: Duration) -> Self {
        self.backoff = Backoff { first, max: max.max(first) };
        self
    }

    /// Where the random numbers begin that spread the waits.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}
