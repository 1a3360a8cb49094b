//! A model that its settings say more of than it says itself.

use std::sync::Arc;

use unruffled_model::{
    Footprint, LoadedModel, ModelError, ModelInfo, SequenceSpec, Serve, Stateless, TensorModel, Tensors,
};

/// A model with what sessions keep for it.
pub(crate) struct Sequenced {
    model: TensorModel,
    info: ModelInfo,
}

impl Sequenced {
    pub(crate) fn of(model: TensorModel, sequence: SequenceSpec) -> TensorModel {
        let info = model.info().clone().with_sequence(sequence);
        Arc::new(Self { model, info })
    }
}

impl LoadedModel for Sequenced {
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
