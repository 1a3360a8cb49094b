//! [`Error`]: why a model cannot be found, understood, loaded or asked, with the place where that shows.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};

use unruffled_engine::ErrorKind as EngineErrorKind;
use unruffled_model::{ModelError, ModelErrorKind};

/// What kind of failure this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no model of that name or at that place.
    ModelNotFound,
    /// A settings file, `model.toml` say, or something that it names, is wrong.
    InvalidConfig,
    /// A file cannot be read.
    Unreadable,
    /// No backend can run the model.
    Unsupported,
    /// An input is not one that the model takes.
    InvalidInput,
    /// The engine loaded or ran the model, and ended without a result.
    Engine(EngineErrorKind),
}

/// A failure of this crate: its kind, the file and the key at fault where there are any, and what to do about it.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    file: Option<PathBuf>,
    line: Option<usize>,
    key: Option<String>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            file: None,
            line: None,
            key: None,
            message: message.into(),
            source: None,
        }))
    }

    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Names the file at fault, unless one is named already.
    #[must_use]
    pub(crate) fn in_file(mut self, file: &Path) -> Self {
        self.0.file.get_or_insert_with(|| file.to_owned());
        self
    }

    #[must_use]
    pub(crate) fn at_line(mut self, line: usize) -> Self {
        self.0.line = Some(line);
        self
    }

    /// Names the key or the input at fault, unless one is named already.
    #[must_use]
    pub(crate) fn at_key(mut self, key: impl Into<String>) -> Self {
        self.0.key.get_or_insert_with(|| key.into());
        self
    }

    #[must_use]
    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file at fault, where there is one.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// The line at fault within [`file`](Self::file), counted from 1.
    pub fn line(&self) -> Option<usize> {
        self.0.line
    }

    /// The key of a settings file, or the name of the input, that is at fault.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The text without the place.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.0.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.0.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        if let Some(key) = &self.0.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<unruffled_engine::Error> for Error {
    fn from(error: unruffled_engine::Error) -> Self {
        Self::new(ErrorKind::Engine(error.kind()), error.to_string()).caused_by(error)
    }
}

impl From<ModelError> for Error {
    fn from(error: ModelError) -> Self {
        let kind = match error.kind() {
            ModelErrorKind::InvalidInput => ErrorKind::InvalidInput,
            ModelErrorKind::Unsupported => ErrorKind::Unsupported,
            ModelErrorKind::Cancelled => ErrorKind::Engine(EngineErrorKind::Cancelled),
            ModelErrorKind::Crashed => ErrorKind::Engine(EngineErrorKind::ModelCrashed),
            _ => ErrorKind::Engine(EngineErrorKind::ModelFailed),
        };
        Self::new(kind, error.to_string()).caused_by(error)
    }
}

/// So that a program that deals in the engine's errors alone can use this crate.
impl From<Error> for unruffled_engine::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::ModelNotFound => EngineErrorKind::NotFound,
            ErrorKind::InvalidInput => EngineErrorKind::InvalidInput,
            ErrorKind::InvalidConfig | ErrorKind::Unreadable | ErrorKind::Unsupported => {
                EngineErrorKind::NotReady
            }
            ErrorKind::Engine(kind) => kind,
        };
        unruffled_engine::Error::new(kind, error.to_string())
    }
}

/// So that what goes wrong inside a load reaches whoever awaits it.
impl From<Error> for ModelError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let inner = match error.kind() {
            ErrorKind::InvalidInput => ModelError::invalid_input(message),
            ErrorKind::Unsupported => ModelError::unsupported(message),
            _ => ModelError::failed(message),
        };
        inner.caused_by(error)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{EngineErrorKind, Error, ErrorKind};

    #[test]
    fn says_the_place_first() {
        let error = Error::new(ErrorKind::InvalidConfig, "expected a number")
            .in_file(Path::new("models/x/model.toml"))
            .at_line(3)
            .at_key("run.threads");
        assert_eq!(error.to_string(), "models/x/model.toml:3: `run.threads`: expected a number");
    }

    #[test]
    fn engine_errors_keep_their_kind_both_ways() {
        for &kind in EngineErrorKind::ALL {
            let error = Error::from(unruffled_engine::Error::new(kind, "why"));
            assert_eq!(error.kind(), ErrorKind::Engine(kind));
            assert_eq!(unruffled_engine::Error::from(error).kind(), kind);
        }
    }
}
