//! [`Catalog`]: what the server must know of models that the engine does not.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

use unruffled_engine::{Error, ErrorKind};
use unruffled_model::Name;

/// A load or an unload on its way.
pub type Control = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// How the numbers of an input are made of the bytes of any file: those of its beginning, then those of its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEnds {
    /// Bytes from the beginning.
    pub begin: usize,
    /// Bytes from the end.
    pub end: usize,
    /// How far into the file either part may reach, in bytes.
    pub block: usize,
    /// Whether white space at the outer ends is dropped.
    pub trim: bool,
    /// What stands where the file has no byte.
    pub padding: i32,
}

/// Which version of each model is loaded, for the paths, metadata and answers that tell it; what classes are called; and
/// which other models there are, that clients may have loaded.
///
/// A model has one version at a time, or none: then answers leave it out and paths with a version are not found.
pub trait Catalog: Send + Sync + 'static {
    /// The version of this model, a decimal integer as text. Asked for every request: it must not block.
    fn version(&self, model: &str) -> Option<Name>;

    /// What a class of an output is called, counted from 0, if it has a name. It must not block.
    fn label(&self, _model: &str, _output: &str, _class: usize) -> Option<String> {
        None
    }

    /// How an input is made of a file, if it is: the live page offers to drop one then. It must not block.
    fn file_ends(&self, _model: &str, _input: &str) -> Option<FileEnds> {
        None
    }

    /// The models that could be loaded, and their versions. Asked on a thread that may block.
    ///
    /// # Errors
    ///
    /// Why they cannot be told.
    fn index(&self) -> Result<Vec<(Name, Option<Name>)>, Error> {
        Ok(Vec::new())
    }

    /// Loads the model of this name, or loads it anew beside the one that runs and then in its place. Comes from a client:
    /// it is to be looked up, never to be made a path. Called on a thread that may block; the future must not.
    fn load(&self, _model: &str) -> Control {
        Box::pin(std::future::ready(Err(no_control())))
    }

    /// Ends the model of this name: it is not found from now on, and requests in flight finish. As [`load`](Self::load).
    fn unload(&self, _model: &str) -> Control {
        Box::pin(std::future::ready(Err(no_control())))
    }
}

fn no_control() -> Error {
    Error::new(ErrorKind::InvalidInput, "models are not loaded or unloaded over the network here")
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
