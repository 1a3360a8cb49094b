//! Which files of a folder are models: what they are called, and in which versions they are there.

use std::path::{Path, PathBuf};

use crate::config::{self, ModelConfig, Versions};
use crate::error::{Error, ErrorKind};

/// What the model file of a folder may be called. Of several the first counts, unless the settings name the backend of
/// another.
pub(super) const MODEL_FILES: [&str; 5] =
    ["model.onnx", "model.py", "model.skops", "model.joblib", "model.pkl"];

/// The same for messages.
const KINDS: &str = "model.onnx, .py, .skops, .joblib or .pkl";

/// What the files of a model are called, and which versions count.
#[derive(Debug, Default)]
pub(super) struct Layout<'a> {
    /// The one name that counts, where the settings say so.
    file: Option<&'a str>,
    versions: Versions,
}

impl<'a> Layout<'a> {
    pub(super) fn of(config: &'a ModelConfig) -> Self {
        Self { file: config.model_file.as_deref(), versions: config.versions.clone() }
    }

    /// The model files of a folder, in the order of preference.
    pub(super) fn files(&self, folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
        let names = match self.file {
            Some(name) => vec![name.to_owned()],
            None => MODEL_FILES.map(str::to_owned).to_vec(),
        };
        let folder = folder.to_owned();
        names.into_iter().map(move |name| folder.join(name)).filter(|file| file.is_file())
    }

    /// The numbered sub-folders that hold a model and count, ascending.
    pub(super) fn versions(&self, folder: &Path) -> Result<Vec<u64>, Error> {
        let mut versions = numbered(folder)?;
        versions.retain(|version| self.files(&folder.join(version.to_string())).next().is_some());
        self.versions.choose(&mut versions);
        Ok(versions)
    }

    /// What a folder lacks, with the likeliest remedy.
    pub(super) fn missing(&self, folder: &Path, config: &ModelConfig) -> String {
        let Some(name) = self.file else { return missing(folder) };
        let settings = config.file().and_then(Path::file_name).unwrap_or_default().display();
        if let Versions::These(wanted) = &self.versions {
            let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
            let wanted = wanted.join(", ");
            return format!("has `{name}` in none of the versions that {settings} names ({wanted})");
        }
        let python =
            numbered(folder).unwrap_or_default().into_iter().map(|version| folder.join(version.to_string()));
        if python.into_iter().any(|place| place.join("model.py").is_file()) {
            return format!(
                "has no version with `{name}`, but a model.py: a TritonPythonModel is not run here; make its `execute` the \
                 `predict` of a class `Model`, and take {settings} away"
            );
        }
        format!("has no version with `{name}`; put it into a folder 1, or correct {settings}")
    }
}

pub(super) fn is_onnx(file: &Path) -> bool {
    has_ending(file, &["onnx"])
}

/// Whether a file that lies among models is one by its name alone: not a script, which may be anything, and nothing that has
/// to be trusted first.
pub(super) fn is_single(file: &Path) -> bool {
    has_ending(file, &["onnx", "skops"])
}

pub(super) fn is_model_file(file: &Path) -> bool {
    has_ending(file, &["onnx", "py", "skops", "joblib", "pkl"])
}

fn has_ending(file: &Path, endings: &[&str]) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unreadable, format!("cannot be read: {error}")).in_file(path).caused_by(error)
}

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

pub(super) fn numbered(folder: &Path) -> Result<Vec<u64>, Error> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    let mut versions: Vec<_> = entries.flatten().filter_map(|entry| version_of(&entry.path())).collect();
    versions.sort_unstable();
    Ok(versions)
}

/// The number that a folder is named by, written as numbers are: not `01`, not `+1`.
pub(super) fn version_of(folder: &Path) -> Option<u64> {
    let name = folder.file_name()?.to_str()?;
    let version: u64 = name.parse().ok()?;
    (version.to_string() == name).then_some(version)
}
