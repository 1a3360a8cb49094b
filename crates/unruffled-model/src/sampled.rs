//! [`Sampled`]: a model with an input to warm it up.

use std::fmt;

use crate::error::ModelError;
use crate::loaded::{Footprint, LoadedModel, ModelInfo, Serve, SharedModel, Stateless};

/// A model as it is, with a [`sample`](LoadedModel::sample) that is made on demand.
pub struct Sampled<I, O> {
    model: SharedModel<I, O>,
    sample: Box<dyn Fn() -> I + Send + Sync>,
}

impl<I: Send + 'static, O: Send + 'static> Sampled<I, O> {
    /// `sample` is called for each run of a new instance that is to warm it up, on that instance's thread.
    pub fn new(model: SharedModel<I, O>, sample: impl Fn() -> I + Send + Sync + 'static) -> Self {
        Self { model, sample: Box::new(sample) }
    }
}

impl<I: Send + 'static, O: Send + 'static> LoadedModel for Sampled<I, O> {
    type Input = I;
    type Output = O;

    fn info(&self) -> &ModelInfo {
        self.model.info()
    }

    fn admit(&self, input: &I) -> Result<Footprint, ModelError> {
        self.model.admit(input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, I, O>) -> Result<(), ModelError> {
        self.model.with_instance(serve)
    }

    fn sample(&self) -> Option<I> {
        Some((self.sample)())
    }

    fn stateless(&self) -> Option<&dyn Stateless<I, O>> {
        self.model.stateless()
    }
}

impl<I, O> fmt::Debug for Sampled<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampled").finish_non_exhaustive()
    }
}
