//! Models that come and go: loaded again and again, on demand, in several versions, within a budget of memory.

use std::time::Duration;

use unruffled_model::{CancelToken, Name};

use super::{Drained, Engine};
use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use crate::load::Loading;
use crate::memory::MemoryReport;
use crate::pool::PoolOptions;
use crate::version::{Recipe, Rollout, VersionStatus, Versions};

impl Engine {
    /// As [`load_with`](Self::load_with), for a model that may be loaded again: where the engine has a budget of memory
    /// ([`EngineOptions::with_memory`](crate::EngineOptions::with_memory)), it may be put out of memory while nobody uses it, and is loaded again when somebody
    /// asks for it.
    ///
    /// # Errors
    ///
    /// As [`load_with`](Self::load_with); `Overloaded` when awaited, if there is no memory for it whoever goes.
    pub fn load_from<I: Send + 'static, O: Send + 'static>(
        &self,
        name: impl Into<Name>,
        options: PoolOptions,
        recipe: Recipe<I, O>,
    ) -> Result<Loading<I, O>, Error> {
        let name = name.into();
        let cancel = CancelToken::new();
        let reservation = self.0.registry.reserve(&name, cancel.clone())?;
        let versions = Versions::absent(self.common(&name), options, recipe);
        let work = move |cancel: &CancelToken, tell: &(dyn Fn(_) + Sync)| {
            let handle = Handle::of(versions);
            handle.versions_of().load(cancel, tell)?;
            reservation.publish(&handle);
            Ok(handle)
        };
        Loading::start(&name, cancel, Box::new(work))
    }

    /// Puts a model under a name without loading it: the first request has it loaded, and waits for that within its
    /// deadline, as [`Handle::ready`] does. Whoever comes meanwhile waits too; it is loaded once for all.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the name is taken, `ShuttingDown`.
    pub fn register<I: Send + 'static, O: Send + 'static>(
        &self,
        name: impl Into<Name>,
        options: PoolOptions,
        recipe: Recipe<I, O>,
    ) -> Result<Handle<I, O>, Error> {
        let name = name.into();
        let reservation = self.0.registry.reserve(&name, CancelToken::new())?;
        let handle = Handle::of(Versions::absent(self.common(&name), options, recipe));
        reservation.publish(&handle);
        Ok(handle)
    }

    /// Loads another version of a model beside those that it has. When its first instance is up it takes the place that
    /// `rollout` says; whoever holds a [`Handle`] goes on without noticing. A load that fails leaves all as it was.
    ///
    /// A version that is replaced finishes what it has; then its threads end and its memory is free. One load at a time.
    ///
    /// # Errors
    ///
    /// At once: `NotFound`; `NotReady` while it is being loaded for the first time, or another version of it is;
    /// `InvalidInput` if it takes or gives other types. When awaited: what the loader says, why no instance could be built,
    /// or that the rollout makes no sense.
    pub fn reload<I: Send + 'static, O: Send + 'static>(
        &self,
        name: &str,
        options: PoolOptions,
        recipe: Recipe<I, O>,
        rollout: Rollout,
    ) -> Result<Loading<I, O>, Error> {
        let handle: Handle<I, O> = self.get(name)?;
        let guard = handle.versions_of().begin_load()?;
        let name = handle.name().clone();
        let work = move |cancel: &CancelToken, tell: &(dyn Fn(_) + Sync)| {
            guard.load(options, recipe, rollout, (cancel, tell))?;
            Ok(handle)
        };
        Loading::start(&name, CancelToken::new(), Box::new(work))
    }

    /// Puts another version of a model beside those that it has without loading it: the first request that asks for it, or is
    /// for it once it was given a [share](Self::canary) or [promoted](Self::promote), has it loaded.
    ///
    /// # Errors
    ///
    /// As [`reload`](Self::reload), at once.
    pub fn register_version<I: Send + 'static, O: Send + 'static>(
        &self,
        name: &str,
        options: PoolOptions,
        recipe: Recipe<I, O>,
    ) -> Result<(), Error> {
        let handle: Handle<I, O> = self.get(name)?;
        handle.versions_of().begin_load()?.add(options, recipe)
    }

    /// The versions of a model, in the order in which they came.
    ///
    /// # Errors
    ///
    /// `NotFound`, or `NotReady` while it is being loaded for the first time.
    pub fn versions(&self, name: &str) -> Result<Vec<VersionStatus>, Error> {
        Ok(self.0.registry.find(name)?.versions())
    }

    /// Has a version answer so many percent of the requests that name none, 0 to 100: of a hundred in a row exactly so many,
    /// spread evenly; but whoever says on whose behalf a request is made ([`Request::caller`](crate::Request::caller)) always
    /// gets the same version, and the share is one of such callers.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such model or version, `InvalidInput` for a share that is none.
    pub fn canary(&self, name: &str, version: &str, percent: u8) -> Result<(), Error> {
        self.0.registry.find(name)?.share(version, percent)
    }

    /// Has a version answer those who name none. The one that did so before stays for those who ask for it, until it is
    /// [removed](Self::remove).
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such model or version.
    pub fn promote(&self, name: &str, version: &str) -> Result<(), Error> {
        self.0.registry.find(name)?.promote(version)
    }

    /// Takes a version out: what it has accepted has `grace` to finish, and what is left is then cancelled.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such model or version; `InvalidInput` for the one that answers those who name none.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the version is out and goes on draining, without a bound.
    pub async fn remove(&self, name: &str, version: &str, grace: Duration) -> Result<Drained, Error> {
        let members = self.0.registry.find(name)?.remove(version)?;
        let error = Error::new(ErrorKind::NotReady, format!("version {version} has been removed"));
        Ok(self.drain(members, error, grace).await)
    }

    /// Who takes the memory that the models may have together; `None` without a budget.
    pub fn memory(&self) -> Option<MemoryReport> {
        self.0.environment.memory.report()
    }
}
