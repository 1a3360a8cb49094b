//! [`StepModel`]: a computation from tensors to tensors as a model.

use std::borrow::Cow;

use unruffled_model::{
    Batch, Batching, DType, Dim, Emitter, Footprint, Interrupt, LoadedModel, Model, ModelError,
    ModelErrorKind, ModelInfo, Row, RunContext, Serve, Signature, Tensor, TensorModel, TensorSpec, Tensors,
    admit_tensors,
};

/// What a step does with one request.
pub(crate) trait Compute: Send + Sync + 'static {
    /// Answers one request, whose inputs were admitted; what was left out has been filled in.
    fn run(&self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError>;

    /// Answers one request whose caller takes several outputs; nothing is left to say after `None`.
    fn emit(
        &self,
        inputs: &Tensors,
        emitter: &mut Emitter<'_, Tensors>,
        ctx: &RunContext<'_>,
    ) -> Result<Option<Tensors>, ModelError> {
        let _ = emitter;
        self.run(inputs, ctx).map(Some)
    }
}

/// A computation and its description. It holds nothing that a run changes, so instances share it.
struct StepModel<C> {
    info: ModelInfo,
    compute: C,
}

/// Makes a model of a computation; rows are run one after the other, and may be run again.
pub(crate) fn model(
    kind: &'static str,
    interrupt: Interrupt,
    signature: Signature,
    compute: impl Compute,
) -> TensorModel {
    let info = ModelInfo::new("step", kind)
        .with_signature(signature)
        .with_batching(Batching::Sequential)
        .with_interrupt(interrupt);
    std::sync::Arc::new(StepModel { info, compute })
}

impl<C: Compute> LoadedModel for StepModel<C> {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &Tensors) -> Result<Footprint, ModelError> {
        admit_tensors(&self.info, input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        serve(&mut StepInstance(self));
        Ok(())
    }
}

struct StepInstance<'a, C>(&'a StepModel<C>);

impl<C: Compute> StepInstance<'_, C> {
    fn answer(
        &self,
        row: &mut Row<Tensors, Tensors>,
        ctx: &RunContext<'_>,
    ) -> Result<Option<Tensors>, ModelError> {
        let (Some(given), mut emitter) = row.split() else {
            return Err(ModelError::failed("the input of this row was taken before"));
        };
        let inputs = match self.0.info.signature.fill(given)? {
            Some(filled) => Cow::Owned(filled),
            None => Cow::Borrowed(given),
        };
        self.0.compute.emit(&inputs, &mut emitter, ctx)
    }
}

impl<C: Compute> Model for StepInstance<'_, C> {
    type Input = Tensors;
    type Output = Tensors;

    fn run(&mut self, batch: &mut Batch<Tensors, Tensors>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        for row in batch.rows_mut() {
            if ctx.is_cancelled() {
                return Err(ModelError::cancelled());
            }
            match self.answer(row, &ctx.of_row(row.index())) {
                Ok(Some(outputs)) => row.finish(Ok(outputs)),
                Ok(None) => row.end(),
                // Broken off because it was told to be: the row has no answer, and may be run again.
                Err(error) if ctx.is_cancelled() && error.kind() == ModelErrorKind::Cancelled => {
                    return Err(error);
                }
                Err(error) => row.finish(Err(error)),
            }
        }
        Ok(())
    }
}

/// An input, which admission has found to be there.
pub(crate) fn input<'a>(inputs: &'a Tensors, name: &str) -> Result<&'a Tensor, ModelError> {
    inputs.get(name).ok_or_else(|| ModelError::invalid_input("input is missing").at(name))
}

/// Goes on only if somebody still waits.
pub(crate) fn watch(ctx: &RunContext<'_>) -> Result<(), ModelError> {
    if ctx.is_cancelled() { Err(ModelError::cancelled()) } else { Ok(()) }
}

pub(crate) fn spec(name: &str, dtype: DType, dims: impl Into<Vec<Dim>>) -> TensorSpec {
    TensorSpec::new(name, dtype, dims)
}

/// A dimension of any size that is the same wherever the name occurs.
pub(crate) fn same(name: &str) -> Dim {
    Dim::Symbolic(name.into())
}

/// Answers as one caller alone would get them: for tests.
#[cfg(test)]
pub(crate) fn answer(model: &TensorModel, inputs: Tensors) -> Result<Tensors, ModelError> {
    use unruffled_model::CancelToken;

    model.admit(&inputs)?;
    let mut batch = Batch::new([inputs]);
    let cancel = CancelToken::new();
    let mut outcome = Ok(());
    model.with_instance(&mut |instance| {
        outcome = instance.run(&mut batch, &RunContext::new(&cancel, None, &[]));
    })?;
    outcome?;
    batch.into_rows().remove(0).into_answer().expect("every row is answered")
}

#[cfg(test)]
mod tests {
    use unruffled_model::{Batch, CancelToken, Interrupt, ModelErrorKind, RunContext, Signature, Tensors};

    use super::{Compute, answer, model};
    use unruffled_model::ModelError;

    /// Fails at every second input.
    struct Picky;

    impl Compute for Picky {
        fn run(&self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
            super::watch(ctx)?;
            match inputs.is_empty() {
                true => Ok(Tensors::new()),
                false => Err(ModelError::failed("no")),
            }
        }
    }

    #[test]
    fn a_bad_row_costs_its_neighbours_nothing() {
        let model = model("picky", Interrupt::Cooperative, Signature::default(), Picky);
        let bad = Tensors::new().with("x", unruffled_model::Tensor::scalar(1_u8));
        assert_eq!(answer(&model, bad.clone()).unwrap_err().kind(), ModelErrorKind::InvalidInput);
        // Past admission, as a row that only the run can find fault with.
        let mut batch = Batch::new([Tensors::new(), bad, Tensors::new()]);
        let cancel = CancelToken::new();
        model
            .with_instance(&mut |instance| {
                instance.run(&mut batch, &RunContext::new(&cancel, None, &[])).unwrap();
            })
            .unwrap();
        let outcomes: Vec<_> =
            batch.into_rows().into_iter().map(|row| row.into_answer().unwrap().is_ok()).collect();
        assert_eq!(outcomes, [true, false, true]);
    }

    /// Is given up while it runs.
    struct GivenUp(CancelToken);

    impl Compute for GivenUp {
        fn run(&self, _: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
            self.0.cancel();
            super::watch(ctx)?;
            Ok(Tensors::new())
        }
    }

    #[test]
    fn a_row_that_was_broken_off_has_no_answer() {
        let cancel = CancelToken::new();
        let model = model("given up", Interrupt::Cooperative, Signature::default(), GivenUp(cancel.clone()));
        let mut batch = Batch::new([Tensors::new()]);
        model
            .with_instance(&mut |instance| {
                let outcome = instance.run(&mut batch, &RunContext::new(&cancel, None, &[]));
                assert_eq!(outcome.unwrap_err().kind(), ModelErrorKind::Cancelled);
            })
            .unwrap();
        assert!(!batch.rows()[0].is_finished());
    }

    #[test]
    fn a_cancelled_run_answers_nobody() {
        let model = model("picky", Interrupt::Cooperative, Signature::default(), Picky);
        let mut batch = Batch::new([Tensors::new()]);
        let cancel = CancelToken::new();
        cancel.cancel();
        model
            .with_instance(&mut |instance| {
                let outcome = instance.run(&mut batch, &RunContext::new(&cancel, None, &[]));
                assert_eq!(outcome.unwrap_err().kind(), ModelErrorKind::Cancelled);
            })
            .unwrap();
        assert!(!batch.rows()[0].is_finished());
    }
}
