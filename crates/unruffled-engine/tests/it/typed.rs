//! Models of tensors, asked in types of the program.

use std::time::Duration;

use unruffled_engine::{Engine, ErrorKind, Handle, RequestId};
use unruffled_model::{
    Batching, DType, Dim, LoadedModel, ModelError, ModelInfo, RunContext, Serve, Signature, Tensor,
    TensorSpec, Tensors,
};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{check_error, patiently};

/// Sums each row of `x`, on behalf of a model that checks its inputs.
struct Summing(ScriptedModel<Tensors, Tensors>, ModelInfo);

impl Summing {
    fn new(script: ScriptedModel<Tensors, Tensors>) -> Self {
        let batch = || Dim::Symbolic("batch".into());
        let info = ModelInfo::new("test", "test").with_batching(Batching::Single).with_signature(Signature {
            inputs: vec![TensorSpec::new("x", DType::F32, [batch(), Dim::Fixed(3)])],
            outputs: vec![TensorSpec::new("sum", DType::F32, [batch()])],
        });
        Self(script, info)
    }
}

impl LoadedModel for Summing {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.1
    }

    fn admit(&self, input: &Tensors) -> Result<unruffled_model::Footprint, ModelError> {
        unruffled_model::admit_tensors(&self.1, input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        self.0.with_instance(serve)
    }
}

fn script() -> ScriptedModel<Tensors, Tensors> {
    ScriptedModel::new(|inputs: &Tensors, _: &RunContext<'_>| {
        let x = inputs.get("x").unwrap().view::<f32>()?;
        let sums: Vec<f32> = x.outer_iter().map(|row| row.sum()).collect();
        Ok(Tensors::new().with("sum", Tensor::new(&[sums.len()], sums)?))
    })
}

fn summing(engine: &Engine) -> Handle<Tensors, Tensors> {
    engine.wrap_model(Summing::new(script())).name("summing").build().unwrap()
}

#[tokio::test]
async fn lists_and_numbers_go_in_and_out() {
    let engine = Engine::new();
    let model = summing(&engine).typed::<Vec<f32>, f32>();
    assert_eq!(*model.infer(vec![1.0, 2.0, 3.0]).await.unwrap(), 6.0);
    let many = summing(&engine).typed::<ndarray::Array2<f32>, Vec<f32>>();
    let sums = many.infer(ndarray::array![[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]).await.unwrap();
    assert_eq!(sums.output, [3.0, 6.0]);
}

#[tokio::test]
async fn what_does_not_fit_is_told_when_it_is_awaited() {
    let engine = Engine::new();
    let model = summing(&engine).typed::<Vec<f32>, f32>();
    let text = "model `summing`: `x`: 4 numbers do not fill x: f32 [batch, 3]; give 3, or a multiple of it";
    let error = check_error(model.infer(vec![1.0; 4]).await, ErrorKind::InvalidInput, text);
    assert_eq!(error.tensor(), Some("x"));
    let wrong = summing(&engine).typed::<Vec<f32>, String>();
    let text = "model `summing`: `sum`: cannot be read as asked for: is f32, not bytes";
    check_error(wrong.infer(vec![1.0; 3]).await, ErrorKind::ModelFailed, text);
}

#[tokio::test]
async fn requests_are_refined_and_given_up_as_others() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let handle = engine.wrap_model(Summing::new(script().gated(&gate))).build().unwrap();
    let model = handle.typed::<Vec<f32>, f32>();
    let answer = model.infer(vec![1.0; 3]).id("a").timeout(Duration::from_secs(3600)).submit();
    gate.entered();
    patiently(answer.stop()).await;
    assert_eq!(handle.status().running, 0);
    let answer = model.infer(vec![1.0; 3]).submit();
    gate.entered();
    answer.canceller().cancel();
    check_error(patiently(answer).await, ErrorKind::Cancelled, "cancelled");
    gate.open();
    let response = model.infer(vec![1.0; 3]).id("b").await.unwrap();
    assert_eq!((response.output, response.id), (3.0, RequestId::Text("b".into())));
}
