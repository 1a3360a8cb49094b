//! [`LoadedModel`]: what instances share, and where they come from.

use std::sync::Arc;

use crate::error::ModelError;
use crate::model::Model;
use crate::signature::Signature;
use crate::tensors::{Name, Tensors};

/// How a model gains from several requests in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// Not at all: one request a run.
    Single,
    /// Rows are run one after the other; a batch saves hand-overs, no more.
    Sequential,
    /// Rows of the same [`Footprint::bucket`] are joined into one run that costs less than theirs apart.
    Joint,
}

/// How a running model can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// It cannot: a run goes to its end, its result is thrown away.
    Never,
    /// It watches the run's cancellation and stops soon.
    Cooperative,
    /// Its process is killed and replaced.
    Kill,
}

/// What is known of a model before it runs.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// What runs it: `rten`, `closure`, ...
    pub backend: Name,
    /// The format or framework, in the Open Inference Protocol's manner: `onnx_rten`, ...
    pub platform: Name,
    /// What it takes and gives; empty for a model that does not deal in tensors.
    pub signature: Signature,
    /// How it gains from batches.
    pub batching: Batching,
    /// How it can be stopped.
    pub interrupt: Interrupt,
    /// How many threads one run uses.
    pub threads: usize,
}

/// What one request weighs, found at admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Rows that it adds to a batch: 1 for a single item, n for an input that is itself a batch of n.
    pub rows: usize,
    /// Bytes that it holds while it waits.
    pub bytes: usize,
    /// Requests of equal buckets may share a run.
    pub bucket: u64,
}

/// A model in memory: the weights and the description that its instances share.
pub trait LoadedModel: Send + Sync {
    /// What one request brings.
    type Input: Send + 'static;
    /// What one request gets.
    type Output: Send + 'static;

    /// What is known of the model.
    fn info(&self) -> &ModelInfo;

    /// Checks one request and weighs it. Runs on the caller's thread: a few microseconds, no more.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that names what is wrong and what was expected.
    fn admit(&self, input: &Self::Input) -> Result<Footprint, ModelError>;

    /// Builds one instance on the calling thread and lends it to `serve` until that returns.
    ///
    /// A backend whose runs must happen inside a thread pool of its own calls `serve` in there: hence `Send`.
    ///
    /// # Errors
    ///
    /// What kept the instance from being built; `serve` was not called then.
    fn with_instance(&self, serve: &mut Serve<'_, Self::Input, Self::Output>) -> Result<(), ModelError>;
}

/// What is done with an instance for as long as it lives.
pub type Serve<'a, I, O> = dyn FnMut(&mut dyn Model<Input = I, Output = O>) + Send + 'a;

/// A loaded model of any kind with these types.
pub type SharedModel<I, O> = Arc<dyn LoadedModel<Input = I, Output = O>>;

/// A loaded model from tensors to tensors: what backends make of files.
pub type TensorModel = SharedModel<Tensors, Tensors>;
