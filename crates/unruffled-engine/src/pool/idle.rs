//! Whether a model is in use, and its end if it is not: who may be taken out of memory, and when.

use std::time::Instant;

use super::{Phase, Pool, State};
use crate::error::Error;
use crate::memory::Charge;
use crate::timer::Alarm;

impl<I, O> State<I, O> {
    /// Whether nothing waits and nothing runs: every instance that there is sits and waits to be called.
    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.seats.idle() >= self.live
    }
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Since when nobody has asked for it, if nothing of it is queued or running.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        (matches!(state.phase, Phase::Open) && state.is_idle()).then_some(state.used)
    }

    /// Drains it if nothing of it is queued or running. Who asks from then on hears `error`. Its threads are to be told by
    /// [`tell_all`](Self::tell_all).
    pub(crate) fn drain_if_idle(&self, error: Error) -> bool {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Open) || !state.is_idle() {
            return false;
        }
        state.phase = Phase::Draining(error.of_model(&self.name));
        true
    }

    /// Counts its memory as taken for as long as there is any of it.
    pub(crate) fn charge(&self, charge: Charge) {
        let fresh = self.charge.set(charge).is_ok();
        debug_assert!(fresh, "a pool is weighed once");
    }
}

impl<I: Send + 'static, O: Send + 'static> Alarm for Pool<I, O> {
    fn fire(&self, now: Instant) -> Option<Instant> {
        self.expire(now)
    }
}
