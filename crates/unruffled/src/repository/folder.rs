//! [`ModelFolder`]: one model on disk, found but not loaded.

use std::path::{Path, PathBuf};

use unruffled_model::{ModelSource, Name};

use crate::config::{self, ModelConfig, PipelineConfig};
use crate::error::{Error, ErrorKind};

/// What the model file of a folder may be called. Of several the first counts, unless the settings name the backend of
/// another.
const MODEL_FILES: [&str; 5] = ["model.onnx", "model.py", "model.skops", "model.joblib", "model.pkl"];

/// The same for messages.
const KINDS: &str = "model.onnx, .py, .skops, .joblib or .pkl";

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
                (Some(folder), Some(version)) if has_model(path) => Self::in_folder(folder, Some(version)),
                _ => Self::in_folder(path, None),
            };
        }
        match path.parent() {
            // Of a model that is a step or a pipeline, its settings are all there is.
            Some(parent)
                if path.ends_with(config::FILE_NAME) || path.ends_with(config::PIPELINE_FILE_NAME) =>
            {
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

    pub(super) fn in_folder(folder: &Path, version: Option<u64>) -> Result<Self, Error> {
        let name = name_of(folder.file_name(), folder)?;
        let versions = versions(folder)?;
        let version = version.or(versions.last().copied());
        let place = version.map_or_else(|| folder.to_owned(), |version| folder.join(version.to_string()));
        let mut files = model_files(&place).peekable();
        if let Some(config) = ModelConfig::read_pipeline(folder)? {
            return Self::pipeline(name, folder, config, files.next());
        }
        let config = ModelConfig::read(folder);
        let Some(file) = files.peek() else {
            return match config {
                Ok(config) if config.step.is_some() || config.fallback.is_some() => {
                    let source = ModelSource::File(folder.join(config::FILE_NAME));
                    let root = Some(folder.to_owned());
                    Ok(Self { name, version: None, versions: Vec::new(), source, config, root })
                }
                Ok(_) => Err(Error::new(ErrorKind::ModelNotFound, missing(folder)).in_file(folder)),
                Err(error) => Err(error),
            };
        };
        let config = config?;
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
        Ok(Self { name, version, versions, source: ModelSource::File(file), config, root })
    }

    /// A folder whose models are those of others.
    fn pipeline(
        name: Name,
        folder: &Path,
        config: ModelConfig,
        other: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let file = folder.join(config::PIPELINE_FILE_NAME);
        let settings = folder.join(config::FILE_NAME);
        if let Some(other) = other.or_else(|| settings.is_file().then_some(settings)) {
            let other = other.file_name().unwrap_or_default().display();
            let message = format!("is a pipeline, but there is `{other}` too; take one of them away");
            return Err(Error::new(ErrorKind::InvalidConfig, message).in_file(&file));
        }
        Ok(Self {
            name,
            version: None,
            versions: Vec::new(),
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
    folder.join(config::FILE_NAME).is_file()
        || folder.join(config::PIPELINE_FILE_NAME).is_file()
        || has_model(folder)
        || versions(folder).is_ok_and(|versions| !versions.is_empty())
}

/// Versions above the highest one that can be served: folders whose model file is missing.
pub(super) fn unfinished(folder: &ModelFolder, path: &Path) -> Vec<u64> {
    let numbered = numbered(path).unwrap_or_default();
    numbered.into_iter().filter(|number| Some(*number) > folder.version).collect()
}

/// The model files of a folder, in the order of preference.
fn model_files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    MODEL_FILES.iter().map(|name| folder.join(name)).filter(|file| file.is_file())
}

fn has_model(folder: &Path) -> bool {
    model_files(folder).next().is_some()
}

pub(super) fn is_onnx(file: &Path) -> bool {
    has_ending(file, &["onnx"])
}

/// Whether a file that lies among models is one by its name alone: not a script, which may be anything, and nothing that has
/// to be trusted first.
pub(super) fn is_single(file: &Path) -> bool {
    has_ending(file, &["onnx", "skops"])
}

fn is_model_file(file: &Path) -> bool {
    has_ending(file, &["onnx", "py", "skops", "joblib", "pkl"])
}

fn has_ending(file: &Path, endings: &[&str]) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// What a folder lacks, with the likeliest remedy.
fn missing(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().display().to_string()).collect();
    names.sort();
    if let Some(other) = names.iter().find(|name| is_single(Path::new(name))) {
        let ending = if is_onnx(Path::new(other)) { "onnx" } else { "skops" };
        return format!(
            "has no model.{ending}; rename `{other}` to model.{ending}, or name that file itself"
        );
    }
    match names.iter().find(|name| name.starts_with("model.") && *name != config::FILE_NAME) {
        Some(other) => format!("`{other}` is of a kind that cannot be run here; expected {KINDS}"),
        None => {
            format!("has neither {KINDS} nor a folder 1 with one; put one there, or take the folder away")
        }
    }
}

/// The numbered sub-folders that hold a model, ascending.
fn versions(folder: &Path) -> Result<Vec<u64>, Error> {
    let mut versions = numbered(folder)?;
    versions.retain(|version| has_model(&folder.join(version.to_string())));
    Ok(versions)
}

fn numbered(folder: &Path) -> Result<Vec<u64>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    let mut versions: Vec<_> = entries.flatten().filter_map(|entry| version_of(&entry.path())).collect();
    versions.sort_unstable();
    Ok(versions)
}

/// The number that a folder is named by, written as numbers are: not `01`, not `+1`.
fn version_of(folder: &Path) -> Option<u64> {
    let name = folder.file_name()?.to_str()?;
    let version: u64 = name.parse().ok()?;
    (version.to_string() == name).then_some(version)
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

pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unreadable, format!("cannot be read: {error}")).in_file(path).caused_by(error)
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
