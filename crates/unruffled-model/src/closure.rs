//! [`FnModel`]: any Rust function as a model.

use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::context::RunContext;
use crate::error::{ModelError, ModelErrorKind};
use crate::joint::admit_tensors;
use crate::loaded::{Batching, Footprint, Interrupt, LoadedModel, ModelInfo, Rerun, Serve, Stateless};
use crate::memo::{ByKey, Memo};
use crate::model::{Batch, Emitter, Model, Row};
use crate::signature::Signature;
use crate::tensors::Tensors;

/// A function from an input to an output, as a model; its instances share the function.
///
/// ```
/// use unruffled_model::FnModel;
///
/// let length = FnModel::new(|text: String| text.len());
/// # let _: FnModel<String, usize, _> = length;
/// ```
///
/// A function that takes its input by value is never given it twice: when it panics or fails, only that row fails. One that
/// borrows it may be stopped for something more urgent and begun again later; if that must not be, say so with
/// [`with_rerun`](Self::with_rerun).
pub struct FnModel<I, O, F> {
    function: F,
    info: ModelInfo,
    bytes: fn(&I) -> usize,
    /// Checks and weighs an input that has a signature.
    admit: Option<Admit<I>>,
    memo: Option<Arc<dyn Memo<I, O>>>,
    types: PhantomData<fn(I) -> O>,
}

type Admit<I> = fn(&ModelInfo, &I) -> Result<Footprint, ModelError>;

impl<I: Send + 'static, O: Send + 'static> FnModel<I, O, ()> {
    /// A function that always succeeds.
    #[allow(clippy::new_ret_no_self, reason = "the function's type cannot be named")]
    pub fn new<F>(function: F) -> FnModel<I, O, impl RowFn<I, O>>
    where
        F: Fn(I) -> O + Send + Sync + 'static,
    {
        FnModel::build(Interrupt::Never, Rerun::Never, move |row: &mut Row<I, O>, _: &RunContext<'_>| {
            if let Some(input) = row.take_input() {
                row.finish(Ok(function(input)));
            }
        })
    }

    /// A function that may fail.
    pub fn fallible<E, F>(function: F) -> FnModel<I, O, impl RowFn<I, O>>
    where
        F: Fn(I) -> Result<O, E> + Send + Sync + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        FnModel::build(Interrupt::Never, Rerun::Never, move |row: &mut Row<I, O>, _: &RunContext<'_>| {
            let Some(input) = row.take_input() else { return };
            row.finish(function(input).map_err(|error| {
                let error = error.into();
                ModelError::failed(error.to_string()).caused_by(error)
            }));
        })
    }

    /// A function that watches its run, and stops when nobody waits for it any more.
    pub fn interruptible<F>(function: F) -> FnModel<I, O, impl RowFn<I, O>>
    where
        F: Fn(&I, &RunContext<'_>) -> Result<O, ModelError> + Send + Sync + 'static,
    {
        FnModel::build(
            Interrupt::Cooperative,
            Rerun::Safe,
            move |row: &mut Row<I, O>, ctx: &RunContext<'_>| {
                let Some(input) = row.input() else { return };
                let answer = function(input, ctx);
                if !stopped(ctx, answer.as_ref().err()) {
                    row.finish(answer);
                }
            },
        )
    }

    /// A function that gives several outputs for one input, as they come, and stops when nobody wants more.
    pub fn streaming<F>(function: F) -> FnModel<I, O, impl RowFn<I, O>>
    where
        F: Fn(&I, &mut Emitter<'_, O>, &RunContext<'_>) -> Result<(), ModelError> + Send + Sync + 'static,
    {
        FnModel::build(
            Interrupt::Cooperative,
            Rerun::Safe,
            move |row: &mut Row<I, O>, ctx: &RunContext<'_>| {
                let (Some(input), mut emitter) = row.split() else { return };
                match function(input, &mut emitter, ctx) {
                    Ok(()) => row.end(),
                    Err(error) if stopped(ctx, Some(&error)) => {}
                    Err(error) => row.finish(Err(error)),
                }
            },
        )
    }
}

/// Whether a row was broken off because its run was told to stop: then it has no answer.
fn stopped(ctx: &RunContext<'_>, error: Option<&ModelError>) -> bool {
    ctx.is_cancelled() && error.is_some_and(|error| error.kind() == ModelErrorKind::Cancelled)
}

/// What an [`FnModel`] calls for each row, to answer it.
pub trait RowFn<I, O>: Fn(&mut Row<I, O>, &RunContext<'_>) + Send + Sync + 'static {}

impl<I, O, F: Fn(&mut Row<I, O>, &RunContext<'_>) + Send + Sync + 'static> RowFn<I, O> for F {}

impl<I, O, F: RowFn<I, O>> FnModel<I, O, F> {
    fn build(interrupt: Interrupt, rerun: Rerun, function: F) -> Self {
        let info = ModelInfo::new("closure", "rust")
            .with_batching(Batching::Sequential)
            .with_interrupt(interrupt)
            .with_rerun(rerun);
        Self { function, info, bytes: |_| size_of::<I>(), admit: None, memo: None, types: PhantomData }
    }

    /// Says what tells an input from others, so that answers can be remembered: inputs with equal keys must have equal
    /// answers. `bytes` is how many bytes an output holds.
    ///
    /// ```
    /// use unruffled_model::FnModel;
    ///
    /// let shout = FnModel::new(|text: String| text.to_uppercase()).with_memo(String::clone, String::len);
    /// ```
    #[must_use]
    pub fn with_memo<K>(
        mut self,
        key: impl Fn(&I) -> K + Send + Sync + 'static,
        bytes: fn(&O) -> usize,
    ) -> Self
    where
        I: 'static,
        O: Clone + Send + Sync + 'static,
        K: Hash + Eq + Send + Sync + 'static,
    {
        self.memo = Some(Arc::new(ByKey { key, bytes, types: PhantomData }));
        self
    }

    /// Says how many bytes an input holds; without it, only the size of its type counts.
    #[must_use]
    pub fn with_bytes(mut self, bytes: fn(&I) -> usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Says whether a row that was begun may be begun again.
    #[must_use]
    pub fn with_rerun(mut self, rerun: Rerun) -> Self {
        self.info.rerun = rerun;
        self
    }

    /// Says how many threads one call keeps busy: 0 if it mostly waits, for a disk or another machine.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.info.threads = threads;
        self
    }
}

impl<O, F: RowFn<Tensors, O>> FnModel<Tensors, O, F> {
    /// Says which tensors it takes and gives, for callers that ask; what does not fit is refused before the function sees it.
    ///
    /// ```
    /// use unruffled_model::{DType, Dim, FnModel, Signature, TensorSpec, Tensors};
    ///
    /// let spec = |name: &str| TensorSpec::new(name, DType::F32, [Dim::Any]);
    /// let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("x")] };
    /// let echo = FnModel::new(|inputs: Tensors| inputs).with_signature(signature);
    /// # let _: FnModel<Tensors, Tensors, _> = echo;
    /// ```
    #[must_use]
    pub fn with_signature(mut self, signature: Signature) -> Self {
        self.info.signature = signature;
        self.admit = Some(admit_tensors);
        self
    }
}

impl<I: Send + 'static, O: Send + 'static, F: RowFn<I, O>> LoadedModel for FnModel<I, O, F> {
    type Input = I;
    type Output = O;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &I) -> Result<Footprint, ModelError> {
        match self.admit {
            Some(admit) => admit(&self.info, input),
            None => Ok(Footprint::single((self.bytes)(input))),
        }
    }

    fn with_instance(&self, serve: &mut Serve<'_, I, O>) -> Result<(), ModelError> {
        serve(&mut FnInstance { model: self });
        Ok(())
    }

    fn memo(&self) -> Option<Arc<dyn Memo<I, O>>> {
        self.memo.clone()
    }

    fn stateless(&self) -> Option<&dyn Stateless<I, O>> {
        // What can be stopped is not expected to be over at once.
        (self.info.interrupt == Interrupt::Never).then_some(self)
    }
}

impl<I: Send + 'static, O: Send + 'static, F: RowFn<I, O>> Stateless<I, O> for FnModel<I, O, F> {
    fn run(&self, batch: &mut Batch<I, O>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        for row in batch.rows_mut() {
            if ctx.is_cancelled() {
                return Err(ModelError::cancelled());
            }
            if self.info.rerun == Rerun::Never {
                row.spend();
            }
            (self.function)(row, &ctx.of_row(row.index()));
            let crashed = row.error().filter(|error| error.kind() == ModelErrorKind::Crashed);
            if let Some(error) = crashed {
                return Err(error.clone());
            }
        }
        Ok(())
    }
}

struct FnInstance<'a, I, O, F> {
    model: &'a FnModel<I, O, F>,
}

impl<I: Send + 'static, O: Send + 'static, F: RowFn<I, O>> Model for FnInstance<'_, I, O, F> {
    type Input = I;
    type Output = O;

    fn run(&mut self, batch: &mut Batch<I, O>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        Stateless::run(self.model, batch, ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::FnModel;
    use crate::{DType, Dim, LoadedModel as _, ModelErrorKind, Signature, Tensor, TensorSpec, Tensors};

    #[test]
    fn what_does_not_fit_a_signature_is_refused() {
        let spec = TensorSpec::new("x", DType::F32, [Dim::Fixed(2)]);
        let signature = Signature { inputs: vec![spec], outputs: vec![] };
        let model = FnModel::new(|inputs: Tensors| inputs).with_signature(signature.clone());
        assert_eq!(model.info().signature, signature);
        let x = |count: usize| Tensors::new().with("x", Tensor::new(&[count], vec![0.0_f32; count]).unwrap());
        assert_eq!(model.admit(&x(2)).unwrap().bytes, 8);
        let error = model.admit(&x(3)).unwrap_err();
        assert_eq!((error.kind(), error.tensor()), (ModelErrorKind::InvalidInput, Some("x")));
    }
}
