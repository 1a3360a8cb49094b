//! [`Catalog`]: what the server must know of models that the engine does not.

use std::collections::HashMap;

use unruffled_model::Name;

/// Which version of each model is loaded, for the paths, metadata and answers that tell it.
///
/// A model has one version at a time, or none: then answers leave it out and paths with a version are not found.
pub trait Catalog: Send + Sync {
    /// The version of this model, a decimal integer as text. Asked for every request: it must not block.
    fn version(&self, model: &str) -> Option<Name>;
}

impl Catalog for HashMap<Name, Name> {
    fn version(&self, model: &str) -> Option<Name> {
        self.get(model).cloned()
    }
}

/// No model has a version.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unversioned;

impl Catalog for Unversioned {
    fn version(&self, _: &str) -> Option<Name> {
        None
    }
}
