//! [`Case`]: one test of the standard, as it lies on disk.

use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;
use unruffled_model::{ModelError, ModelSource};

use super::compare::Tolerance;
use super::value::Value;

/// One test: a model, and sets of inputs with the outputs they must give.
#[derive(Clone, Debug)]
pub struct Case {
    name: String,
    folder: PathBuf,
    pub(super) tolerance: Tolerance,
    inputs: Vec<Declared>,
    outputs: Vec<Declared>,
}

/// What an input or output is called, and the kind of message that holds it.
#[derive(Clone, Debug)]
struct Declared {
    name: String,
    kind: String,
}

/// Inputs with the outputs they must give, in the order of the model.
pub(super) struct Set {
    pub(super) inputs: Vec<(String, Value)>,
    pub(super) outputs: Vec<(String, Value)>,
}

/// The tests in a folder, by name.
///
/// # Errors
///
/// `InvalidInput` if there is no such folder, it holds none, or one of them is not of the form that `make.py` writes.
pub fn cases(folder: &Path) -> Result<Vec<Case>, ModelError> {
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    let cases: Vec<Case> = folders.into_iter().map(Case::read).collect::<Result<_, _>>()?;
    if cases.is_empty() {
        return Err(malformed(folder, "holds no tests; `cargo xtask models` makes them"));
    }
    Ok(cases)
}

impl Case {
    fn read(folder: PathBuf) -> Result<Self, ModelError> {
        let path = folder.join("about.toml");
        let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        let about: Table = text.parse().map_err(|error: toml::de::Error| malformed(&path, &error))?;
        let number = |key: &str| {
            about
                .get(key)
                .and_then(toml::Value::as_float)
                .ok_or_else(|| malformed(&path, format!("no {key}")))
        };
        let declared = |key: &str| {
            let list = about.get(key).and_then(toml::Value::as_array);
            let list = list.and_then(|list| list.iter().map(Declared::read).collect::<Option<Vec<_>>>());
            list.ok_or_else(|| malformed(&path, format!("no {key}")))
        };
        Ok(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            tolerance: Tolerance { relative: number("rtol")?, absolute: number("atol")? },
            inputs: declared("inputs")?,
            outputs: declared("outputs")?,
            folder,
        })
    }

    /// What the standard calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model under test.
    pub fn source(&self) -> ModelSource {
        ModelSource::File(self.folder.join("model.onnx"))
    }

    /// The values, set by set.
    pub(super) fn sets(&self) -> impl Iterator<Item = Result<Set, ModelError>> {
        let folders = (0..).map(|i: usize| self.folder.join(i.to_string())).take_while(|path| path.is_dir());
        folders.map(|folder| {
            let values = |what: &str, declared: &[Declared]| {
                let paths = (0..).map(|i: usize| folder.join(format!("{what}.{i}.pb")));
                let present = declared.iter().zip(paths).filter(|(_, path)| path.exists());
                let read = present.map(|(declared, path)| {
                    let bytes = fs::read(&path).map_err(|error| unreadable(&path, error))?;
                    let value = Value::read(&declared.kind, &bytes);
                    Ok((declared.name.clone(), value.map_err(|error| malformed(&path, error))?))
                });
                read.collect::<Result<_, ModelError>>()
            };
            Ok(Set { inputs: values("in", &self.inputs)?, outputs: values("out", &self.outputs)? })
        })
    }
}

impl Declared {
    fn read(value: &toml::Value) -> Option<Self> {
        let text = |key| Some(value.get(key)?.as_str()?.to_owned());
        Some(Self { name: text("name")?, kind: text("kind")? })
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> ModelError {
    let message = format!("{} cannot be read: {error}; `cargo xtask models` makes it", path.display());
    ModelError::invalid_input(message).caused_by(error)
}

fn malformed(path: &Path, why: impl std::fmt::Display) -> ModelError {
    ModelError::invalid_input(format!("{}: {why}", path.display()))
}
