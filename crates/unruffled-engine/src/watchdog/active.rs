//! What is being polled right now, on every thread: written at each poll, read only when something is late.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::stall::{Blame, Site};

/// Threads share the lanes by turns: more of them than a machine has cores hardly ever run at once.
const LANES: usize = 16;

/// What one lane holds at most. Beyond it, which takes sections nested without end, nothing is named.
const LANE_BOUND: usize = 64;

/// The entries that are active, in lanes: a thread has a lane mostly to itself, so that its lock is free.
pub(super) struct Active {
    lanes: Box<[Lane]>,
}

/// On a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Lane(Mutex<LaneState>);

#[derive(Default)]
struct LaneState {
    /// Entries in the order they were made, of all threads of this lane. A thread's first is its outermost.
    entries: Vec<Entry>,
    next_id: u64,
}

struct Entry {
    id: u64,
    thread: u64,
    site: Arc<Site>,
    since: Instant,
    /// The stall that this stretch of the thread is already known as. Only outermost entries have one.
    stall: Option<u64>,
}

/// An entry that was made, to be given back by the same thread.
pub(super) struct Entered {
    thread: u64,
    id: u64,
}

/// A thread's stretch without coming back to its loop, as seen from outside.
pub(super) struct Stretch {
    thread: u64,
    id: u64,
    pub(super) since: Instant,
    pub(super) blame: Blame,
}

/// What a look at all threads found.
#[derive(Default)]
pub(super) struct Scan {
    /// Since when the longest-running of those that no stall is known of has been running.
    pub(super) unmarked_since: Option<Instant>,
    /// Whether anything is running.
    pub(super) is_any: bool,
    /// How many entries have ever been made.
    pub(super) entered: u64,
}

/// What is left to say of an entry that was given back.
pub(super) enum Exit {
    /// Within the limit, or part of a stretch that goes on.
    Unremarkable,
    /// The stretch ends, and with it this stall.
    Ended(u64),
}

thread_local! {
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// A number for the current thread. Ids of the standard library cost a reference count.
fn thread_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    THREAD.with(|key| match key.get() {
        0 => {
            let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
            key.set(fresh);
            fresh
        }
        known => known,
    })
}

impl LaneState {
    fn outermost(&mut self, thread: u64) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.thread == thread)
    }

    /// Who is to blame on a thread, if `inner` is what it runs.
    fn blame(&self, inner: &Entry) -> Blame {
        let outer = self.entries.iter().find(|entry| entry.thread == inner.thread && entry.id != inner.id);
        Blame {
            culprit: Some(Site::clone(&inner.site)),
            within: outer.filter(|outer| outer.id < inner.id).map(|outer| Site::clone(&outer.site)),
        }
    }

    fn innermost_blame(&self, thread: u64) -> Blame {
        let inner = self.entries.iter().rev().find(|entry| entry.thread == thread);
        inner.map(|inner| self.blame(inner)).unwrap_or_default()
    }

    /// Indices of each thread's outermost entry.
    fn outermosts(&self) -> Vec<usize> {
        let is_first = |at: &usize| {
            let (before, from) = self.entries.split_at(*at);
            before.iter().all(|entry| entry.thread != from[0].thread)
        };
        (0..self.entries.len()).filter(is_first).collect()
    }
}

impl Active {
    pub(super) fn new() -> Self {
        Self { lanes: (0..LANES).map(|_| Lane::default()).collect() }
    }

    fn lane(&self, thread: u64) -> &Mutex<LaneState> {
        &self.lanes[thread as usize % LANES].0
    }

    /// The current thread begins something. `None`: there are too many already.
    pub(super) fn enter(&self, site: Arc<Site>, since: Instant) -> Option<Entered> {
        let thread = thread_key();
        let mut lane = self.lane(thread).lock();
        if lane.entries.len() >= LANE_BOUND {
            return None;
        }
        let id = lane.next_id;
        lane.next_id += 1;
        lane.entries.push(Entry { id, thread, site, since, stall: None });
        Some(Entered { thread, id })
    }

    /// What was entered ends. If it was `too_long` and its stretch is no stall yet, `begin` makes it one, given since when
    /// and who is to blame.
    pub(super) fn exit(
        &self,
        entered: &Entered,
        too_long: impl FnOnce(Instant) -> bool,
        begin: impl FnOnce(Instant, Blame) -> u64,
    ) -> Exit {
        let mut lane = self.lane(entered.thread).lock();
        let Some(at) = lane.entries.iter().rposition(|entry| entry.id == entered.id) else {
            return Exit::Unremarkable;
        };
        let mut entry = lane.entries.remove(at);
        let known = entry.stall.or_else(|| lane.outermost(entry.thread).and_then(|outer| outer.stall));
        if known.is_none() && too_long(entry.since) {
            let outermost_since = lane.outermost(entry.thread).map(|outer| outer.since);
            let since = outermost_since.map_or(entry.since, |outer| outer.min(entry.since));
            entry.stall = Some(begin(since, lane.blame(&entry)));
        }
        // Whoever is outermost now goes on with the stretch.
        match (entry.stall, lane.outermost(entry.thread)) {
            (None, _) => Exit::Unremarkable,
            (stall, Some(outer)) => {
                outer.stall = stall;
                Exit::Unremarkable
            }
            (Some(stall), None) => Exit::Ended(stall),
        }
    }

    /// Looks at every thread. Whoever has been running since `overdue` or before, and is no stall yet, is made one by
    /// `begin`, given since when and who is to blame.
    pub(super) fn scan(
        &self,
        overdue: Option<Instant>,
        mut begin: impl FnMut(Instant, Blame) -> u64,
    ) -> Scan {
        let mut scan = Scan::default();
        for Lane(lane) in &self.lanes {
            let mut lane = lane.lock();
            scan.entered += lane.next_id;
            for at in lane.outermosts() {
                scan.is_any = true;
                let Entry { since, stall, thread, .. } = lane.entries[at];
                if stall.is_some() {
                    continue;
                }
                if overdue.is_some_and(|overdue| since <= overdue) {
                    let blame = lane.innermost_blame(thread);
                    lane.entries[at].stall = Some(begin(since, blame));
                } else {
                    scan.unmarked_since = Some(scan.unmarked_since.map_or(since, |first| first.min(since)));
                }
            }
        }
        scan
    }

    /// The stretch that has been going on longest, of those that began at `latest` or before and are no stall yet.
    pub(super) fn longest(&self, latest: Instant) -> Option<Stretch> {
        let mut longest: Option<Stretch> = None;
        for Lane(lane) in &self.lanes {
            let lane = lane.lock();
            for at in lane.outermosts() {
                let Entry { id, thread, since, stall, .. } = lane.entries[at];
                let is_longer = longest.as_ref().is_none_or(|longest| since < longest.since);
                if stall.is_none() && since <= latest && is_longer {
                    longest = Some(Stretch { thread, id, since, blame: lane.innermost_blame(thread) });
                }
            }
        }
        longest
    }

    /// A stretch is known as this stall, if it still goes on.
    pub(super) fn mark(&self, stretch: &Stretch, stall: u64) {
        let mut lane = self.lane(stretch.thread).lock();
        if let Some(entry) = lane.entries.iter_mut().find(|entry| entry.id == stretch.id) {
            entry.stall.get_or_insert(stall);
        }
    }

    /// Stretches that were known as this stall may become others.
    pub(super) fn unmark(&self, stall: u64) {
        for Lane(lane) in &self.lanes {
            let mut lane = lane.lock();
            let marked = lane.entries.iter_mut().filter(|entry| entry.stall == Some(stall));
            marked.for_each(|entry| entry.stall = None);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.0.lock().entries.len()).sum()
    }
}
