//! The backend over graphs that are written here.

mod ensembles;
mod operators;
mod refused;

use rten_onnx::onnx::DataType;
use unruffled_model::{
    Backend, BackendOptions, Batch, CancelToken, Element, LoadContext, ModelError, ModelSource,
    RequestContext, RequestId, RunContext, Support, Tensor, TensorModel, Tensors,
};

use super::TreesBackend;
use crate::sample::{Sample, fixed, symbol};

/// A graph that takes `x`: rows of so many columns.
fn rows_of(dtype: DataType, columns: i64) -> Sample {
    Sample::new().input("x", dtype, [symbol("batch"), fixed(columns)])
}

/// A graph with an operator of the classical domain that passes `x` on as `y`, so that others may be tried around it.
fn classical(dtype: DataType, columns: i64) -> Sample {
    let places: Vec<u8> = (0..columns).flat_map(i64::to_le_bytes).collect();
    rows_of(dtype, columns).raw_weight("places", DataType::INT64, &[columns], places).node(
        "ai.onnx.ml/ArrayFeatureExtractor",
        ["x", "places"],
        "y",
    )
}

fn load(source: &ModelSource) -> Result<TensorModel, ModelError> {
    let cancel = CancelToken::new();
    TreesBackend.load(source, &BackendOptions::default(), &LoadContext::new(&cancel, &|_| ()))
}

/// Runs a graph over `x`.
#[track_caller]
fn run(sample: Sample, x: Tensor) -> Result<Tensors, ModelError> {
    run_under(&load(&sample.source()).unwrap(), x, &CancelToken::new())
}

fn run_under(model: &TensorModel, x: Tensor, cancel: &CancelToken) -> Result<Tensors, ModelError> {
    let inputs = Tensors::new().with("x", x);
    model.admit(&inputs)?;
    let mut batch = Batch::new([inputs]);
    let contexts = [RequestContext::new(RequestId::Number(1))];
    let any_thread = model.stateless().unwrap();
    any_thread.run(&mut batch, &RunContext::new(cancel, None, &contexts))?;
    batch.into_rows().pop().unwrap().into_answer().unwrap()
}

/// Checks what `z` is, which the graph computes of `x`.
#[track_caller]
fn check<I: Element, O: Element>(sample: Sample, x: (&[usize], &[I]), z: (&[usize], &[O])) {
    let output = rten_onnx::onnx::DataType(match O::DTYPE {
        unruffled_model::DType::F32 => 1,
        unruffled_model::DType::I64 => 7,
        unruffled_model::DType::Bytes => 8,
        unruffled_model::DType::Bool => 9,
        _ => 11,
    });
    let sample = sample.output("z", output, [symbol("batch"), symbol("")]);
    let answer = run(sample, Tensor::new(x.0, x.1.to_vec()).unwrap()).unwrap();
    assert_eq!(answer.get("z"), Some(&Tensor::new(z.0, z.1.to_vec()).unwrap()));
}

/// Why a graph is not supported.
#[track_caller]
fn reasons(sample: Sample) -> Vec<String> {
    let source = sample.source();
    match TreesBackend.supports(&source).unwrap() {
        Support::Yes => panic!("it is supported"),
        Support::No(reasons) => {
            assert!(load(&source).is_err(), "what is not supported cannot be loaded");
            reasons
        }
    }
}
