//! `model-settings.json`: a model of an MLServer folder, served as it is or refused with the line that cannot be kept.
//!
//! What changes no answer and has no effect here is noted; `docs/guide/coming-from.md` has all keys. Of the `settings.json` of the
//! whole repository, the number of workers and the cache count; the rest is said to `unruffled serve`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use unruffled_engine::CacheOptions;
use unruffled_model::{DType, Dim};

use super::beside::is_beside;
use super::check::TOP;
use super::place::line_at;
use super::typed::{
    Declared, Decode, Estimator, Foreign, InputConfig, ModelConfig, Note, OutputConfig, PythonConfig,
    RunConfig,
};
use crate::error::{Error, ErrorKind};

/// What the file is called.
pub const MLSERVER_FILE_NAME: &str = "model-settings.json";

/// What the settings of all models of a repository are called.
pub(super) const REPOSITORY_FILE_NAME: &str = "settings.json";

/// The largest file that is read, in bytes.
const BYTES_MAX: usize = 256 << 10;

/// What files of estimators are called unless it is said.
const ESTIMATORS: [&str; 3] = ["model.joblib", "model.pkl", "model.skops"];

/// What the implementations of MLServer run, and what the files are called that can be run here.
const IMPLEMENTATIONS: [(&str, &str, &[&str]); 4] = [
    ("mlserver_sklearn.", "an estimator", &ESTIMATORS),
    ("mlserver_xgboost.", "an estimator", &ESTIMATORS),
    ("mlserver_lightgbm.", "an estimator", &ESTIMATORS),
    ("mlserver_onnx.", "an ONNX model", &["model.onnx"]),
];

type Object<'a> = IndexMap<String, &'a RawValue>;

/// One settings file: what refusals need to say where they stand.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) file: &'a Path,
}

/// An input or output as the settings have it.
#[derive(Deserialize)]
struct Port {
    name: String,
    datatype: String,
    #[serde(default)]
    shape: Vec<i64>,
    #[serde(default)]
    parameters: PortParameters,
}

#[derive(Default, Deserialize)]
struct PortParameters {
    content_type: Option<String>,
}

/// Settings of a model of MLServer; `repository` is the file about all of them.
pub(super) fn parse(
    source: Source<'_>,
    repository: Option<Source<'_>>,
    is_there: &dyn Fn(&str) -> bool,
) -> Result<ModelConfig, Error> {
    let mut taken = Taken::default();
    for (key, value) in source.object(None)? {
        source.take(&key, value, &mut taken)?;
    }
    let mut caches_all = false;
    if let Some(repository) = repository {
        for (key, value) in repository.object(None)? {
            match key.as_str() {
                "parallel_workers" => taken.workers = taken.workers.or(Some(repository.read(&key, value)?)),
                "cache_enabled" => caches_all = repository.read(&key, value)?,
                _ => {}
            }
        }
    }
    let config = &mut taken.config;
    config.run.instances = taken.workers.and_then(|workers| workers.try_into().ok());
    // MLServer remembers answers where both say so.
    config.cache = (taken.caches && caches_all).then(CacheOptions::default);
    let Some((implementation, place)) = taken.implementation else {
        let message = "needs `implementation`, such as \"mlserver_sklearn.SKLearnModel\"";
        return Err(Error::new(ErrorKind::InvalidConfig, message).in_file(source.file).at_line(1));
    };
    let known = IMPLEMENTATIONS.iter().find(|(start, ..)| implementation.starts_with(start));
    let Some((_, what, names)) = known else {
        let message = format!(
            "\"{}\" is not run here; write a class `Model` with `predict` in a model.py, or convert the model to ONNX, and \
             take the settings away",
            implementation.escape_debug()
        );
        return Err(source.refuse("implementation", place, message));
    };
    let (file, place, key) = match taken.uri {
        Some((file, place)) => (file, place, "parameters.uri"),
        None => {
            let found = names.iter().find(|name| is_there(name)).unwrap_or(&names[0]);
            ((*found).to_owned(), place, "implementation")
        }
    };
    let ending = |name: &str| name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    if !names.iter().any(|name| ending(name) == ending(&file)) {
        let known: Vec<_> =
            names.iter().filter_map(|name| ending(name)).map(|ending| format!(".{ending}")).collect();
        let message = format!(
            "`{file}` is no file in which {what} can be read here; expected {}: save it anew, or load it in a model.py",
            known.join(", ")
        );
        return Err(source.refuse(key, place, message));
    }
    if matches!(ending(&file).as_deref(), Some("joblib" | "pkl")) && !config.python.trust_pickle {
        let message = format!(
            "reading `{file}` runs whatever code is in it; if it is your own, write \"extra\": {{\"trust_pickle\": true}} under \
             \"parameters\", or save it as model.skops"
        );
        return Err(source.refuse(key, place, message));
    }
    config.estimator = (*what == "an estimator").then_some(Estimator);
    config.model_file = Some(file);
    config.foreign = Some(Arc::new(taken.foreign));
    config.file = Some(source.file.to_owned());
    Ok(taken.config)
}

/// What has been found so far.
#[derive(Default)]
struct Taken<'a> {
    config: ModelConfig,
    foreign: Foreign,
    implementation: Option<(String, &'a RawValue)>,
    uri: Option<(String, &'a RawValue)>,
    workers: Option<usize>,
    caches: bool,
}

impl<'a> Source<'a> {
    fn line(self, value: &RawValue) -> usize {
        // The value is a part of the text.
        line_at(self.text, (value.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize))
    }

    fn refuse(self, key: &str, value: &RawValue, message: impl Into<String>) -> Error {
        let error = Error::new(ErrorKind::InvalidConfig, message).in_file(self.file);
        error.at_line(self.line(value)).at_key(key)
    }

    /// The whole file, or a part of it, by its keys.
    fn object(self, part: Option<(&str, &'a RawValue)>) -> Result<Object<'a>, Error> {
        if self.text.len() > BYTES_MAX {
            let message = format!("is {} bytes long; {BYTES_MAX} are read at most", self.text.len());
            return Err(Error::new(ErrorKind::InvalidConfig, message).in_file(self.file));
        }
        let Some((key, value)) = part else {
            return serde_json::from_str(self.text).map_err(|error| {
                let message = format!("is not a JSON object: {error}");
                Error::new(ErrorKind::InvalidConfig, message).in_file(self.file).at_line(error.line().max(1))
            });
        };
        self.read(key, value)
    }

    fn read<T: Deserialize<'a>>(self, key: &str, value: &'a RawValue) -> Result<T, Error> {
        serde_json::from_str(value.get()).map_err(|error| {
            let text = error.to_string();
            let message = text.split(" at line ").next().unwrap_or_default();
            self.refuse(key, value, message)
        })
    }

    fn note(self, notes: &mut Vec<Note>, key: &str, value: &RawValue, why: &str) {
        notes.push(Note { line: self.line(value), key: key.to_owned(), why: why.to_owned() });
    }

    fn take(self, key: &str, value: &'a RawValue, taken: &mut Taken<'a>) -> Result<(), Error> {
        let config = &mut taken.config;
        if value.get() == "null" {
            return Ok(());
        }
        match key {
            "name" => config.name = Some(self.read::<String>(key, value)?).filter(|name| !name.is_empty()),
            "implementation" => taken.implementation = Some((self.read(key, value)?, value)),
            "parameters" => {
                for (inner, value) in self.object(Some((key, value)))? {
                    self.parameter(&inner, value, taken)?;
                }
            }
            "max_batch_size" => {
                let most: usize = self.read(key, value)?;
                config.run = RunConfig { max_batch: most.try_into().ok(), ..config.run };
            }
            "max_batch_time" => {
                if self.read::<f64>(key, value)? > 0.0 {
                    let why = "nobody waits for a batch to fill: it is formed when an instance is free";
                    self.note(&mut config.notes, key, value, why);
                }
            }
            "parallel_workers" => taken.workers = self.read(key, value)?,
            "cache_enabled" => taken.caches = self.read(key, value)?,
            "inputs" | "outputs" => {
                for value in self.read::<Vec<&RawValue>>(key, value)? {
                    self.port(key, value, taken)?;
                }
            }
            "platform" | "versions" => self.note(&mut config.notes, key, value, "it is told to nobody"),
            "warm_workers" => {
                self.note(&mut config.notes, key, value, "workers are started before the first request");
            }
            _ => self.note(&mut config.notes, key, value, "it is not known here"),
        }
        Ok(())
    }

    fn parameter(self, inner: &str, value: &'a RawValue, taken: &mut Taken<'a>) -> Result<(), Error> {
        let config = &mut taken.config;
        let key = &*format!("parameters.{inner}");
        if value.get() == "null" {
            return Ok(());
        }
        match inner {
            "uri" => {
                let uri: String = self.read(key, value)?;
                let name = uri.trim_start_matches("./");
                // The folder itself is where its file is looked for anyway.
                if matches!(name, "" | ".") {
                    return Ok(());
                }
                if !is_beside(name) {
                    let message = format!(
                        "\"{}\" is not in the model's own folder; put the file there, and write its name alone",
                        uri.escape_debug()
                    );
                    return Err(self.refuse(key, value, message));
                }
                taken.uri = Some((name.to_owned(), value));
            }
            "version" => {
                let version: String = self.read(key, value)?;
                match version.parse() {
                    Ok(number) => config.version = Some(number),
                    Err(_) => {
                        let why = "versions are whole numbers here: the model is served without one";
                        self.note(&mut config.notes, key, value, why);
                    }
                }
            }
            "content_type" => {
                let kind: String = self.read(key, value)?;
                self.check_content(key, value, &kind)?;
            }
            "environment_path" => {
                let folder = self.file.parent().unwrap_or(Path::new(""));
                let path: PathBuf = self.read(key, value)?;
                config.python =
                    PythonConfig { interpreter: Some(folder.join(path)), ..config.python.clone() };
            }
            "environment_tarball" => {
                let message = "is not unpacked here; unpack it, and write its folder as `environment_path`";
                return Err(self.refuse(key, value, message));
            }
            "extra" => {
                for (name, value) in self.object(Some((key, value)))? {
                    let key = &*format!("{key}.{name}");
                    match name.as_str() {
                        "trust_pickle" => config.python.trust_pickle = self.read(key, value)?,
                        "trusted_types" => config.python.trusted_types = self.read(key, value)?,
                        _ => {
                            self.note(
                                &mut config.notes,
                                key,
                                value,
                                "nothing that runs models here reads it",
                            );
                        }
                    }
                }
            }
            "inference_pool_gid" | "autogenerate_inference_pool_gid" => {
                self.note(&mut config.notes, key, value, "each model has processes of its own");
            }
            _ => {
                self.note(&mut config.notes, key, value, "nothing that runs models here reads it");
            }
        }
        Ok(())
    }

    fn check_content(self, key: &str, value: &RawValue, kind: &str) -> Result<(), Error> {
        match kind {
            "" | "np" => Ok(()),
            _ => {
                let message = format!(
                    "\"{}\" makes something else than numbers of an input, which is not done here; do so in a model.py, or \
                     write \"np\"",
                    kind.escape_debug()
                );
                Err(self.refuse(key, value, message))
            }
        }
    }

    fn port(self, key: &str, value: &'a RawValue, taken: &mut Taken<'a>) -> Result<(), Error> {
        let port: Port = self.read(key, value)?;
        let Some(dtype) = datatype(&port.datatype) else {
            let message =
                format!("unknown datatype \"{}\"; expected one such as FP32", port.datatype.escape_debug());
            return Err(self.refuse(key, value, message));
        };
        self.check_content(key, value, &port.parameters.content_type.unwrap_or_default())?;
        let size = |size: &i64| usize::try_from(*size).map_or(Dim::Any, Dim::Fixed);
        let dims = (!port.shape.is_empty()).then(|| port.shape.iter().map(size).collect());
        let declared = Some(Declared { dtype, dims });
        taken.foreign.lines.push((format!("{key}.{}", port.name), self.line(value)));
        match key {
            "inputs" => {
                taken.config.inputs.push(InputConfig {
                    name: port.name,
                    declared,
                    default: None,
                    from: None,
                });
            }
            _ => taken.config.outputs.push(OutputConfig {
                name: port.name,
                declared,
                labels: None,
                top: TOP.try_into().expect("it is not 0"),
                decode: Decode::Classes,
            }),
        }
        Ok(())
    }
}

/// An element type by the protocol's name.
fn datatype(name: &str) -> Option<DType> {
    let known = [
        ("BOOL", DType::Bool),
        ("UINT8", DType::U8),
        ("UINT16", DType::U16),
        ("UINT32", DType::U32),
        ("UINT64", DType::U64),
        ("INT8", DType::I8),
        ("INT16", DType::I16),
        ("INT32", DType::I32),
        ("INT64", DType::I64),
        ("FP16", DType::F16),
        ("FP32", DType::F32),
        ("FP64", DType::F64),
        ("BYTES", DType::Bytes),
    ];
    known.into_iter().find(|(known, _)| *known == name).map(|(_, dtype)| dtype)
}

#[cfg(test)]
mod tests;
