//! [`Version`]: one version of a model, in memory or not, and who waits for it to be.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
#[cfg(test)]
use unruffled_model::CancelToken;
use unruffled_model::{ModelInfo, Name};

use super::hold::Holds;
use super::lot::{Lot, Phase};
use super::parked::Parked;
use super::recipe::{Loader, Recipe};
use crate::environment::Environment;
use crate::error::{Error, ErrorKind};
use crate::pool::{Label, Past, Pool, PoolOptions, PoolStatus};
use crate::roster::Roster;
use crate::timer::AlarmHandle;

/// What all versions of a model have in common.
#[derive(Clone)]
pub(crate) struct Common {
    pub(crate) name: Name,
    pub(crate) environment: Environment,
    pub(crate) roster: Arc<Roster>,
    pub(super) holds: Holds,
    /// Whether there have been several.
    pub(super) is_told: Arc<AtomicBool>,
    /// Where loads are put down that a simulation does itself.
    #[cfg(test)]
    pub(crate) desk: Option<Desk>,
}

/// Loads that were to go on apart: each a version, of whatever types, and the token of its load.
#[cfg(test)]
pub(crate) type Desk = Arc<Mutex<Vec<(Box<dyn std::any::Any + Send + Sync>, CancelToken)>>>;

impl Common {
    pub(crate) fn new(name: Name, environment: &Environment, roster: &Arc<Roster>) -> Self {
        Self {
            name,
            environment: environment.clone(),
            roster: Arc::clone(roster),
            holds: Holds::new(&environment.memory),
            is_told: Arc::default(),
            #[cfg(test)]
            desk: None,
        }
    }
}

/// One version of a model.
pub(crate) struct Version<I: Send + 'static, O: Send + 'static> {
    pub(super) common: Common,
    pub(crate) name: Name,
    pub(super) options: PoolOptions,
    /// Its pool, while it is in memory.
    pub(super) resident: ArcSwapOption<Pool<I, O>>,
    pub(super) lot: Mutex<Lot<Arc<Parked<I, O>>>>,
    pub(super) loader: Mutex<Loader<I, O>>,
    pub(super) repeats: bool,
    pub(super) weigh: fn(&I) -> usize,
    /// What is known of it before it was loaded, and from then on.
    declared: Arc<ModelInfo>,
    is_declared: bool,
    pub(super) info: OnceLock<Arc<ModelInfo>>,
    pub(super) past: Past,
    /// What it is thought to take, or has been found to.
    pub(super) bytes: AtomicUsize,
    /// What it takes beyond that while it is being loaded.
    extra: usize,
    pub(super) is_weighed: AtomicBool,
    pub(super) alarm: OnceLock<AlarmHandle>,
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
            is_declared: info.is_some(),
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
            is_declared: true,
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

    #[cfg(test)]
    pub(crate) fn pool(&self) -> Option<Arc<Pool<I, O>>> {
        self.resident.load_full()
    }

    /// Its pool, or why it is not in memory.
    pub(super) fn pool_or_why(&self) -> Result<Arc<Pool<I, O>>, Error> {
        self.resident.load_full().ok_or_else(|| match &self.lot.lock().phase {
            Phase::Ended(error) => error.clone(),
            _ => {
                let message =
                    "is not in memory; have it loaded first, by a request or by awaiting `Handle::ready`";
                Error::new(ErrorKind::NotReady, message)
            }
        })
    }

    pub(super) fn info(&self) -> &Arc<ModelInfo> {
        self.info.get().unwrap_or(&self.declared)
    }

    /// The same, unless it was never in memory and nobody has said anything.
    pub(super) fn known_info(&self) -> Option<Arc<ModelInfo>> {
        self.info.get().or(self.is_declared.then_some(&self.declared)).cloned()
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
}

impl<I: Send + 'static, O: Send + 'static> Drop for Version<I, O> {
    fn drop(&mut self) {
        if let Some(pool) = self.resident.swap(None) {
            pool.drain(Error::new(ErrorKind::NotReady, "has been unloaded"));
        }
    }
}
