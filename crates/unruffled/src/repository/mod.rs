//! [`Repository`]: the models that lie in a folder.

mod layout;

mod folder;

mod chains;

use std::path::Path;

use crate::config::PipelineConfig;
use crate::error::{Error, ErrorKind};
use folder::{entries, is_model, unfinished};
use layout::{is_single, unreadable};

pub use folder::ModelFolder;

/// What a repository looks like, for messages.
pub const LAYOUTS: &str = "\
a model repository is a folder that holds
  NAME/model.onnx     a model, called by the name of its folder
  NAME/1/model.onnx   numbered versions: the highest is taken
  NAME.onnx           a single file, called by its own name
  NAME/model.py       a model written in Python
  NAME/model.skops    a saved scikit-learn estimator; model.joblib and model.pkl if they are trusted
  NAME/model.toml     a step that needs no other file, if it says which: a tokeniser, a decoder of pictures, ...
  NAME/pipeline.toml  models of the repository, chained and branched
  NAME/config.pbtxt   a model of a Triton repository, as it is; NAME/model-settings.json: one of MLServer
and, where there is something to set, NAME/model.toml";

/// The models of a folder, found but not loaded.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    models: Vec<ModelFolder>,
    warnings: Vec<std::sync::Arc<Error>>,
}

impl Repository {
    /// Lists the models of a folder. One that is broken is left out, and told by [`warnings`](Self::warnings).
    ///
    /// The folder of a single model is taken for a repository of this one. Hidden entries are passed over.
    ///
    /// Reads a few small files a model, and so blocks for a moment.
    ///
    /// # Errors
    ///
    /// `ModelNotFound` if the folder is not there or holds no model at all, with the layouts that are accepted.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        let none =
            |what: &str| Error::new(ErrorKind::ModelNotFound, format!("{what}; {LAYOUTS}")).in_file(folder);
        match std::fs::metadata(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(none("there is no such folder"));
            }
            Err(error) => return Err(unreadable(folder, error)),
            Ok(found) if !found.is_dir() => return Err(none("is a file, not a folder")),
            Ok(_) => {}
        }
        if is_model(folder) {
            return Ok(Self::of([ModelFolder::open(folder)?]));
        }
        let mut all = Self::default();
        for path in entries(folder)? {
            all.add(&path);
        }
        all.drop_broken_chains();
        if all.models.is_empty() {
            let mut what = String::from("there is no model in it that can be used");
            for warning in &all.warnings {
                what.push_str("\n  ");
                what.push_str(&warning.to_string());
            }
            return Err(none(&what));
        }
        Ok(all)
    }

    /// A repository of these models; of two with one name the first counts.
    pub fn of(models: impl IntoIterator<Item = ModelFolder>) -> Self {
        let mut all = Self::default();
        for model in models {
            all.insert(model);
        }
        all.drop_broken_chains();
        all
    }

    /// The models, by name.
    pub fn models(&self) -> &[ModelFolder] {
        &self.models
    }

    /// The models, each after those that it asks if it is a pipeline or a chain; those that ask each other come as they are.
    pub fn in_load_order(&self) -> Vec<&ModelFolder> {
        let mut order = Vec::with_capacity(self.models.len());
        let mut seen = vec![false; self.models.len()];
        for at in 0..self.models.len() {
            self.visit(at, &mut seen, &mut order);
        }
        order
    }

    fn visit<'a>(&'a self, at: usize, seen: &mut [bool], order: &mut Vec<&'a ModelFolder>) {
        if std::mem::replace(&mut seen[at], true) {
            return;
        }
        let model = &self.models[at];
        let chain =
            model.config.fallback.iter().flat_map(|fallback| fallback.chain.iter().map(String::as_str));
        let asked = model.pipeline_config().map(PipelineConfig::models).unwrap_or_default();
        for name in asked.into_iter().chain(chain) {
            if let Ok(other) = self.models.binary_search_by(|model| (*model.name).cmp(name)) {
                self.visit(other, seen, order);
            }
        }
        order.push(&self.models[at]);
    }

    /// What was left out, why, and what to do about it.
    pub fn warnings(&self) -> impl ExactSizeIterator<Item = &Error> {
        self.warnings.iter().map(AsRef::as_ref)
    }

    /// The model of this name. Only names are compared: nothing outside of the repository can be reached.
    ///
    /// # Errors
    ///
    /// `ModelNotFound` with the names that there are.
    pub fn find(&self, name: &str) -> Result<&ModelFolder, Error> {
        self.models.iter().find(|model| *model.name == *name).ok_or_else(|| {
            let known: Vec<_> = self.models.iter().map(|model| &*model.name).collect();
            let message =
                format!("there is no model `{}`; there is {}", name.escape_debug(), known.join(", "));
            Error::new(ErrorKind::ModelNotFound, message)
        })
    }

    /// Takes a model in unless its name is taken.
    pub fn insert(&mut self, model: ModelFolder) {
        match self.models.binary_search_by(|known| known.name.cmp(&model.name)) {
            Err(place) => self.models.insert(place, model),
            Ok(_) => {
                let message = format!("the name `{}` is taken by another model; rename one", model.name);
                let error = Error::new(ErrorKind::InvalidConfig, message);
                self.warn(match model.file() {
                    Some(file) => error.in_file(file),
                    None => error,
                });
            }
        }
    }

    fn add(&mut self, path: &Path) {
        let model = if path.is_dir() {
            ModelFolder::in_folder(path, None)
        } else if is_single(path) {
            ModelFolder::single_file(path)
        } else {
            return;
        };
        match model {
            Ok(model) => {
                if let Some(highest) = unfinished(&model, path).last() {
                    let message = format!(
                        "version {highest} has no model file; version {} is used",
                        model.version.unwrap_or_default()
                    );
                    self.warn(Error::new(ErrorKind::ModelNotFound, message).in_file(path));
                }
                if let Some(warning) = model.without_effect() {
                    self.warn(warning);
                }
                self.insert(model);
            }
            Err(error) => self.warn(error),
        }
    }

    /// Chains that name models which are not here, or themselves by way of others, are left out.
    fn drop_broken_chains(&mut self) {
        while let Some((at, error)) = chains::broken(&self.models) {
            self.models.remove(at);
            self.warn(error);
        }
    }

    fn warn(&mut self, warning: Error) {
        self.warnings.push(warning.into());
    }
}

#[cfg(test)]
mod tests;
