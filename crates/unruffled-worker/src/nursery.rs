//! Workers that are ready: the one that loading has left, the spare that takes the place of one that dies, and the one that
//! has loaded the model anew after its files have changed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};
use unruffled_model::ModelError;

use crate::launcher::Launcher;
use crate::options::Spare;
use crate::settings::Settings;
use crate::watch::{Changes, Watch, watch};
use crate::worker::{Description, Worker};

/// A spare is loaded ahead, unless told otherwise, if that takes no more than this.
const CHEAP: u64 = 512 << 20;

/// Where the workers of a model come from. At most one is ready beside those that run, and at most one on its way.
#[derive(Debug)]
pub(crate) struct Nursery {
    shared: Arc<Shared>,
    /// Kept for as long as changes are to be heard of.
    _watch: Option<Watch>,
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
    /// How often the files have changed.
    changes: AtomicU64,
    /// The last of those changes that there was a worker with.
    newest: AtomicU64,
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
    /// A nursery with the worker that has loaded the model, which hears of changes if the settings say so.
    pub(crate) fn new(
        settings: Arc<Settings>,
        launcher: Arc<Launcher>,
        first: Worker,
        description: Description,
    ) -> Result<Self, ModelError> {
        let (path, is_watched) = (settings.path.clone(), settings.python.reload);
        let shared = Arc::new(Shared {
            settings,
            launcher,
            description,
            state: Mutex::new(State { ready: Some(first), ..State::default() }),
            changed: Condvar::new(),
            is_closed: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            newest: AtomicU64::new(0),
        });
        if !is_watched {
            return Ok(Self { shared, _watch: None });
        }
        let blind =
            |error: String| ModelError::failed(format!("the files of the model cannot be watched: {error}"));
        let (watch, changes) = watch(&path).map_err(|error| blind(error.to_string()).caused_by(error))?;
        let weak = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("worker-reload".into())
            .spawn(move || reload_all(&weak, &changes))
            .map_err(|error| blind(error.to_string()).caused_by(error))?;
        Ok(Self { shared, _watch: Some(watch) })
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
        self.shared.rear(self.shared.settings.python.spare != Spare::None);
        Ok(worker)
    }

    /// A worker with newer files than those of `worker`, if there are such files and the worker is ready. If it is not, it is on
    /// its way.
    pub(crate) fn newer(&self, worker: &Worker) -> Option<Worker> {
        if self.shared.newest.load(Ordering::Acquire) <= worker.generation {
            return None;
        }
        let is_newer = |ready: &mut Worker| ready.generation > worker.generation;
        let newer = self.shared.state.lock().ready.take_if(is_newer);
        self.shared.rear(true);
        newer.filter(Worker::is_alive)
    }
}

/// Loads the model anew after each change, until nobody watches any more.
fn reload_all(nursery: &Weak<Shared>, changes: &Changes) {
    while changes.next().is_some() {
        let Some(shared) = nursery.upgrade() else { return };
        shared.reload();
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
        // Before the files are read: what changes from now on may not be in it.
        let generation = self.changes.load(Ordering::Relaxed);
        let description = worker.load(unwanted)?;
        let known = &self.description;
        if (&description.signature, description.is_joint) != (&known.signature, known.is_joint) {
            let path = self.settings.path.display();
            return Err(ModelError::failed(format!(
                "{path} takes or gives something else by now: load it again"
            )));
        }
        worker.generation = worker.generation.max(generation);
        Ok(worker)
    }

    /// Has a worker ready with files that have changed. As long as they cannot be loaded, the workers with the old ones go on.
    fn reload(&self) {
        let change = self.changes.fetch_add(1, Ordering::Relaxed) + 1;
        let unwanted = || self.is_closed.load(Ordering::Relaxed);
        let started = Worker::start(&self.settings, &self.launcher, &unwanted);
        match started.and_then(|worker| self.loaded(worker, &unwanted)) {
            Ok(worker) => {
                tracing::info!(model = &*self.settings.name, "the files have changed: loaded anew");
                let before = self.state.lock().ready.replace(worker);
                drop(before);
                self.newest.fetch_max(change, Ordering::Release);
                self.changed.notify_all();
            }
            Err(_) if unwanted() => {}
            Err(error) => {
                tracing::error!(
                    model = &*self.settings.name, %error,
                    "the files have changed and cannot be loaded: the model as it was goes on"
                );
            }
        }
    }

    /// Begins a spare, if it is wanted and there is none, on a thread of its own.
    fn rear(self: &Arc<Self>, is_wanted: bool) {
        let mut state = self.state.lock();
        let is_wanted = is_wanted && !self.is_closed.load(Ordering::Relaxed);
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
            if !own.is_closed.load(Ordering::Relaxed) && state.ready.is_none() {
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
        // Somebody runs old files, and waits for a worker that can take over at once.
        let is_whole = is_whole || self.newest.load(Ordering::Relaxed) > 0;
        if is_whole { self.loaded(worker, &unwanted) } else { Ok(worker) }
    }
}
