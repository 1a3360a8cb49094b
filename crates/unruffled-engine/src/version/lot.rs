//! [`Lot`]: who waits for a version to be loaded, within bounds, and how that load is doing; plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Context, Waker};
use std::time::Instant;

use unruffled_model::CancelToken;

use crate::error::Error;
use crate::queue::QueueLimits;

/// Where a version is.
pub(super) enum Phase {
    /// Not in memory; when the last load failed, and why, if it did.
    Absent(Option<(Instant, Error)>),
    /// On its way.
    Loading {
        cancel: CancelToken,
        /// Whether it is not its turn yet, or there is no room.
        waits: bool,
    },
    /// In memory.
    Present,
    /// It is no version of the model any more.
    Ended(Error),
}

/// Requests that wait for a load.
pub(super) struct Lot<T> {
    pub(super) phase: Phase,
    limits: QueueLimits,
    waiting: BTreeMap<u64, Waiting<T>>,
    deadlines: BTreeSet<(Instant, u64)>,
    bytes: usize,
    next: u64,
    /// Who is to be told when the phase changes, or there is room.
    watchers: Vec<Waker>,
}

struct Waiting<T> {
    deadline: Option<Instant>,
    bytes: usize,
    item: T,
}

impl<T> Lot<T> {
    pub(super) fn new(phase: Phase, limits: QueueLimits) -> Self {
        Self {
            phase,
            limits,
            waiting: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            bytes: 0,
            next: 0,
            watchers: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether one more of so many bytes may wait.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.waiting.len() < self.limits.items && self.bytes.saturating_add(bytes) <= self.limits.bytes
    }

    /// Takes one in; `item` is made of its number. Says whether its deadline is the nearest.
    pub(super) fn add(
        &mut self,
        deadline: Option<Instant>,
        bytes: usize,
        item: impl FnOnce(u64) -> T,
    ) -> bool {
        let number = self.next;
        self.next += 1;
        self.bytes += bytes;
        self.waiting.insert(number, Waiting { deadline, bytes, item: item(number) });
        let Some(deadline) = deadline else { return false };
        self.deadlines.insert((deadline, number));
        self.deadlines.first() == Some(&(deadline, number))
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<T> {
        let Waiting { deadline, bytes, item } = self.waiting.remove(&number)?;
        self.bytes -= bytes;
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, number));
        }
        Some(item)
    }

    /// Takes all out, in the order in which they came.
    pub(super) fn take_all(&mut self) -> Vec<T> {
        self.deadlines.clear();
        self.bytes = 0;
        std::mem::take(&mut self.waiting).into_values().map(|waiting| waiting.item).collect()
    }

    /// Takes those out whose deadline has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<T> {
        let mut due = Vec::new();
        while let Some((_, number)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            due.extend(self.remove(number));
        }
        due
    }

    /// When the next deadline comes.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Has the caller woken at the next change.
    pub(super) fn watch(&mut self, cx: &Context<'_>) {
        if !self.watchers.iter().any(|known| known.will_wake(cx.waker())) {
            self.watchers.push(cx.waker().clone());
        }
    }

    /// Those who are to be told of a change: without the lock.
    pub(super) fn take_watchers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.watchers)
    }

    /// Nobody waits for a load that has not begun in earnest: the token by which it is given up.
    pub(super) fn idle_load(&self) -> Option<CancelToken> {
        match &self.phase {
            Phase::Loading { cancel, waits: true } if self.waiting.is_empty() && self.watchers.is_empty() => {
                Some(cancel.clone())
            }
            _ => None,
        }
    }
}
