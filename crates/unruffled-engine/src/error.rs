//! [`Error`] and [`ErrorKind`]: the one list of ways in which a request can end without a result.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use unruffled_model::{ModelError, ModelErrorKind, Name};

/// How a request ended without a result. Every face of the engine maps this one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input does not fit the model: change it before trying again.
    InvalidInput,
    /// There is no model of that name.
    NotFound,
    /// The model is there but cannot answer now: it is being loaded, unloaded, or is broken.
    NotReady,
    /// The queue is full, or the work ahead outlasts the deadline: try again after [`Error::retry_after`].
    Overloaded,
    /// The deadline passed before the answer was there, or is too near for any run to make it.
    DeadlineExceeded,
    /// The caller, or somebody in the caller's name, gave up.
    Cancelled,
    /// The model ran and failed.
    ModelFailed,
    /// The model broke down; its instance is being replaced.
    ModelCrashed,
    /// The engine is going down.
    ShuttingDown,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: &'static [ErrorKind] = &[
        ErrorKind::InvalidInput,
        ErrorKind::NotFound,
        ErrorKind::NotReady,
        ErrorKind::Overloaded,
        ErrorKind::DeadlineExceeded,
        ErrorKind::Cancelled,
        ErrorKind::ModelFailed,
        ErrorKind::ModelCrashed,
        ErrorKind::ShuttingDown,
    ];

    /// A stable code: the kind in snake case.
    pub const fn code(self) -> &'static str {
        match self {
            ErrorKind::InvalidInput => "invalid_input",
            ErrorKind::NotFound => "not_found",
            ErrorKind::NotReady => "not_ready",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::DeadlineExceeded => "deadline_exceeded",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::ModelFailed => "model_failed",
            ErrorKind::ModelCrashed => "model_crashed",
            ErrorKind::ShuttingDown => "shutting_down",
        }
    }
}

/// Why there is no result: the kind, the model, and what can be done about it. Cheap to clone.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    model: Option<Name>,
    message: Box<str>,
    retry_after: Option<Duration>,
    source: Option<ModelError>,
}

impl Error {
    /// An error of this kind; `message` names the value that was wrong and, where there is one, the remedy.
    pub fn new(kind: ErrorKind, message: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Inner { kind, model: None, message: message.into(), retry_after: None, source: None }))
    }

    /// The error of a request whose model said so. What another model has said before, whom this one asked in turn, keeps
    /// its kind.
    pub(crate) fn from_model(error: ModelError) -> Self {
        if let Some(inner) = StdError::source(&error).and_then(|source| source.downcast_ref::<Self>()) {
            return Self::new(inner.kind(), inner.to_string()).retry_after_wait(inner.retry_after());
        }
        let kind = match error.kind() {
            ModelErrorKind::InvalidInput => ErrorKind::InvalidInput,
            ModelErrorKind::Cancelled => ErrorKind::Cancelled,
            ModelErrorKind::Crashed => ErrorKind::ModelCrashed,
            _ => ErrorKind::ModelFailed,
        };
        let mut all = Self::new(kind, error.to_string());
        Arc::make_mut(&mut all.0).source = Some(error);
        all
    }

    #[must_use]
    pub(crate) fn of_model(mut self, model: &Name) -> Self {
        Arc::make_mut(&mut self.0).model = Some(model.clone());
        self
    }

    #[must_use]
    pub(crate) fn retry_after_wait(mut self, wait: Option<Duration>) -> Self {
        Arc::make_mut(&mut self.0).retry_after = wait;
        self
    }

    /// How the request ended.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The model that the request was for, once that is known.
    pub fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// The text without the model's name.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// How long the queue needs, by what runs have cost so far, before trying again makes sense.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The input or output at fault, where the model named one.
    pub fn tensor(&self) -> Option<&str> {
        self.0.source.as_ref().and_then(ModelError::tensor)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.model {
            Some(model) => write!(f, "model `{model}`: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("model", &self.0.model)
            .field("message", &self.0.message)
            .field("retry_after", &self.0.retry_after)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}
