//! [`Follow`]: a model is loaded anew when its files have changed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use unruffled_engine::{Engine, Rollout};

use crate::error::{Error, ErrorKind};
use crate::load::Backends;
use crate::repository::ModelFolder;

/// Files are written in several steps: how long nothing must have happened until they are taken for written.
const QUIET: Duration = Duration::from_millis(200);

/// Loads a model anew when its files have changed, until it is dropped.
#[must_use = "dropping it stops watching"]
pub struct Follow {
    folder: PathBuf,
    /// Its end is that of the thread that loads.
    _watcher: RecommendedWatcher,
}

impl Backends {
    /// Has the engine load a model anew whenever something in its folder has changed, and replace the one that runs. A new
    /// version that appears beside the old one counts; what cannot be loaded is logged, and the one that runs goes on.
    ///
    /// # Errors
    ///
    /// `Unreadable` if the folder cannot be watched; `InvalidConfig` for a model that is in no folder.
    pub fn follow(&self, engine: &Engine, model: &ModelFolder) -> Result<Follow, Error> {
        let Some(folder) = model.root() else {
            let message = "is in no folder of its own that could be watched";
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        };
        let blind = |error: notify::Error| {
            Error::new(ErrorKind::Unreadable, format!("cannot be watched: {error}")).in_file(folder)
        };
        // One that nobody has looked at yet says all there is to say.
        let (tell, changes) = mpsc::sync_channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _ = tell.try_send(());
            }
        })
        .map_err(blind)?;
        watcher.watch(folder, RecursiveMode::Recursive).map_err(blind)?;
        let (backends, engine, place) = (self.clone(), engine.clone(), folder.to_path_buf());
        let thread = std::thread::Builder::new().name(format!("follow {}", model.name));
        let spawned = thread.spawn(move || {
            while next(&changes) {
                reload(&backends, &engine, &place);
            }
        });
        spawned.map_err(|error| {
            Error::new(ErrorKind::Unreadable, format!("no thread to watch it: {error}")).in_file(folder)
        })?;
        Ok(Follow { folder: folder.to_path_buf(), _watcher: watcher })
    }
}

/// Blocks until something has changed and seems to be complete. False: nobody watches any more.
fn next(changes: &Receiver<()>) -> bool {
    if changes.recv().is_err() {
        return false;
    }
    loop {
        match changes.recv_timeout(QUIET) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

fn reload(backends: &Backends, engine: &Engine, folder: &Path) {
    let loaded = ModelFolder::open(folder).and_then(|model| {
        let loading = backends.reload(engine, &model, Rollout::Replace)?;
        Ok(loading.wait()?)
    });
    match loaded {
        Ok(handle) => tracing::info!(model = &**handle.name(), "the files have changed: loaded anew"),
        Err(error) => {
            let folder = folder.display();
            tracing::error!(%folder, %error, "the files have changed and cannot be loaded: the model as it was goes on");
        }
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").field("folder", &self.folder).finish_non_exhaustive()
    }
}
