//! [`SequenceOptions`]: how much is kept for sessions, and for how long.

use std::time::Duration;

/// How much is kept for the sessions of a model, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct SequenceOptions {
    pub(super) sessions: usize,
    pub(super) bytes: usize,
    pub(super) waiting: usize,
    pub(super) idle: Option<Duration>,
}

impl Default for SequenceOptions {
    /// 1,024 sessions, 256 MiB for their states and waiting calls together, 16 waiting calls each, and an end after 5 minutes
    /// without a call.
    fn default() -> Self {
        Self { sessions: 1024, bytes: 256 << 20, waiting: 16, idle: Some(Duration::from_secs(300)) }
    }
}

impl SequenceOptions {
    /// How many sessions there may be at once.
    pub fn with_sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// How many bytes states and waiting calls may hold, those of all sessions together.
    pub fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// How many calls of one session may wait for those before them; the one that runs is not counted.
    pub fn with_waiting(mut self, calls: usize) -> Self {
        self.waiting = calls.max(1);
        self
    }

    /// How long a session may have no call before it expires.
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Has sessions never expire: each is kept until it is ended.
    pub fn without_expiry(mut self) -> Self {
        self.idle = None;
        self
    }
}
