//! Pipelines: models chained and branched by name.

mod calls;
mod checks;
mod loops;
mod streams;

use std::sync::Arc;

use unruffled_engine::{Engine, Handle};
use unruffled_model::{Batch, Footprint, Interrupt, LoadedModel, Rerun, Serve, admit_tensors};
use unruffled_model::{
    Batching, DType, Dim, Model, ModelError, ModelInfo, RunContext, Signature, Tensor, TensorSpec, Tensors,
};
use unruffled_testing::scripted::{self, ScriptedModel};

/// `x: f32 [batch, 2]`, and what else is written so.
pub(super) fn specs(written: &str) -> Vec<TensorSpec> {
    let spec = |text: &str| {
        let (name, rest) = text.split_once(": ").unwrap();
        let (dtype, dims) = rest.split_once(' ').map_or((rest, None), |(dtype, dims)| (dtype, Some(dims)));
        let dtype = *DType::ALL.iter().find(|known| known.name() == dtype).unwrap();
        let dim = |dim: &str| match dim {
            "?" => Dim::Any,
            text => text.parse().map_or_else(|_| Dim::Symbolic(text.into()), Dim::Fixed),
        };
        let dims = dims.map(|dims| {
            let inner = dims.trim_matches(['[', ']']);
            inner.split(' ').filter(|dim| !dim.is_empty()).map(dim).collect()
        });
        TensorSpec { name: name.into(), dtype, dims, default: None }
    };
    written.split(", ").filter(|text| !text.is_empty()).map(spec).collect()
}

pub(super) fn shown(specs: &[TensorSpec]) -> String {
    let shown: Vec<_> = specs.iter().map(|spec| spec.to_string().replace(", ", " ")).collect();
    shown.join(", ")
}

pub(super) fn signature(inputs: &str, outputs: &str) -> Signature {
    Signature { inputs: specs(inputs), outputs: specs(outputs) }
}

/// A model that takes and gives this.
pub(super) fn scripted(
    inputs: &str,
    outputs: &str,
    answer: impl Fn(&Tensors) -> Result<Tensors, ModelError> + Send + Sync + 'static,
) -> ScriptedModel<Tensors, Tensors> {
    let model =
        scripted::tensors(signature(inputs, outputs), move |inputs, _: &RunContext<'_>| answer(inputs));
    model.with_info(|info| {
        info.batching = if info.signature.is_batchable() { Batching::Joint } else { Batching::Sequential };
    })
}

/// A model `x: f32 [n]` to `y: f32 [n]`.
pub(super) fn map(function: impl Fn(f32) -> f32 + Send + Sync + 'static) -> ScriptedModel<Tensors, Tensors> {
    scripted("x: f32 [n]", "y: f32 [n]", move |inputs| {
        let x = floats(inputs, "x");
        Ok(Tensors::new().with("y", line(x.iter().map(|x| function(*x)))))
    })
}

/// `a` and `b` added.
pub(super) fn sum() -> ScriptedModel<Tensors, Tensors> {
    scripted("a: f32 [n], b: f32 [n]", "y: f32 [n]", |inputs| {
        let (a, b) = (floats(inputs, "a"), floats(inputs, "b"));
        Ok(Tensors::new().with("y", line(a.iter().zip(&b).map(|(a, b)| a + b))))
    })
}

pub(super) fn build(
    engine: &Engine,
    name: &str,
    model: ScriptedModel<Tensors, Tensors>,
) -> Handle<Tensors, Tensors> {
    engine.wrap_model(model).name(name).build().unwrap()
}

pub(super) fn line(numbers: impl IntoIterator<Item = f32>) -> Tensor {
    let numbers: Vec<f32> = numbers.into_iter().collect();
    Tensor::new(&[numbers.len()], numbers).unwrap()
}

pub(super) fn x(numbers: impl IntoIterator<Item = f32>) -> Tensors {
    Tensors::new().with("x", line(numbers))
}

pub(super) fn floats(tensors: &Tensors, name: &str) -> Vec<f32> {
    tensors.get(name).unwrap_or_else(|| panic!("no {name} in {tensors:?}")).elements().unwrap().to_vec()
}

/// A model of tensors that gives several outputs.
pub(super) struct Streaming<F> {
    info: ModelInfo,
    function: F,
}

impl<F> Streaming<F>
where
    F: Fn(&Tensors, &mut dyn FnMut(Tensors) -> Result<(), ModelError>) -> Result<(), ModelError>
        + Send
        + Sync,
{
    pub(super) fn new(inputs: &str, outputs: &str, function: F) -> Self {
        let info = ModelInfo::new("streaming", "rust")
            .with_signature(signature(inputs, outputs))
            .with_interrupt(Interrupt::Cooperative)
            .with_rerun(Rerun::Never);
        Self { info, function }
    }
}

struct StreamingInstance<'a, F>(&'a F);

impl<F> LoadedModel for Streaming<F>
where
    F: Fn(&Tensors, &mut dyn FnMut(Tensors) -> Result<(), ModelError>) -> Result<(), ModelError>
        + Send
        + Sync,
{
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &Tensors) -> Result<Footprint, ModelError> {
        admit_tensors(&self.info, input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        serve(&mut StreamingInstance(&self.function));
        Ok(())
    }
}

impl<F> Model for StreamingInstance<'_, F>
where
    F: Fn(&Tensors, &mut dyn FnMut(Tensors) -> Result<(), ModelError>) -> Result<(), ModelError>,
{
    type Input = Tensors;
    type Output = Tensors;

    fn run(&mut self, batch: &mut Batch<Tensors, Tensors>, _: &RunContext<'_>) -> Result<(), ModelError> {
        for row in batch.rows_mut() {
            let (input, mut emitter) = row.split();
            let input = input.cloned().unwrap_or_default();
            (self.0)(&input, &mut |output| emitter.emit(output))?;
            row.end();
        }
        Ok(())
    }
}

/// What a test counts in a model's function.
pub(super) type Counter = Arc<std::sync::atomic::AtomicUsize>;
