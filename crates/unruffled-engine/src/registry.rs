//! Which models an engine has, by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;
use unruffled_model::{CancelToken, LoadContext, ModelInfo, Name, RequestId};

use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use crate::metrics::{Meter, ModelMetrics};
use crate::pool::PoolStatus;
use crate::recorder::Explanation;
use crate::roster::{Member, Roster};
use crate::version::{VersionStatus, Versions};

/// A named model of any types, with all its versions.
pub(crate) trait Named: Send + Sync {
    fn status(&self) -> PoolStatus;
    fn is_ready(&self) -> bool;
    fn info(&self) -> Arc<ModelInfo>;
    fn versions(&self) -> Vec<VersionStatus>;
    fn metrics(&self) -> Vec<ModelMetrics>;
    fn meters(&self) -> Vec<*const Meter>;
    fn explain(&self, id: &RequestId) -> Option<Explanation>;
    fn recent(&self, most: usize) -> Vec<Explanation>;
    fn share(&self, version: &str, percent: u8) -> Result<(), Error>;
    fn promote(&self, version: &str) -> Result<(), Error>;
    /// Takes a version out, and gives what of it is still there.
    fn remove(&self, version: &str) -> Result<Vec<Arc<dyn Member>>, Error>;
    /// Ends all versions, and gives what of them is still there.
    fn end(&self, error: &Error) -> Vec<Arc<dyn Member>>;
}

impl<I: Send + 'static, O: Send + 'static> Named for Versions<I, O> {
    fn status(&self) -> PoolStatus {
        self.status()
    }

    fn is_ready(&self) -> bool {
        self.is_ready()
    }

    fn info(&self) -> Arc<ModelInfo> {
        self.info()
    }

    fn versions(&self) -> Vec<VersionStatus> {
        self.statuses()
    }

    fn metrics(&self) -> Vec<ModelMetrics> {
        self.metrics()
    }

    fn meters(&self) -> Vec<*const Meter> {
        self.meters()
    }

    fn explain(&self, id: &RequestId) -> Option<Explanation> {
        self.explain(id)
    }

    fn recent(&self, most: usize) -> Vec<Explanation> {
        self.recent(most)
    }

    fn share(&self, version: &str, percent: u8) -> Result<(), Error> {
        self.share(version, percent)
    }

    fn promote(&self, version: &str) -> Result<(), Error> {
        self.promote(version)
    }

    fn remove(&self, version: &str) -> Result<Vec<Arc<dyn Member>>, Error> {
        Ok(self.remove(version)?.into_iter().map(|pool| pool as _).collect())
    }

    fn end(&self, error: &Error) -> Vec<Arc<dyn Member>> {
        self.end(error).into_iter().map(|pool| pool as _).collect()
    }
}

/// One name's entry.
enum Entry {
    /// Somebody is loading it.
    Loading(CancelToken),
    /// It can be asked: its versions, and the typed handle that [`Registry::get`] gives out.
    Here(Arc<dyn Named>, AnyHandle),
}

/// A [`Handle`] of whatever types.
type AnyHandle = Box<dyn Any + Send + Sync>;

impl Entry {
    fn load(&self) -> Option<&CancelToken> {
        match self {
            Entry::Loading(cancel) => Some(cancel),
            Entry::Here(..) => None,
        }
    }

    fn named(&self) -> Option<&Arc<dyn Named>> {
        match self {
            Entry::Loading(_) => None,
            Entry::Here(named, _) => Some(named),
        }
    }
}

/// All models of an engine that have names, and the roster of every pool that it started.
#[derive(Default)]
pub(crate) struct Registry {
    models: Mutex<Models>,
    roster: Arc<Roster>,
    /// Told whenever a load has ended, well or not.
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct Models {
    named: BTreeMap<Name, Entry>,
    closed: Option<Error>,
    /// Told when a load has come to its end.
    changed: Arc<Condvar>,
    /// Models that are being loaded, and whom each waits for.
    waiting: BTreeMap<Name, Name>,
}

impl Registry {
    pub(crate) fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// Keeps a name for a model that is being loaded; `cancel` stops that load.
    pub(crate) fn reserve(self: &Arc<Self>, name: &Name, cancel: CancelToken) -> Result<Reservation, Error> {
        let mut models = self.models.lock();
        if let Some(error) = &models.closed {
            return Err(error.clone().of_model(name));
        }
        if models.named.contains_key(name) {
            let message = "is there already; unload it first, or load under another name";
            return Err(Error::new(ErrorKind::InvalidInput, message).of_model(name));
        }
        models.named.insert(name.clone(), Entry::Loading(cancel));
        Ok(Reservation { registry: Arc::clone(self), name: name.clone() })
    }

    /// Hears whenever a load has ended, well or not.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub(crate) fn get<I: Send + 'static, O: Send + 'static>(
        &self,
        name: &str,
    ) -> Result<Handle<I, O>, Error> {
        let models = self.models.lock();
        let (_, handle) = here(&models, name)?;
        match handle.downcast_ref::<Handle<I, O>>() {
            Some(handle) => Ok(handle.clone()),
            None => {
                let message = "takes or gives other types than asked for";
                Err(Error::new(ErrorKind::InvalidInput, message).of_model(&name.into()))
            }
        }
    }

    /// The names of the models that are loaded and take and give these types.
    pub(crate) fn names_of<I: Send + 'static, O: Send + 'static>(&self) -> Vec<Name> {
        let models = self.models.lock();
        let names = models.named.iter().filter_map(|(name, entry)| match entry {
            Entry::Here(_, handle) if handle.is::<Handle<I, O>>() => Some(name.clone()),
            _ => None,
        });
        names.collect()
    }

    /// The model of this name, whatever its types.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<dyn Named>, Error> {
        here(&self.models.lock(), name).map(|(named, _)| Arc::clone(named))
    }

    /// Blocks as long as a model is being loaded, on behalf of another that is.
    pub(crate) fn wait_for(
        self: &Arc<Self>,
        name: &str,
        waiting: &Name,
        ctx: &LoadContext<'_>,
    ) -> Result<(), Error> {
        let hook = Arc::clone(self);
        // Made before the lock is taken: the hook takes it itself.
        let _woken = ctx.on_cancel(move || {
            let models = hook.models.lock();
            models.changed.notify_all();
        });
        let mut models = self.models.lock();
        let changed = Arc::clone(&models.changed);
        let outcome = loop {
            if ctx.is_cancelled() {
                break Err(Error::new(ErrorKind::Cancelled, "the load was cancelled"));
            }
            if !matches!(models.named.get(name), Some(Entry::Loading(_))) {
                break Ok(());
            }
            if models.comes_back_to(name, waiting) {
                let message = format!("waits for `{waiting}`, which waits for it");
                break Err(Error::new(ErrorKind::InvalidInput, message).of_model(&name.into()));
            }
            models.waiting.insert(waiting.clone(), name.into());
            changed.wait(&mut models);
        };
        models.waiting.remove(waiting);
        outcome
    }

    /// Takes a model out, so that nobody finds it any more.
    pub(crate) fn take(&self, name: &str) -> Result<Arc<dyn Named>, Error> {
        let mut models = self.models.lock();
        let named = Arc::clone(here(&models, name)?.0);
        let entry = models.named.remove(name);
        // The handle within may be the last one: its end takes other locks.
        drop(models);
        drop(entry);
        Ok(named)
    }

    /// The named models: those that are there, and those that are on their way without anything.
    pub(crate) fn list(&self) -> Vec<(Name, Option<Arc<dyn Named>>)> {
        let models = self.models.lock();
        models.named.iter().map(|(name, entry)| (name.clone(), entry.named().cloned())).collect()
    }

    /// Whether models are taken in, and each that has a name can answer.
    pub(crate) fn is_ready(&self) -> bool {
        let models = self.models.lock();
        let ready = |entry: &Entry| entry.named().is_some_and(|named| named.is_ready());
        models.closed.is_none() && models.named.values().all(ready)
    }

    /// Whether models are taken in no more.
    pub(crate) fn is_closed(&self) -> bool {
        self.models.lock().closed.is_some()
    }

    /// Takes no model in any more, stops what is being loaded, and gives all that there are.
    pub(crate) fn close(&self, error: &Error) -> Vec<Arc<dyn Member>> {
        let mut models = self.models.lock();
        models.closed = Some(error.clone());
        let loads: Vec<CancelToken> = models.named.values().filter_map(Entry::load).cloned().collect();
        let named: Vec<_> = models.named.values().filter_map(Entry::named).cloned().collect();
        // The loaders' hooks are theirs: no lock is held while they run.
        drop(models);
        let members = self.roster.close(error.clone());
        loads.iter().for_each(CancelToken::cancel);
        for named in named {
            // What runs is on the roster already.
            drop(named.end(error));
        }
        members
    }
}

impl Models {
    /// Whether the one that `name` waits for, or whom that one waits for, and so on, is `other`.
    fn comes_back_to(&self, name: &str, other: &Name) -> bool {
        let mut next = Some(name);
        // Nobody else waits in a circle: who would close one is told so.
        while let Some(name) = next {
            if *name == **other {
                return true;
            }
            next = self.waiting.get(name).map(|name| &**name);
        }
        false
    }
}

/// The model of this name, or why it cannot be asked.
fn here<'a>(models: &'a Models, name: &str) -> Result<(&'a Arc<dyn Named>, &'a AnyHandle), Error> {
    let error = |kind, message: &str| Error::new(kind, message).of_model(&name.into());
    match models.named.get(name) {
        None => Err(error(ErrorKind::NotFound, "there is no model of this name")),
        Some(Entry::Loading(_)) => Err(error(ErrorKind::NotReady, "is being loaded")),
        Some(Entry::Here(named, handle)) => Ok((named, handle)),
    }
}

/// A name that is kept for a model on its way; freed when dropped, unless the model took it.
pub(crate) struct Reservation {
    registry: Arc<Registry>,
    name: Name,
}

impl Reservation {
    /// Puts the model under the name.
    pub(crate) fn publish<I: Send + 'static, O: Send + 'static>(self, handle: &Handle<I, O>) {
        let named: Arc<dyn Named> = handle.versions_of().clone();
        let entry = Entry::Here(named, Box::new(handle.clone()));
        let mut models = self.registry.models.lock();
        models.named.insert(self.name.clone(), entry);
        models.changed.notify_all();
        drop(models);
        // Without the lock: whoever waits for models is woken here.
        self.registry.changes.send_replace(());
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // A model that took the name stays; nobody else can have it while it is kept.
        let mut models = self.registry.models.lock();
        if matches!(models.named.get(&self.name), Some(Entry::Loading(_))) {
            models.named.remove(&self.name);
            models.changed.notify_all();
            drop(models);
            self.registry.changes.send_replace(());
        }
    }
}
