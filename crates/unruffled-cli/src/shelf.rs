//! [`Shelf`]: the models that a server was started for, as its clients may have them loaded and ended.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use unruffled::config::InputSource;
use unruffled::engine::{Error, ErrorKind};
use unruffled::model::Name;
use unruffled::{Backends, Engine, ModelFolder, Repository, Rollout};
use unruffled_server::{Catalog, Control, FileEnds};

/// How long requests in flight have to finish when a client ends their model.
const UNLOAD_GRACE: Duration = Duration::from_secs(30);

/// Where models come from: looked at again whenever somebody asks, since files come and go.
pub(crate) struct Shelf {
    engine: Engine,
    backends: Backends,
    open: Box<dyn Fn() -> Result<Repository, unruffled::Error> + Send + Sync>,
    /// What is no business of clients, in texts.
    root: Option<PathBuf>,
    /// The models as they were loaded.
    served: Arc<RwLock<HashMap<Name, ModelFolder>>>,
}

impl Shelf {
    /// What `open` finds, those of `repository` being served already.
    pub(crate) fn new(
        engine: &Engine,
        backends: &Backends,
        repository: &Repository,
        root: Option<PathBuf>,
        open: impl Fn() -> Result<Repository, unruffled::Error> + Send + Sync + 'static,
    ) -> Self {
        let served = repository.models().iter().map(|model| (model.name.clone(), model.clone())).collect();
        Self {
            engine: engine.clone(),
            backends: backends.clone(),
            open: Box::new(open),
            root,
            served: Arc::new(RwLock::new(served)),
        }
    }

    fn begin(&self, model: &str) -> Result<Control, Error> {
        let folder = (self.open)().and_then(|repository| repository.find(model).cloned());
        let folder = folder.map_err(|error| self.told(&error.into()))?;
        let is_there = self.engine.models().iter().any(|known| *known.name == *model);
        let (engine, backends) = (self.engine.clone(), self.backends.clone());
        // What asks others has no version of its own that could take its place.
        let loading = if is_there && !folder.asks_others() {
            backends.reload(&engine, &folder, Rollout::Replace)
        } else {
            if is_there {
                end(&engine, model)?;
            }
            backends.load(&engine, &folder)
        };
        let loading = loading.map_err(|error| self.told(&error.into()))?;
        let (served, root) = (Arc::clone(&self.served), self.root.clone());
        Ok(Box::pin(async move {
            loading.await.map_err(|error| told(root.as_ref(), &error))?;
            if !is_there && !folder.asks_others() {
                backends
                    .register_others(&engine, &folder)
                    .map_err(|error| told(root.as_ref(), &error.into()))?;
            }
            served.write().unwrap_or_else(PoisonError::into_inner).insert(folder.name.clone(), folder);
            Ok(())
        }))
    }

    fn told(&self, error: &Error) -> Error {
        told(self.root.as_ref(), error)
    }
}

/// What a client may hear of a load that failed: not where the server keeps its files. Nothing is wrong with the server.
fn told(root: Option<&PathBuf>, error: &Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::ModelFailed | ErrorKind::ModelCrashed | ErrorKind::NotReady => ErrorKind::InvalidInput,
        kind => kind,
    };
    let message = match root.map(|root| root.display().to_string()).filter(|root| !root.is_empty()) {
        Some(root) => error.message().replace(&format!("{root}/"), "").replace(&root, "the folder of models"),
        None => error.message().to_owned(),
    };
    Error::new(kind, message)
}

/// Takes a model out of the engine; its requests in flight are waited for elsewhere.
fn end(engine: &Engine, model: &str) -> Result<(), Error> {
    let (engine, name) = (engine.clone(), model.to_owned());
    let mut unloading = Box::pin(async move { engine.unload(&name, UNLOAD_GRACE).await });
    // The first look takes it out, or finds that it is not there.
    match unloading.as_mut().now_or_never() {
        Some(outcome) => outcome.map(drop),
        None => {
            tokio::spawn(unloading);
            Ok(())
        }
    }
}

impl Catalog for Shelf {
    fn version(&self, model: &str) -> Option<Name> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        served.get(model)?.version.map(|version| version.to_string().into())
    }

    fn label(&self, model: &str, output: &str, class: usize) -> Option<String> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let outputs = &served.get(model)?.config.outputs;
        let output = outputs.iter().find(|known| known.name == output)?;
        output.labels.as_ref()?.get(class).cloned()
    }

    fn file_ends(&self, model: &str, input: &str) -> Option<FileEnds> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        let inputs = &served.get(model)?.config.inputs;
        match inputs.iter().find(|known| known.name == input)?.from.as_ref()? {
            InputSource::File(file) => Some(FileEnds {
                begin: file.begin,
                end: file.end,
                block: file.block,
                trim: file.trim,
                padding: file.padding,
            }),
            _ => None,
        }
    }

    fn index(&self) -> Result<Vec<(Name, Option<Name>)>, Error> {
        let repository = (self.open)().map_err(|error| self.told(&error.into()))?;
        let version = |model: &ModelFolder| model.version.map(|version| version.to_string().into());
        Ok(repository.models().iter().map(|model| (model.name.clone(), version(model))).collect())
    }

    fn load(&self, model: &str) -> Control {
        self.begin(model).unwrap_or_else(|error| Box::pin(std::future::ready(Err(error))))
    }

    fn unload(&self, model: &str) -> Control {
        let (engine, model) = (self.engine.clone(), model.to_owned());
        Box::pin(async move { end(&engine, &model) })
    }
}
