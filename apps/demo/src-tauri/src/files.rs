//! Files that the page shows: those that are dropped on the window, and the samples that come with the app.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tauri::ipc::Response;
use tauri::path::BaseDirectory;
use tauri::{AppHandle, Manager as _, Runtime, State, command};

/// No page needs more of the ends of a file.
const ENDS_MAX: u64 = 64 << 10;

/// What is larger is no page, no picture and no recording of a few minutes.
const FILE_MAX: u64 = 64 << 20;

/// The files that somebody has dropped on the window: the page may read these, and no others.
#[derive(Default)]
pub(crate) struct Dropped(Mutex<HashSet<PathBuf>>);

impl Dropped {
    pub(crate) fn add(&self, paths: &[PathBuf]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(paths.iter().cloned());
    }

    fn has(&self, path: &Path) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }
}

/// The first and the last bytes of a file that was dropped: four bytes that say how long the first part is, and both parts.
#[command]
pub(crate) async fn read_ends(
    dropped: State<'_, Dropped>,
    path: PathBuf,
    bytes: u64,
) -> Result<Response, String> {
    if !dropped.has(&path) {
        return Err(format!("{} was not dropped on the window", path.display()));
    }
    let told = path.clone();
    let read = move || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&path)?;
        let length = file.metadata()?.len();
        let part = bytes.min(ENDS_MAX).min(length);
        let mut head = Vec::new();
        (&mut file).take(part).read_to_end(&mut head)?;
        file.seek(SeekFrom::Start(length - part))?;
        let mut ends = u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
        ends.append(&mut head);
        file.take(part).read_to_end(&mut ends)?;
        Ok(ends)
    };
    let ends = tauri::async_runtime::spawn_blocking(read).await.map_err(|error| error.to_string())?;
    ends.map(Response::new).map_err(|error| format!("{}: {error}", told.display()))
}

/// All of a file that was dropped.
#[command]
pub(crate) async fn read_file(dropped: State<'_, Dropped>, path: PathBuf) -> Result<Response, String> {
    if !dropped.has(&path) {
        return Err(format!("{} was not dropped on the window", path.display()));
    }
    let told = path.clone();
    let read = move || -> std::io::Result<Option<Vec<u8>>> {
        match std::fs::metadata(&path)?.len() <= FILE_MAX {
            true => std::fs::read(path).map(Some),
            false => Ok(None),
        }
    };
    let read = tauri::async_runtime::spawn_blocking(read).await.map_err(|error| error.to_string())?;
    match read {
        Ok(Some(bytes)) => Ok(Response::new(bytes)),
        Ok(None) => Err(format!("{} has more than {} MiB", told.display(), FILE_MAX >> 20)),
        Err(error) => Err(format!("{}: {error}", told.display())),
    }
}

/// What a sample that comes with the app holds.
#[command]
pub(crate) async fn sample<R: Runtime>(app: AppHandle<R>, name: String) -> Result<Response, String> {
    let known = samples(app.clone()).await?;
    if !known.contains(&name) {
        return Err(format!("there is no sample `{name}`; there are {}", known.join(", ")));
    }
    let path = folder(&app)?.join(&name);
    let read = tauri::async_runtime::spawn_blocking(move || std::fs::read(path)).await;
    let read = read.map_err(|error| error.to_string())?;
    read.map(Response::new).map_err(|error| format!("{name}: {error}"))
}

/// The names of the samples.
#[command]
pub(crate) async fn samples<R: Runtime>(app: AppHandle<R>) -> Result<Vec<String>, String> {
    let folder = folder(&app)?;
    let list = move || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    };
    let names = tauri::async_runtime::spawn_blocking(list).await.map_err(|error| error.to_string())?;
    names.map_err(|error| format!("the samples cannot be listed: {error}"))
}

fn folder<R: Runtime>(app: &AppHandle<R>) -> Result<PathBuf, String> {
    app.path().resolve("samples", BaseDirectory::Resource).map_err(|error| error.to_string())
}
