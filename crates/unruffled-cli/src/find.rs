//! Which model is meant: a name, a folder or a file.

use std::path::{Path, PathBuf};

use unruffled::{ErrorKind, ModelFolder, Repository, sample};

use crate::exit::Failure;
use crate::terminal;

/// Where models are looked for unless the command line says otherwise.
const MODELS: &str = "models";

/// The models that can be named: those of the folder, and those that are built in.
pub(crate) fn repository(folder: Option<&PathBuf>) -> Result<Repository, Failure> {
    let opened = match folder {
        Some(folder) => Repository::open(folder),
        None if Path::new(MODELS).is_dir() => match Repository::open(MODELS) {
            // Nobody asked for this folder: what it lacks is no failure.
            Err(error) if error.kind() == ErrorKind::ModelNotFound => Ok(Repository::default()),
            opened => opened,
        },
        None => Ok(Repository::default()),
    };
    let mut repository = opened.map_err(Failure::loading)?;
    if repository.find(sample::NAME).is_err() {
        repository.insert(sample::digits());
    }
    Ok(repository)
}

/// The model that is meant; without a word, the built-in one.
pub(crate) fn model(word: Option<&str>, folder: Option<&PathBuf>) -> Result<ModelFolder, Failure> {
    let Some(word) = word else {
        return Ok(sample::digits());
    };
    let is_file = [".onnx", ".py", ".skops", ".joblib", ".pkl"].iter().any(|ending| word.ends_with(ending));
    let is_path = word.contains(['/', '\\']) || is_file || word.starts_with('.');
    if is_path {
        return ModelFolder::open(word).map_err(Failure::loading);
    }
    let repository = repository(folder)?;
    match repository.find(word) {
        Ok(model) => Ok(model.clone()),
        Err(_) if Path::new(word).exists() => ModelFolder::open(word).map_err(Failure::loading),
        Err(error) => {
            warn(&repository);
            let hint = match folder {
                None => "--models DIR for models in another folder, or the path of a model's file",
                Some(_) => "`unruffled inspect DIR` lists the models of a folder",
            };
            Err(Failure::loading(error).hint(hint))
        }
    }
}

/// Says what of a folder is left out.
pub(crate) fn warn(repository: &Repository) {
    for warning in repository.warnings() {
        terminal::warn(&warning.to_string());
    }
}
