//! The memory that this process and a worker share: a file without a name, which the worker maps and this side reads and
//! writes. Nothing is mapped here, so that a worker which cuts or changes the file can do no harm.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

/// Where tensors begin; before them stands which run is to stop. The Python side knows this number too.
pub(crate) const TENSORS_START: u64 = 16384;
const ALIGNMENT: u64 = 64;

/// How often it is asked whether the file could be smaller, in runs.
const SPAN: u32 = 256;
/// A file of this size is not worth cutting.
const SMALL: u64 = 1 << 20;

/// The next multiple of what vector instructions like.
pub(crate) fn aligned(size: u64) -> u64 {
    size.next_multiple_of(ALIGNMENT)
}

/// A file in memory without a name.
#[derive(Debug)]
pub(crate) struct SharedFile {
    file: File,
    /// The most that a run has used since it was last asked.
    used_max: u64,
    runs: u32,
}

impl SharedFile {
    pub(crate) fn new() -> io::Result<Self> {
        let file = anonymous()?;
        file.set_len(TENSORS_START)?;
        Ok(Self { file, used_max: TENSORS_START, runs: 0 })
    }

    /// Says which run is to stop.
    pub(crate) fn stop(&self, run: u64) -> io::Result<()> {
        self.file.write_all_at(&run.to_le_bytes(), 0)
    }

    /// Writes, and makes the file longer where it must.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// Reads exactly what is asked for.
    pub(crate) fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, at)
    }

    /// How long the file is.
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Hears how much a run has used, and gives back what has not been used for long.
    pub(crate) fn settle(&mut self, used: u64) -> io::Result<()> {
        self.used_max = self.used_max.max(used);
        self.runs += 1;
        if self.runs < SPAN {
            return Ok(());
        }
        let wanted = self.used_max.max(SMALL);
        (self.used_max, self.runs) = (used, 0);
        if self.len()? > 2 * wanted {
            self.file.set_len(wanted)?;
        }
        Ok(())
    }
}

impl AsFd for SharedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn anonymous() -> io::Result<File> {
    let fd = rustix::fs::memfd_create("unruffled", rustix::fs::MemfdFlags::CLOEXEC)?;
    Ok(File::from(fd))
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn anonymous() -> io::Result<File> {
    tempfile::tempfile()
}

#[cfg(test)]
mod tests {
    use super::{SMALL, SPAN, SharedFile, TENSORS_START};

    #[test]
    fn what_is_not_used_for_long_is_given_back() {
        let mut shared = SharedFile::new().unwrap();
        shared.write(8 * SMALL - 1, &[1]).unwrap();
        let mut after = Vec::new();
        for _ in 0..2 {
            shared.settle(8 * SMALL).unwrap();
            for _ in 1..SPAN {
                shared.settle(TENSORS_START).unwrap();
            }
            after.push(shared.len().unwrap());
        }
        for _ in 0..SPAN {
            shared.settle(TENSORS_START).unwrap();
        }
        after.push(shared.len().unwrap());
        assert_eq!(after, [8 * SMALL, 8 * SMALL, SMALL]);
    }

    #[test]
    fn what_is_not_there_is_not_read() {
        let shared = SharedFile::new().unwrap();
        assert!(shared.read(TENSORS_START - 1, &mut [0; 2]).is_err());
    }
}
