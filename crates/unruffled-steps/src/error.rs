//! [`StepError`]: what is wrong with the settings of a step, or with a file that they name.

use std::error::Error as StdError;
use std::fmt;

/// What kind of mistake a [`StepError`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StepErrorKind {
    /// There is no step of that kind, or it was left out of this build.
    UnknownKind,
    /// A setting is missing, unknown, or has a value that it cannot have.
    InvalidSetting,
    /// A file that the settings name cannot be read, or is not what it should be.
    InvalidFile,
}

/// Why there is no such step: the kind of mistake, the key at fault where there is one, and what was expected.
#[derive(Debug)]
pub struct StepError {
    kind: StepErrorKind,
    key: Option<Box<str>>,
    message: Box<str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StepError {
    pub(crate) fn new(kind: StepErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, key: None, message: message.into(), source: None }
    }

    /// A setting that cannot be used.
    pub(crate) fn setting(key: &str, message: impl Into<Box<str>>) -> Self {
        Self { key: Some(key.into()), ..Self::new(StepErrorKind::InvalidSetting, message) }
    }

    /// A file that cannot be used, named by a setting.
    pub(crate) fn file(key: &str, message: impl Into<Box<str>>) -> Self {
        Self { key: Some(key.into()), ..Self::new(StepErrorKind::InvalidFile, message) }
    }

    #[must_use]
    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of mistake this is.
    pub fn kind(&self) -> StepErrorKind {
        self.kind
    }

    /// The key at fault, where there is one.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The text without the key.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.message)
    }
}

impl StdError for StepError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
