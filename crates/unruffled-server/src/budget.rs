//! [`Budget`]: how many bytes of request bodies there may be at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::refusal::Refusal;

/// Bytes that all requests share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Inner>);

struct Inner {
    most: usize,
    held: AtomicUsize,
    refused: AtomicU64,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Self {
        let (held, refused) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self(Arc::new(Inner { most, held, refused }))
    }

    /// How many bytes are held.
    pub(crate) fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// How often there was no room.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// A part of the budget, empty at first.
    pub(crate) fn part(&self) -> Part {
        Part { budget: self.clone(), bytes: 0 }
    }
}

/// What one request holds of a [`Budget`]; given back when dropped.
pub(crate) struct Part {
    budget: Budget,
    bytes: usize,
}

impl Part {
    /// Grows by so many bytes, if there is room.
    pub(crate) fn grow_by(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.grow_to(self.bytes.saturating_add(bytes))
    }

    /// Refuses what there is no room for now. Nothing is taken: what is announced need not come.
    pub(crate) fn has_room_for(&self, bytes: usize) -> Result<(), Refusal> {
        let Inner { most, held, refused } = &*self.budget.0;
        let held = held.load(Ordering::Relaxed);
        if bytes <= most.saturating_sub(held) {
            return Ok(());
        }
        refused.fetch_add(1, Ordering::Relaxed);
        Err(full(held, *most))
    }

    /// Grows to this size, if it is not there yet and there is room.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Refusal> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        let Inner { most, held, refused } = &*self.budget.0;
        let take = |held: usize| held.checked_add(more).filter(|all| all <= most);
        // Relaxed: the number guards no other memory.
        match held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => {
                self.bytes = bytes;
                Ok(())
            }
            Err(held) => {
                refused.fetch_add(1, Ordering::Relaxed);
                Err(full(held, *most))
            }
        }
    }
}

fn full(held: usize, most: usize) -> Refusal {
    Refusal::overloaded(format!(
        "the server is full: it holds {held} of {most} bytes of request bodies; try again later"
    ))
}

impl Drop for Part {
    fn drop(&mut self) {
        self.budget.0.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn parts_never_exceed_the_whole_and_come_back() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (budget.part(), budget.part());
        assert!(one.grow_to(60).is_ok() && one.grow_to(50).is_ok());
        assert!(other.grow_to(40).is_ok());
        assert!(other.grow_to(41).is_err() && other.grow_to(usize::MAX).is_err());
        drop(one);
        assert!(other.grow_to(100).is_ok());
        drop(other);
        assert!(budget.part().grow_to(100).is_ok());
    }
}
