//! The load of a version: in its turn, when there is room, on a thread of its own, and weighed if memory is short.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use unruffled_model::{CancelToken, LoadContext, SharedModel};

use super::one::{Common, Version};
use super::recipe::Loader;
use crate::error::{Error, ErrorKind};
use crate::instance;
#[cfg(test)]
use crate::memory::Measured;
use crate::memory::Place;
use crate::pool::{Label, Past, Pool, PoolOptions};
use crate::sync::panic_text;
use crate::thread::{self, Intent};

/// How far a load has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LoadProgress {
    /// It is not its turn yet, or there is no memory for it: where the engine has a budget.
    Waiting,
    /// The model is being read: this part of it, from 0 to 1.
    Reading(f32),
    /// Its first instances are being built, and warmed up.
    Starting,
    /// It can be asked.
    Ready,
    /// It could not be loaded: awaiting says why.
    Failed,
}

/// Hears how far a load has come.
pub(crate) type Tell<'a> = &'a (dyn Fn(LoadProgress) + Sync);

/// Starts a pool: its threads build their instances from now on.
pub(super) fn start<I: Send + 'static, O: Send + 'static>(
    common: &Common,
    model: SharedModel<I, O>,
    options: PoolOptions,
    version: Option<(Label, &Past)>,
) -> Result<Arc<Pool<I, O>>, Error> {
    let environment = &common.environment;
    let mut pool = Pool::new(common.name.clone(), model, options, environment);
    pool = match version {
        Some((label, past)) => pool.of_version(label, past),
        None => pool,
    };
    pool.check_cache()?;
    let pool = Arc::new(pool);
    let weak: Weak<Pool<I, O>> = Arc::downgrade(&pool);
    pool.set_alarm(environment.timer.register(weak.clone()));
    common.roster.started(weak).map_err(|error| error.of_model(pool.name()))?;
    // From here on the pool has an end, whatever fails.
    let unsettled = Unsettled(Some(pool));
    instance::start(unsettled.pool())?;
    Ok(unsettled.settled())
}

/// A pool that nobody can ask yet; ended when dropped.
struct Unsettled<I: Send + 'static, O: Send + 'static>(Option<Arc<Pool<I, O>>>);

impl<I: Send + 'static, O: Send + 'static> Unsettled<I, O> {
    fn pool(&self) -> &Arc<Pool<I, O>> {
        self.0.as_ref().expect("it is taken at the end")
    }

    fn settled(mut self) -> Arc<Pool<I, O>> {
        self.0.take().expect("it is taken once")
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for Unsettled<I, O> {
    fn drop(&mut self) {
        if let Some(pool) = &self.0 {
            pool.drain(Error::new(ErrorKind::Cancelled, "the load was cancelled"));
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Version<I, O> {
    /// Starts the thread that loads it for those who wait.
    pub(super) fn load_apart(self: &Arc<Self>, cancel: CancelToken) {
        #[cfg(test)]
        if let Some(desk) = &self.common.desk {
            return desk.lock().push((Box::new(Arc::clone(self)), cancel));
        }
        let version = Arc::clone(self);
        let body = move || {
            let mut cancel = cancel;
            loop {
                let outcome = version.load(&cancel, &|_| {});
                if let Err(error) = &outcome
                    && error.kind() == ErrorKind::Cancelled
                    && let Some(next) = version.begin_again()
                {
                    cancel = next;
                    continue;
                }
                if let Err(error) = outcome {
                    tracing::warn!(model = &**version.model(), %error, "could not be loaded");
                    version.fail(&error);
                }
                return;
            }
        };
        if let Err(error) = thread::start(&format!("load {}", self.model()), Intent::Load, body) {
            let message = format!("no thread to load it: {error}");
            self.fail(&Error::new(ErrorKind::NotReady, message).of_model(self.model()));
        }
    }

    /// Loads it, on this thread, and makes it known. Blocks.
    pub(super) fn load(self: &Arc<Self>, cancel: &CancelToken, tell: Tell<'_>) -> Result<(), Error> {
        let loaded = self.bring_up(cancel, tell).map_err(|error| error.of_model(self.model()))?;
        match self.settle(loaded.pool()) {
            true => {
                tracing::info!(
                    model = &**self.model(),
                    version = &*self.name,
                    bytes = self.bytes(),
                    "loaded"
                );
                drop(loaded.settled());
                Ok(())
            }
            false => Err(Error::new(ErrorKind::Cancelled, "the load was cancelled").of_model(self.model())),
        }
    }

    fn bring_up(self: &Arc<Self>, cancel: &CancelToken, tell: Tell<'_>) -> Result<Unsettled<I, O>, Error> {
        let memory = &self.common.environment.memory;
        let mut place = memory.is_bounded().then(|| memory.line_up());
        if let Some(place) = &mut place {
            tell(LoadProgress::Waiting);
            self.wait(place, self.needs(), cancel)?;
        }
        let before = place.as_ref().and_then(Place::measure);
        tell(LoadProgress::Reading(0.0));
        let model = self.read(cancel, tell)?;
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the load was cancelled"));
        }
        tell(LoadProgress::Starting);
        let pool = start(&self.common, model, self.options, Some((self.label(), &self.past)))?;
        let pool = Unsettled(Some(pool));
        let stopped = Arc::clone(pool.pool());
        let stop = move || stopped.drain(Error::new(ErrorKind::Cancelled, "the load was cancelled"));
        let cancelled = cancel.on_cancel(stop);
        pool.pool().wait_until_up()?;
        drop(cancelled);
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "the load was cancelled"));
        }
        if let Some(place) = &mut place {
            let bytes = self.weighed_at(place.weigh(before, self.bytes()));
            // What was thought of it may have been too little: then others go for it now.
            self.wait(place, bytes, cancel)?;
            let resident = Arc::downgrade(self);
            pool.pool().charge(place.charge(self.model(), &self.name, bytes, resident, self.repeats));
            place.succeeded();
        }
        Ok(pool)
    }

    /// Blocks until it is its turn and there is room.
    fn wait(&self, place: &mut Place, bytes: usize, cancel: &CancelToken) -> Result<(), Error> {
        self.set_waits(true);
        let outcome = place.wait(bytes, cancel);
        self.set_waits(false);
        outcome
    }

    /// As [`load`](Self::load), step by step, for a simulation: what it needs; its pool, without threads; what it was found to
    /// take, and for whom it is taken.
    #[cfg(test)]
    pub(crate) fn needs_now(&self) -> usize {
        self.set_waits(true);
        self.needs()
    }

    #[cfg(test)]
    pub(crate) fn virtual_pool(&self, model: SharedModel<I, O>) -> Arc<Pool<I, O>> {
        self.set_waits(false);
        let environment = &self.common.environment;
        let pool = Pool::new(self.model().clone(), model, self.options, environment);
        let pool = Arc::new(pool.of_version(self.label(), &self.past));
        let weak: Weak<Pool<I, O>> = Arc::downgrade(&pool);
        pool.set_alarm(environment.timer.register(weak));
        pool
    }

    #[cfg(test)]
    pub(crate) fn weighed_now(&self, place: &Place, before: Option<Measured>) -> usize {
        self.weighed_at(place.weigh(before, self.bytes()))
    }

    #[cfg(test)]
    pub(crate) fn charge_now(self: &Arc<Self>, place: &Place, pool: &Pool<I, O>, bytes: usize) {
        let resident = Arc::downgrade(self);
        pool.charge(place.charge(self.model(), &self.name, bytes, resident, self.repeats));
    }

    /// Remembers what it was found to take. It sinks slowly from load to load: what was measured varies with what was free in
    /// the process before, and may have had others' memory in it.
    fn weighed_at(&self, bytes: usize) -> usize {
        let before = self.bytes();
        let bytes = match self.is_weighed.swap(true, Ordering::Relaxed) {
            true => bytes.max(before - before / 8),
            false => bytes,
        };
        self.bytes.store(bytes, Ordering::Relaxed);
        bytes
    }

    fn read(&self, cancel: &CancelToken, tell: Tell<'_>) -> Result<SharedModel<I, O>, Error> {
        let loader = Loader::take(&mut self.loader.lock());
        let Some(loader) = loader else {
            return Err(Error::new(ErrorKind::NotReady, "cannot be loaded a second time; load it anew"));
        };
        let progress = |done| tell(LoadProgress::Reading(done));
        let context = LoadContext::new(cancel, &progress);
        match catch_unwind(AssertUnwindSafe(|| loader(&context))) {
            Ok(loaded) => loaded.map_err(Error::from_model),
            Err(payload) => {
                let text = panic_text(&*payload);
                Err(Error::new(ErrorKind::ModelCrashed, format!("panicked while loading: {text}")))
            }
        }
    }
}
