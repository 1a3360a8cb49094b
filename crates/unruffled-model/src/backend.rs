//! [`Backend`]: what turns a file into a [`TensorModel`].

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::cancel::{CancelToken, HookGuard};
use crate::error::ModelError;
use crate::loaded::TensorModel;
use crate::signature::InputDefault;

/// Where a model's bytes are.
#[derive(Clone)]
pub enum ModelSource {
    /// In a file, which the backend may map into memory.
    File(PathBuf),
    /// In memory.
    Memory(Bytes),
}

impl fmt::Debug for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelSource::File(path) => f.debug_tuple("File").field(path).finish(),
            ModelSource::Memory(bytes) => write!(f, "Memory({} bytes)", bytes.len()),
        }
    }
}

/// Whether a backend can run a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// It can.
    Yes,
    /// It cannot, for these reasons, one a line: operators that it lacks, say. None: it is for models of another kind.
    No(Vec<String>),
}

/// What is decided when a model is loaded.
#[derive(Clone, Debug)]
pub struct BackendOptions {
    /// Threads that one run of one instance uses.
    pub threads: usize,
    /// Inputs that callers may leave out, for [`Signature::set_default`](crate::Signature::set_default).
    pub defaults: Vec<InputDefault>,
    /// What only some backends understand.
    pub special: SpecialOptions,
}

impl Default for BackendOptions {
    fn default() -> Self {
        Self { threads: 1, defaults: Vec::new(), special: SpecialOptions::default() }
    }
}

/// Options that single backends define, each by its type; a backend looks for its own and passes over the others'.
///
/// ```
/// use unruffled_model::SpecialOptions;
///
/// #[derive(Debug, PartialEq)]
/// struct Device(u32);
///
/// let options = SpecialOptions::default().with(Device(1));
/// assert_eq!(options.get(), Some(&Device(1)));
/// assert_eq!(options.get::<String>(), None);
/// ```
#[derive(Clone, Default)]
pub struct SpecialOptions(Vec<Arc<dyn Any + Send + Sync>>);

impl SpecialOptions {
    /// With the options of one backend, in place of others of the same type.
    #[must_use]
    pub fn with<T: Any + Send + Sync>(mut self, options: T) -> Self {
        self.0.retain(|known| !known.is::<T>());
        self.0.push(Arc::new(options));
        self
    }

    /// The options of this type, if any were given.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.iter().find_map(|options| options.downcast_ref())
    }
}

impl fmt::Debug for SpecialOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpecialOptions({} kinds)", self.0.len())
    }
}

/// What loading may ask and tell while it goes on.
pub struct LoadContext<'a> {
    cancel: &'a CancelToken,
    progress: &'a (dyn Fn(f32) + Sync),
}

impl<'a> LoadContext<'a> {
    /// The context of one load; `progress` hears the part that is done, from 0 to 1.
    pub fn new(cancel: &'a CancelToken, progress: &'a (dyn Fn(f32) + Sync)) -> Self {
        Self { cancel, progress }
    }

    /// Whether nobody waits for the model any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Has `hook` run, once, when nobody waits any more: the way to stop a library that is loading. As
    /// [`RunContext::on_cancel`](crate::RunContext::on_cancel).
    #[must_use = "dropping the guard takes the hook away"]
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> HookGuard<'a> {
        self.cancel.on_cancel(hook)
    }

    /// Says which part of the load is done, and goes on only if somebody still waits for the model.
    ///
    /// # Errors
    ///
    /// `Cancelled` if nobody does.
    pub fn step(&self, done: f32) -> Result<(), ModelError> {
        self.progress(done);
        match self.is_cancelled() {
            true => Err(ModelError::cancelled()),
            false => Ok(()),
        }
    }

    /// Says which part of the load is done, from 0 to 1.
    pub fn progress(&self, done: f32) {
        (self.progress)(done.clamp(0.0, 1.0));
    }
}

/// One way to run models that come as files.
pub trait Backend: Send + Sync {
    /// What it is called in settings and replies: `rten`, `ort`, ...
    fn name(&self) -> &'static str;

    /// How the files that it reads end, without the dot: `onnx`, say.
    fn formats(&self) -> &'static [&'static str];

    /// Whether it can run this model, found without loading it fully.
    ///
    /// # Errors
    ///
    /// If the model cannot be read at all.
    fn supports(&self, source: &ModelSource) -> Result<Support, ModelError>;

    /// Loads a model. Blocks: the engine calls it on a thread of its own.
    ///
    /// # Errors
    ///
    /// Why it cannot be loaded: unreadable, malformed, unsupported, cancelled.
    fn load(
        &self,
        source: &ModelSource,
        options: &BackendOptions,
        ctx: &LoadContext<'_>,
    ) -> Result<TensorModel, ModelError>;
}
