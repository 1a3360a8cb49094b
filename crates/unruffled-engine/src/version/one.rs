//! [`Version`]: one version of a model, in memory or not, and who waits for it to be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use unruffled_model::{CancelToken, ModelInfo, Name, RequestContext};

use super::hold::Holds;
use super::lot::{Lot, Phase};
use super::parked::{Accepted, Parked};
use super::recipe::{Loader, Recipe};
use crate::environment::Environment;
use crate::error::{Error, ErrorKind};
use crate::memory::Resident;
use crate::pool::{Demand, Label, Past, Pool, PoolOptions, PoolStatus, Refusal};
use crate::roster::Roster;
use crate::sync::wake;
use crate::timer::{Alarm, AlarmHandle};

/// How long a load that failed is not tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What all versions of a model have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) name: Name,
    pub(crate) environment: Environment,
    pub(crate) roster: Arc<Roster>,
    pub(super) holds: Holds,
    /// Whether there have been several.
    pub(super) is_told: Arc<std::sync::atomic::AtomicBool>,
}

impl Common {
    pub(crate) fn new(name: Name, environment: &Environment, roster: &Arc<Roster>) -> Self {
        Self {
            name,
            environment: environment.clone(),
            roster: Arc::clone(roster),
            holds: Holds::new(&environment.memory),
            is_told: Arc::default(),
        }
    }
}

/// One version of a model.
pub(crate) struct Version<I: Send + 'static, O: Send + 'static> {
    pub(super) common: Common,
    pub(super) name: Name,
    pub(super) options: PoolOptions,
    /// Its pool, while it is in memory.
    resident: ArcSwapOption<Pool<I, O>>,
    pub(super) lot: Mutex<Lot<Arc<Parked<I, O>>>>,
    pub(super) loader: Mutex<Loader<I, O>>,
    pub(super) repeats: bool,
    weigh: fn(&I) -> usize,
    /// What is known of it before it was loaded, and from then on.
    declared: Arc<ModelInfo>,
    info: OnceLock<Arc<ModelInfo>>,
    pub(super) past: Past,
    /// What it is thought to take, or has been found to.
    pub(super) bytes: AtomicUsize,
    /// What it takes beyond that while it is being loaded.
    extra: usize,
    pub(super) is_weighed: std::sync::atomic::AtomicBool,
    alarm: OnceLock<AlarmHandle>,
}

/// What came of a request for which the pool was not there.
enum Parking<I: Send + 'static, O: Send + 'static> {
    Parked(Arc<Parked<I, O>>),
    /// There is a pool again.
    Again(Demand<I, O>),
    Refused(Refusal<I, O>),
}

impl<I: Send + 'static, O: Send + 'static> Version<I, O> {
    /// A version that is not in memory.
    pub(super) fn absent(
        common: &Common,
        name: Name,
        options: PoolOptions,
        recipe: Recipe<I, O>,
    ) -> Arc<Self> {
        let Recipe { loader, bytes, extra, weigh, info, .. } = recipe;
        let past = Past::new(options.instances(), &common.environment);
        let version = Arc::new(Self {
            common: common.clone(),
            name,
            options,
            resident: ArcSwapOption::empty(),
            lot: Mutex::new(Lot::new(Phase::Absent(None), options.queue())),
            repeats: loader.repeats(),
            loader: Mutex::new(loader),
            weigh,
            declared: Arc::new(info.unwrap_or_else(|| ModelInfo::new("none", "not_loaded"))),
            info: OnceLock::new(),
            past,
            bytes: AtomicUsize::new(bytes),
            extra,
            is_weighed: false.into(),
            alarm: OnceLock::new(),
        });
        let weak: Weak<Self> = Arc::downgrade(&version);
        let fresh = version.alarm.set(common.environment.timer.register(weak)).is_ok();
        debug_assert!(fresh, "nobody else knows it yet");
        version
    }

    /// A version that is in memory, and stays there.
    pub(super) fn present(common: &Common, pool: Arc<Pool<I, O>>) -> Arc<Self> {
        let info = Arc::new(pool.model().info().clone());
        Arc::new(Self {
            common: common.clone(),
            name: "1".into(),
            options: pool.options(),
            past: pool.past(),
            lot: Mutex::new(Lot::new(Phase::Present, pool.options().queue())),
            resident: ArcSwapOption::new(Some(pool)),
            loader: Mutex::new(Loader::Once(None)),
            repeats: false,
            weigh: |_| size_of::<I>(),
            declared: Arc::clone(&info),
            info: info.into(),
            bytes: AtomicUsize::new(0),
            extra: 0,
            is_weighed: false.into(),
            alarm: OnceLock::new(),
        })
    }

    pub(super) fn model(&self) -> &Name {
        &self.common.name
    }

    pub(super) fn label(&self) -> Label {
        Label::new(self.name.clone(), Arc::clone(&self.common.is_told))
    }

    pub(super) fn pool(&self) -> Option<Arc<Pool<I, O>>> {
        self.resident.load_full()
    }

    pub(super) fn info(&self) -> &Arc<ModelInfo> {
        self.info.get().unwrap_or(&self.declared)
    }

    /// What it takes, or is thought to.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What an input weighs, as far as that is known.
    pub(super) fn weigh(&self, input: &I) -> usize {
        match &*self.resident.load() {
            Some(pool) => pool.model().admit(input).map_or(0, |footprint| footprint.bytes),
            None => (self.weigh)(input),
        }
    }

    pub(super) fn status(&self) -> PoolStatus {
        match &*self.resident.load() {
            Some(pool) => pool.status(),
            None => {
                let lot = self.lot.lock();
                PoolStatus { queued: lot.len(), queued_bytes: lot.bytes(), ..PoolStatus::absent() }
            }
        }
    }

    /// What must be free for its load.
    pub(super) fn needs(&self) -> usize {
        self.bytes().saturating_add(self.extra)
    }

    /// Whether it can answer, if need be after a load.
    pub(super) fn is_ready(&self) -> bool {
        match &self.lot.lock().phase {
            Phase::Present => {}
            Phase::Absent(failure) => return failure.is_none(),
            // A first load that was asked for is not ready before its end; one on demand is.
            Phase::Loading { .. } => return self.repeats,
            Phase::Ended(_) => return false,
        }
        self.resident.load().as_ref().is_some_and(|pool| pool.status().ready)
    }

    /// Takes a request in, or has the version loaded for it, or says why not.
    pub(super) fn submit(
        self: &Arc<Self>,
        now: Instant,
        mut demand: Demand<I, O>,
    ) -> Result<Accepted<I, O>, Refusal<I, O>> {
        loop {
            let resident = self.resident.load();
            let tried = if let Some(pool) = &*resident {
                match pool.submit(now, demand) {
                    Ok(ticket) => return Ok(Accepted::In(Arc::downgrade(pool), ticket)),
                    Err(Refusal { gone: Some(gone), error, .. }) => {
                        demand = *gone;
                        Some((Arc::as_ptr(pool), error))
                    }
                    Err(refusal) => return Err(refusal),
                }
            } else {
                None
            };
            drop(resident);
            demand = match self.park(now, demand, tried) {
                Parking::Parked(parked) => return Ok(Accepted::Parked(parked)),
                Parking::Refused(refusal) => return Err(refusal),
                Parking::Again(demand) => demand,
            };
        }
    }

    /// As [`submit`](Self::submit), for several that may share a run.
    pub(super) fn submit_all(
        self: &Arc<Self>,
        now: Instant,
        demands: Vec<Demand<I, O>>,
    ) -> Vec<Result<Accepted<I, O>, Refusal<I, O>>> {
        let resident = self.resident.load_full();
        let Some(pool) = resident else {
            return demands.into_iter().map(|demand| self.submit(now, demand)).collect();
        };
        let weak = Arc::downgrade(&pool);
        let submitted = pool.submit_all(now, demands);
        let settle = |outcome| match outcome {
            Ok(ticket) => Ok(Accepted::In(weak.clone(), ticket)),
            // The pool has gone in this very moment.
            Err(Refusal { gone: Some(demand), .. }) => self.submit(now, *demand),
            Err(refusal) => Err(refusal),
        };
        submitted.into_iter().map(settle).collect()
    }

    /// Has a request wait for the load, which begins if it has not. `tried` is the pool that would not have it.
    fn park(
        self: &Arc<Self>,
        now: Instant,
        demand: Demand<I, O>,
        tried: Option<(*const Pool<I, O>, Error)>,
    ) -> Parking<I, O> {
        let bytes = (self.weigh)(&demand.input);
        let deadline = demand.options.context.as_ref().and_then(RequestContext::deadline);
        let mut lot = self.lot.lock();
        let refused = |error: Error| {
            self.past.meter.refused(error.kind());
            Refusal::of(error.of_model(self.model()))
        };
        let refusal = match &lot.phase {
            Phase::Present => {
                drop(lot);
                let resident = self.resident.load();
                return match tried {
                    Some((pool, error)) if resident.as_ref().map(Arc::as_ptr) == Some(pool) => {
                        Parking::Refused(Refusal { gone: Some(Box::new(demand)), ..Refusal::of(error) })
                    }
                    _ => Parking::Again(demand),
                };
            }
            Phase::Ended(error) => {
                let error = error.clone().of_model(self.model());
                drop(lot);
                return Parking::Refused(Refusal { gone: Some(Box::new(demand)), ..Refusal::of(error) });
            }
            Phase::Absent(Some((at, error))) if now < *at + AFTER_FAILURE => Some(refused(error.clone())),
            _ if deadline.is_some_and(|deadline| deadline <= now) => {
                let message = "the deadline had passed on arrival";
                Some(refused(Error::new(ErrorKind::DeadlineExceeded, message)))
            }
            _ if !lot.has_room(bytes) => {
                let message = format!("{} requests wait for it to be loaded; try again later", lot.len());
                let error = Error::new(ErrorKind::Overloaded, message);
                // Who comes again when there is room is not refused.
                let refusal = match demand.options.patient {
                    true => Refusal::of(error.of_model(self.model())),
                    false => refused(error),
                };
                drop(lot);
                return Parking::Refused(Refusal { input: Some(demand.input), bytes, ..refusal });
            }
            Phase::Absent(_) | Phase::Loading { .. } => None,
        };
        if let Some(refusal) = refusal {
            drop(lot);
            drop(demand);
            return Parking::Refused(refusal);
        }
        let mut parked = None;
        let is_next = lot.add(deadline, bytes, |number| {
            let one = Parked::new(number, Arc::downgrade(self), demand);
            parked = Some(Arc::clone(&one));
            one
        });
        let begun = self.begin(&mut lot);
        drop(lot);
        if let (true, Some(deadline), Some(alarm)) = (is_next, deadline, self.alarm.get()) {
            alarm.wake_by(deadline);
        }
        if let Some(cancel) = begun {
            self.load_apart(cancel);
        }
        Parking::Parked(parked.expect("made just now"))
    }

    /// Absent -> Loading. The token of the load that is to be started once the lock is let go, if one is.
    fn begin(&self, lot: &mut Lot<Arc<Parked<I, O>>>) -> Option<CancelToken> {
        if !matches!(lot.phase, Phase::Absent(_)) {
            return None;
        }
        let cancel = CancelToken::new();
        lot.phase = Phase::Loading { cancel: cancel.clone(), waits: false };
        Some(cancel)
    }

    /// As [`begin`](Self::begin), for a load that somebody awaits: with that one's token.
    pub(super) fn begin_with(&self, cancel: CancelToken) {
        self.lot.lock().phase = Phase::Loading { cancel, waits: false };
    }

    /// Ready when it is in memory; has it loaded if it is not. `began` remembers that it was asked to.
    pub(super) fn poll_present(
        self: &Arc<Self>,
        cx: &Context<'_>,
        began: &mut bool,
    ) -> Poll<Result<(), Error>> {
        let mut lot = self.lot.lock();
        let begun = match &lot.phase {
            Phase::Present => return Poll::Ready(Ok(())),
            Phase::Ended(error) => return Poll::Ready(Err(error.clone().of_model(self.model()))),
            Phase::Absent(Some((_, error))) if *began => return Poll::Ready(Err(error.clone())),
            Phase::Absent(_) => self.begin(&mut lot),
            Phase::Loading { .. } => None,
        };
        *began = true;
        lot.watch(cx);
        drop(lot);
        if let Some(cancel) = begun {
            self.load_apart(cancel);
        }
        Poll::Pending
    }

    /// Ready when so many bytes may find room in the queue, as far as can be told.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        if let Some(pool) = &*self.resident.load() {
            return pool.poll_room(cx, bytes);
        }
        let mut lot = self.lot.lock();
        if lot.has_room(bytes) || !matches!(lot.phase, Phase::Loading { .. }) {
            return Poll::Ready(());
        }
        lot.watch(cx);
        Poll::Pending
    }

    /// Somebody who wanted room has gone: all others ask again.
    pub(super) fn forget_room(&self) {
        if let Some(pool) = &*self.resident.load() {
            pool.forget_room();
        }
        let watchers = self.lot.lock().take_watchers();
        watchers.into_iter().for_each(wake);
    }

    /// Loading -> Present: those that wait go into the pool, then everybody finds it. False: it is too late for that.
    pub(super) fn settle(&self, pool: &Arc<Pool<I, O>>) -> bool {
        let _ = self.info.set(Arc::new(pool.model().info().clone()));
        loop {
            let mut lot = self.lot.lock();
            if matches!(lot.phase, Phase::Ended(_)) {
                return false;
            }
            // Those that came first go first, as far as that is possible.
            let parked = lot.take_all();
            if parked.is_empty() {
                self.resident.store(Some(Arc::clone(pool)));
                lot.phase = Phase::Present;
                let watchers = lot.take_watchers();
                drop(lot);
                watchers.into_iter().for_each(wake);
                return true;
            }
            drop(lot);
            parked.iter().for_each(|parked| parked.move_into(pool));
        }
    }

    /// Loading -> Absent: those that wait hear why.
    pub(super) fn fail(&self, error: &Error) {
        let mut lot = self.lot.lock();
        if matches!(lot.phase, Phase::Ended(_)) {
            return;
        }
        let was_given_up = error.kind() == ErrorKind::Cancelled;
        let now = self.common.environment.timer.now();
        lot.phase = Phase::Absent((!was_given_up).then(|| (now, error.clone())));
        let (parked, watchers) = (lot.take_all(), lot.take_watchers());
        drop(lot);
        self.refuse(&parked, error);
        watchers.into_iter().for_each(wake);
    }

    /// A load was given up because nobody waited; the next one's token, if somebody does by now.
    pub(super) fn begin_again(&self) -> Option<CancelToken> {
        let mut lot = self.lot.lock();
        if matches!(lot.phase, Phase::Ended(_)) || lot.is_empty() {
            return None;
        }
        lot.phase = Phase::Absent(None);
        self.begin(&mut lot)
    }

    /// Whether the load waits for others: then it is given up when nobody waits for it.
    pub(super) fn set_waits(&self, now_waits: bool) {
        if let Phase::Loading { waits, .. } = &mut self.lot.lock().phase {
            *waits = now_waits;
        }
    }

    /// One that waited for the load has gone.
    pub(super) fn leave(&self, number: u64) {
        let mut lot = self.lot.lock();
        let left = lot.remove(number);
        let (watchers, idle) = (lot.take_watchers(), lot.idle_load());
        drop(lot);
        if left.is_some() {
            self.past.meter.refused(ErrorKind::Cancelled);
        }
        drop(left);
        watchers.into_iter().for_each(wake);
        if let Some(cancel) = idle {
            cancel.cancel();
        }
    }

    fn refuse(&self, parked: &[Arc<Parked<I, O>>], error: &Error) {
        let error = error.clone().of_model(self.model());
        for one in parked {
            self.past.meter.refused(error.kind());
            one.refuse(&error);
        }
    }

    /// It is no version any more: what it has is finished, what waits for it goes to `successor` or hears `error`. The pool
    /// that is on its way out, if there is one.
    pub(super) fn retire(&self, error: &Error, successor: Option<&Self>) -> Option<Arc<Pool<I, O>>> {
        let mut lot = self.lot.lock();
        let before = std::mem::replace(&mut lot.phase, Phase::Ended(error.clone()));
        let (parked, watchers) = (lot.take_all(), lot.take_watchers());
        let pool = self.resident.swap(None);
        drop(lot);
        if let Phase::Loading { cancel, .. } = before {
            cancel.cancel();
        }
        match successor.and_then(Self::pool) {
            Some(next) => parked.iter().for_each(|parked| parked.move_into(&next)),
            None => self.refuse(&parked, error),
        }
        watchers.into_iter().for_each(wake);
        if let Some(pool) = &pool {
            pool.drain(error.clone());
        }
        pool
    }
}

impl<I: Send + 'static, O: Send + 'static> Resident for Version<I, O> {
    fn idle_since(&self) -> Option<Instant> {
        if !self.repeats || self.common.holds.are_any() {
            return None;
        }
        self.resident.load().as_ref()?.idle_since()
    }

    fn evict(&self) -> bool {
        let mut lot = self.lot.lock();
        // Whoever holds the model from now on finds it gone, under this lock, and has it loaded again.
        if !self.repeats || self.common.holds.are_any() || !matches!(lot.phase, Phase::Present) {
            return false;
        }
        let Some(pool) = self.resident.load_full() else { return false };
        if !pool.drain_if_idle(Error::new(ErrorKind::NotReady, "has been put out of memory")) {
            return false;
        }
        self.resident.store(None);
        lot.phase = Phase::Absent(None);
        drop(lot);
        tracing::info!(model = &**self.model(), version = &*self.name, "put out of memory");
        pool.tell_all();
        true
    }

    fn weighed(&self, bytes: usize) {
        self.bytes.fetch_max(bytes, Ordering::Relaxed);
    }
}

impl<I: Send + 'static, O: Send + 'static> Alarm for Version<I, O> {
    fn fire(&self, now: Instant) -> Option<Instant> {
        let mut lot = self.lot.lock();
        let due = lot.take_due(now);
        let waits = matches!(lot.phase, Phase::Loading { waits: true, .. });
        let (next, idle) = (lot.next_due(), lot.idle_load());
        let watchers = lot.take_watchers();
        drop(lot);
        if !due.is_empty() {
            let error = match waits {
                true => self.common.environment.memory.shortage(self.needs()),
                false => {
                    let message = "the deadline passed while it was being loaded";
                    Error::new(ErrorKind::DeadlineExceeded, message)
                }
            };
            self.refuse(&due, &error);
        }
        watchers.into_iter().for_each(wake);
        if let Some(cancel) = idle {
            cancel.cancel();
        }
        next
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for Version<I, O> {
    fn drop(&mut self) {
        if let Some(pool) = self.resident.swap(None) {
            pool.drain(Error::new(ErrorKind::NotReady, "has been unloaded"));
        }
    }
}
