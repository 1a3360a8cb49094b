//! [`JobLimits`]: how much a queue of jobs takes and keeps.

use std::time::Duration;

/// How much a queue takes, how much it keeps of what has ended, and how it chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct JobLimits {
    pub(crate) jobs: usize,
    pub(crate) bytes: u64,
    pub(crate) input_bytes: u64,
    pub(crate) kept: usize,
    pub(crate) kept_bytes: u64,
    pub(crate) keep_max: Duration,
    pub(crate) keep_failed: Duration,
    pub(crate) ageing: Duration,
    pub(crate) hold: Duration,
}

impl Default for JobLimits {
    /// 10,000 jobs of 256 MiB together and 64 MiB each that wait or run; 10,000 of 256 MiB together that have ended, results
    /// for a week at most and failures for a day. A class goes before what is a minute younger and one class more urgent. A
    /// runner that says nothing for a minute has lost what it holds.
    fn default() -> Self {
        Self {
            jobs: 10_000,
            bytes: 256 << 20,
            input_bytes: 64 << 20,
            kept: 10_000,
            kept_bytes: 256 << 20,
            keep_max: Duration::from_secs(7 * 24 * 3600),
            keep_failed: Duration::from_secs(24 * 3600),
            ageing: Duration::from_secs(60),
            hold: Duration::from_secs(60),
        }
    }
}

impl JobLimits {
    /// How many jobs may wait or run; at least 1. More are refused.
    pub fn with_jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.max(1);
        self
    }

    /// How many bytes their inputs may have together. More are refused.
    pub fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// How many bytes one input may have.
    pub fn with_input_bytes(mut self, bytes: u64) -> Self {
        self.input_bytes = bytes;
        self
    }

    /// How many jobs are kept that have ended, dead letters included; at least 1. The oldest go first.
    pub fn with_kept(mut self, jobs: usize) -> Self {
        self.kept = jobs.max(1);
        self
    }

    /// How many bytes the results of those may have together, and the inputs of dead letters. The oldest go first.
    pub fn with_kept_bytes(mut self, bytes: u64) -> Self {
        self.kept_bytes = bytes;
        self
    }

    /// How long a result is kept at most, whatever its job says.
    pub fn with_keep_max(mut self, keep: Duration) -> Self {
        self.keep_max = keep;
        self
    }

    /// How long a dead letter is kept.
    pub fn with_keep_failed(mut self, keep: Duration) -> Self {
        self.keep_failed = keep;
        self
    }

    /// How much longer a job of one class must have waited to go before one of the next more urgent class.
    pub fn with_ageing(mut self, ageing: Duration) -> Self {
        self.ageing = ageing;
        self
    }

    /// How long a runner holds a job without saying so again; at least a second, at most a day. After that another may have it.
    pub fn with_hold(mut self, hold: Duration) -> Self {
        self.hold = hold.clamp(Duration::from_secs(1), Duration::from_secs(24 * 3600));
        self
    }

    /// How many jobs may wait or run.
    pub fn jobs(&self) -> usize {
        self.jobs
    }

    /// How many bytes their inputs may have together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes one input may have.
    pub fn input_bytes(&self) -> u64 {
        self.input_bytes
    }

    /// How long a runner holds a job without saying so again.
    pub fn hold(&self) -> Duration {
        self.hold
    }
}
