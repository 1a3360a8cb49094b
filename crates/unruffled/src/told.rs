//! A model that its settings say more of than it says itself.

use std::sync::Arc;

use unruffled_model::{
    Batching, Footprint, LoadedModel, ModelError, ModelInfo, SequenceSpec, Serve, Stateless, TensorModel,
    Tensors,
};

/// A model whose settings know better.
pub(crate) struct Told {
    model: TensorModel,
    info: ModelInfo,
}

impl Told {
    /// With what sessions keep for it.
    pub(crate) fn with_sequence(model: TensorModel, sequence: SequenceSpec) -> TensorModel {
        let info = model.info().clone().with_sequence(sequence);
        Arc::new(Self { model, info })
    }

    /// One request a run, whatever it could do.
    pub(crate) fn one_by_one(model: TensorModel) -> TensorModel {
        let info = model.info().clone().with_batching(Batching::Single);
        Arc::new(Self { model, info })
    }
}

impl LoadedModel for Told {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &Tensors) -> Result<Footprint, ModelError> {
        self.model.admit(input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        self.model.with_instance(serve)
    }

    fn stateless(&self) -> Option<&dyn Stateless<Tensors, Tensors>> {
        self.model.stateless()
    }
}
