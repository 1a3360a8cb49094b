//! The slowest of the last runs, without remembering each.

use std::time::Duration;

/// How many runs make a block: this block and the one before are remembered.
const BLOCK: u32 = 64;

/// The slowest of the last 64 to 128 runs.
#[derive(Debug, Default)]
pub(super) struct Slowest {
    runs: u32,
    this: Duration,
    /// `None` until as many runs are known as are needed to say "always".
    before: Option<Duration>,
}

impl Slowest {
    pub(super) fn observe(&mut self, took: Duration) {
        self.runs += 1;
        self.this = self.this.max(took);
        if self.runs == BLOCK {
            *self = Self { before: Some(self.this), ..Self::default() };
        }
    }

    pub(super) fn is_always_below(&self, budget: Duration) -> bool {
        self.before.is_some_and(|before| before.max(self.this) < budget)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Slowest;

    #[test]
    fn runs_are_always_quick_from_the_64th_until_one_is_not() {
        let (quick, budget) = (Duration::from_micros(50), Duration::from_millis(1));
        let mut slowest = Slowest::default();
        (0..63).for_each(|_| slowest.observe(quick));
        assert!(!slowest.is_always_below(budget), "too few");
        slowest.observe(quick);
        assert!(slowest.is_always_below(budget));
        assert!(!slowest.is_always_below(quick), "not below its own cost");
        assert!(!slowest.is_always_below(Duration::ZERO));
        slowest.observe(budget);
        assert!(!slowest.is_always_below(budget));
        (0..64).for_each(|_| slowest.observe(quick));
        assert!(!slowest.is_always_below(budget), "one of the last 65");
        (0..64).for_each(|_| slowest.observe(quick));
        assert!(slowest.is_always_below(budget), "long ago");
    }
}
