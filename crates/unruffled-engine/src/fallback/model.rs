//! A chain as a model: what is known of its first link is known of it.

use std::sync::Arc;

use unruffled_model::{Batching, Footprint, LoadedModel, ModelError, ModelInfo, Serve};

use super::Links;

/// Runs as `inner` does, and takes in what the first link takes.
pub(crate) struct ChainModel<M, I, O> {
    pub(super) links: Arc<Links<I, O>>,
    pub(super) inner: M,
    pub(super) info: ModelInfo,
}

impl<M: LoadedModel> ChainModel<M, M::Input, M::Output> {
    pub(super) fn new(links: &Arc<Links<M::Input, M::Output>>, inner: M) -> Self {
        let first = links.links[0].0.ask.info();
        let mut info = inner.info().clone();
        (info.backend, info.platform, info.signature) = ("fallback".into(), first.platform, first.signature);
        debug_assert!(info.batching == Batching::Single, "each call is a chain of its own");
        Self { links: Arc::clone(links), inner, info }
    }
}

impl<M: LoadedModel> LoadedModel for ChainModel<M, M::Input, M::Output> {
    type Input = M::Input;
    type Output = M::Output;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &M::Input) -> Result<Footprint, ModelError> {
        match self.links.links[0].0.ask.admit(input) {
            Some(admitted) => admitted.map(|first| Footprint::new(first.rows, first.bytes, 0)),
            None => self.inner.admit(input),
        }
    }

    fn with_instance(&self, serve: &mut Serve<'_, M::Input, M::Output>) -> Result<(), ModelError> {
        self.inner.with_instance(serve)
    }
}
