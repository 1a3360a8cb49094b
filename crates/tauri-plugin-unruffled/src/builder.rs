//! [`Builder`]: which models an app brings along, and how they are run.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tauri::path::BaseDirectory;
use tauri::plugin::{Builder as PluginBuilder, TauriPlugin};
use tauri::webview::PageLoadEvent;
use tauri::{AppHandle, Emitter as _, Manager as _, RunEvent, Runtime, WindowEvent};
use unruffled::engine::job::JobLimits;
use unruffled::{Backends, DurableJobs, Engine, JobsOptions};

use crate::commands::{batch, infer, jobs, metrics, models, session, stream};
use crate::lateness::Loops;
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
///             let double = |x: unruffled::Tensors| x;
///             engine.wrap(double).name("echo").register().map(drop)
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
    durable_jobs: bool,
    exit_grace: Duration,
}

enum Folder {
    Resource(PathBuf),
    AppData(PathBuf),
    Path(PathBuf),
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
            durable_jobs: false,
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

    /// An engine that the app has already. It is shut down with the app.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// What runs model files; [`Backends::default`] unless set.
    pub fn backends(mut self, backends: Backends) -> Self {
        self.backends = Some(backends);
        self
    }

    /// Loads no model before a page asks for it; otherwise all are loaded in the background while the app starts.
    pub fn load_when_asked(mut self) -> Self {
        self.loads_at_start = false;
        self
    }

    /// Keeps jobs in the app's data, so that they outlive it: what was not done goes on at the next start.
    pub fn durable_jobs(mut self) -> Self {
        self.durable_jobs = true;
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
                    leave(webview.unruffled(), webview.label());
                }
            })
            .on_event(move |app, event| match event {
                RunEvent::WindowEvent { label, event: WindowEvent::Destroyed, .. } => {
                    leave(app.unruffled(), label);
                }
                RunEvent::Exit => app.unruffled().end(exit_grace),
                _ => {}
            })
            .build()
    }

    fn set_up<R: Runtime>(self, app: &AppHandle<R>) -> Result<(), Box<dyn std::error::Error>> {
        let engine = self.engine.unwrap_or_else(Engine::new);
        for register in self.registers {
            register(&engine)?;
        }
        let mut folders = Vec::new();
        for folder in self.folders {
            folders.push(match folder {
                Folder::Resource(folder) => app.path().resolve(folder, BaseDirectory::Resource)?,
                Folder::AppData(folder) => app.path().resolve(folder, BaseDirectory::AppData)?,
                Folder::Path(folder) => folder,
            });
        }
        let told = app.clone();
        let tell = move |status: &Value| {
            // Fails when the app is ending.
            if let Err(error) = told.emit(MODEL_EVENT, status) {
                tracing::debug!(%error, "nobody hears of a model's step");
            }
        };
        let shelf = Shelf::new(&engine, &self.backends.unwrap_or_default(), Box::new(tell));
        let loops = Loops::watch(app, &engine);
        app.manage(Unruffled::new(engine.clone(), shelf.clone(), loops));
        if self.durable_jobs {
            let folder = app.path().app_data_dir()?.join("jobs");
            tauri::async_runtime::spawn(keep_jobs(engine, folder));
        }
        let eager = self.loads_at_start;
        std::thread::Builder::new().name("find models".into()).spawn(move || shelf.open(&folders, eager))?;
        Ok(())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("folders", &self.folders.len()).finish_non_exhaustive()
    }
}

fn leave(app: &Unruffled, webview: &str) {
    app.pages.leave(webview);
    app.sessions.leave(webview);
}

async fn keep_jobs(engine: Engine, folder: PathBuf) {
    let kept = match DurableJobs::open(&folder, JobLimits::default()).await {
        Ok(queue) => engine.use_jobs(Arc::new(queue), JobsOptions::default()).map(drop),
        Err(error) => Err(error.into()),
    };
    if let Err(error) = kept {
        tracing::error!("jobs do not outlive the app: {error}");
    }
}
