//! Which models an engine has, by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;
use unruffled_model::{ModelInfo, Name};

use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use crate::pool::{Pool, PoolStatus};

/// A model of any types, as far as the engine as a whole deals with it.
pub(crate) trait Member: Send + Sync {
    fn name(&self) -> &Name;
    fn info(&self) -> &ModelInfo;
    fn status(&self) -> PoolStatus;
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
    Loading,
    /// It can be asked: its pool, and the typed handle that [`Registry::get`] gives out.
    Loaded(Arc<dyn Member>, Box<dyn Any + Send + Sync>),
}

/// All models of an engine: those with names, and, weakly, every one that it started.
#[derive(Default)]
pub(crate) struct Registry(Mutex<Models>);

#[derive(Default)]
struct Models {
    named: BTreeMap<Name, Entry>,
    started: Vec<Weak<dyn Member>>,
    closed: Option<Error>,
}

impl Registry {
    /// Keeps a name for a model that is being loaded.
    pub(crate) fn reserve(&self, name: &Name) -> Result<(), Error> {
        let mut models = self.0.lock();
        if let Some(error) = &models.closed {
            return Err(error.clone().of_model(name));
        }
        if models.named.contains_key(name) {
            let message = "is there already; unload it first, or load under another name";
            return Err(Error::new(ErrorKind::InvalidInput, message).of_model(name));
        }
        models.named.insert(name.clone(), Entry::Loading);
        Ok(())
    }

    /// Frees a name that was kept.
    pub(crate) fn release(&self, name: &Name) {
        self.0.lock().named.remove(name);
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

    /// Puts a model under the name that was kept for it.
    pub(crate) fn publish<I: Send + 'static, O: Send + 'static>(&self, handle: &Handle<I, O>) {
        let member: Arc<dyn Member> = handle.pool().clone();
        let entry = Entry::Loaded(member, Box::new(handle.clone()));
        self.0.lock().named.insert(handle.name().clone(), entry);
    }

    pub(crate) fn get<I: Send + 'static, O: Send + 'static>(
        &self,
        name: &str,
    ) -> Result<Handle<I, O>, Error> {
        let models = self.0.lock();
        let error = |kind, message: &str| Error::new(kind, message).of_model(&name.into());
        match models.named.get(name) {
            None => Err(error(ErrorKind::NotFound, "there is no model of this name")),
            Some(Entry::Loading) => Err(error(ErrorKind::NotReady, "is being loaded")),
            Some(Entry::Loaded(_, handle)) => match handle.downcast_ref::<Handle<I, O>>() {
                Some(handle) => Ok(handle.clone()),
                None => Err(error(ErrorKind::InvalidInput, "takes or gives other types than asked for")),
            },
        }
    }

    /// Takes a model out, so that nobody finds it any more.
    pub(crate) fn take(&self, name: &str) -> Result<Arc<dyn Member>, Error> {
        let mut models = self.0.lock();
        let error = |kind, message: &str| Error::new(kind, message).of_model(&name.into());
        match models.named.get(name) {
            None => Err(error(ErrorKind::NotFound, "there is no model of this name")),
            Some(Entry::Loading) => Err(error(ErrorKind::NotReady, "is being loaded")),
            Some(Entry::Loaded(..)) => {
                let entry = models.named.remove(name);
                // The handle within may be the last one: its end takes other locks.
                drop(models);
                match entry {
                    Some(Entry::Loaded(member, _)) => Ok(member),
                    _ => unreachable!("looked at just now, under the lock"),
                }
            }
        }
    }

    /// The named models: those that are loaded with their pools, those that are not without.
    pub(crate) fn list(&self) -> Vec<(Name, Option<Arc<dyn Member>>)> {
        let models = self.0.lock();
        let named = models.named.iter().map(|(name, entry)| match entry {
            Entry::Loading => (name.clone(), None),
            Entry::Loaded(member, _) => (name.clone(), Some(Arc::clone(member))),
        });
        named.collect()
    }

    /// Whether models are taken in, and each that has a name can answer.
    pub(crate) fn is_ready(&self) -> bool {
        let models = self.0.lock();
        let ready = |entry: &Entry| match entry {
            Entry::Loading => false,
            Entry::Loaded(member, _) => member.status().ready,
        };
        models.closed.is_none() && models.named.values().all(ready)
    }

    /// Takes no model in any more, and gives all that there are.
    pub(crate) fn close(&self, error: Error) -> Vec<Arc<dyn Member>> {
        let mut models = self.0.lock();
        models.closed = Some(error);
        models.started.iter().filter_map(Weak::upgrade).collect()
    }
}
