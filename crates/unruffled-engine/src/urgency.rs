//! How urgent a model's next batch is, for those who look at it from outside.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use unruffled_model::Priority;

const EMPTY: u64 = u64::MAX;
const CLASS_SHIFT: u32 = 62;
const DUE_MAX: u64 = (1 << CLASS_SHIFT) - 2;

/// What goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// The most urgent class that waits.
    pub(crate) class: Priority,
    /// When its first request is due.
    pub(crate) due: Instant,
    /// Whether another class was passed over for too long, and would go first.
    pub(crate) aged: bool,
}

/// How urgent the next batch is, or that there is none: readable without the queue's lock.
pub(crate) struct Urgency {
    epoch: Instant,
    /// The class in the upper two bits, microseconds since the epoch in the others: smaller goes first.
    packed: AtomicU64,
    aged: AtomicBool,
}

impl Urgency {
    /// Nothing is waiting; due times are counted from `epoch`, the same for all that are compared.
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, packed: AtomicU64::new(EMPTY), aged: AtomicBool::new(false) }
    }

    fn pack(&self, class: Priority, due: Instant) -> u64 {
        let micros = due.saturating_duration_since(self.epoch).as_micros() as u64;
        (class as u64) << CLASS_SHIFT | micros.min(DUE_MAX)
    }

    /// Written only when it changes: whoever looks has it in its cache until then. Under the queue's lock.
    pub(crate) fn set(&self, next: Option<Next>) {
        let packed = next.map_or(EMPTY, |next| self.pack(next.class, next.due));
        let aged = next.is_some_and(|next| next.aged);
        if self.aged.load(Ordering::Relaxed) != aged {
            self.aged.store(aged, Ordering::Relaxed);
        }
        if self.packed.load(Ordering::Relaxed) != packed {
            self.packed.store(packed, Ordering::Release);
        }
    }

    /// Something more has come. Under the queue's lock.
    pub(crate) fn add(&self, class: Priority, due: Instant) {
        let packed = self.pack(class, due);
        if packed < self.packed.load(Ordering::Relaxed) {
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

    /// Whether somebody looks at the screen and waits.
    pub(crate) fn is_interactive(&self) -> bool {
        self.get() >> CLASS_SHIFT == Priority::Interactive as u64
    }

    /// Whether something was passed over for too long.
    pub(crate) fn is_aged(&self) -> bool {
        self.aged.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use unruffled_model::Priority::{Bulk, Interactive, Normal};

    use super::{Next, Urgency};

    #[test]
    fn smaller_goes_first_and_nothing_goes_last() {
        let epoch = Instant::now();
        let told = |next: Option<(_, u64)>| {
            let urgency = Urgency::new(epoch);
            let due = |secs| epoch + Duration::from_secs(secs);
            urgency.set(next.map(|(class, secs)| Next { class, due: due(secs), aged: false }));
            (urgency.get(), urgency.is_interactive(), urgency.is_empty())
        };
        let order =
            [Some((Interactive, 1)), Some((Interactive, 2)), Some((Normal, 0)), Some((Bulk, 1 << 40)), None];
        let all: Vec<_> = order.map(told).to_vec();
        assert!(all.is_sorted_by(|a, b| a.0 < b.0), "{all:?}");
        assert!(all.iter().map(|told| told.1).eq([true, true, false, false, false]));
        assert!(all.iter().map(|told| told.2).eq([false, false, false, false, true]));
    }

    #[test]
    fn what_comes_makes_it_more_urgent_and_never_less() {
        let epoch = Instant::now();
        let urgency = Urgency::new(epoch);
        urgency.add(Bulk, epoch);
        assert!(!urgency.is_empty() && !urgency.is_interactive());
        urgency.add(Interactive, epoch + Duration::from_secs(9));
        urgency.add(Normal, epoch);
        assert!(urgency.is_interactive());
        urgency.set(None);
        assert!(urgency.is_empty());
    }
}
