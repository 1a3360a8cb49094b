//! [`Files`]: where a step finds the files that its settings name.

use std::io;

use crate::error::StepError;

/// The most bytes of one file: tokenisers and labels are far smaller.
const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// The files that steps may read, by name. Whoever gives them decides which those are.
pub trait Files {
    /// The whole content of a file.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
}

/// A function is a source of files.
impl<F: Fn(&str) -> io::Result<Vec<u8>>> Files for F {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self(name)
    }
}

/// No files at all: for steps that need none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        Err(io::Error::new(io::ErrorKind::NotFound, "there are no files here"))
    }
}

/// The content of a file that is named by a setting.
pub(crate) fn read(files: &dyn Files, key: &str, name: &str) -> Result<Vec<u8>, StepError> {
    let bytes = files
        .read(name)
        .map_err(|error| StepError::file(key, format!("cannot read \"{name}\": {error}")).caused_by(error))?;
    if bytes.len() > FILE_BYTES_MAX {
        let message = format!("\"{name}\" has {} bytes, more than {FILE_BYTES_MAX}", bytes.len());
        return Err(StepError::file(key, message));
    }
    Ok(bytes)
}
