//! Workers that are ready: the one that loading has left, and the spare that takes the place of one that dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};
use unruffled_model::ModelError;

use crate::launcher::Launcher;
use crate::options::Spare;
use crate::settings::Settings;
use crate::worker::{Description, Worker};

/// A spare is loaded ahead, unless told otherwise, if that takes no more than this.
const CHEAP: u64 = 512 << 20;

/// Where the workers of a model come from. At most one is ready beside those that run, and at most one on its way.
#[derive(Debug)]
pub(crate) struct Nursery {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Arc<Settings>,
    launcher: Arc<Launcher>,
    /// What the model was when it was loaded.
    description: Description,
    state: Mutex<State>,
    changed: Condvar,
    /// Nobody needs workers any more.
    is_closed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    ready: Option<Worker>,
    /// One is on its way.
    is_rearing: bool,
    /// Somebody waits for it.
    is_awaited: bool,
}

impl Nursery {
    /// A nursery with the worker that has loaded the model.
    pub(crate) fn new(
        settings: Arc<Settings>,
        launcher: Arc<Launcher>,
        first: Worker,
        description: Description,
    ) -> Self {
        let state = Mutex::new(State { ready: Some(first), ..State::default() });
        let (changed, is_closed) = (Condvar::new(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { settings, launcher, description, state, changed, is_closed }) }
    }

    /// What the model was when it was loaded.
    pub(crate) fn description(&self) -> &Description {
        &self.shared.description
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// A worker with the model in it: the spare, the one that is on its way, or a new one.
    pub(crate) fn take(&self) -> Result<Worker, ModelError> {
        let worker = match self.shared.await_ready() {
            Some(worker) => worker,
            None => Worker::start(&self.shared.settings, &self.shared.launcher, &|| false)?,
        };
        let worker = self.shared.loaded(worker, &|| false)?;
        self.shared.rear();
        Ok(worker)
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        let spare = self.shared.state.lock().ready.take();
        drop(spare);
    }
}

impl Shared {
    /// The worker that is ready, or that will be before another could.
    fn await_ready(&self) -> Option<Worker> {
        let mut state = self.state.lock();
        loop {
            if let Some(worker) = state.ready.take() {
                if worker.is_alive() {
                    return Some(worker);
                }
                continue;
            }
            if !state.is_rearing || state.is_awaited {
                return None;
            }
            state.is_awaited = true;
            self.changed.wait(&mut state);
            state.is_awaited = false;
        }
    }

    /// Loads the model, and makes sure that it is the one that was loaded first.
    fn loaded(&self, mut worker: Worker, unwanted: &dyn Fn() -> bool) -> Result<Worker, ModelError> {
        let description = worker.load(unwanted)?;
        let known = &self.description;
        if (&description.signature, description.is_joint) != (&known.signature, known.is_joint) {
            let path = self.settings.path.display();
            return Err(ModelError::failed(format!(
                "{path} takes or gives something else by now: load it again"
            )));
        }
        Ok(worker)
    }

    /// Begins a spare, unless there is one, on a thread of its own.
    fn rear(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let is_wanted = self.settings.python.spare != Spare::None && !self.is_closed.load(Ordering::Relaxed);
        if !is_wanted || state.is_rearing || state.ready.is_some() {
            return;
        }
        let own = Arc::clone(self);
        let thread = std::thread::Builder::new().name("worker-spare".into()).spawn(move || {
            let spare = own.spare().inspect_err(|error| {
                tracing::debug!(model = &*own.settings.name, %error, "no spare worker");
            });
            let mut state = own.state.lock();
            state.is_rearing = false;
            // Looked at under the lock that whoever closes takes next.
            if !own.is_closed.load(Ordering::Relaxed) {
                state.ready = spare.ok();
            }
            own.changed.notify_all();
        });
        state.is_rearing = thread.is_ok();
    }

    fn spare(&self) -> Result<Worker, ModelError> {
        let unwanted = || self.is_closed.load(Ordering::Relaxed);
        let worker = Worker::start(&self.settings, &self.launcher, &unwanted)?;
        let is_whole = match self.settings.python.spare {
            Spare::Loaded => true,
            Spare::Auto => self.description.resident <= CHEAP,
            Spare::Interpreter | Spare::None => false,
        };
        if is_whole { self.loaded(worker, &unwanted) } else { Ok(worker) }
    }
}
