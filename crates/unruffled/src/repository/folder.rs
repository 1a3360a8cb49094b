//! [`ModelFolder`]: one model on disk, found but not loaded.

use std::path::{Path, PathBuf};

use unruffled_model::{ModelSource, Name};

use super::layout::{self, Layout, MODEL_FILES, is_model_file, is_onnx, unreadable, version_of};
use crate::config::{self, FOREIGN_FILE_NAMES, ModelConfig, PipelineConfig, Versions};
use crate::error::{Error, ErrorKind};

/// The backend that runs all kinds but the first.
const PYTHON: &str = "python";

/// The format of what has no file but its settings.
const STEP_FORMAT: &str = "toml";

/// The longest name of a model, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// One model: where its bytes are, what it is called, and what is set about it. Nothing is loaded yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelFolder {
    /// The name, that of the folder or of the file without its ending.
    pub name: Name,
    /// The version, where the folder has numbered ones.
    pub version: Option<u64>,
    /// All versions that are there, ascending.
    pub versions: Vec<u64>,
    /// The bytes.
    pub source: ModelSource,
    /// What is set about it.
    pub config: ModelConfig,
    root: Option<PathBuf>,
}

impl ModelFolder {
    /// Finds the model at a path: `NAME`, `NAME/1`, or a file like `NAME/model.onnx`, `NAME.onnx` or `NAME/model.py`.
    ///
    /// Reads small files: on an event loop, use [`open`](crate::Load::load) instead.
    ///
    /// # Errors
    ///
    /// `ModelNotFound` if there is no model, with what was expected; `InvalidConfig` if its `model.toml` is wrong.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let found = std::fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(ErrorKind::ModelNotFound, "there is no such file or folder").in_file(path)
            }
            _ => unreadable(path, error),
        })?;
        // A name may be hidden behind `.`: `unruffled inspect .`
        let path = &std::path::absolute(path).map_err(|error| unreadable(path, error))?;
        if found.is_dir() {
            return match (path.parent(), version_of(path)) {
                (Some(folder), Some(version)) if has_model(path) || is_foreign(folder) => {
                    Self::in_folder(folder, Some(version))
                }
                _ => Self::in_folder(path, None),
            };
        }
        match path.parent() {
            // Of a model that is a step or a pipeline, its settings are all there is.
            Some(parent) if settings_files().any(|name| path.ends_with(name)) => {
                Self::in_folder(parent, None)
            }
            Some(parent) if MODEL_FILES.iter().any(|name| path.ends_with(name)) => {
                let found = match (parent.parent(), version_of(parent)) {
                    (Some(folder), Some(version)) => Self::in_folder(folder, Some(version)),
                    _ => Self::in_folder(parent, None),
                };
                // Of several files the one that was named.
                found.map(|found| Self { source: ModelSource::File(path.to_owned()), ..found })
            }
            _ => Self::single_file(path),
        }
    }

    /// A model that is in memory, not on disk.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` if the name cannot be one.
    pub fn in_memory(name: &str, model: unruffled_model::Bytes, config: ModelConfig) -> Result<Self, Error> {
        Ok(Self {
            name: checked_name(name)?,
            version: None,
            versions: Vec::new(),
            source: ModelSource::Memory(model),
            config,
            root: None,
        })
    }

    /// The file or folder that it came from, unless it is in memory.
    pub fn file(&self) -> Option<&Path> {
        match &self.source {
            ModelSource::File(file) => Some(file),
            ModelSource::Memory(_) => None,
        }
    }

    /// The folder of the model, where `model.toml` and its versions lie, unless it is a single file or in memory.
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// How large its file is; 0 if that cannot be told.
    pub fn file_bytes(&self) -> usize {
        match &self.source {
            ModelSource::File(file) => {
                std::fs::metadata(file).map_or(0, |file| usize::try_from(file.len()).unwrap_or(usize::MAX))
            }
            ModelSource::Memory(bytes) => bytes.len(),
        }
    }

    /// The same model in its other versions, ascending. One whose files are gone by now is left out.
    pub fn others(&self) -> Vec<Self> {
        let others = self.versions.iter().filter(|version| Some(**version) != self.version);
        let root = self.root.as_deref();
        others.filter_map(|version| Self::in_folder(root?, Some(*version)).ok()).collect()
    }

    /// The format of its file, by which backends are asked: `onnx`, `py`, `skops`, `joblib` or `pkl`; `toml` of a step or a pipeline.
    pub fn format(&self) -> String {
        if self.config.step.is_some() || self.config.pipeline.is_some() {
            return STEP_FORMAT.into();
        }
        // What is in memory has no name to tell, and no other kind can be there.
        let ending = self.file().map_or(Some("onnx".as_ref()), Path::extension);
        ending.unwrap_or_default().to_string_lossy().to_lowercase()
    }

    /// What it asks of others, if it is a pipeline.
    pub fn pipeline_config(&self) -> Option<&PipelineConfig> {
        self.config.pipeline.as_deref()
    }

    /// Whether it has no model of its own but asks others: a pipeline, or a chain.
    pub fn asks_others(&self) -> bool {
        self.config.pipeline.is_some() || self.config.fallback.is_some()
    }

    /// Whether it is an ONNX file; [`OnnxSummary`](crate::OnnxSummary) says what is in one.
    pub fn is_onnx(&self) -> bool {
        self.format() == "onnx"
    }

    /// What its settings say that has no effect here, and changes no answer; for messages.
    pub fn without_effect(&self) -> Option<Error> {
        let notes: Vec<_> = self.config.notes.iter().map(ToString::to_string).collect();
        let file = self.config.file()?;
        (!notes.is_empty()).then(|| Error::new(ErrorKind::InvalidConfig, notes.join("; ")).in_file(file))
    }

    pub(super) fn in_folder(folder: &Path, version: Option<u64>) -> Result<Self, Error> {
        let own = name_of(folder.file_name(), folder)?;
        if let Some(config) = ModelConfig::read_pipeline(folder)? {
            return Self::pipeline(own, folder, version, config);
        }
        let config = ModelConfig::read(folder)?;
        let layout = Layout::of(&config);
        let versions = layout.versions(folder)?;
        let version = version.or(versions.last().copied());
        let place = place(folder, version);
        let mut files = layout.files(&place).peekable();
        let name = match &config.name {
            None => own,
            Some(name) => checked_name(name).map_err(|error| match config.file() {
                Some(file) => error.in_file(file),
                None => error,
            })?,
        };
        if config.pipeline.is_some() {
            return Self::pipeline(name, folder, version, config);
        }
        let Some(file) = files.peek() else {
            if config.step.is_some() || config.fallback.is_some() {
                let source = ModelSource::File(folder.join(config::FILE_NAME));
                let root = Some(folder.to_owned());
                return Ok(Self { name, version: None, versions: Vec::new(), source, config, root });
            }
            return Err(Error::new(ErrorKind::ModelNotFound, layout.missing(folder, &config)).in_file(folder));
        };
        let other =
            [("step", config.step.is_some(), "a step"), ("fallback", config.fallback.is_some(), "a chain")];
        if let Some((key, _, what)) = other.into_iter().find(|(_, is_so, _)| *is_so) {
            let file = file.file_name().unwrap_or_default().display();
            let message = format!("is {what}, but there is `{file}` too; take one of them away");
            let error = Error::new(ErrorKind::InvalidConfig, message).at_key(key);
            return Err(error.in_file(&folder.join(config::FILE_NAME)));
        }
        let is_wanted = |file: &PathBuf| config.backend.as_deref() != Some(PYTHON) || !is_onnx(file);
        let first = files.peek().cloned();
        let file = files.find(is_wanted).or(first).expect("there is one");
        let root = Some(folder.to_owned());
        let version = version.or(config.version);
        let versions = if versions.is_empty() { config.version.into_iter().collect() } else { versions };
        Ok(Self { name, version, versions, source: ModelSource::File(file), config, root })
    }

    /// A folder whose models are those of others.
    fn pipeline(name: Name, folder: &Path, version: Option<u64>, config: ModelConfig) -> Result<Self, Error> {
        let file = config.file().map_or_else(|| folder.join(config::PIPELINE_FILE_NAME), Path::to_owned);
        let layout = Layout::default();
        let version = version.or(layout.versions(folder)?.last().copied());
        let model = layout.files(&place(folder, version)).next();
        let settings = folder.join(config::FILE_NAME);
        if let Some(other) = model.or_else(|| settings.is_file().then_some(settings)) {
            let other = other.file_name().unwrap_or_default().display();
            let message = format!("is a pipeline, but there is `{other}` too; take one of them away");
            return Err(Error::new(ErrorKind::InvalidConfig, message).in_file(&file));
        }
        // Triton wants a folder of a version that has nothing in it, and its clients may name that version.
        let is_foreign = config.foreign.is_some();
        let empty =
            is_foreign.then(|| layout::numbered(folder)).transpose()?.and_then(|all| all.last().copied());
        Ok(Self {
            name,
            version: empty,
            versions: empty.into_iter().collect(),
            source: ModelSource::File(file),
            config,
            root: Some(folder.to_owned()),
        })
    }

    pub(super) fn single_file(file: &Path) -> Result<Self, Error> {
        if !is_model_file(file) {
            let message = "is not a model that can be run here; expected a folder, or a file that ends in .onnx, .py, \
                           .skops, .joblib or .pkl";
            return Err(Error::new(ErrorKind::ModelNotFound, message).in_file(file));
        }
        Ok(Self {
            name: name_of(file.file_stem(), file)?,
            version: None,
            versions: Vec::new(),
            source: ModelSource::File(file.to_owned()),
            config: ModelConfig::default(),
            root: None,
        })
    }
}

/// Whether a folder is that of one model, not of many.
pub(super) fn is_model(folder: &Path) -> bool {
    settings_files().any(|name| folder.join(name).is_file())
        || has_model(folder)
        || Layout::default().versions(folder).is_ok_and(|versions| !versions.is_empty())
}

/// What settings may be called.
fn settings_files() -> impl Iterator<Item = &'static str> {
    [config::FILE_NAME, config::PIPELINE_FILE_NAME].into_iter().chain(FOREIGN_FILE_NAMES)
}

/// Whether a model's settings are those of another server.
fn is_foreign(folder: &Path) -> bool {
    !folder.join(config::FILE_NAME).is_file()
        && FOREIGN_FILE_NAMES.into_iter().any(|name| folder.join(name).is_file())
}

/// Versions above the highest one that can be served: folders whose model file is missing.
pub(super) fn unfinished(folder: &ModelFolder, path: &Path) -> Vec<u64> {
    let numbered = layout::numbered(path).unwrap_or_default();
    let is_meant = |number: &u64| match &folder.config.versions {
        Versions::These(wanted) => wanted.contains(number),
        Versions::All | Versions::Latest(_) => true,
    };
    numbered.into_iter().filter(|number| Some(*number) > folder.version && is_meant(number)).collect()
}

/// Where a version's files are.
fn place(folder: &Path, version: Option<u64>) -> PathBuf {
    version.map_or_else(|| folder.to_owned(), |version| folder.join(version.to_string()))
}

fn has_model(folder: &Path) -> bool {
    Layout::default().files(folder).next().is_some()
}

fn name_of(name: Option<&std::ffi::OsStr>, path: &Path) -> Result<Name, Error> {
    let name = name.and_then(|name| name.to_str()).ok_or_else(|| {
        let message = "its name is not text that clients could send; rename it";
        Error::new(ErrorKind::ModelNotFound, message)
    });
    name.and_then(checked_name).map_err(|error| error.in_file(path))
}

/// A name that can stand in a URL path, a log line and a metric.
fn checked_name(name: &str) -> Result<Name, Error> {
    let refused = |why: &str| {
        let message = format!("`{}` cannot be a model's name: {why}; rename it", name.escape_debug());
        Err(Error::new(ErrorKind::InvalidConfig, message))
    };
    match name {
        "" | "." | ".." => refused("it says nothing"),
        _ if name.len() > NAME_BYTES_MAX => refused("it is longer than 200 bytes"),
        _ if name.contains(|c: char| c.is_control() || "/\\?#%".contains(c)) => {
            refused("it has a character that URLs use otherwise")
        }
        _ => Ok(name.into()),
    }
}

/// The paths of a folder's entries that are not hidden, by name.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    let mut paths = Vec::new();
    for entry in listed {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
