//! [`Shelf`]: the models that an app brings along, on their way into memory and there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use unruffled::config::InputSource;
use unruffled::engine;
use unruffled::model::Name;
use unruffled::{
    Backends, Dim, Engine, LoadProgress, ModelFolder, Repository, Signature, TensorHandle, TensorLoading,
    TensorSpec,
};
use unruffled_protocol::datatype;

use crate::error::Error;

/// How long requests in flight have to finish when their model is unloaded.
const UNLOAD_GRACE: Duration = Duration::from_secs(10);

/// What is told whenever a model takes a step. Must not block.
pub(crate) type Tell = Box<dyn Fn(&Value) + Send + Sync>;

/// The models of an app. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shelf(Arc<Inner>);

struct Inner {
    engine: Engine,
    backends: Backends,
    models: Mutex<IndexMap<Name, Entry>>,
    /// Whether the folders have been looked through.
    is_open: watch::Sender<bool>,
    /// Sent to at each step of any model.
    changes: watch::Sender<()>,
    tell: Tell,
}

struct Entry {
    folder: ModelFolder,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Nobody has asked for it.
    Waiting,
    Loading(LoadProgress),
    Ready(TensorHandle),
    Failed(Error),
}

impl Shelf {
    pub(crate) fn new(engine: &Engine, backends: &Backends, tell: Tell) -> Self {
        Self(Arc::new(Inner {
            engine: engine.clone(),
            backends: backends.clone(),
            models: Mutex::default(),
            is_open: watch::Sender::new(false),
            changes: watch::Sender::new(()),
            tell,
        }))
    }

    /// Looks through these folders, and loads what is there if `eager`. Blocks on files: for a thread of its own.
    pub(crate) fn open(&self, folders: &[PathBuf], eager: bool) {
        let mut found = Vec::new();
        for folder in folders {
            match Repository::open(folder) {
                Ok(repository) => {
                    repository.warnings().for_each(|warning| tracing::warn!("{warning}"));
                    found.extend(repository.in_load_order().into_iter().cloned());
                }
                Err(error) => tracing::warn!("no models in {}: {error}", folder.display()),
            }
        }
        let names: Vec<Name> = found.iter().map(|folder| folder.name.clone()).collect();
        let mut models = self.0.models.lock();
        for folder in found {
            // The first folder that has a model of this name counts.
            models.entry(folder.name.clone()).or_insert(Entry { folder, state: State::Waiting });
        }
        drop(models);
        self.0.is_open.send_replace(true);
        if eager {
            names.iter().for_each(|name| self.begin(name));
        }
    }

    /// Starts the load of a model that waits for it, or whose last load failed. What a pipeline asks comes before it.
    fn begin(&self, name: &Name) {
        let mut models = self.0.models.lock();
        let Some(entry) = models.get_mut(name) else { return };
        if matches!(entry.state, State::Loading(_) | State::Ready(_)) {
            return;
        }
        entry.state = State::Loading(LoadProgress::Waiting);
        let folder = entry.folder.clone();
        drop(models);
        self.told(name);
        match self.0.backends.load(&self.0.engine, &folder) {
            Err(error) => self.set(name, State::Failed(error.into())),
            Ok(loading) => {
                tauri::async_runtime::spawn(self.clone().follow(name.clone(), loading));
            }
        }
    }

    /// Follows a load to its end.
    async fn follow(self, name: Name, mut loading: TensorLoading) {
        let mut last = loading.progress();
        loop {
            let progress = loading.progress_changed().await;
            // Said twice: whoever says it has gone.
            if progress == last || matches!(progress, LoadProgress::Ready | LoadProgress::Failed) {
                break;
            }
            last = progress;
            self.set(&name, State::Loading(progress));
        }
        let loaded = loading.await;
        self.set(&name, loaded.map_or_else(|error| State::Failed(error.into()), State::Ready));
    }

    fn set(&self, name: &Name, state: State) {
        if let Some(entry) = self.0.models.lock().get_mut(name) {
            entry.state = state;
        }
        self.told(name);
    }

    fn told(&self, name: &Name) {
        self.0.changes.send_replace(());
        if let Some(status) = self.status(name) {
            (self.0.tell)(&status);
        }
    }

    /// A model that can be asked; loaded first if need be. `on_progress` hears of each step.
    ///
    /// # Errors
    ///
    /// `not_found`, and why it could not be loaded.
    pub(crate) async fn ready(
        &self,
        name: &str,
        mut on_progress: impl FnMut(&Value),
    ) -> Result<TensorHandle, Error> {
        self.opened().await;
        // Before the first look: what changes behind it is not missed.
        let mut changes = self.0.changes.subscribe();
        let (mut is_begun, mut last) = (false, None);
        loop {
            let state = self.0.models.lock().get(name).map(|entry| entry.state.clone());
            match state {
                // It is none of the folders', but may have been registered by the app.
                None => return Ok(self.0.engine.loaded(name).await?),
                Some(State::Ready(handle)) => return Ok(handle),
                Some(State::Failed(error)) if is_begun => return Err(error),
                Some(State::Waiting | State::Failed(_)) => {
                    is_begun = true;
                    self.begin(&name.into());
                    continue;
                }
                Some(State::Loading(_)) => is_begun = true,
            }
            // Other models take steps as well.
            let status = self.status(name);
            if let Some(status) = status.as_ref().filter(|_| status != last) {
                on_progress(status);
            }
            last = status;
            let _ = changes.changed().await;
        }
    }

    /// Starts the load of a model of the folders for those who ask it later.
    pub(crate) async fn want(&self, name: &Name) {
        self.opened().await;
        self.begin(name);
    }

    /// When the folders have been looked through.
    async fn opened(&self) {
        // The sender lives as long as this does.
        let _ = self.0.is_open.subscribe().wait_for(|is_open| *is_open).await;
    }

    /// Takes a model out of memory; the next request has it loaded again.
    ///
    /// # Errors
    ///
    /// `not_found` if there is none of this name in memory.
    pub(crate) async fn unload(&self, name: &str) -> Result<(), Error> {
        let drained = self.0.engine.unload(name, UNLOAD_GRACE).await;
        // Not before it has gone, so that nobody has it loaded under a name that is still taken.
        if drained.is_ok() && self.0.models.lock().contains_key(name) {
            self.set(&name.into(), State::Waiting);
        }
        drained?;
        Ok(())
    }

    /// What is known of a model, with the names of its classes.
    pub(crate) fn status(&self, name: &str) -> Option<Value> {
        let models = self.0.models.lock();
        match models.get(name) {
            Some(entry) => Some(entry.status()),
            None => {
                self.registered().into_iter().find_map(|(known, status)| (*known == *name).then_some(status))
            }
        }
    }

    /// What is known of all models, without the names of their classes.
    pub(crate) fn statuses(&self) -> Vec<(Name, Value)> {
        let models = self.0.models.lock();
        let brief = |entry: &Entry| {
            let mut status = entry.status();
            if let Some(status) = status.as_object_mut() {
                status.remove("labels");
            }
            status
        };
        let mut statuses: Vec<_> = models.iter().map(|(name, entry)| (name.clone(), brief(entry))).collect();
        statuses.extend(self.registered().into_iter().filter(|(name, _)| !models.contains_key(name)));
        statuses
    }

    /// What the engine has beside the models of the folders.
    fn registered(&self) -> Vec<(Name, Value)> {
        let models = self.0.engine.models().into_iter();
        let status = |model: &engine::ModelStatus| {
            let state = if model.is_ready() { "ready" } else { "loading" };
            let signature = model.info.as_ref().map(|info| &info.signature);
            told(&model.name, state, signature)
        };
        models.map(|model| (model.name.clone(), status(&model))).collect()
    }
}

impl Entry {
    fn status(&self) -> Value {
        let state = match &self.state {
            State::Waiting => "waiting",
            State::Loading(_) => "loading",
            State::Ready(_) => "ready",
            State::Failed(_) => "failed",
        };
        let info = match &self.state {
            State::Ready(handle) => Some(handle.info()),
            _ => None,
        };
        let mut status = told(&self.folder.name, state, info.as_ref().map(|info| &info.signature));
        if let Some(info) = info {
            status["backend"] = (&*info.backend).into();
        }
        match &self.state {
            State::Loading(LoadProgress::Reading(part)) => status["progress"] = (*part).into(),
            State::Loading(LoadProgress::Starting) => status["progress"] = 1.into(),
            State::Failed(error) => status["error"] = error.to_string().into(),
            _ => {}
        }
        let config = &self.folder.config;
        if let Some(description) = &config.description {
            status["description"] = description.as_str().into();
        }
        for input in &config.inputs {
            if let Some(InputSource::File(file)) = &input.from {
                status["from"][&input.name] = json!({
                    "kind": "file",
                    "begin": file.begin,
                    "end": file.end,
                    "block": file.block,
                    "trim": file.trim,
                    "padding": file.padding,
                });
            }
        }
        for output in &config.outputs {
            if let Some(labels) = &output.labels {
                status["labels"][&output.name] = labels.iter().map(String::as_str).collect();
            }
        }
        status
    }
}

fn told(name: &str, state: &str, signature: Option<&Signature>) -> Value {
    let specs = |specs: &[TensorSpec]| -> Value { specs.iter().map(spec).collect() };
    let inputs = signature.map(|signature| specs(&signature.inputs));
    let outputs = signature.map(|signature| specs(&signature.outputs));
    let none = || Value::Array(Vec::new());
    json!({
        "name": name,
        "state": state,
        "inputs": inputs.unwrap_or_else(none),
        "outputs": outputs.unwrap_or_else(none),
    })
}

/// A tensor as the page knows it: what has no fixed size has a name, `?` if it has none.
fn spec(spec: &TensorSpec) -> Value {
    let shape = spec.dims.as_ref().map(|dims| {
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => json!(size),
            Dim::Symbolic(name) => json!(&**name),
            Dim::Any => json!("?"),
        };
        dims.iter().map(size).collect::<Value>()
    });
    let mut told = json!({ "name": &*spec.name, "datatype": datatype::name(spec.dtype), "shape": shape });
    if spec.default.is_some() {
        told["optional"] = true.into();
    }
    told
}
