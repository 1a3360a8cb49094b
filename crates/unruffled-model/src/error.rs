//! [`ModelError`]: what can go wrong inside a model, with the place where it did.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// What kind of failure a model reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelErrorKind {
    /// The input does not fit the model: the caller must change it.
    InvalidInput,
    /// The model, or something in it, is not supported by this backend.
    Unsupported,
    /// The run stopped because the run's [`CancelToken`](crate::CancelToken) asked for it.
    Cancelled,
    /// The model ran and failed; the next input may do better.
    Failed,
    /// The model is broken (its process died, say): this instance must be replaced.
    Crashed,
}

/// A failure inside a model: its kind, the input or output at fault where one is, and what to do about it.
///
/// Cheap to clone, since one failing run answers every row of its batch.
#[derive(Clone)]
pub struct ModelError(Arc<Inner>);

struct Inner {
    kind: ModelErrorKind,
    tensor: Option<Box<str>>,
    message: Box<str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ModelError {
    fn new(kind: ModelErrorKind, message: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Inner { kind, tensor: None, message: message.into(), source: None }))
    }

    /// The input is not one that this model takes.
    pub fn invalid_input(message: impl Into<Box<str>>) -> Self {
        Self::new(ModelErrorKind::InvalidInput, message)
    }

    /// The model, or a part of it, is not supported.
    pub fn unsupported(message: impl Into<Box<str>>) -> Self {
        Self::new(ModelErrorKind::Unsupported, message)
    }

    /// The run gave up because it was asked to.
    pub fn cancelled() -> Self {
        Self::new(ModelErrorKind::Cancelled, "the run was cancelled")
    }

    /// The run failed.
    pub fn failed(message: impl Into<Box<str>>) -> Self {
        Self::new(ModelErrorKind::Failed, message)
    }

    /// The instance is broken and must be replaced.
    pub fn crashed(message: impl Into<Box<str>>) -> Self {
        Self::new(ModelErrorKind::Crashed, message)
    }

    /// Names the input or output at fault.
    #[must_use]
    pub fn at(self, tensor: &str) -> Self {
        self.edit(|inner| inner.tensor = Some(tensor.into()))
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.edit(|inner| inner.source = Some(source.into()))
    }

    fn edit(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = match Arc::try_unwrap(self.0) {
            Ok(inner) => inner,
            // A shared error cannot give its source away: it becomes the source of the copy.
            Err(shared) => Inner {
                kind: shared.kind,
                tensor: shared.tensor.clone(),
                message: shared.message.clone(),
                source: shared.source.is_some().then(|| Self(shared).into()),
            },
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ModelErrorKind {
        self.0.kind
    }

    /// The name of the input or output at fault, where there is one.
    pub fn tensor(&self) -> Option<&str> {
        self.0.tensor.as_deref()
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.tensor {
            Some(tensor) => write!(f, "`{tensor}`: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelError")
            .field("kind", &self.0.kind)
            .field("tensor", &self.0.tensor)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for ModelError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::{ModelError, ModelErrorKind};

    #[test]
    fn names_the_tensor_and_keeps_the_source() {
        let io = std::io::Error::other("disk on fire");
        let error = ModelError::failed("no weights").at("x").caused_by(io);
        assert_eq!(error.to_string(), "`x`: no weights");
        assert_eq!(error.kind(), ModelErrorKind::Failed);
        let copy = error.clone().at("y");
        assert_eq!((error.tensor(), copy.tensor()), (Some("x"), Some("y")));
        let root = copy.source().and_then(|source| source.source()).map(ToString::to_string);
        assert_eq!(root.as_deref(), Some("disk on fire"));
    }
}
