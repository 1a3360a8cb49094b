//! The queue of one model, as plain data: who goes next, what may go along, and how much may wait.

use std::collections::BTreeMap;
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
        Self {
            class,
            due: deadline.unwrap_or(arrived + PATIENCE),
            arrival,
        }
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
        Self {
            items: 1024,
            bytes: 256 << 20,
        }
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
#[derive(Debug)]
pub(crate) struct Queue<T> {
    limits: QueueLimits,
    waiting: BTreeMap<Key, (Footprint, T)>,
    rows: usize,
    bytes: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            waiting: BTreeMap::new(),
            rows: 0,
            bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn has_room(&self, footprint: &Footprint) -> Result<(), Full> {
        if self.waiting.len() >= self.limits.items {
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
        self.rows += footprint.rows;
        self.bytes += footprint.bytes;
        let replaced = self.waiting.insert(key, (footprint, item));
        assert!(replaced.is_none(), "keys are unique by arrival");
    }

    /// Takes one request out, wherever it stands.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<T> {
        let (footprint, item) = self.waiting.remove(key)?;
        self.count_out(&footprint);
        Some(item)
    }

    /// Takes out the most urgent request, and after it those that may share its run, in order, up to the limit.
    ///
    /// The first is taken whatever its size. One that does not fit ends the batch, so that small late-comers do not
    /// overtake it for ever.
    pub(crate) fn take_batch(&mut self, limit: BatchLimit, mut taken: impl FnMut(T)) {
        let Some((_, (head, item))) = self.waiting.pop_first() else {
            return;
        };
        self.count_out(&head);
        taken(item);
        let (mut requests, mut rows, mut full) = (1, head.rows, false);
        if requests >= limit.requests || rows >= limit.rows {
            return;
        }
        let along = self.waiting.extract_if(.., |_, (footprint, _)| {
            if full || footprint.bucket != head.bucket {
                return false;
            }
            full = requests + 1 > limit.requests || rows + footprint.rows > limit.rows;
            if !full {
                requests += 1;
                rows += footprint.rows;
            }
            !full
        });
        let (mut rows_out, mut bytes_out) = (0, 0);
        // The iterator looks at every key behind the last match: end it with the batch.
        for (_, (footprint, item)) in along.take(limit.requests - 1) {
            rows_out += footprint.rows;
            bytes_out += footprint.bytes;
            taken(item);
        }
        self.rows -= rows_out;
        self.bytes -= bytes_out;
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        (self.rows, self.bytes) = (0, 0);
        std::mem::take(&mut self.waiting)
            .into_values()
            .map(|(_, item)| item)
    }

    fn count_out(&mut self, footprint: &Footprint) {
        self.rows -= footprint.rows;
        self.bytes -= footprint.bytes;
    }
}
