//! [`Models`]: who can run which jobs just now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;
use unruffled_model::{Name, Tensors};

use super::model::JobModel;
use crate::error::{Error, ErrorKind};
use crate::registry::Registry;

/// The models that jobs may name: those that were given for it, and the engine's own from tensors to tensors, as they come
/// and go.
pub(super) struct Models {
    served: Mutex<BTreeMap<Name, Arc<dyn JobModel>>>,
    /// Not kept alive: a runner does not keep an engine's models in memory.
    registry: Weak<Registry>,
}

impl Models {
    pub(super) fn new(registry: &Arc<Registry>) -> Self {
        Self { served: Mutex::default(), registry: Arc::downgrade(registry) }
    }

    /// Has a model run the jobs of this name; gives the one that it replaces.
    pub(super) fn serve(&self, name: Name, model: Arc<dyn JobModel>) -> Option<Arc<dyn JobModel>> {
        self.served.lock().insert(name, model)
    }

    pub(super) fn withdraw(&self, name: &str) -> Option<Arc<dyn JobModel>> {
        self.served.lock().remove(name)
    }

    /// Lets go of all that were given.
    pub(super) fn clear(&self) {
        let served = std::mem::take(&mut *self.served.lock());
        // Without the lock: their end is the callers' code.
        drop(served);
    }

    /// The names of all that can run now.
    pub(super) fn names(&self) -> BTreeSet<Name> {
        let mut names: BTreeSet<Name> = self.served.lock().keys().cloned().collect();
        if let Some(registry) = self.registry.upgrade() {
            names.extend(registry.names_of::<Tensors, Tensors>());
        }
        names
    }

    /// The model of this name, as it is now.
    pub(super) fn find(&self, name: &str) -> Result<Arc<dyn JobModel>, Error> {
        if let Some(model) = self.served.lock().get(name) {
            return Ok(Arc::clone(model));
        }
        let registry = self.registry.upgrade();
        let registry = registry.ok_or_else(|| Error::new(ErrorKind::ShuttingDown, "the engine is gone"))?;
        Ok(Arc::new(registry.get::<Tensors, Tensors>(name)?))
    }

    /// Why a job of this model would never run, if that is known.
    pub(super) fn refuse(&self, name: &str) -> Option<Error> {
        let error = self.find(name).err()?;
        match error.kind() {
            // It is being loaded: its jobs may wait for it.
            ErrorKind::NotReady => None,
            ErrorKind::InvalidInput => {
                let message = "takes or gives other things than tensors; `Jobs::serve` has it run jobs";
                Some(Error::new(ErrorKind::InvalidInput, message).of_model(&name.into()))
            }
            _ => Some(error),
        }
    }

    /// Changes whenever a model of the engine has come.
    pub(super) fn arrivals(&self) -> Option<watch::Receiver<()>> {
        self.registry.upgrade().map(|registry| registry.changes())
    }
}
