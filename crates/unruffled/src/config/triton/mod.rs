//! `config.pbtxt`: a model of a Triton repository, served as it is or refused with the line that cannot be kept.
//!
//! The text is read as it is ([`text`]), then field by field ([`said`]), and becomes settings of our own ([`map`]). What changes
//! no answer and has no effect here is noted; `docs/guide/coming-from.md` has all fields.

mod text;

mod field;

mod copies;
mod schedule;
mod steps;

mod said;

mod ensemble;

mod map;

use std::path::Path;

use super::typed::ModelConfig;
use crate::error::{Error, ErrorKind};

/// What the file is called.
pub const TRITON_FILE_NAME: &str = "config.pbtxt";

/// Settings of a Triton repository; `folder` is the name of the model's folder.
pub(super) fn parse(
    text: &str,
    file: &Path,
    folder: &str,
    read_beside: &dyn Fn(&str) -> std::io::Result<String>,
) -> Result<ModelConfig, Error> {
    let place = map::Place { folder, read_beside };
    let config =
        text::parse(text).and_then(|fields| said::read(&fields)).and_then(|said| map::config(said, &place));
    match config {
        Ok(config) => Ok(ModelConfig { file: Some(file.to_owned()), ..config }),
        Err(text::Fault { line, key, message }) => {
            let error = Error::new(ErrorKind::InvalidConfig, message).in_file(file).at_line(line);
            Err(match key {
                Some(key) => error.at_key(key),
                None => error,
            })
        }
    }
}

#[cfg(test)]
mod tests;
