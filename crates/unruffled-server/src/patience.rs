//! [`Patience`]: how long the clients of a model wait, learned from those who gave up.
//!
//! Clients that wait 200 ms and do not say so turn an overload into a collapse: served in their order, each is served when it is
//! about to go, and nothing that is computed reaches anybody. So when clients give up while more than a few wait, the age at which
//! they did is remembered, and for as long as the pressure lasts a request that says nothing of its own is treated as one that has
//! that long: who cannot be answered by then is told at once, and the others are answered.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The last so many who gave up are remembered.
const REMEMBERED: usize = 64;

/// From so many on there is something to go by.
const ENOUGH: usize = 16;

/// How long it is remembered after the last sign of pressure.
const MEMORY: Duration = Duration::from_secs(5);

/// What is left of the time that a client waits once the answer has found its way: nine tenths.
const USABLE: (u32, u32) = (9, 10);

/// How long the clients of one model wait.
#[derive(Default)]
pub(crate) struct Patience(Mutex<Known>);

#[derive(Default)]
struct Known {
    ages: VecDeque<Duration>,
    last: Option<Instant>,
}

impl Patience {
    /// A client gave up at this age of its request, under pressure.
    pub(crate) fn gave_up(&self, age: Duration, now: Instant) {
        let mut known = self.0.lock();
        known.forget(now);
        if known.ages.len() == REMEMBERED {
            known.ages.pop_front();
        }
        known.ages.push_back(age);
        known.last = Some(now);
    }

    /// Somebody was turned away because of what is remembered: the pressure lasts.
    pub(crate) fn turned_away(&self, now: Instant) {
        let mut known = self.0.lock();
        if known.last.is_some() {
            known.last = Some(now);
        }
    }

    /// How long a request has that says nothing; `None` as long as nobody gives up.
    pub(crate) fn bound(&self, now: Instant) -> Option<Duration> {
        let mut known = self.0.lock();
        known.last?;
        known.forget(now);
        if known.ages.len() < ENOUGH {
            return None;
        }
        let mut ages: Vec<_> = known.ages.iter().copied().collect();
        // The impatient among them count, but not every single one.
        let (_, age, _) = ages.select_nth_unstable(REMEMBERED.min(known.ages.len()) / 10);
        Some(*age * USABLE.0 / USABLE.1)
    }
}

impl Known {
    fn forget(&mut self, now: Instant) {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) > MEMORY) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{MEMORY, Patience};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_many_do_is_learned_and_forgotten() {
        let (patience, begin) = (Patience::default(), Instant::now());
        for _ in 0..15 {
            patience.gave_up(200 * MS, begin);
        }
        assert_eq!(patience.bound(begin), None, "few tell nothing");
        patience.gave_up(10 * MS, begin);
        assert_eq!(
            patience.bound(begin),
            Some(180 * MS),
            "one who is hastier than the others does not count"
        );
        patience.turned_away(begin + MEMORY);
        assert_eq!(patience.bound(begin + 2 * MEMORY), Some(180 * MS), "the pressure lasted");
        assert_eq!(patience.bound(begin + 2 * MEMORY + MS), None);
        patience.turned_away(begin + 3 * MEMORY);
        assert_eq!(patience.bound(begin + 3 * MEMORY), None);
    }

    #[test]
    fn only_the_last_ones_count() {
        let (patience, begin) = (Patience::default(), Instant::now());
        (0..64).for_each(|_| patience.gave_up(50 * MS, begin));
        (0..64).for_each(|_| patience.gave_up(1000 * MS, begin));
        assert_eq!(patience.bound(begin), Some(900 * MS));
    }
}
