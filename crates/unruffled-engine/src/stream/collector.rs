//! What the source has given and the model has not yet been asked: plain data.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// An item of the source that is still to be submitted.
pub(super) struct Item<I> {
    pub(super) seq: u64,
    pub(super) arrived: Instant,
    pub(super) deadline: Option<Instant>,
    /// What it weighs.
    pub(super) bytes: usize,
    pub(super) input: I,
}

/// Items until they are submitted together.
pub(super) struct Collector<I> {
    size: usize,
    every: Duration,
    items: VecDeque<Item<I>>,
    /// How many bytes the first needs that was sent back because the queue was full.
    wants_room: Option<usize>,
}

impl<I> Collector<I> {
    pub(super) fn new(size: usize, every: Duration) -> Self {
        Self { size, every, items: VecDeque::new(), wants_room: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= self.size
    }

    /// How many bytes must get room before it makes sense to try again.
    pub(super) fn wants_room(&self) -> Option<usize> {
        self.wants_room
    }

    pub(super) fn push(&mut self, item: Item<I>) {
        self.items.push_back(item);
    }

    /// Takes all that is there, to be submitted.
    pub(super) fn take(&mut self) -> VecDeque<Item<I>> {
        self.wants_room = None;
        std::mem::take(&mut self.items)
    }

    /// Takes an item back for which there was no room, in the order of [`take`](Self::take).
    pub(super) fn put_back(&mut self, item: Item<I>, bytes: usize) {
        self.wants_room.get_or_insert(bytes);
        self.items.push_back(item);
    }

    /// When those that are there are to be submitted, come what may.
    pub(super) fn due(&self) -> Option<Instant> {
        let first = self.items.front()?;
        if self.wants_room.is_some() {
            // They wait for others; only the deadline is theirs.
            return first.deadline;
        }
        let left = first.deadline.map(|deadline| deadline.saturating_duration_since(first.arrived));
        // Waiting for company must not cost the time to run.
        let wait = left.map_or(self.every, |left| self.every.min(left / 2));
        first.arrived.checked_add(wait)
    }
}
