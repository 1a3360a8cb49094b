//! How urgent a model's next batch is, for those who look at it from outside.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use unruffled_model::Priority;

const EMPTY: u64 = u64::MAX;
const RANK_SHIFT: u32 = 62;
const DUE_MAX: u64 = (1 << RANK_SHIFT) - 2;

/// What goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// What was passed over for too long.
    Aged,
    /// Requests of this class.
    Class(Priority),
}

impl Rank {
    fn code(self) -> u64 {
        match self {
            Rank::Aged => 0,
            Rank::Class(class) => 1 + class as u64,
        }
    }
}

/// The rank and due time of what goes next, or that there is nothing: readable without the queue's lock.
pub(crate) struct Urgency {
    epoch: Instant,
    /// The rank in the upper two bits, microseconds since the epoch in the others: smaller goes first.
    packed: AtomicU64,
}

impl Urgency {
    /// Nothing is waiting; due times are counted from `epoch`, the same for all that are compared.
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, packed: AtomicU64::new(EMPTY) }
    }

    /// Written only when it changes: whoever looks has it in its cache until then.
    pub(crate) fn set(&self, next: Option<(Rank, Instant)>) {
        let packed = next.map_or(EMPTY, |(rank, due)| {
            let micros = due.saturating_duration_since(self.epoch).as_micros() as u64;
            rank.code() << RANK_SHIFT | micros.min(DUE_MAX)
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

    /// Whether somebody looks at the screen and waits.
    pub(crate) fn is_interactive(&self) -> bool {
        self.get() >> RANK_SHIFT == Rank::Class(Priority::Interactive).code()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use unruffled_model::Priority::{Bulk, Interactive, Normal};

    use super::{Rank, Urgency};

    #[test]
    fn smaller_goes_first_and_nothing_goes_last() {
        let epoch = Instant::now();
        let packed = |next: Option<(Rank, u64)>| {
            let urgency = Urgency::new(epoch);
            urgency.set(next.map(|(rank, secs)| (rank, epoch + Duration::from_secs(secs))));
            (urgency.get(), urgency.is_interactive(), urgency.is_empty())
        };
        let order = [
            (Some((Rank::Aged, 9)), false),
            (Some((Rank::Class(Interactive), 1)), true),
            (Some((Rank::Class(Interactive), 2)), true),
            (Some((Rank::Class(Normal), 0)), false),
            (Some((Rank::Class(Bulk), 1 << 40)), false),
            (None, false),
        ];
        let all: Vec<_> = order.iter().map(|(next, _)| packed(*next)).collect();
        assert!(all.is_sorted_by(|a, b| a.0 < b.0), "{all:?}");
        assert!(all.iter().zip(&order).all(|((_, interactive, _), (_, expected))| interactive == expected));
        assert!(all.iter().rev().map(|(.., empty)| *empty).eq([true, false, false, false, false, false]));
    }
}
