//! The queue of one model, as plain data: who goes next, what may go along, and how much may wait.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use unruffled_model::Footprint;

use crate::request::Priority;

/// A request without a deadline is ordered as if it were due so long after its arrival, so that requests with later
/// deadlines cannot starve it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The place of a request in the queue: class, then due time, then arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    class: Priority,
    due: Instant,
    arrival: u64,
}

impl Key {
    pub(crate) fn new(class: Priority, deadline: Option<Instant>, arrived: Instant, arrival: u64) -> Self {
        Self { class, due: deadline.unwrap_or(arrived + PATIENCE), arrival }
    }

    pub(crate) fn arrival(&self) -> u64 {
        self.arrival
    }
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Requests.
    pub items: usize,
    /// Bytes of their inputs, as [`Footprint::bytes`](unruffled_model::Footprint::bytes) counts them.
    pub bytes: usize,
}

impl Default for QueueLimits {
    /// 1,024 requests and 256 MiB.
    fn default() -> Self {
        Self { items: 1024, bytes: 256 << 20 }
    }
}

/// How much one batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchLimit {
    pub(crate) requests: usize,
    pub(crate) rows: usize,
}

/// Why a request was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Items,
    Bytes,
}

/// Requests in the order in which they are to run.
///
/// One sorted lane per class: requests mostly arrive in the order in which they are due, so that both ends are where
/// they come in and go out. Elsewhere, entering and leaving costs a move of what stands behind.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    limits: QueueLimits,
    lanes: [VecDeque<Entry<T>>; Priority::COUNT],
    len: usize,
    rows: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<T> {
    key: Key,
    footprint: Footprint,
    item: T,
}

impl<T> Queue<T> {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self { limits, lanes: Default::default(), len: 0, rows: 0, bytes: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn has_room(&self, footprint: &Footprint) -> Result<(), Full> {
        if self.len >= self.limits.items {
            return Err(Full::Items);
        }
        match self.bytes.checked_add(footprint.bytes) {
            Some(bytes) if bytes <= self.limits.bytes => Ok(()),
            _ => Err(Full::Bytes),
        }
    }

    /// Takes a request in; the caller has asked [`has_room`](Self::has_room).
    pub(crate) fn push(&mut self, key: Key, footprint: Footprint, item: T) {
        debug_assert_eq!(self.has_room(&footprint), Ok(()), "the caller asks first");
        self.len += 1;
        self.rows += footprint.rows;
        self.bytes += footprint.bytes;
        let lane = &mut self.lanes[key.class as usize];
        let entry = Entry { key, footprint, item };
        match lane.back() {
            Some(last) if last.key > key => {
                let at = lane.partition_point(|known| known.key < key);
                lane.insert(at, entry);
            }
            _ => lane.push_back(entry),
        }
    }

    /// Takes one request out, wherever it stands.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<T> {
        let lane = &mut self.lanes[key.class as usize];
        let at = lane.binary_search_by(|known| known.key.cmp(key)).ok()?;
        let entry = lane.remove(at)?;
        self.count_out(&entry.footprint);
        Some(entry.item)
    }

    /// Takes out the most urgent request, and after it those that may share its run, in order, up to the limit.
    ///
    /// The first is taken whatever its size. One that does not fit ends the batch, so that small late-comers do not
    /// overtake it for ever.
    pub(crate) fn take_batch(&mut self, limit: BatchLimit) -> Vec<T> {
        let (mut taken, mut rows, mut bucket) = (Vec::new(), 0, None);
        for lane in 0..self.lanes.len() {
            let mut passed_over = Vec::new();
            let mut full = false;
            while !full && let Some(entry) = self.lanes[lane].pop_front() {
                let footprint = entry.footprint;
                if bucket.is_some_and(|bucket| bucket != footprint.bucket) {
                    passed_over.push(entry);
                } else if !taken.is_empty()
                    && (taken.len() >= limit.requests || rows + footprint.rows > limit.rows)
                {
                    self.lanes[lane].push_front(entry);
                    full = true;
                } else {
                    bucket = Some(footprint.bucket);
                    rows += footprint.rows;
                    self.count_out(&footprint);
                    taken.push(entry.item);
                    full = taken.len() >= limit.requests;
                }
            }
            for entry in passed_over.into_iter().rev() {
                self.lanes[lane].push_front(entry);
            }
            if full {
                break;
            }
        }
        taken
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        (self.len, self.rows, self.bytes) = (0, 0, 0);
        std::mem::take(&mut self.lanes).into_iter().flatten().map(|entry| entry.item)
    }

    fn count_out(&mut self, footprint: &Footprint) {
        self.len -= 1;
        self.rows -= footprint.rows;
        self.bytes -= footprint.bytes;
    }
}
