//! [`FnModel`]: any Rust function as a model.

use std::marker::PhantomData;

use crate::context::RunContext;
use crate::error::{ModelError, ModelErrorKind};
use crate::loaded::{Batching, Footprint, Interrupt, LoadedModel, ModelInfo, Serve};
use crate::model::{Batch, Model};
use crate::signature::Signature;

/// A function from an input to an output, as a model; its instances share the function.
///
/// ```
/// use unruffled_model::FnModel;
///
/// let length = FnModel::new(|text: String| text.len());
/// # let _: FnModel<String, usize, _> = length;
/// ```
pub struct FnModel<I, O, F> {
    function: F,
    info: ModelInfo,
    bytes: fn(&I) -> usize,
    types: PhantomData<fn(I) -> O>,
}

impl<I: Send + 'static, O: Send + 'static> FnModel<I, O, ()> {
    /// A function that always succeeds.
    #[allow(clippy::new_ret_no_self, reason = "the function's type cannot be named")]
    pub fn new<F>(function: F) -> FnModel<I, O, impl RowFn<I, O>>
    where
        F: Fn(I) -> O + Send + Sync + 'static,
    {
        FnModel::build(Interrupt::Never, move |input, _: &RunContext<'_>| Ok(function(input)))
    }

    /// A function that may fail.
    pub fn fallible<E, F>(function: F) -> FnModel<I, O, impl RowFn<I, O>>
    where
        F: Fn(I) -> Result<O, E> + Send + Sync + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        FnModel::build(Interrupt::Never, move |input, _: &RunContext<'_>| {
            function(input).map_err(|error| {
                let error = error.into();
                ModelError::failed(error.to_string()).caused_by(error)
            })
        })
    }

    /// A function that watches its run, and stops when nobody waits for it any more.
    pub fn interruptible<F>(function: F) -> FnModel<I, O, F>
    where
        F: RowFn<I, O>,
    {
        FnModel::build(Interrupt::Cooperative, function)
    }
}

/// What an [`FnModel`] calls for each row.
pub trait RowFn<I, O>: Fn(I, &RunContext<'_>) -> Result<O, ModelError> + Send + Sync + 'static {}

impl<I, O, F: Fn(I, &RunContext<'_>) -> Result<O, ModelError> + Send + Sync + 'static> RowFn<I, O> for F {}

impl<I, O, F: RowFn<I, O>> FnModel<I, O, F> {
    fn build(interrupt: Interrupt, function: F) -> Self {
        let info = ModelInfo {
            backend: "closure".into(),
            platform: "rust".into(),
            signature: Signature::default(),
            batching: Batching::Sequential,
            interrupt,
            threads: 1,
        };
        Self { function, info, bytes: |_| size_of::<I>(), types: PhantomData }
    }

    /// Says how many bytes an input holds; without it, only the size of its type counts.
    #[must_use]
    pub fn with_bytes(mut self, bytes: fn(&I) -> usize) -> Self {
        self.bytes = bytes;
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
        Ok(Footprint { rows: 1, bytes: (self.bytes)(input), bucket: 0 })
    }

    fn with_instance(&self, serve: &mut Serve<'_, I, O>) -> Result<(), ModelError> {
        serve(&mut FnInstance { model: self });
        Ok(())
    }
}

struct FnInstance<'a, I, O, F> {
    model: &'a FnModel<I, O, F>,
}

impl<I, O, F: RowFn<I, O>> Model for FnInstance<'_, I, O, F> {
    type Input = I;
    type Output = O;

    fn run(&mut self, batch: &mut Batch<I, O>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        for row in batch.rows_mut() {
            if ctx.is_cancelled() {
                return Err(ModelError::cancelled());
            }
            let Some(input) = row.take_input() else { continue };
            let answer = (self.model.function)(input, ctx);
            let crashed =
                answer.as_ref().err().filter(|error| error.kind() == ModelErrorKind::Crashed).cloned();
            row.finish(answer);
            if let Some(error) = crashed {
                return Err(error);
            }
        }
        Ok(())
    }
}
