//! The shared state of one model: its queue, who waits, what runs. Decides with plain data and takes `now` as an
//! argument; the threads that act on it are in `instance`, and the simulation drives it without any.

mod options;

mod cache;
mod forecast;
mod label;
mod roster;
mod seats;

mod holds;

mod outlook;
mod withdrawal;

mod growth;

mod admission;

mod recall;

mod dispatch;

mod leasing;

mod completion;

mod inline;
mod lifecycle;

mod idle;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;
use unruffled_model::{CancelToken, Interrupt, Memo, Name, OutputSink, Priority, Rerun, SharedModel};

pub(crate) use admission::{Demand, Outlet, Refusal};
pub(crate) use dispatch::{Failure, Work};
pub(crate) use holds::Hold;
pub(crate) use label::{Label, Past};
pub(crate) use lifecycle::Follower;
pub use options::{CacheOptions, Inline, PoolOptions, Preemption};

use crate::cost::CostModel;
use crate::environment::Environment;
use crate::error::Error;
use crate::memory::Charge;
use crate::metrics::{Meter, ModelMetrics};
use crate::queue::{Entry, Queue};
use crate::recorder::{Explanation, Recorder};
use crate::reply::{Run, Ticket};
use crate::thread::ThreadPriority;
use crate::timer::AlarmHandle;
use crate::urgency::Urgency;
use cache::Cache;
use forecast::{ArrivalRate, Forecast};
use holds::Holds;
use roster::Roster;
use seats::Seats;

/// One model's queue and instances.
pub(crate) struct Pool<I, O> {
    name: Name,
    model: SharedModel<I, O>,
    options: PoolOptions,
    /// How answers are remembered, if they are.
    memo: Option<Arc<dyn Memo<I, O>>>,
    environment: Environment,
    arrivals: AtomicU64,
    state: Mutex<State<I, O>>,
    /// How urgent the next batch is, for the arbiter, and for instances that look for work without the lock.
    urgency: Arc<Urgency>,
    /// How urgent the next call is on each instance that is leased.
    leased: Vec<Arc<Urgency>>,
    /// Set before what runs is given up: a run that begins later gives itself up.
    closed: OnceLock<Error>,
    /// What each instance is running.
    running: Vec<Mutex<Option<Running<O>>>>,
    costs: Mutex<CostModel>,
    /// Whether recent runs were so cheap that a hand-over would cost more.
    is_cheap: AtomicBool,
    /// Stops what a new instance runs before it takes work.
    warming: CancelToken,
    /// Each instance waits on its own until it is called.
    calls: Vec<Condvar>,
    /// Whoever waits for instances to come and go waits here.
    changed: Condvar,
    threads: watch::Sender<usize>,
    alarm: OnceLock<AlarmHandle>,
    label: Label,
    meter: Arc<Meter>,
    recorder: Arc<Recorder>,
    /// Its memory, as long as there is any of it: the last to be dropped.
    charge: OnceLock<Charge>,
}

struct State<I, O> {
    phase: Phase,
    queue: Queue<Waiting<I, O>>,
    /// Who is to be told when, queued or running.
    deadlines: BTreeMap<(Instant, u64), Arc<Ticket<O>>>,
    /// The newest request of each key, as long as it is not answered.
    newest: HashMap<Name, Arc<Ticket<O>>>,
    /// What is remembered, and who waits for the same; there if there is a memo.
    cache: Option<Cache<O>>,
    seats: Seats,
    /// Which instances there are to be.
    roster: Roster,
    holds: Holds<I, O>,
    /// How fast requests with deadlines come.
    rate: ArrivalRate,
    /// Who wants to be told when the queue gets shorter.
    wants_room: Vec<Waker>,
    /// Who wants to be told when nothing is taken in any more.
    followers: Vec<Weak<dyn Follower>>,
    /// The last group of suspects that was set apart.
    cohorts: u64,
    /// Instances that are built and whole.
    live: usize,
    /// Instances on their way.
    building: usize,
    /// How the first instances turned out, once that is known of all of them, for whoever loads the model.
    first: Option<Result<(), Error>>,
    /// Why no instance could be built, while there is none.
    broken: Option<Error>,
    /// When somebody last asked for it.
    used: Instant,
}

impl<I, O> State<I, O> {
    /// The request is answered, or about to be: nobody else need think of it.
    fn forget(&mut self, ticket: &Arc<Ticket<O>>) {
        if let Some(deadline) = ticket.deadline() {
            self.deadlines.remove(&(deadline, ticket.key().arrival()));
        }
        if let Some(key) = &ticket.submission.supersede
            && self.newest.get(key).is_some_and(|newest| Arc::ptr_eq(newest, ticket))
        {
            self.newest.remove(key);
        }
    }

    /// A group of requests that run among themselves.
    fn new_cohort(&mut self) -> u64 {
        self.cohorts += 1;
        self.cohorts
    }
}

/// The requests that share a run.
type Company<O> = Arc<[Arc<Ticket<O>>]>;

/// A run that goes on.
struct Running<O> {
    company: Company<O>,
    run: Arc<Run>,
    /// When it should be over.
    expected_end: Option<Instant>,
    /// Whether it may be stopped for something more urgent.
    may_yield: bool,
}

/// A request in the queue, or a call in the line of a lease.
struct Waiting<I, O> {
    ticket: Arc<Ticket<O>>,
    wish: Wish<I, O>,
}

/// What a request waits for.
enum Wish<I, O> {
    /// A run of its input.
    Run {
        input: I,
        /// Where outputs go that come before the last.
        sink: Option<Box<dyn OutputSink<O>>>,
    },
    /// An instance for itself.
    Lease(Arc<Hold>),
}

impl<I, O> Waiting<I, O> {
    /// Its place in the queue.
    fn entry(self, cohort: u64) -> Entry<Self> {
        let ticket = &self.ticket;
        Entry {
            key: *ticket.key(),
            deadline: ticket.deadline(),
            footprint: ticket.footprint(),
            cohort,
            caller: ticket.context().caller().cloned(),
            item: self,
        }
    }
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
    /// Whether it takes requests and has an instance to run them; not before all instances that it begins with have come
    /// up, or could not be built.
    pub ready: bool,
    /// Instances that are built and whole.
    pub instances: usize,
    /// Instances that are wanted at present: those that are whole, and those that are being built or replaced.
    pub wanted: usize,
    /// Instances among them that are leased ([`Handle::acquire`](crate::Handle::acquire)).
    pub leased: usize,
    /// Those of them that wait for work.
    pub idle: usize,
    /// Runs in progress.
    pub running: usize,
    /// Requests in the queue, those for a lease included; calls on leases wait in lines of their own.
    pub queued: usize,
    /// Bytes of their inputs.
    pub queued_bytes: usize,
}

impl PoolStatus {
    /// Of a model that is not in memory.
    pub(crate) const fn absent() -> Self {
        Self {
            ready: false,
            instances: 0,
            wanted: 0,
            leased: 0,
            idle: 0,
            running: 0,
            queued: 0,
            queued_bytes: 0,
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    pub(crate) fn new(
        name: Name,
        model: SharedModel<I, O>,
        options: PoolOptions,
        environment: &Environment,
    ) -> Self {
        let most = options.instances_max;
        let urgency = || Arc::new(Urgency::new(environment.arbiter.epoch()));
        let leased: Vec<_> = (0..most).map(|_| urgency()).collect();
        let memo = options.cache.and_then(|_| recall::memo_of(&*model));
        let state = State {
            phase: Phase::Open,
            queue: Queue::new(options.queue, environment.options.ageing),
            deadlines: BTreeMap::new(),
            newest: HashMap::new(),
            cache: options.cache.filter(|_| memo.is_some()).map(Cache::new),
            seats: Seats::new(most),
            roster: Roster::new(options.instances, most),
            holds: Holds::new(leased.clone()),
            rate: ArrivalRate::default(),
            wants_room: Vec::new(),
            followers: Vec::new(),
            cohorts: 0,
            live: 0,
            building: 0,
            first: None,
            broken: None,
            used: environment.timer.now(),
        };
        let Past { meter, recorder } = Past::new(most, environment);
        Self {
            name,
            model,
            options,
            memo,
            environment: environment.clone(),
            arrivals: AtomicU64::new(0),
            state: Mutex::new(state),
            urgency: urgency(),
            leased,
            closed: OnceLock::new(),
            running: (0..most).map(|_| Mutex::new(None)).collect(),
            costs: Mutex::new(CostModel::new()),
            is_cheap: AtomicBool::new(false),
            warming: CancelToken::new(),
            calls: (0..most).map(|_| Condvar::new()).collect(),
            changed: Condvar::new(),
            threads: watch::Sender::new(0),
            alarm: OnceLock::new(),
            label: Label::new("1".into(), Arc::default()),
            meter,
            recorder,
            charge: OnceLock::new(),
        }
    }

    /// As one version of a model, which goes on counting where an earlier pool of this version has ended.
    pub(crate) fn of_version(mut self, label: Label, past: &Past) -> Self {
        self.label = label;
        (self.meter, self.recorder) = (Arc::clone(&past.meter), Arc::clone(&past.recorder));
        self
    }

    /// What outlives it.
    pub(crate) fn past(&self) -> Past {
        Past { meter: Arc::clone(&self.meter), recorder: Arc::clone(&self.recorder) }
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

    /// How its threads stand beside the application's own.
    pub(crate) fn thread_priority(&self) -> ThreadPriority {
        match self.options.thread_priority.unwrap_or(self.environment.options.thread_priority) {
            // What takes long there is to wait for others: its own work is short, and these wait for it in turn.
            ThreadPriority::Adaptive | ThreadPriority::BulkIdle if self.model.info().threads == 0 => {
                ThreadPriority::Normal
            }
            set => set,
        }
    }

    /// Stops what a new instance runs before it takes work.
    pub(crate) fn warming(&self) -> &CancelToken {
        &self.warming
    }

    #[cfg(test)]
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn now(&self) -> Instant {
        self.environment.timer.now()
    }

    /// Has deadlines fire through `alarm`.
    pub(crate) fn set_alarm(&self, alarm: AlarmHandle) {
        let fresh = self.alarm.set(alarm).is_ok();
        assert!(fresh, "a pool has one alarm");
    }

    pub(crate) fn status(&self) -> PoolStatus {
        let state = self.state.lock();
        PoolStatus {
            ready: state.live > 0 && state.first.is_some() && matches!(state.phase, Phase::Open),
            instances: state.live,
            wanted: state.roster.filled(),
            leased: state.holds.count(),
            idle: state.seats.idle(),
            running: self.running.iter().filter(|slot| slot.lock().is_some()).count(),
            queued: state.queue.len(),
            queued_bytes: state.queue.bytes(),
        }
    }

    pub(crate) fn metrics(&self) -> ModelMetrics {
        let cache = self.state.lock().cache.as_ref().map(Cache::metrics);
        ModelMetrics { cache, ..self.meter.snapshot(&self.name, self.label.told()) }
    }

    pub(crate) fn explain(&self, id: &unruffled_model::RequestId) -> Option<Explanation> {
        self.recorder.explain(id, &self.name)
    }

    /// As if a hundred runs had cost next to nothing.
    #[cfg(test)]
    pub(crate) fn pretend_cheap(&self) {
        let now = self.now();
        (0..100).for_each(|_| self.costs.lock().observe(0, 1, std::time::Duration::from_micros(1), now));
        self.is_cheap.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// How many deadlines and keys are remembered.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        let state = self.state.lock();
        state.deadlines.len() + state.newest.len() + state.cache.as_ref().map_or(0, Cache::waiting)
    }

    fn forecast<'a>(&self, costs: &'a CostModel, now: Instant) -> Forecast<'a> {
        let batching = self.model.info().batching;
        let gives_way = self.may_be_preempted(Priority::Bulk);
        Forecast { costs, batching, max_batch: self.options.max_batch, gives_way, now }
    }

    /// The queue has changed: tells the arbiter what goes next.
    fn publish(&self, state: &mut State<I, O>, now: Instant) {
        let next = if state.queue.is_empty() { None } else { state.queue.urgency(now) };
        self.urgency.set(next);
        state.roster.waits(now, next.is_some());
    }

    /// Whether runs of this model may be stopped for something more urgent.
    fn may_be_preempted(&self, class: Priority) -> bool {
        let info = self.model.info();
        class == Priority::Bulk
            && self.options.preemption == Preemption::Bulk
            && info.interrupt == Interrupt::Cooperative
            && info.rerun == Rerun::Safe
    }
}
