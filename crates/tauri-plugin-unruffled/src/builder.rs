//! [`Builder`]: which models an app brings along, and how they are run.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tauri::path::BaseDirectory;
use tauri::plugin::{Builder as PluginBuilder, TauriPlugin};
use tauri::webview::PageLoadEvent;
use tauri::{AppHandle, Emitter as _, Manager as _, RunEvent, Runtime, WindowEvent};
use unruffled::engine::{EngineOptions, ThreadPriority};
use unruffled::{Backends, Engine, OrtSearch, Runtimes};

use crate::commands::{batch, infer, jobs, metrics, models, session, stream};
use crate::lateness::Loops;
use crate::opening;
use crate::runtime::{Unruffled, UnruffledExt as _};
use crate::shelf::Shelf;

/// The event that tells every window of a model's step: a [status](crate#what-pages-hear) as its payload.
pub const MODEL_EVENT: &str = "unruffled://model";

/// How long the end of an app waits for its models to stop.
const EXIT_GRACE: Duration = Duration::from_millis(500);

type Register = Box<dyn FnOnce(&Engine) -> Result<(), unruffled::engine::Error> + Send>;

/// Sets the plugin up.
///
/// ```no_run
/// # fn example<R: tauri::Runtime>(app: tauri::Builder<R>) -> tauri::Builder<R> {
/// app.plugin(
///     tauri_plugin_unruffled::Builder::new()
///         .resource_models("models")
///         .with_engine(|engine| {
///             let echo = |x: unruffled::Tensors| x;
///             engine.wrap(echo).name("echo").register().map(drop)
///         })
///         .build(),
/// )
/// # }
/// ```
#[must_use = "it does nothing until it is built"]
pub struct Builder {
    folders: Vec<Folder>,
    registers: Vec<Register>,
    engine: Option<Engine>,
    backends: Option<Backends>,
    loads_at_start: bool,
    jobs: Option<Folder>,
    exit_grace: Duration,
}

enum Folder {
    Resource(PathBuf),
    AppData(PathBuf),
    Path(PathBuf),
}

impl Folder {
    fn resolve<R: Runtime>(self, app: &AppHandle<R>) -> Result<PathBuf, tauri::Error> {
        match self {
            Self::Resource(folder) => app.path().resolve(folder, BaseDirectory::Resource),
            Self::AppData(folder) => app.path().resolve(folder, BaseDirectory::AppData),
            Self::Path(folder) => Ok(folder),
        }
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// No models yet.
    pub fn new() -> Self {
        Self {
            folders: Vec::new(),
            registers: Vec::new(),
            engine: None,
            backends: None,
            loads_at_start: true,
            jobs: None,
            exit_grace: EXIT_GRACE,
        }
    }

    /// Models in a folder among the app's resources: `"models"`, say. A model repository, as `unruffled serve` takes it.
    pub fn resource_models(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.push(Folder::Resource(folder.into()));
        self
    }

    /// Models in a folder of the app's data, where the app may put them later; it need not be there yet.
    pub fn app_data_models(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.push(Folder::AppData(folder.into()));
        self
    }

    /// Models in this folder.
    pub fn models(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.push(Folder::Path(folder.into()));
        self
    }

    /// Registers models with the engine: functions and types of the app, from tensors to tensors. Called once, while the app is
    /// set up; an error ends the set-up.
    pub fn with_engine(
        mut self,
        register: impl FnOnce(&Engine) -> Result<(), unruffled::engine::Error> + Send + 'static,
    ) -> Self {
        self.registers.push(Box::new(register));
        self
    }

    /// An engine that the app has already, instead of one with [`ThreadPriority::BulkIdle`]. It is shut down with the app.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// What runs model files. Unless set: what is pure Rust, and ONNX Runtime if its library is among the app's resources, in `lib`.
    pub fn backends(mut self, backends: Backends) -> Self {
        self.backends = Some(backends);
        self
    }

    /// Loads no model before a page asks for it; otherwise all are loaded in the background while the app starts.
    pub fn load_when_asked(mut self) -> Self {
        self.loads_at_start = false;
        self
    }

    /// Keeps jobs in the app's data, so that they outlive it: what was not done goes on at the next start, and has its model
    /// loaded. Where they cannot be kept, whoever submits or asks after a job hears why.
    pub fn durable_jobs(mut self) -> Self {
        self.jobs = Some(Folder::AppData("jobs".into()));
        self
    }

    /// As [`durable_jobs`](Self::durable_jobs), in this folder; two apps cannot share one.
    pub fn durable_jobs_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.jobs = Some(Folder::Path(folder.into()));
        self
    }

    /// How long the end of the app waits for running models to stop; half a second unless set. What cannot be stopped ends with
    /// the process.
    pub fn exit_grace(mut self, grace: Duration) -> Self {
        self.exit_grace = grace;
        self
    }

    /// The plugin.
    pub fn build<R: Runtime>(self) -> TauriPlugin<R> {
        let exit_grace = self.exit_grace;
        PluginBuilder::new("unruffled")
            .invoke_handler(tauri::generate_handler![
                infer::cancel,
                infer::infer,
                batch::infer_batch,
                jobs::job,
                jobs::job_cancel,
                jobs::job_result,
                models::load,
                metrics::metrics,
                models::models,
                session::session,
                stream::stream,
                jobs::submit,
                models::unload,
            ])
            .setup(move |app, _| self.set_up(app))
            .on_page_load(|webview, load| {
                // What was there before has gone.
                if load.event() == PageLoadEvent::Started {
                    let app = webview.unruffled();
                    app.pages.leave(webview.label());
                    app.sessions.leave(webview.label());
                }
            })
            .on_event(move |app, event| match event {
                RunEvent::WindowEvent { label, event: WindowEvent::Destroyed, .. } => {
                    app.unruffled().pages.close(label);
                    app.unruffled().sessions.leave(label);
                }
                RunEvent::Exit => app.unruffled().end(exit_grace),
                _ => {}
            })
            .build()
    }

    fn set_up<R: Runtime>(self, app: &AppHandle<R>) -> Result<(), Box<dyn std::error::Error>> {
        let engine = self.engine.unwrap_or_else(engine);
        for register in self.registers {
            register(&engine)?;
        }
        let folders: Result<Vec<_>, _> = self.folders.into_iter().map(|folder| folder.resolve(app)).collect();
        let folders = folders?;
        let told = app.clone();
        let tell = move |status: &Value| {
            // Fails when the app is ending.
            if let Err(error) = told.emit(MODEL_EVENT, status) {
                tracing::debug!(%error, "nobody hears of a model's step");
            }
        };
        let backends = match self.backends {
            Some(given) => given,
            None => backends(&app.path().resolve("lib", BaseDirectory::Resource)?),
        };
        let shelf = Shelf::new(&engine, &backends, Box::new(tell));
        let loops = Loops::watch(app, &engine);
        let jobs = match self.jobs {
            None => opening::in_memory(&engine),
            Some(folder) => opening::durable(&engine, &shelf, folder.resolve(app)?),
        };
        app.manage(Unruffled::new(engine, shelf.clone(), jobs, loops));
        let eager = self.loads_at_start;
        std::thread::Builder::new().name("find models".into()).spawn(move || shelf.open(&folders, eager))?;
        Ok(())
    }
}

/// One whose models give way to the window, and in bulk to whoever else wants the core.
fn engine() -> Engine {
    Engine::with_options(EngineOptions::default().with_thread_priority(ThreadPriority::BulkIdle))
}

/// What needs nothing from the machine: the library of ONNX Runtime is the app's own, or it is done without.
fn backends(libraries: &Path) -> Backends {
    let search = OrtSearch::default().with_beside(libraries).only_given();
    Backends::new(&Runtimes::default().with_onnxruntime(search))
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("folders", &self.folders.len()).finish_non_exhaustive()
    }
}
