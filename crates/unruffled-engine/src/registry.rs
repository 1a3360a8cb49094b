//! Which models an engine has, by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;
use unruffled_model::{CancelToken, LoadContext, ModelInfo, Name, RequestId};

use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use crate::metrics::ModelMetrics;
use crate::pool::{Pool, PoolStatus};
use crate::recorder::Explanation;

/// A model of any types, as far as the engine as a whole deals with it.
pub(crate) trait Member: Send + Sync {
    fn name(&self) -> &Name;
    fn info(&self) -> &ModelInfo;
    fn status(&self) -> PoolStatus;
    fn metrics(&self) -> ModelMetrics;
    fn explain(&self, id: &RequestId) -> Option<Explanation>;
    fn drain(&self, error: Error);
    fn close(&self, error: Error);
    fn threads(&self) -> watch::Receiver<usize>;
}

impl<I: Send + 'static, O: Send + 'static> Member for Pool<I, O> {
    fn name(&self) -> &Name {
        self.name()
    }

    fn info(&self) -> &ModelInfo {
        self.model().info()
    }

    fn status(&self) -> PoolStatus {
        self.status()
    }

    fn metrics(&self) -> ModelMetrics {
        self.metrics()
    }

    fn explain(&self, id: &RequestId) -> Option<Explanation> {
        self.explain(id)
    }

    fn drain(&self, error: Error) {
        self.drain(error);
    }

    fn close(&self, error: Error) {
        self.close(error);
    }

    fn threads(&self) -> watch::Receiver<usize> {
        self.threads()
    }
}

/// One name's entry.
enum Entry {
    /// Somebody is loading it.
    Loading(CancelToken),
    /// It can be asked: its pool, and the typed handle that [`Registry::get`] gives out.
    Loaded(Arc<dyn Member>, AnyHandle),
}

/// A [`Handle`] of whatever types.
type AnyHandle = Box<dyn Any + Send + Sync>;

impl Entry {
    fn load(&self) -> Option<&CancelToken> {
        match self {
            Entry::Loading(cancel) => Some(cancel),
            Entry::Loaded(..) => None,
        }
    }
}

/// All models of an engine: those with names, and, weakly, every one that it started.
#[derive(Default)]
pub(crate) struct Registry(Mutex<Models>);

#[derive(Default)]
struct Models {
    named: BTreeMap<Name, Entry>,
    started: Vec<Weak<dyn Member>>,
    closed: Option<Error>,
    /// Told when a load has come to its end.
    changed: Arc<Condvar>,
    /// Models that are being loaded, and whom each waits for.
    waiting: BTreeMap<Name, Name>,
}

impl Registry {
    /// Keeps a name for a model that is being loaded; `cancel` stops that load.
    pub(crate) fn reserve(self: &Arc<Self>, name: &Name, cancel: CancelToken) -> Result<Reservation, Error> {
        let mut models = self.0.lock();
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

    /// Remembers a model that was started, so that shutting down reaches it, named or not.
    pub(crate) fn started(&self, member: Weak<dyn Member>) -> Result<(), Error> {
        let mut models = self.0.lock();
        if let Some(error) = &models.closed {
            return Err(error.clone());
        }
        models.started.retain(|known| known.strong_count() > 0);
        models.started.push(member);
        Ok(())
    }

    pub(crate) fn get<I: Send + 'static, O: Send + 'static>(
        &self,
        name: &str,
    ) -> Result<Handle<I, O>, Error> {
        let models = self.0.lock();
        let (_, handle) = loaded(&models, name)?;
        match handle.downcast_ref::<Handle<I, O>>() {
            Some(handle) => Ok(handle.clone()),
            None => {
                let message = "takes or gives other types than asked for";
                Err(Error::new(ErrorKind::InvalidInput, message).of_model(&name.into()))
            }
        }
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
            let models = hook.0.lock();
            models.changed.notify_all();
        });
        let mut models = self.0.lock();
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
    pub(crate) fn take(&self, name: &str) -> Result<Arc<dyn Member>, Error> {
        let mut models = self.0.lock();
        let member = Arc::clone(loaded(&models, name)?.0);
        let entry = models.named.remove(name);
        // The handle within may be the last one: its end takes other locks.
        drop(models);
        drop(entry);
        Ok(member)
    }

    /// The named models: those that are loaded with their pools, those that are not without.
    pub(crate) fn list(&self) -> Vec<(Name, Option<Arc<dyn Member>>)> {
        let models = self.0.lock();
        let named = models.named.iter().map(|(name, entry)| match entry {
            Entry::Loading(_) => (name.clone(), None),
            Entry::Loaded(member, _) => (name.clone(), Some(Arc::clone(member))),
        });
        named.collect()
    }

    /// Every model that runs, named or not.
    pub(crate) fn running(&self) -> Vec<Arc<dyn Member>> {
        self.0.lock().started.iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether models are taken in, and each that has a name can answer.
    pub(crate) fn is_ready(&self) -> bool {
        let models = self.0.lock();
        let ready = |entry: &Entry| match entry {
            Entry::Loading(_) => false,
            Entry::Loaded(member, _) => member.status().ready,
        };
        models.closed.is_none() && models.named.values().all(ready)
    }

    /// Takes no model in any more, stops what is being loaded, and gives all that there are.
    pub(crate) fn close(&self, error: Error) -> Vec<Arc<dyn Member>> {
        let mut models = self.0.lock();
        models.closed = Some(error);
        let members = models.started.iter().filter_map(Weak::upgrade).collect();
        let loads: Vec<CancelToken> = models.named.values().filter_map(Entry::load).cloned().collect();
        // The loaders' hooks are theirs: no lock is held while they run.
        drop(models);
        loads.iter().for_each(CancelToken::cancel);
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
fn loaded<'a>(models: &'a Models, name: &str) -> Result<(&'a Arc<dyn Member>, &'a AnyHandle), Error> {
    let error = |kind, message: &str| Error::new(kind, message).of_model(&name.into());
    match models.named.get(name) {
        None => Err(error(ErrorKind::NotFound, "there is no model of this name")),
        Some(Entry::Loading(_)) => Err(error(ErrorKind::NotReady, "is being loaded")),
        Some(Entry::Loaded(member, handle)) => Ok((member, handle)),
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
        let member: Arc<dyn Member> = handle.pool().clone();
        let entry = Entry::Loaded(member, Box::new(handle.clone()));
        let mut models = self.registry.0.lock();
        models.named.insert(self.name.clone(), entry);
        models.changed.notify_all();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // A model that took the name stays; nobody else can have it while it is kept.
        let mut models = self.registry.0.lock();
        if matches!(models.named.get(&self.name), Some(Entry::Loading(_))) {
            models.named.remove(&self.name);
            models.changed.notify_all();
        }
    }
}
