//! [`SetupError`]: why keys or certificates could not be taken.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

/// What was wrong with what the server was set up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupErrorKind {
    /// A file could not be read.
    Unreadable,
    /// What stands there is not what it should be.
    Invalid,
}

/// Why keys or certificates could not be taken: the file, the line where there is one, and what is wrong.
///
/// It never holds a key: what stands where a secret could stand is not repeated.
#[derive(Debug)]
pub struct SetupError {
    kind: SetupErrorKind,
    place: String,
    message: String,
    source: Option<io::Error>,
}

impl SetupError {
    /// What was wrong.
    pub fn kind(&self) -> SetupErrorKind {
        self.kind
    }

    pub(crate) fn invalid(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: SetupErrorKind::Invalid, place: place.into(), message: message.into(), source: None }
    }

    pub(crate) fn unreadable(path: &Path, error: io::Error) -> Self {
        Self {
            kind: SetupErrorKind::Unreadable,
            place: path.display().to_string(),
            message: format!("cannot be read: {error}"),
            source: Some(error),
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl Error for SetupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

/// What came of reading files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// They are as they were.
    Unchanged,
    /// They have changed, and count from now on.
    Changed,
}
