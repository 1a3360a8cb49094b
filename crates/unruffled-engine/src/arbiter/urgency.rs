//! How urgent a model's next batch is, for those who look at it from outside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use unruffled_model::Priority;

const EMPTY: u64 = u64::MAX;
const CLASS_SHIFT: u32 = 62;

/// The class and due time of what goes next, or that there is nothing: readable without the queue's lock.
pub(crate) struct Urgency {
    epoch: Instant,
    /// The class in the upper two bits, microseconds since the epoch in the others: smaller goes first.
    packed: AtomicU64,
}

impl Urgency {
    /// Nothing is waiting; due times are counted from `epoch`, the same for all that are compared.
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, packed: AtomicU64::new(EMPTY) }
    }

    /// Written only when it changes: whoever looks has it in its cache until then.
    pub(crate) fn set(&self, next: Option<(Priority, Instant)>) {
        let packed = next.map_or(EMPTY, |(class, due)| {
            let micros = due.saturating_duration_since(self.epoch).as_micros() as u64;
            (class as u64) << CLASS_SHIFT | micros.min((1 << CLASS_SHIFT) - 1)
        });
        if self.packed.load(Ordering::Relaxed) != packed {
            self.packed.store(packed, Ordering::Release);
        }
    }

    /// Comparable: smaller goes first, nothing goes last.
    pub(crate) fn get(&self) -> u64 {
        self.packed.load(Ordering::Acquire)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.get() == EMPTY
    }

    pub(crate) fn class(&self) -> Option<Priority> {
        let packed = self.get();
        (packed != EMPTY).then(|| Priority::ALL[(packed >> CLASS_SHIFT) as usize])
    }

    /// The due time of what goes next.
    #[cfg(test)]
    pub(crate) fn due(&self) -> Option<Instant> {
        let packed = self.get();
        (packed != EMPTY)
            .then(|| self.epoch + std::time::Duration::from_micros(packed & ((1 << CLASS_SHIFT) - 1)))
    }
}
