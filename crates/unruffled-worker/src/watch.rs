//! [`watch`]: hears when the files of a model change.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

/// Files are written in several steps: how long nothing must have happened until they are taken for written.
const QUIET: Duration = Duration::from_millis(200);

/// Watches until dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    _watcher: RecommendedWatcher,
}

/// The changes that a [`Watch`] has seen.
#[derive(Debug)]
pub(crate) struct Changes(Receiver<()>);

/// Watches the file of a model, and the Python files beside it and below.
pub(crate) fn watch(file: &Path) -> notify::Result<(Watch, Changes)> {
    // One that nobody has looked at yet says all there is to say.
    let (tell, changes) = mpsc::sync_channel(1);
    let model = file.to_path_buf();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_part =
            |path: &PathBuf| *path == model || path.extension().is_some_and(|ending| ending == "py");
        if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(is_part)) {
            let _ = tell.try_send(());
        }
    })?;
    // The folder, not the file: editors put a new file in the place of the old.
    let folder = file.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    watcher.watch(&folder, RecursiveMode::Recursive)?;
    Ok((Watch { _watcher: watcher }, Changes(changes)))
}

impl Changes {
    /// Blocks until something has changed and seems to be complete; `None` once nobody watches any more.
    pub(crate) fn next(&self) -> Option<()> {
        self.0.recv().ok()?;
        loop {
            match self.0.recv_timeout(QUIET) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => return Some(()),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}
