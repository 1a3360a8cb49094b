//! Where the instances of a pool are while there is nothing to do, as plain data.

use std::time::Instant;

/// What an instance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    /// It works, or looks for work.
    Away,
    /// It waits to be called.
    Idle,
    /// It has been called, and is about to get up.
    Called,
    /// It waits, while its slot is used by somebody else.
    Lent,
}

/// Who waits for work. The one that sat down last is called first: its caches are the warmest.
#[derive(Debug)]
pub(crate) struct Seats {
    seats: Vec<Seat>,
    /// Those that wait, and since when.
    idle: Vec<(usize, Instant)>,
}

impl Seats {
    pub(crate) fn new(instances: usize) -> Self {
        Self { seats: vec![Seat::Away; instances], idle: Vec::with_capacity(instances) }
    }

    /// Away -> Idle.
    pub(crate) fn sit(&mut self, slot: usize, now: Instant) {
        debug_assert_eq!(self.seats[slot], Seat::Away);
        self.seats[slot] = Seat::Idle;
        self.idle.push((slot, now));
    }

    /// Idle -> Called: who is to be woken, if anybody waits.
    pub(crate) fn call(&mut self) -> Option<usize> {
        let (slot, _) = self.idle.pop()?;
        self.seats[slot] = Seat::Called;
        Some(slot)
    }

    /// Called -> Away: whether this one may get up.
    pub(crate) fn get_up(&mut self, slot: usize) -> bool {
        let called = self.seats[slot] == Seat::Called;
        if called {
            self.seats[slot] = Seat::Away;
        }
        called
    }

    /// Idle -> Away: whether this one may leave without having been called.
    pub(crate) fn leave(&mut self, slot: usize) -> bool {
        let idle = self.seats[slot] == Seat::Idle;
        if idle {
            self.seats[slot] = Seat::Away;
            self.idle.retain(|(other, _)| *other != slot);
        }
        idle
    }

    /// Idle -> Lent: a slot to be used by somebody else than its instance.
    pub(crate) fn lend(&mut self) -> Option<usize> {
        let (slot, _) = self.idle.pop()?;
        self.seats[slot] = Seat::Lent;
        Some(slot)
    }

    /// Lent -> Idle.
    pub(crate) fn give_back(&mut self, slot: usize, now: Instant) {
        debug_assert_eq!(self.seats[slot], Seat::Lent);
        self.seats[slot] = Seat::Idle;
        self.idle.push((slot, now));
    }

    /// The one that has waited longest, and since when.
    pub(crate) fn longest_idle(&self) -> Option<(usize, Instant)> {
        self.idle.first().copied()
    }
}
