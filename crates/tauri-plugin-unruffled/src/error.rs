//! [`Error`]: what a page hears when a command fails.

use std::fmt;

use serde::{Serialize, Serializer};
use unruffled::engine;
use unruffled::engine::ErrorKind;

/// Why a command failed: a stable code, and words that name what was wrong and what to do about it.
///
/// A page gets it as an object: `code`, `message`, and where they are known `model` and `retry_after_ms`. The codes are those of
/// [`ErrorKind::code`], and `forbidden` (the window may not use this model), `duplicate` (this request was made before) and
/// `unsupported`.
#[derive(Clone, Debug)]
pub struct Error {
    code: &'static str,
    message: String,
    model: Option<String>,
    retry_after_ms: Option<u64>,
}

impl Error {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::InvalidInput, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::NotFound, message)
    }

    pub(crate) fn cancelled() -> Self {
        Self::of(ErrorKind::Cancelled, "the page gave it up")
    }

    pub(crate) fn forbidden(model: &str) -> Self {
        let message =
            format!("this window may not use model `{model}`; its capability's scope has to allow it");
        Self { model: Some(model.to_owned()), ..Self::new("forbidden", message) }
    }

    pub(crate) fn duplicate(call: u64) -> Self {
        Self::new("duplicate", format!("call {call} of this page was made before; it is not run again"))
    }

    pub(crate) fn of(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::new(kind.code(), message)
    }

    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), model: None, retry_after_ms: None }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// As a page gets it.
    pub(crate) fn told(&self) -> serde_json::Value {
        let mut told = serde_json::json!({ "code": self.code, "message": self.message });
        if let Some(model) = &self.model {
            told["model"] = model.as_str().into();
        }
        if let Some(wait) = self.retry_after_ms {
            told["retry_after_ms"] = wait.into();
        }
        told
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.told().serialize(serializer)
    }
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        let retry_after = error.retry_after().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        Self {
            model: error.model().map(str::to_owned),
            retry_after_ms: retry_after,
            ..Self::of(error.kind(), error.to_string())
        }
    }
}

impl From<unruffled::Error> for Error {
    fn from(error: unruffled::Error) -> Self {
        engine::Error::from(error).into()
    }
}

impl From<unruffled_protocol::ProtocolError> for Error {
    fn from(error: unruffled_protocol::ProtocolError) -> Self {
        Self::invalid(error.to_string())
    }
}
