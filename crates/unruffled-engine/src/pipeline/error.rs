//! [`PipelineError`]: why steps do not make a pipeline, with the place where that shows.

use std::error::Error as StdError;
use std::fmt;

use unruffled_model::Name;

use crate::error::{Error, ErrorKind};

/// What is wrong with a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PipelineErrorKind {
    /// A step asks a model that is not there.
    UnknownModel,
    /// Something is named that is not there: a step, an input, an output.
    UnknownName,
    /// Something is given twice, or two things have one name.
    Duplicate,
    /// An input that must be given is not.
    Missing,
    /// Steps wait for each other.
    Cycle,
    /// What is given is of another type or shape than what is taken.
    Mismatch,
    /// What is said about a step makes no sense.
    Invalid,
}

/// Why steps do not make a pipeline: the kind, the step and the tensor at fault where there are any, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineError {
    kind: PipelineErrorKind,
    step: Option<Name>,
    tensor: Option<Name>,
    message: Box<str>,
}

impl PipelineError {
    pub(super) fn new(kind: PipelineErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, step: None, tensor: None, message: message.into() }
    }

    pub(super) fn mismatch(message: impl Into<Box<str>>) -> Self {
        Self::new(PipelineErrorKind::Mismatch, message)
    }

    pub(super) fn invalid(message: impl Into<Box<str>>) -> Self {
        Self::new(PipelineErrorKind::Invalid, message)
    }

    #[must_use]
    pub(super) fn in_step(mut self, step: &Name) -> Self {
        self.step.get_or_insert_with(|| step.clone());
        self
    }

    #[must_use]
    pub(super) fn at(mut self, tensor: &Name) -> Self {
        self.tensor.get_or_insert_with(|| tensor.clone());
        self
    }

    /// What is wrong.
    pub fn kind(&self) -> PipelineErrorKind {
        self.kind
    }

    /// The step at fault, where it is one.
    pub fn step(&self) -> Option<&str> {
        self.step.as_deref()
    }

    /// The input of that step, or, without a step, the input or output of the pipeline that is at fault.
    pub fn tensor(&self) -> Option<&str> {
        self.tensor.as_deref()
    }

    /// The text without the place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for PipelineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.step, &self.tensor) {
            (Some(step), Some(tensor)) => write!(f, "step `{step}`, `{tensor}`: ")?,
            (Some(place), None) => write!(f, "step `{place}`: ")?,
            (None, Some(place)) => write!(f, "`{place}`: ")?,
            (None, None) => {}
        }
        f.write_str(&self.message)
    }
}

impl StdError for PipelineError {}

/// So that a program that deals in the engine's errors alone can build pipelines.
impl From<PipelineError> for Error {
    fn from(error: PipelineError) -> Self {
        let kind = match error.kind {
            PipelineErrorKind::UnknownModel => ErrorKind::NotFound,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, error.to_string())
    }
}
