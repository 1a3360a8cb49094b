//! [`LoadedModel`]: what instances share, and where they come from.

use std::sync::Arc;

use crate::context::RunContext;
use crate::error::ModelError;
use crate::memo::Memo;
use crate::model::{Batch, Model};
use crate::sequence::SequenceSpec;
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

/// Whether rows may be run a second time: after a neighbour made their batch fail, or when they were stopped to let something
/// more urgent go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rerun {
    /// A row that may have been begun is never begun again: it has effects elsewhere, or its input is used up.
    ///
    /// Of a [`Batching::Sequential`] model, rows whose input was neither taken nor [spent](crate::Row::spend) count as not
    /// begun.
    Never,
    /// A run leaves nothing behind but its answers.
    Safe,
}

/// What is known of a model before it runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
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
    /// Whether rows may be run again.
    pub rerun: Rerun,
    /// How many threads one run keeps busy at most; 0 if it mostly waits for something else than a core.
    pub threads: usize,
    /// What of its outputs it wants back; `None` if no call depends on those before.
    pub sequence: Option<SequenceSpec>,
}

impl ModelInfo {
    /// A model that takes one request a run, cannot be stopped, may be run again and uses one thread.
    pub fn new(backend: impl Into<Name>, platform: impl Into<Name>) -> Self {
        Self {
            backend: backend.into(),
            platform: platform.into(),
            signature: Signature::default(),
            batching: Batching::Single,
            interrupt: Interrupt::Never,
            rerun: Rerun::Safe,
            threads: 1,
            sequence: None,
        }
    }

    /// Says what it takes and gives.
    #[must_use]
    pub fn with_signature(mut self, signature: Signature) -> Self {
        self.signature = signature;
        self
    }

    /// Says how it gains from batches.
    #[must_use]
    pub fn with_batching(mut self, batching: Batching) -> Self {
        self.batching = batching;
        self
    }

    /// Says how it can be stopped.
    #[must_use]
    pub fn with_interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// Says whether rows may be run again.
    #[must_use]
    pub fn with_rerun(mut self, rerun: Rerun) -> Self {
        self.rerun = rerun;
        self
    }

    /// Says how many threads one run keeps busy.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Says what sessions keep for it from call to call.
    #[must_use]
    pub fn with_sequence(mut self, sequence: SequenceSpec) -> Self {
        self.sequence = Some(sequence);
        self
    }
}

/// What one request weighs, found at admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Footprint {
    /// Rows that it adds to a batch: 1 for a single item, n for an input that is itself a batch of n.
    pub rows: usize,
    /// Bytes that it holds while it waits.
    pub bytes: usize,
    /// Requests of equal buckets may share a run.
    pub bucket: u64,
}

impl Footprint {
    /// A single row that may share a run with any other.
    pub fn single(bytes: usize) -> Self {
        Self::new(1, bytes, 0)
    }

    /// So many rows, so many bytes, and the bucket of those that may share its run.
    pub fn new(rows: usize, bytes: usize, bucket: u64) -> Self {
        Self { rows, bytes, bucket }
    }
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

    /// An input that a new instance runs before it takes work, so that the first request finds it warm; `None`: there is none.
    fn sample(&self) -> Option<Self::Input> {
        None
    }

    /// How its answers are remembered, where the engine is told to remember them; `None` if they cannot be. Models from
    /// tensors to tensors need not say.
    fn memo(&self) -> Option<Arc<dyn Memo<Self::Input, Self::Output>>> {
        None
    }

    /// The model as something that any thread may run; `None` if that needs an instance. What is very cheap then runs where
    /// it is asked for, without a hand-over to another thread.
    fn stateless(&self) -> Option<&dyn Stateless<Self::Input, Self::Output>> {
        None
    }
}

/// A shared model is a model.
impl<M: LoadedModel + ?Sized> LoadedModel for Arc<M> {
    type Input = M::Input;
    type Output = M::Output;

    fn info(&self) -> &ModelInfo {
        (**self).info()
    }

    fn admit(&self, input: &Self::Input) -> Result<Footprint, ModelError> {
        (**self).admit(input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Self::Input, Self::Output>) -> Result<(), ModelError> {
        (**self).with_instance(serve)
    }

    fn stateless(&self) -> Option<&dyn Stateless<Self::Input, Self::Output>> {
        (**self).stateless()
    }
}

/// A model that runs on any thread, and on several at once.
pub trait Stateless<I, O>: Send + Sync {
    /// As [`Model::run`].
    ///
    /// # Errors
    ///
    /// As [`Model::run`].
    fn run(&self, batch: &mut Batch<I, O>, ctx: &RunContext<'_>) -> Result<(), ModelError>;
}

/// What is done with an instance for as long as it lives.
pub type Serve<'a, I, O> = dyn FnMut(&mut dyn Model<Input = I, Output = O>) + Send + 'a;

/// A loaded model of any kind with these types.
pub type SharedModel<I, O> = Arc<dyn LoadedModel<Input = I, Output = O>>;

/// A loaded model from tensors to tensors: what backends make of files.
pub type TensorModel = SharedModel<Tensors, Tensors>;
