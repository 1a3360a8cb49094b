//! Workers that are ready: the one that loading has left, the spare that takes the place of one that dies, and the one that
//! has loaded the model anew after its files have changed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use unruffled_model::{ModelError, Signature, TensorSpec};

use crate::launcher::Launcher;
use crate::options::Spare;
use crate::settings::Settings;
use crate::watch::{Changes, Watch, watch};
use crate::worker::{Description, Worker};

/// A spare is loaded ahead, unless told otherwise, if that takes no more than this.
const CHEAP: u64 = 512 << 20;

/// How often somebody who waits for a worker looks whether it is still wanted.
const TICK: Duration = Duration::from_millis(20);

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
    /// How often the files had changed when a worker could last not be had.
    failed_at: Option<u64>,
}

/// One that is on its way arrives, or does not: either way it is on its way no more.
struct Rearing<'a>(&'a Shared);

impl Drop for Rearing<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_rearing = false;
        self.0.changed.notify_all();
    }
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
    pub(crate) fn take(&self, unwanted: &dyn Fn() -> bool) -> Result<Worker, ModelError> {
        let shared = &self.shared;
        let worker = match shared.await_ready(unwanted) {
            Some(worker) => worker,
            None => Worker::start(&shared.settings, &shared.launcher, unwanted)?,
        };
        let worker = shared.loaded(worker, unwanted)?;
        shared.rear_spare();
        Ok(worker)
    }

    /// A worker with newer files than those of `worker`, if there are such files and the worker is ready. If it is not, it is on
    /// its way, unless the files of now cannot be loaded.
    pub(crate) fn newer(&self, worker: &Worker) -> Option<Worker> {
        let shared = &self.shared;
        if shared.newest.load(Ordering::Acquire) <= worker.generation {
            return None;
        }
        // One that is no newer is of no more use.
        let ready = shared.state.lock().ready.take();
        let newer = ready.filter(|ready| ready.generation > worker.generation && ready.is_alive());
        match newer {
            Some(newer) => {
                shared.rear_spare();
                Some(newer)
            }
            None => {
                // Somebody runs old files, and waits for a worker that can take over at once.
                let is_hopeless =
                    shared.state.lock().failed_at == Some(shared.changes.load(Ordering::Relaxed));
                if !is_hopeless {
                    shared.rear(true);
                }
                None
            }
        }
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
    fn await_ready(&self, unwanted: &dyn Fn() -> bool) -> Option<Worker> {
        let mut state = self.state.lock();
        loop {
            if let Some(worker) = state.ready.take() {
                if worker.is_alive() && self.is_current(&worker) {
                    return Some(worker);
                }
                continue;
            }
            if !state.is_rearing || state.is_awaited || unwanted() {
                return None;
            }
            state.is_awaited = true;
            // Nobody rings when it is no longer wanted.
            self.changed.wait_for(&mut state, TICK);
            state.is_awaited = false;
        }
    }

    /// Whether a worker has the newest files that there was a worker with, or may still load them.
    fn is_current(&self, worker: &Worker) -> bool {
        !worker.is_loaded() || worker.generation >= self.newest.load(Ordering::Acquire)
    }

    /// Loads the model, and makes sure that it is the one that was loaded first.
    fn loaded(&self, mut worker: Worker, unwanted: &dyn Fn() -> bool) -> Result<Worker, ModelError> {
        // Before the files are read: what changes from now on may not be in it.
        let generation = self.changes.load(Ordering::Relaxed);
        let description = worker.load(unwanted)?;
        let known = &self.description;
        if !is_same(&description.signature, &known.signature) || description.is_joint != known.is_joint {
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

    /// Begins a spare if the settings want one.
    fn rear_spare(self: &Arc<Self>) {
        let is_whole = match self.settings.python.spare {
            Spare::None => return,
            Spare::Interpreter => false,
            Spare::Loaded => true,
            Spare::Auto => self.description.resident <= CHEAP,
        };
        self.rear(is_whole);
    }

    /// Begins a worker, with the model or without, unless there is one, on a thread of its own.
    fn rear(self: &Arc<Self>, is_whole: bool) {
        let mut state = self.state.lock();
        if self.is_closed.load(Ordering::Relaxed) || state.is_rearing || state.ready.is_some() {
            return;
        }
        let own = Arc::clone(self);
        let thread = std::thread::Builder::new().name("worker-spare".into()).spawn(move || {
            let _rearing = Rearing(&own);
            let change = own.changes.load(Ordering::Relaxed);
            let reared = own.reared(is_whole).inspect_err(|error| {
                tracing::debug!(model = &*own.settings.name, %error, "no spare worker");
            });
            let mut state = own.state.lock();
            // Looked at under the lock that whoever closes takes next.
            let is_wanted = !own.is_closed.load(Ordering::Relaxed) && state.ready.is_none();
            match reared {
                Ok(worker) if is_wanted && own.is_current(&worker) => state.ready = Some(worker),
                Ok(unwanted) => {
                    drop(state);
                    drop(unwanted);
                }
                Err(_) => state.failed_at = Some(change),
            }
        });
        state.is_rearing = thread.is_ok();
    }

    fn reared(&self, is_whole: bool) -> Result<Worker, ModelError> {
        let unwanted = || self.is_closed.load(Ordering::Relaxed);
        let worker = Worker::start(&self.settings, &self.launcher, &unwanted)?;
        if is_whole { self.loaded(worker, &unwanted) } else { Ok(worker) }
    }
}

/// Whether two signatures take and give the same: what stands in for an input that is left out may be another each time.
fn is_same(a: &Signature, b: &Signature) -> bool {
    let same = |a: &[TensorSpec], b: &[TensorSpec]| {
        let parts = |spec: &TensorSpec| (spec.name.clone(), spec.dtype, spec.dims.clone());
        a.iter().map(parts).eq(b.iter().map(parts))
    };
    same(&a.inputs, &b.inputs) && same(&a.outputs, &b.outputs)
}
