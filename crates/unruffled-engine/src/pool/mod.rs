//! The shared state of one model: its queue, who waits, what runs. Decides with plain data and takes `now` as an
//! argument; the threads that act on it are in `instance`, and the simulation drives it without any.

mod admission;
mod dispatch;
mod lifecycle;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;
use unruffled_model::{Batching, Name, SharedModel};

use crate::cost::RowCost;
use crate::error::Error;
use crate::queue::{BatchLimit, Queue, QueueLimits};
use crate::reply::Ticket;
use crate::timer::AlarmHandle;

pub(crate) use dispatch::{Failure, Work};

/// Sequential rows that share a hand-over at most, however cheap they are.
const SEQUENTIAL_MAX: usize = 16;

/// How a model is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct PoolOptions {
    pub(crate) instances: usize,
    pub(crate) max_batch: usize,
    pub(crate) queue: QueueLimits,
    pub(crate) spin: Duration,
}

impl Default for PoolOptions {
    /// One instance, batches of up to 32 rows, the default [`QueueLimits`], and 20 microseconds of looking for work.
    fn default() -> Self {
        Self { instances: 1, max_batch: 32, queue: QueueLimits::default(), spin: Duration::from_micros(20) }
    }
}

impl PoolOptions {
    /// How many copies of the model run side by side, each on a thread of its own; at least 1.
    pub fn with_instances(mut self, instances: usize) -> Self {
        self.instances = instances.max(1);
        self
    }

    /// How many rows one run may have, for models that gain from joint batches; at least 1. A single request with more
    /// rows runs alone.
    pub fn with_max_batch(mut self, rows: usize) -> Self {
        self.max_batch = rows.max(1);
        self
    }

    /// How long an instance looks for more work after a run before it sleeps: callers that ask again at once are spared
    /// two thread wake-ups. Zero saves the most power. A machine with one core never looks.
    pub fn with_spin(mut self, spin: Duration) -> Self {
        self.spin = spin;
        self
    }

    /// How many copies run side by side.
    pub fn instances(&self) -> usize {
        self.instances
    }

    /// How many rows one run may have.
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// How much may wait.
    pub fn queue(&self) -> QueueLimits {
        self.queue
    }

    /// How much may wait.
    pub fn with_queue(mut self, limits: QueueLimits) -> Self {
        self.queue = limits;
        self
    }
}

/// One model's queue and instances.
pub(crate) struct Pool<I, O> {
    name: Name,
    model: SharedModel<I, O>,
    options: PoolOptions,
    arrivals: AtomicU64,
    state: Mutex<State<I, O>>,
    /// Whether there are requests in the queue, for instances that look for work without the lock. Written only when that
    /// changes: callers who queue up behind each other leave it in the cache of whoever looks.
    has_work: AtomicBool,
    /// Set before what runs is given up: a run that begins later gives itself up.
    closed: OnceLock<Error>,
    /// The requests that each instance is running.
    running: Vec<Mutex<Option<Company<O>>>>,
    cost: RowCost,
    /// Idle instances, and nobody else, wait here: a notification must not be lost on another.
    work: Condvar,
    /// Whoever waits for instances to come and go waits here.
    changed: Condvar,
    threads: watch::Sender<usize>,
    alarm: OnceLock<AlarmHandle>,
}

struct State<I, O> {
    phase: Phase,
    queue: Queue<Waiting<I, O>>,
    /// Who is to be told when, queued or running.
    deadlines: BTreeMap<(Instant, u64), Arc<Ticket<O>>>,
    /// Instances that wait for work.
    idle: usize,
    /// Instances that are built and whole.
    live: usize,
    /// How the first instance turned out, for whoever loads the model.
    first: Option<Result<(), Error>>,
    /// Why no instance could be built, while there is none.
    broken: Option<Error>,
}

impl<I, O> State<I, O> {
    /// The request will be told by somebody else than the timer.
    fn forget_deadline(&mut self, ticket: &Ticket<O>) {
        if let Some(deadline) = ticket.deadline {
            self.deadlines.remove(&(deadline, ticket.key.arrival()));
        }
    }
}

/// The requests that share a run.
type Company<O> = Arc<[Arc<Ticket<O>>]>;

/// A request in the queue.
struct Waiting<I, O> {
    ticket: Arc<Ticket<O>>,
    input: I,
}

/// What a model is doing as a whole.
#[derive(Clone, Debug)]
enum Phase {
    /// Takes requests in.
    Open,
    /// Takes none in, and runs what it has.
    Draining(Error),
    /// Runs nothing any more.
    Closed(Error),
}

/// How a model is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Whether it takes requests and has an instance to run them.
    pub ready: bool,
    /// Instances that are built and whole.
    pub instances: usize,
    /// Runs in progress.
    pub running: usize,
    /// Requests in the queue.
    pub queued: usize,
    /// Bytes of their inputs.
    pub queued_bytes: usize,
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    pub(crate) fn new(name: Name, model: SharedModel<I, O>, options: PoolOptions) -> Self {
        let state = State {
            phase: Phase::Open,
            queue: Queue::new(options.queue),
            deadlines: BTreeMap::new(),
            idle: 0,
            live: 0,
            first: None,
            broken: None,
        };
        Self {
            name,
            model,
            options,
            arrivals: AtomicU64::new(0),
            state: Mutex::new(state),
            has_work: AtomicBool::new(false),
            closed: OnceLock::new(),
            running: (0..options.instances).map(|_| Mutex::new(None)).collect(),
            cost: RowCost::default(),
            work: Condvar::new(),
            changed: Condvar::new(),
            threads: watch::Sender::new(0),
            alarm: OnceLock::new(),
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn model(&self) -> &SharedModel<I, O> {
        &self.model
    }

    pub(crate) fn options(&self) -> PoolOptions {
        self.options
    }

    /// Has deadlines fire through `alarm`. Without it, somebody else calls [`expire`](Self::expire).
    pub(crate) fn set_alarm(&self, alarm: AlarmHandle) {
        let fresh = self.alarm.set(alarm).is_ok();
        assert!(fresh, "a pool has one alarm");
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let state = self.state.lock();
        PoolStatus {
            ready: state.live > 0 && matches!(state.phase, Phase::Open),
            instances: state.live,
            running: self.running.iter().filter(|slot| slot.lock().is_some()).count(),
            queued: state.queue.len(),
            queued_bytes: state.queue.bytes(),
        }
    }

    /// How many deadlines are remembered.
    #[cfg(test)]
    pub(crate) fn deadlines(&self) -> usize {
        self.state.lock().deadlines.len()
    }

    /// How much the next batch may hold.
    fn batch_limit(&self) -> BatchLimit {
        match self.model.info().batching {
            Batching::Single => BatchLimit { requests: 1, rows: usize::MAX },
            Batching::Sequential => {
                BatchLimit { requests: self.cost.rows_per_hand_over(SEQUENTIAL_MAX), rows: usize::MAX }
            }
            Batching::Joint => BatchLimit { requests: self.options.max_batch, rows: self.options.max_batch },
        }
    }
}
