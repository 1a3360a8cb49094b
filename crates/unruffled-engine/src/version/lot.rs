//! [`Lot`]: who waits for a version to be loaded, within bounds, and how that load is doing; plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use unruffled_model::CancelToken;

use crate::error::Error;
use crate::queue::QueueLimits;

/// How long a load that failed is not tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

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

/// Whether a request may wait.
#[derive(Debug)]
pub(super) enum Door {
    /// It may.
    Open,
    /// It need not: the version is in memory.
    Present,
    /// It is no version any more.
    Ended(Error),
    /// The last load has just failed, for this reason.
    Failed(Error),
    /// Its deadline has passed.
    Late,
    /// So many wait, and no more may.
    Full(usize),
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

    /// Whether one more may wait, of so many bytes and with this deadline.
    pub(super) fn door(&self, now: Instant, deadline: Option<Instant>, bytes: usize) -> Door {
        match &self.phase {
            Phase::Present => Door::Present,
            Phase::Ended(error) => Door::Ended(error.clone()),
            Phase::Absent(Some((at, error))) if now < *at + AFTER_FAILURE => Door::Failed(error.clone()),
            Phase::Absent(_) | Phase::Loading { .. } if deadline.is_some_and(|deadline| deadline <= now) => {
                Door::Late
            }
            Phase::Absent(_) | Phase::Loading { .. } if !self.has_room(bytes) => Door::Full(self.len()),
            Phase::Absent(_) | Phase::Loading { .. } => Door::Open,
        }
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Door, Lot, Phase};
    use crate::error::{Error, ErrorKind};
    use crate::queue::QueueLimits;

    fn lot(phase: Phase) -> Lot<u64> {
        Lot::new(phase, QueueLimits { items: 2, bytes: 100 })
    }

    #[test]
    fn who_waits_is_bounded_in_requests_and_bytes() {
        let (mut lot, now) = (lot(Phase::Absent(None)), Instant::now());
        assert!(matches!(lot.door(now, None, 101), Door::Full(0)));
        lot.add(None, 60, |number| number);
        assert!(matches!(lot.door(now, None, 50), Door::Full(1)));
        assert!(matches!(lot.door(now, None, 40), Door::Open));
        lot.add(None, 0, |number| number);
        assert!(matches!(lot.door(now, None, 0), Door::Full(2)));
        assert_eq!((lot.remove(0), lot.remove(0), lot.len(), lot.bytes()), (Some(0), None, 1, 0));
        assert!(matches!(lot.door(now, None, 100), Door::Open));
    }

    #[test]
    fn those_who_are_due_leave_and_the_others_keep_their_order() {
        let (mut lot, now) = (lot(Phase::Absent(None)), Instant::now());
        let later = |ms| Some(now + Duration::from_millis(ms));
        assert!(matches!(lot.door(now, Some(now), 0), Door::Late));
        assert!(lot.add(later(20), 1, |number| number) && lot.add(later(10), 1, |number| number));
        assert!(!lot.add(None, 1, |number| number) && !lot.add(later(15), 1, |number| number));
        assert_eq!((lot.next_due(), lot.take_due(now + Duration::from_millis(15))), (later(10), vec![1, 3]));
        assert_eq!((lot.next_due(), lot.take_all(), lot.bytes()), (later(20), vec![0, 2], 0));
        assert!(lot.is_empty() && lot.next_due().is_none());
    }

    #[test]
    fn a_load_that_failed_is_not_tried_again_at_once() {
        let now = Instant::now();
        let lot = lot(Phase::Absent(Some((now, Error::new(ErrorKind::ModelFailed, "broken")))));
        assert!(matches!(lot.door(now, None, 0), Door::Failed(error) if error.message() == "broken"));
        assert!(matches!(lot.door(now + Duration::from_secs(1), None, 0), Door::Open));
    }
}
