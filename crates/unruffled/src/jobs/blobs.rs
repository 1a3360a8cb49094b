//! Payloads that are too large for the database: files beside it, written whole or not at all.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use unruffled_engine::job::JobId;
use unruffled_model::Bytes;

/// Which of a job's payloads a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Input,
    Result,
}

impl Side {
    fn ending(self) -> &'static str {
        match self {
            Side::Input => "in",
            Side::Result => "out",
        }
    }
}

/// What files that are being written end with.
const UNFINISHED: &str = "part";

/// The folder of payloads.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
    /// Whether a name in the folder is newer than what the disk knows of the folder.
    unsynced: bool,
}

impl Blobs {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, unsynced: false })
    }

    fn path(&self, id: JobId, side: Side) -> PathBuf {
        self.folder.join(format!("{id}.{}", side.ending()))
    }

    /// Writes a file. It is there for good once the names are [synced](Self::sync).
    pub(super) fn write(&mut self, id: JobId, side: Side, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(id, side);
        let unfinished = path.with_extension(format!("{}.{UNFINISHED}", side.ending()));
        let mut file = File::create(&unfinished)?;
        // The bytes before the name: a name never stands for less than all of them.
        let written = file.write_all(bytes).and_then(|()| file.sync_data());
        drop(file);
        if let Err(error) = written.and_then(|()| fs::rename(&unfinished, &path)) {
            // A full disk should not be left fuller.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        self.unsynced = true;
        Ok(())
    }

    /// Brings the names of new files to the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            // Elsewhere folders cannot be opened, and names need no such help.
            #[cfg(unix)]
            File::open(&self.folder)?.sync_all()?;
            self.unsynced = false;
        }
        Ok(())
    }

    pub(super) fn read(&self, id: JobId, side: Side) -> io::Result<Bytes> {
        fs::read(self.path(id, side)).map(Bytes::from)
    }

    /// Removes a file, if it is there. One that stays is found by the next [sweep](Self::sweep).
    pub(super) fn remove(&self, id: JobId, side: Side) {
        let path = self.path(id, side);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a payload of a job that is gone stays on disk");
            }
            _ => {}
        }
    }

    /// Removes what belongs to no job: what a process left behind that died between a file and its record.
    pub(super) fn sweep(&self, wanted: &HashSet<(JobId, Side)>) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if is_ours(&path) && !owner(&path).is_some_and(|owner| wanted.contains(&owner)) {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// Whether a file is one that this makes: others are left alone.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((id, ending)) = name.split_once('.') else { return false };
    id.parse::<JobId>().is_ok() && ["in", "out", "in.part", "out.part"].contains(&ending)
}

/// Whose finished payload a file is.
fn owner(path: &Path) -> Option<(JobId, Side)> {
    let (id, ending) = path.file_name()?.to_str()?.split_once('.')?;
    let side = [Side::Input, Side::Result].into_iter().find(|side| side.ending() == ending)?;
    Some((id.parse().ok()?, side))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use unruffled_engine::job::JobId;

    use super::{Blobs, Side};

    #[test]
    fn files_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut blobs = Blobs::open(folder.path().join("blobs")).unwrap();
        let id = JobId::from(7);
        blobs.write(id, Side::Input, b"in").unwrap();
        blobs.write(id, Side::Result, b"out").unwrap();
        blobs.sync().unwrap();
        assert_eq!(blobs.read(id, Side::Input).unwrap(), "in");
        blobs.remove(id, Side::Input);
        blobs.remove(id, Side::Input);
        assert!(blobs.read(id, Side::Input).is_err());
        assert_eq!(blobs.read(id, Side::Result).unwrap(), "out");
    }

    #[test]
    fn sweeping_takes_what_nobody_owns_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let mut blobs = Blobs::open(folder.path().to_owned()).unwrap();
        let (kept, gone) = (JobId::from(1), JobId::from(2));
        for id in [kept, gone] {
            blobs.write(id, Side::Input, b"x").unwrap();
            blobs.write(id, Side::Result, b"x").unwrap();
        }
        let unfinished = folder.path().join(format!("{kept}.in.part"));
        let foreign = folder.path().join("notes.in");
        fs::write(&unfinished, "").unwrap();
        fs::write(&foreign, "").unwrap();
        blobs.sweep(&HashSet::from([(kept, Side::Input)])).unwrap();
        assert!(blobs.read(kept, Side::Input).is_ok() && foreign.exists());
        assert!(blobs.read(kept, Side::Result).is_err() && blobs.read(gone, Side::Input).is_err());
        assert!(!unfinished.exists());
    }
}
