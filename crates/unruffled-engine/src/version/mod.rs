//! A model under one name: its versions, in memory or not, and which of them a request goes to.

mod hold;
mod recipe;
mod routes;

mod lot;
mod parked;

mod one;

mod phases;

mod load;

mod ask;

mod status;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use unruffled_model::{CancelToken, ModelInfo, Name, RequestContext, SharedModel};

pub(crate) use hold::Hold;
pub use load::LoadProgress;
pub(crate) use load::Tell;
#[cfg(test)]
pub(crate) use one::Desk;
pub(crate) use one::{Common, Version};
pub(crate) use parked::{Accepted, Parked, Sent};
pub use recipe::Recipe;
pub use routes::Rollout;
pub use status::{VersionState, VersionStatus};

use crate::error::{Error, ErrorKind};
use crate::pool::{Demand, Pool, PoolOptions, PoolStatus, Refusal};
use crate::queue::QueueLimits;
use crate::request::RequestOptions;
use phases::Retired;
use routes::{Change, Routes, Wish};

/// All versions of one model. When it is dropped, what is queued is still answered; then the threads end.
pub(crate) struct Versions<I: Send + 'static, O: Send + 'static> {
    common: Common,
    routes: ArcSwap<Routes<Version<I, O>>>,
    /// Held while the routes are changed; nobody's code runs meanwhile.
    changes: Mutex<Numbers>,
    /// Whether another version is on its way.
    is_loading: AtomicBool,
    /// Numbers the requests of which a canary gets its share.
    turns: AtomicU64,
}

/// Those of several requests that are for one version, and which they were.
struct Part<'a, I: Send + 'static, O: Send + 'static> {
    version: &'a Arc<Version<I, O>>,
    places: Vec<usize>,
    demands: Vec<Demand<I, O>>,
}

/// What the next version is called unless it says so itself.
struct Numbers {
    highest: u64,
}

impl Numbers {
    fn see(&mut self, name: &Name) {
        self.highest = self.highest.max(name.parse().unwrap_or(0));
    }
}

impl<I: Send + 'static, O: Send + 'static> Versions<I, O> {
    /// A model that is in memory.
    pub(crate) fn of_pool(common: Common, pool: Arc<Pool<I, O>>) -> Self {
        let version = Version::present(&common, pool);
        Self::only(common, version)
    }

    /// A model that is started here and now.
    pub(crate) fn start(
        common: Common,
        model: SharedModel<I, O>,
        options: PoolOptions,
    ) -> Result<Self, Error> {
        let pool = load::start(&common, model, options, None)?;
        Ok(Self::of_pool(common, pool))
    }

    /// A model that is not in memory.
    pub(crate) fn absent(common: Common, options: PoolOptions, mut recipe: Recipe<I, O>) -> Self {
        let name = recipe.version.take().unwrap_or_else(|| "1".into());
        let version = Version::absent(&common, name, options, recipe);
        Self::only(common, version)
    }

    fn only(common: Common, version: Arc<Version<I, O>>) -> Self {
        let mut numbers = Numbers { highest: 0 };
        numbers.see(&version.name);
        Self {
            common,
            routes: ArcSwap::from_pointee(Routes::only(version.name.clone(), version)),
            changes: Mutex::new(numbers),
            is_loading: AtomicBool::new(false),
            turns: AtomicU64::new(0),
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.common.name
    }

    pub(crate) fn common(&self) -> &Common {
        &self.common
    }

    pub(crate) fn info(&self) -> Arc<ModelInfo> {
        Arc::clone(self.routes.load().main().info())
    }

    pub(crate) fn known_info(&self) -> Option<Arc<ModelInfo>> {
        self.routes.load().main().known_info()
    }

    pub(crate) fn status(&self) -> PoolStatus {
        self.routes.load().main().status()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.routes.load().main().is_ready()
    }

    /// The pool of the version that answers those who name none, while it is in memory.
    #[cfg(test)]
    pub(crate) fn pool(&self) -> Option<Arc<Pool<I, O>>> {
        self.routes.load().main().pool()
    }

    /// The pool that a request like this goes to, if it is in memory.
    pub(crate) fn pool_for(&self, options: &RequestOptions) -> Result<Arc<Pool<I, O>>, Error> {
        let routes = self.routes.load();
        let pool = self.pick(&routes, options).and_then(|version| version.pool_or_why());
        pool.map_err(|error| error.of_model(self.name()))
    }

    /// Keeps its versions in memory.
    pub(crate) fn hold(&self) -> Hold {
        self.common.holds.hold()
    }

    /// Takes a request in, in the version that it is for, and says why not.
    pub(crate) fn submit(&self, now: Instant, mut demand: Demand<I, O>) -> Sent<I, O> {
        loop {
            let routes = self.routes.load();
            let version = self.pick(&routes, &demand.options).map_err(|error| self.refusal(error))?;
            match version.submit(now, demand) {
                // Its version has gone in this moment: another has taken its place.
                Err(Refusal { gone: Some(back), .. }) if !self.routes.load().has(version) => demand = *back,
                Err(Refusal { gone: Some(_), error, .. }) => {
                    version.past.meter.refused(error.kind());
                    return Err(Refusal::of(error));
                }
                outcome => return outcome,
            }
        }
    }

    /// Takes several in at once, so that those of one version may share a run.
    pub(crate) fn submit_all(
        &self,
        now: Instant,
        demands: impl IntoIterator<Item = Demand<I, O>>,
    ) -> Vec<Sent<I, O>> {
        let routes = self.routes.load_full();
        let mut outcomes: Vec<Option<Sent<I, O>>> = Vec::new();
        let mut parts: Vec<Part<'_, I, O>> = Vec::new();
        for (at, demand) in demands.into_iter().enumerate() {
            outcomes.push(None);
            let version = match self.pick(&routes, &demand.options) {
                Ok(version) => version,
                Err(error) => {
                    outcomes[at] = Some(Err(self.refusal(error)));
                    continue;
                }
            };
            match parts.iter_mut().find(|part| Arc::ptr_eq(part.version, version)) {
                Some(part) => {
                    part.places.push(at);
                    part.demands.push(demand);
                }
                None => parts.push(Part { version, places: vec![at], demands: vec![demand] }),
            }
        }
        for Part { version, places, demands } in parts {
            for (at, outcome) in places.into_iter().zip(version.submit_all(now, demands)) {
                outcomes[at] = Some(match outcome {
                    Err(Refusal { gone: Some(demand), .. }) => self.submit(now, *demand),
                    outcome => outcome,
                });
            }
        }
        outcomes.into_iter().map(|outcome| outcome.expect("each was sent or refused")).collect()
    }

    pub(crate) fn weigh(&self, input: &I) -> usize {
        self.routes.load().main().weigh(input)
    }

    pub(crate) fn queue_limits(&self) -> QueueLimits {
        self.options().queue()
    }

    /// How the version is run that answers those who name none.
    pub(crate) fn options(&self) -> PoolOptions {
        self.routes.load().main().options
    }

    /// Ready when so many bytes may find room in the queue.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, options: &RequestOptions, bytes: usize) -> Poll<()> {
        let routes = self.routes.load();
        match routes.pick(&wish(options), || 0) {
            Ok(version) => version.poll_room(cx, bytes),
            Err(_) => Poll::Ready(()),
        }
    }

    /// Somebody who wanted room has gone.
    pub(crate) fn forget_room(&self) {
        self.routes.load().versions().for_each(|version| version.forget_room());
    }

    /// Completes when the version that answers those who name none is in memory; has it loaded if it is not.
    pub(crate) async fn present(&self) -> Result<(), Error> {
        let mut began = false;
        std::future::poll_fn(|cx| {
            let version = Arc::clone(self.routes.load().main());
            version.poll_present(cx, &mut began)
        })
        .await
    }

    fn pick<'a>(
        &self,
        routes: &'a Routes<Version<I, O>>,
        options: &RequestOptions,
    ) -> Result<&'a Arc<Version<I, O>>, Error> {
        routes.pick(&wish(options), || self.turns.fetch_add(1, Ordering::Relaxed))
    }

    fn refusal(&self, error: Error) -> Refusal<I, O> {
        self.routes.load().main().past.meter.refused(error.kind());
        Refusal::of(error.of_model(self.name()))
    }

    /// Loads the version that is there but not in memory, on this thread. Blocks.
    pub(crate) fn load(&self, cancel: &CancelToken, tell: Tell<'_>) -> Result<(), Error> {
        let version = Arc::clone(self.routes.load().main());
        version.begin_with(cancel.clone());
        version.load(cancel, tell).inspect_err(|error| version.fail(error))
    }

    /// Says that another version is on its way: one at a time.
    pub(crate) fn begin_load(self: &Arc<Self>) -> Result<LoadGuard<I, O>, Error> {
        if self.is_loading.swap(true, Ordering::AcqRel) {
            let message = "another version is being loaded; try again when it is there";
            return Err(Error::new(ErrorKind::NotReady, message).of_model(self.name()));
        }
        Ok(LoadGuard(Arc::clone(self)))
    }

    /// Changes who gets which version, unless what was asked makes no sense. `error` is told to those who come for what has
    /// gone; its pools are given back.
    fn change(
        &self,
        error: &Error,
        change: impl FnOnce(&Routes<Version<I, O>>, &mut Numbers) -> Result<Change<Version<I, O>>, Error>,
    ) -> Result<Vec<Arc<Pool<I, O>>>, Error> {
        let mut numbers = self.changes.lock();
        let Change { routes, gone } =
            change(&self.routes.load(), &mut numbers).map_err(|error| error.of_model(self.name()))?;
        if routes.versions().count() > 1 || !gone.is_empty() {
            self.common.is_told.store(true, Ordering::Relaxed);
        }
        self.routes.store(Arc::new(routes));
        drop(numbers);
        // After the exchange: whoever finds the old one gone finds the new one in its place.
        let retired: Vec<_> = gone.iter().map(|version| version.retire(error)).collect();
        let mut pools = Vec::new();
        for Retired { pool, parked } in retired {
            pools.extend(pool);
            for one in parked {
                one.forward(|demand| self.submit(self.common.environment.timer.now(), demand));
            }
        }
        Ok(pools)
    }

    /// Gives so many percent of the requests to a version.
    pub(crate) fn share(&self, version: &str, percent: u8) -> Result<(), Error> {
        let change = |routes: &Routes<_>, _: &mut Numbers| {
            Ok(Change { routes: routes.shared(version, percent)?, gone: Vec::new() })
        };
        self.change(&Error::new(ErrorKind::NotReady, "has been replaced"), change).map(drop)
    }

    /// Makes a version the one for those who name none.
    pub(crate) fn promote(&self, version: &str) -> Result<(), Error> {
        let change = |routes: &Routes<_>, _: &mut Numbers| {
            Ok(Change { routes: routes.promoted(version)?, gone: Vec::new() })
        };
        self.change(&Error::new(ErrorKind::NotReady, "has been replaced"), change).map(drop)
    }

    /// Takes a version out.
    pub(crate) fn remove(&self, version: &str) -> Result<Vec<Arc<Pool<I, O>>>, Error> {
        let error = Error::new(ErrorKind::NotReady, format!("version {version} has been removed"));
        self.change(&error, |routes, _| routes.without(version))
    }

    /// Ends it all: whoever asks from now on hears `error`. The pools that are on their way out.
    pub(crate) fn end(&self, error: &Error) -> Vec<Arc<Pool<I, O>>> {
        let routes = self.routes.load_full();
        let mut pools = Vec::new();
        for version in routes.versions() {
            let Retired { pool, parked } = version.retire(error);
            version.refuse(&parked, error);
            pools.extend(pool);
        }
        pools
    }

    pub(crate) fn versions(&self) -> Vec<Arc<Version<I, O>>> {
        self.routes.load().versions().map(Arc::clone).collect()
    }
}

fn wish(options: &RequestOptions) -> Wish<'_> {
    let caller = options.context.as_ref().and_then(RequestContext::caller);
    Wish { version: options.version.as_ref(), caller: caller.map(|caller| &*caller.key) }
}

/// Another version of a model on its way; the next may come once it is dropped.
pub(crate) struct LoadGuard<I: Send + 'static, O: Send + 'static>(Arc<Versions<I, O>>);

impl<I: Send + 'static, O: Send + 'static> LoadGuard<I, O> {
    /// Puts a version that has not been loaded beside the others.
    pub(crate) fn add(&self, options: PoolOptions, mut recipe: Recipe<I, O>) -> Result<(), Error> {
        let name = self.name(&mut recipe);
        let version = Version::absent(&self.0.common, name, options, recipe);
        self.publish(version, Rollout::Beside)
    }

    /// Loads a version on this thread and puts it beside the others, or in the place of one. Blocks. If it fails, all is as
    /// it was.
    pub(crate) fn load(
        &self,
        options: PoolOptions,
        mut recipe: Recipe<I, O>,
        rollout: Rollout,
        (cancel, tell): (&CancelToken, Tell<'_>),
    ) -> Result<(), Error> {
        let name = self.name(&mut recipe);
        let version = Version::absent(&self.0.common, name, options, recipe);
        version.begin_with(cancel.clone());
        let loaded = version.load(cancel, tell).and_then(|()| self.publish(Arc::clone(&version), rollout));
        loaded.inspect_err(|error| {
            version.retire(error);
        })
    }

    /// As [`load`](Self::load), for a simulation that does the work itself: the version that is to be loaded.
    #[cfg(test)]
    pub(crate) fn begin(
        &self,
        options: PoolOptions,
        mut recipe: Recipe<I, O>,
        cancel: &CancelToken,
    ) -> Arc<Version<I, O>> {
        let name = self.name(&mut recipe);
        let version = Version::absent(&self.0.common, name, options, recipe);
        version.begin_with(cancel.clone());
        version
    }

    fn name(&self, recipe: &mut Recipe<I, O>) -> Name {
        let next = || (self.0.changes.lock().highest + 1).to_string().into();
        recipe.version.take().unwrap_or_else(next)
    }

    pub(crate) fn publish(&self, version: Arc<Version<I, O>>, rollout: Rollout) -> Result<(), Error> {
        let error = Error::new(ErrorKind::NotReady, "has been replaced by another version");
        let gone = self.0.change(&error, |routes, numbers| {
            numbers.see(&version.name);
            routes.with(version.name.clone(), version, rollout)
        })?;
        // Their threads hold them until they have run dry.
        drop(gone);
        Ok(())
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for LoadGuard<I, O> {
    fn drop(&mut self) {
        self.0.is_loading.store(false, Ordering::Release);
    }
}
