//! Names a model's source in messages, and keeps a malformed one from taking the process down.

use std::panic::{AssertUnwindSafe, catch_unwind};

use unruffled_model::{ModelError, ModelSource};

/// What messages call the source: the file's name, since whole paths are nothing for clients.
pub(crate) fn display_name(source: &ModelSource) -> String {
    match source {
        ModelSource::File(path) => match path.file_name() {
            Some(name) => format!("`{}`", name.display()),
            None => "the model's file".into(),
        },
        ModelSource::Memory(_) => "the model".into(),
    }
}

/// The source could not be read.
pub(crate) fn unreadable(source: &ModelSource, error: std::io::Error) -> ModelError {
    let message =
        format!("cannot read {}: {error}; check that it exists and may be read", display_name(source));
    ModelError::failed(message).caused_by(error)
}

/// The source was read and is no ONNX model.
pub(crate) fn malformed(source: &ModelSource, why: impl std::fmt::Display) -> ModelError {
    let message = format!(
        "{} is not a sound ONNX model: {why}; export it again, or check that it was copied as a whole",
        display_name(source)
    );
    ModelError::failed(message)
}

/// The source is a sound ONNX model, and this backend cannot run it.
pub(crate) fn unsupported(backend: &str, source: &ModelSource, reasons: &[String]) -> ModelError {
    ModelError::unsupported(format!(
        "{backend} cannot run {}: {}; run it with another backend, or export it without these",
        display_name(source),
        reasons.join("; ")
    ))
}

/// Does what reads foreign bytes; a panic over them is one more way of saying that they are malformed.
pub(crate) fn guarded<T>(
    source: &ModelSource,
    read: impl FnOnce() -> Result<T, ModelError>,
) -> Result<T, ModelError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(malformed(source, "its reader panicked")))
}
