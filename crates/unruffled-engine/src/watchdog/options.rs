//! What there is to set about a watch.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::stall::Stall;

/// Below this, beats would cost more than they tell.
const BEAT_MIN: Duration = Duration::from_millis(1);

/// Above this, beats and limits are no watch; it also keeps sums of instants within what the clock can count.
const LONGEST: Duration = Duration::from_secs(3600);

pub(crate) type OnStall = Arc<dyn Fn(&Stall) + Send + Sync>;

/// How an event loop is watched.
#[derive(Clone)]
#[must_use]
pub struct WatchOptions {
    pub(crate) beat: Duration,
    pub(crate) limit: Duration,
    pub(crate) remembered: usize,
    pub(crate) on_stall: Option<OnStall>,
}

impl Default for WatchOptions {
    /// A beat every 10 ms, a limit of 50 ms, and the last 64 stalls remembered.
    fn default() -> Self {
        Self {
            beat: Duration::from_millis(10),
            limit: Duration::from_millis(50),
            remembered: 64,
            on_stall: None,
        }
    }
}

impl WatchOptions {
    /// How far apart the beats are; from 1 ms to an hour. Each wakes the timer's thread and the loop: longer saves power.
    pub fn with_beat(mut self, beat: Duration) -> Self {
        self.beat = beat.clamp(BEAT_MIN, LONGEST);
        self
    }

    /// How long the loop may be kept before that is a stall; from 1 ms to an hour.
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit.clamp(BEAT_MIN, LONGEST);
        self
    }

    /// How many stalls are remembered, the newest; at least 1.
    pub fn with_remembered(mut self, stalls: usize) -> Self {
        self.remembered = stalls.max(1);
        self
    }

    /// Has `on_stall` called once per stall, as soon as it is noticed: most often while the loop is still blocked.
    ///
    /// It is called on the thread that fires the engine's deadlines, so that it must be short: while it runs, deadlines are
    /// late. If it panics, that is logged and nobody else suffers. If it holds a [`LoopWatch`](super::LoopWatch), that watch
    /// never ends.
    pub fn with_on_stall(mut self, on_stall: impl Fn(&Stall) + Send + Sync + 'static) -> Self {
        self.on_stall = Some(Arc::new(on_stall));
        self
    }
}

impl fmt::Debug for WatchOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchOptions")
            .field("beat", &self.beat)
            .field("limit", &self.limit)
            .field("remembered", &self.remembered)
            .field("on_stall", &self.on_stall.is_some())
            .finish()
    }
}
