//! A model behind a translation: callers see other names, types or shapes than it has itself.

use std::sync::Arc;

use unruffled_model::{
    Batch, Footprint, LoadedModel, Model, ModelError, ModelInfo, RunContext, Serve, TensorModel, Tensors,
};

/// What callers send as the model takes it, and what the model gives as callers read it.
pub(crate) trait Translation: Send + Sync + 'static {
    /// The inputs of a request, on the thread of an instance.
    fn inputs(&self, inputs: &Tensors) -> Result<Tensors, ModelError>;

    /// The answer to a request.
    fn outputs(&self, outputs: &Tensors) -> Result<Tensors, ModelError>;

    /// What a request weighs, on the thread of its caller: nothing is converted here.
    fn admit(&self, model: &TensorModel, inputs: &Tensors) -> Result<Footprint, ModelError>;
}

/// A model with its translation.
pub(crate) struct Translated<T> {
    model: TensorModel,
    info: ModelInfo,
    translation: T,
}

impl<T: Translation> Translated<T> {
    /// `info` is what callers see.
    pub(crate) fn of(model: TensorModel, info: ModelInfo, translation: T) -> TensorModel {
        Arc::new(Self { model, info, translation })
    }
}

impl<T: Translation> LoadedModel for Translated<T> {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, inputs: &Tensors) -> Result<Footprint, ModelError> {
        self.translation.admit(&self.model, inputs)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        self.model
            .with_instance(&mut |instance| serve(&mut Instance { translation: &self.translation, instance }))
    }
}

struct Instance<'a, T> {
    translation: &'a T,
    instance: &'a mut dyn Model<Input = Tensors, Output = Tensors>,
}

impl<T: Translation> Model for Instance<'_, T> {
    type Input = Tensors;
    type Output = Tensors;

    fn run(&mut self, batch: &mut Batch<Tensors, Tensors>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        // Rows of a run come in the order of its requests, and are handed on in that order.
        let inputs = batch.rows().iter().map(|row| {
            let input = row.input().ok_or_else(|| ModelError::failed("a row has lost its input"))?;
            self.translation.inputs(input)
        });
        let mut inner = Batch::new(inputs.collect::<Result<Vec<_>, _>>()?);
        let outcome = self.instance.run(&mut inner, ctx);
        for (row, inner) in batch.rows_mut().iter_mut().zip(inner.into_rows()) {
            if let Some(answer) = inner.into_answer() {
                row.finish(answer.and_then(|outputs| self.translation.outputs(&outputs)));
            }
        }
        outcome
    }
}
