//! [`Service`]: what the end points share, and how they find a model.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, RawPathParams};
use axum::http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use unruffled_engine::{Engine, Group, Handle, Jobs, LoopWatch, Metrics, ModelStatus, Request, WatchOptions};
use unruffled_model::{Name, Tensors};

use crate::access::Identity;
use crate::budget::Budget;
use crate::catalog::{Catalog, FileEnds};
use crate::offload::Offload;
use crate::options::ServerOptions;
use crate::patience::Patience;
use crate::phase::{self, Phase};
use crate::refusal::Refusal;
use crate::sessions::Sessions;
use crate::shared_memory::SharedMemory;

/// The most bytes of a model's name in a path.
const NAME_BYTES: usize = 1024;

/// What the end points share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service(Arc<Inner>);

struct Inner {
    engine: Engine,
    options: ServerOptions,
    /// How late the event loop is, where a server runs it.
    loop_watch: LoopWatch,
    connections: Arc<AtomicUsize>,
    requests: Arc<Semaphore>,
    refused: AtomicU64,
    budget: Budget,
    offload: Offload,
    shared_memory: SharedMemory,
    sessions: Sessions,
    /// How long the clients of each model wait.
    patience: Mutex<HashMap<Name, Arc<Patience>>>,
    /// Models that clients have ended.
    unloaded: Mutex<HashSet<Name>>,
    phase: watch::Receiver<Phase>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("options", &self.0.options).finish_non_exhaustive()
    }
}

/// A model that a path names.
pub(crate) struct Found {
    pub(crate) handle: Handle<Tensors, Tensors>,
    /// The version that is told in answers.
    pub(crate) version: Option<Name>,
    /// The version that the path names.
    pub(crate) asked: Option<Name>,
    /// On whose behalf it was looked for.
    pub(crate) identity: Identity,
}

impl Service {
    pub(crate) fn new(engine: Engine, options: ServerOptions, phase: watch::Receiver<Phase>) -> Self {
        Self(Arc::new(Inner {
            loop_watch: engine.watch_loop("server", WatchOptions::default()),
            engine,
            connections: Arc::default(),
            requests: Arc::new(Semaphore::new(options.in_flight_requests.min(Semaphore::MAX_PERMITS))),
            refused: AtomicU64::new(0),
            budget: Budget::new(options.in_flight_bytes),
            offload: Offload::new(options.inline_bytes),
            shared_memory: SharedMemory::new(options.shared_memory),
            sessions: Sessions::default(),
            patience: Mutex::default(),
            unloaded: Mutex::default(),
            options,
            phase,
        }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn loop_watch(&self) -> &LoopWatch {
        &self.0.loop_watch
    }

    /// How many connections there are; the server counts them.
    pub(crate) fn connections(&self) -> &Arc<AtomicUsize> {
        &self.0.connections
    }

    pub(crate) fn options(&self) -> &ServerOptions {
        &self.0.options
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    pub(crate) fn offload(&self) -> &Offload {
        &self.0.offload
    }

    pub(crate) fn shared_memory(&self) -> &SharedMemory {
        &self.0.shared_memory
    }

    pub(crate) fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::clone(&self.0.options.catalog)
    }

    /// What all models have done.
    pub(crate) fn metrics(&self) -> Metrics {
        self.0.engine.metrics()
    }

    /// What a model was found to take in memory, if that is measured.
    pub(crate) fn memory_of(&self, model: &str) -> Option<usize> {
        let report = self.0.engine.memory()?;
        let taken = report.models.iter().filter(|taken| *taken.name == *model).map(|taken| taken.bytes);
        Some(taken.sum())
    }

    /// Whether a client has ended the model of this name, and nobody has loaded it since.
    pub(crate) fn was_unloaded(&self, model: &str) -> bool {
        self.0.unloaded.lock().unwrap_or_else(PoisonError::into_inner).contains(model)
    }

    pub(crate) fn note_unloaded(&self, model: &str, unloaded: bool) {
        let mut all = self.0.unloaded.lock().unwrap_or_else(PoisonError::into_inner);
        if unloaded {
            all.insert(model.into());
        } else {
            all.remove(model);
        }
    }

    /// Several requests under one scope.
    pub(crate) fn group<'a>(
        &self,
        requests: impl Iterator<Item = Request<'a, Tensors, Tensors>>,
    ) -> Group<Tensors> {
        self.0.engine.group(requests)
    }

    /// The engine's jobs.
    pub(crate) fn jobs(&self) -> Jobs {
        self.0.engine.jobs()
    }

    /// How long the clients of a model wait.
    pub(crate) fn patience(&self, model: &Name) -> Arc<Patience> {
        let mut all = self.0.patience.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(model) {
            Some(known) => Arc::clone(known),
            None => Arc::clone(all.entry(model.clone()).or_default()),
        }
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// What a class of an output is called, if it has a name.
    pub(crate) fn label(&self, model: &str, output: &str, class: usize) -> Option<String> {
        self.0.options.catalog.label(model, output, class)
    }

    /// How an input is made of a file, if it is.
    pub(crate) fn file_ends(&self, model: &str, input: &str) -> Option<FileEnds> {
        self.0.options.catalog.file_ends(model, input)
    }

    /// Whether all models can answer, and the server takes requests.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.engine.is_ready() && *self.0.phase.borrow() == Phase::Serving
    }

    /// All named models.
    pub(crate) fn models(&self) -> Vec<ModelStatus> {
        self.0.engine.models()
    }

    /// The version of a model, if it has one.
    pub(crate) fn version(&self, model: &str) -> Option<Name> {
        self.0.options.catalog.version(model)
    }

    /// The model that a path names, in the version that it names, if they may know of it.
    pub(crate) fn find(&self, identity: &Identity, target: &Target) -> Result<Found, Refusal> {
        let Target { model, version } = target;
        identity.may_see(model)?;
        let identity = identity.clone();
        if model.len() > NAME_BYTES {
            let message = format!("there is no model with a name of {} bytes", model.len());
            return Err(Refusal::not_found(message));
        }
        let handle = self.0.engine.get::<Tensors, Tensors>(model)?;
        let known = self.version(model);
        let Some(asked) = version.as_deref() else {
            return Ok(Found { handle, version: known, asked: None, identity });
        };
        if known.is_none() {
            return Err(Refusal::not_found(format!(
                "model `{model}` has no versions; leave `/versions/{asked}` out"
            )));
        }
        let versions = self.versions(&handle);
        match versions.iter().find(|version| ***version == *asked) {
            // The one that there is may be called otherwise in the engine.
            Some(asked) => Ok(Found {
                handle,
                version: Some(asked.clone()),
                asked: (versions.len() > 1).then(|| asked.clone()),
                identity,
            }),
            None => Err(Refusal::not_found(format!(
                "model `{model}` has no version {asked}; it has version {}",
                versions.join(", ")
            ))),
        }
    }

    /// The versions of a model that paths may name: those of the engine, or what the catalog calls the one that was loaded
    /// without a name.
    pub(crate) fn versions(&self, handle: &Handle<Tensors, Tensors>) -> Vec<Name> {
        let versions: Vec<Name> = handle.versions().into_iter().map(|version| version.version).collect();
        match self.version(handle.name()) {
            Some(known) if *versions == [Name::from("1")] => vec![known],
            Some(_) => versions,
            None => Vec::new(),
        }
    }

    /// A place among the requests in flight.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.0.requests).try_acquire_owned().map_err(|_| {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            let most = self.0.options.in_flight_requests;
            Refusal::overloaded(format!("the server is full: {most} requests are in flight; try again later"))
        })
    }

    /// How many connections and requests there are, and how much was refused.
    pub(crate) fn traffic(&self) -> Traffic {
        let Inner { options, connections, requests, refused, budget, .. } = &*self.0;
        let most = options.in_flight_requests.min(Semaphore::MAX_PERMITS);
        Traffic {
            connections: connections.load(Ordering::Relaxed),
            requests: most.saturating_sub(requests.available_permits()),
            body_bytes: budget.held(),
            refused_requests: refused.load(Ordering::Relaxed),
            refused_bytes: budget.refused(),
        }
    }

    /// Waits until nothing new is to begin.
    pub(crate) async fn draining(&self) {
        phase::reached(&mut self.0.phase.clone(), Phase::Draining).await;
    }

    /// Waits until what is left is to be ended.
    pub(crate) async fn closing(&self) {
        phase::reached(&mut self.0.phase.clone(), Phase::Closing).await;
    }
}

/// What the server holds at a time, and what was too much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// Connections that are open; zero where a router is embedded.
    pub(crate) connections: usize,
    /// Inference requests.
    pub(crate) requests: usize,
    /// Bytes of their bodies.
    pub(crate) body_bytes: usize,
    /// Requests refused because there were too many.
    pub(crate) refused_requests: u64,
    /// Requests refused because their bodies were too much.
    pub(crate) refused_bytes: u64,
}

/// What a path names, decoded, if it can be.
pub(crate) type Named<T> = Result<Path<T>, PathRejection>;

pub(crate) fn named<T>(path: Named<T>) -> Result<T, Refusal> {
    path.map(|Path(named)| named).map_err(|_| Refusal::not_found("the path is not UTF-8 when decoded"))
}

/// Which model a path names, and which version of it, if one.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) model: String,
    pub(crate) version: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let names = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Refusal::not_found("the path is not UTF-8 when decoded"))?;
        let (mut model, mut version) = (String::new(), None);
        for (name, value) in &names {
            match name {
                "model" => value.clone_into(&mut model),
                _ => version = Some(value.to_owned()),
            }
        }
        match version {
            Some(version) if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) => {
                let message = format!("there is no version `{version}`: versions are decimal integers");
                Err(Refusal::not_found(message))
            }
            version => Ok(Self { model, version }),
        }
    }
}
