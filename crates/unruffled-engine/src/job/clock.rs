//! [`Clock`]: the time of day, as far as jobs need it, that never jumps while the process lives.

use std::time::{Instant, SystemTime};

use crate::timer::Timer;

/// The time of day when the runner began, and what has passed since: a clock that is set while it runs moves no deadline.
#[derive(Clone)]
pub(super) struct Clock {
    timer: Timer,
    began: (Instant, SystemTime),
}

impl Clock {
    pub(super) fn new(timer: &Timer) -> Self {
        Self { timer: timer.clone(), began: (timer.now(), SystemTime::now()) }
    }

    pub(super) fn timer(&self) -> &Timer {
        &self.timer
    }

    pub(super) fn now(&self) -> SystemTime {
        self.began.1 + self.timer.now().saturating_duration_since(self.began.0)
    }

    /// When that is on the engine's clock; `None` if it is beyond what that can count.
    pub(super) fn instant(&self, at: SystemTime) -> Option<Instant> {
        match at.duration_since(self.began.1) {
            Ok(after) => self.began.0.checked_add(after),
            Err(_) => Some(self.began.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Clock;
    use crate::timer::Timer;

    #[test]
    fn both_clocks_tell_the_same_time() {
        let begin = Instant::now();
        let timer = Timer::manual(begin);
        let clock = Clock::new(&timer);
        let later = clock.now() + Duration::from_secs(5);
        assert_eq!(clock.instant(later), Some(begin + Duration::from_secs(5)));
        timer.advance_to(begin + Duration::from_secs(5));
        assert_eq!(clock.now(), later);
        assert_eq!(clock.instant(later - Duration::from_secs(60)), Some(begin), "what is past is now");
    }
}
