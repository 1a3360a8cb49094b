//! The flight recorder: the last requests of a pool, what each found on arrival and what became of it.

mod explain;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use unruffled_model::{Name, RequestId};

use crate::error::Error;
use unruffled_model::Priority;

pub use explain::{ExplainedRun, Explanation};

/// So many requests of a run are remembered by id.
const LISTED: usize = 16;

/// What a request found when it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    /// Requests in the queue that were to run before it.
    pub(crate) ahead_requests: usize,
    /// The rows of these.
    pub(crate) ahead_rows: usize,
    /// Runs in progress.
    pub(crate) running: usize,
    /// How long it was expected to wait.
    pub(crate) predicted_wait: Option<Duration>,
    /// How long it was expected to run.
    pub(crate) predicted_run: Option<Duration>,
}

impl Arrival {
    /// It came now, and found nothing that would be worth telling.
    pub(crate) fn at(now: Instant) -> Self {
        Self {
            at: now,
            ahead_requests: 0,
            ahead_rows: 0,
            running: 0,
            predicted_wait: None,
            predicted_run: None,
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RunEnd {
    /// It gave its answers; single rows may have failed.
    Completed,
    /// The model failed.
    Failed,
    /// The model broke down, and its instance with it.
    Crashed,
    /// It was stopped for something more urgent; its requests went back into the queue.
    Preempted,
    /// The model failed, and its requests are run again in smaller parts to find out whose fault it is.
    Split,
    /// It was stopped because nobody waited for it any more.
    Stopped,
}

/// One run, as all of its requests remember it.
#[derive(Clone, Debug)]
pub(crate) struct RunNote {
    /// The first of its requests; see [`listed`].
    pub(crate) requests: Arc<[RequestId]>,
    /// How many there were.
    pub(crate) request_count: usize,
    pub(crate) instance: usize,
    pub(crate) rows: usize,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) predicted: Option<Duration>,
    pub(crate) end: RunEnd,
}

/// As many ids as a [`RunNote`] keeps.
pub(crate) fn listed<'a>(ids: impl IntoIterator<Item = &'a RequestId>) -> Arc<[RequestId]> {
    ids.into_iter().take(LISTED).cloned().collect()
}

/// Where a request was when it ended.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// It was refused, or answered from the cache, at the very time at which it came.
    Arrival,
    /// In the queue.
    Queue,
    /// In a run that went on, at first, without it. Its note follows with [`Recorder::run`] when the run has ended.
    Running { began: Instant },
    /// It asked for an instance of its own, and was given this one.
    Leased { instance: usize },
    /// In a run that ended and took it along. This note is not given to [`Recorder::run`].
    Ran(Arc<RunNote>),
}

/// How one request ended.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) id: RequestId,
    pub(crate) priority: Priority,
    pub(crate) deadline: Option<Instant>,
    pub(crate) arrival: Arrival,
    pub(crate) ended: Instant,
    pub(crate) place: Place,
    pub(crate) outcome: Result<(), Error>,
}

/// Remembers the last requests of one pool.
///
/// Holds `capacity` records: one for each request that has ended, and one more for each run that a request was in and
/// survived. A record takes 160 bytes at most, and its share of the note of its run, 512 bytes at most: 1,024 records stay
/// below 0.75 MiB. The texts of ids and errors come on top; their lengths are their makers' to limit.
pub(crate) struct Recorder {
    capacity: usize,
    ring: Mutex<VecDeque<Record>>,
}

enum Record {
    /// A run that a request was in and that did not end it.
    Run { id: RequestId, note: Arc<RunNote> },
    /// The end of a request.
    End(Ending),
}

impl Recorder {
    /// A recorder of so many records; none: it is off, and all that it is told costs one branch.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, ring: Mutex::new(VecDeque::new()) }
    }

    /// Whether it keeps anything: spares the making of notes.
    pub(crate) fn is_on(&self) -> bool {
        self.capacity > 0
    }

    /// A run has ended for these requests, which it has not answered: they were put back into the queue, or had gone
    /// before.
    pub(crate) fn run(&self, ids: &[RequestId], note: &Arc<RunNote>) {
        let records = ids.iter().map(|id| Record::Run { id: id.clone(), note: Arc::clone(note) });
        self.keep(records);
    }

    /// Requests have ended. The iterator runs under the lock, unless the recorder is off.
    pub(crate) fn end(&self, endings: impl IntoIterator<Item = Ending>) {
        if self.is_on() {
            self.keep(endings.into_iter().map(Record::End));
        }
    }

    fn keep(&self, records: impl Iterator<Item = Record>) {
        if !self.is_on() {
            return;
        }
        let mut forgotten = Vec::new();
        let mut ring = self.ring.lock();
        for record in records {
            if ring.len() >= self.capacity {
                forgotten.extend(ring.pop_front());
            } else if ring.len() == ring.capacity() {
                // Doubled, but never beyond what is needed.
                let more = ring.len().max(16).min(self.capacity - ring.len());
                ring.reserve_exact(more);
            }
            ring.push_back(record);
        }
        drop(ring);
        // Dropped without the lock: the source of an error is its model's, and its end may do anything.
        drop(forgotten);
    }

    /// What became of the newest request of this id, if it has ended and is still remembered. Looks through all records
    /// under the lock: some microseconds.
    pub(crate) fn explain(&self, id: &RequestId, model: &Name) -> Option<Explanation> {
        let ring = self.ring.lock();
        let ending = ring.iter().rev().find_map(|record| match record {
            Record::End(ending) if ending.id == *id => Some(ending.clone()),
            _ => None,
        })?;
        let notes = ring.iter().filter_map(|record| match record {
            Record::Run { id: of, note } if of == id => Some(note),
            _ => None,
        });
        let notes: Vec<_> = notes.cloned().collect();
        drop(ring);
        Some(explain(model, ending, notes.iter()))
    }

    /// What became of the last requests that ended, so many at most, the newest first. Takes a microsecond or so for each,
    /// most of it without the lock.
    pub(crate) fn recent(&self, most: usize, model: &Name) -> Vec<Explanation> {
        let mut endings = Vec::new();
        let mut runs: HashMap<RequestId, Vec<Arc<RunNote>>> = HashMap::new();
        let ring = self.ring.lock();
        for record in ring.iter().rev() {
            match record {
                Record::End(ending) if endings.len() < most => endings.push(ending.clone()),
                Record::End(_) => {}
                Record::Run { id, note } => runs.entry(id.clone()).or_default().push(Arc::clone(note)),
            }
        }
        drop(ring);
        let none = Vec::new();
        let explain = |ending: Ending| {
            let notes = runs.get(&ending.id).unwrap_or(&none);
            explain(model, ending, notes.iter())
        };
        endings.into_iter().map(explain).collect()
    }

    /// How many records there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.ring.lock().len()
    }
}

/// The story of a request that ended so; `notes` are those of the runs that a request of its id was in and survived.
fn explain<'a>(model: &Name, ending: Ending, notes: impl Iterator<Item = &'a Arc<RunNote>>) -> Explanation {
    // Others are those of an older request of the same id.
    let own = notes.filter(|note| note.began >= ending.arrival.at && note.began <= ending.ended);
    let mut notes: Vec<_> = own.cloned().collect();
    if let Place::Ran(note) = &ending.place {
        notes.push(Arc::clone(note));
    }
    Explanation::new(model, ending, &notes)
}
