//! State that a model keeps from call to call of a page.

use serde_json::{Value, json};
use tauri_plugin_unruffled::Builder;
use unruffled::model::SequenceSpec;
use unruffled::{DType, Dim, Signature, Tensor, TensorSpec, Tensors};
use unruffled_testing::scripted::{ScriptedModel, doubling, tensors};

use crate::support::{TestApp, request};

/// Adds its input to what it was given before.
fn summing() -> ScriptedModel<Tensors, Tensors> {
    let spec = |name: &str| TensorSpec::new(name, DType::F32, [Dim::Any, Dim::Fixed(2)]);
    let signature =
        Signature { inputs: vec![spec("x"), spec("state")], outputs: vec![spec("y"), spec("next")] };
    let sum = tensors(signature, |inputs, _| {
        let numbers = |name: &str| inputs.get(name).unwrap().elements::<f32>().unwrap().to_vec();
        let sums: Vec<f32> = numbers("x").iter().zip(numbers("state")).map(|(x, state)| x + state).collect();
        let tensor = || Tensor::new(&[1, 2], sums.clone()).unwrap();
        Ok(Tensors::new().with("y", tensor()).with("next", tensor()))
    });
    sum.with_info(|info| info.sequence = Some(SequenceSpec::new().with_state("next", "state")))
}

fn app(model: ScriptedModel<Tensors, Tensors>) -> TestApp {
    TestApp::new(
        Builder::new().with_engine(move |engine| engine.wrap_model(model).name("m").register().map(drop)),
    )
}

fn begin(app: &TestApp) -> Value {
    app.json("session", json!({ "do": "begin", "page": "p", "model": "m" }))["session"].clone()
}

#[test]
fn each_session_keeps_its_own() {
    let app = app(summing());
    let (one, other) = (begin(&app), begin(&app));
    let ask = |call: u64, session: &Value| {
        app.send("infer", request(call, &json!({ "session": session }))).framed().elements
    };
    assert_eq!(ask(1, &one), [[1.0, 2.5]]);
    assert_eq!(ask(2, &one), [[2.0, 5.0]]);
    assert_eq!(ask(3, &other), [[1.0, 2.5]]);
    app.json("session", json!({ "do": "end", "page": "p", "model": "m", "session": one }));
    assert_eq!(app.send("infer", request(4, &json!({ "session": one }))).code(), "not_found");
    assert_eq!(ask(5, &other), [[2.0, 5.0]]);
    let both = json!({ "session": other, "supersede": "key" });
    assert_eq!(app.send("infer", request(6, &both)).code(), "invalid_input");
}

#[test]
fn a_session_is_its_pages_own() {
    let app = app(summing());
    let session = begin(&app);
    let of_another = request(1, &json!({ "session": session, "page": "q" }));
    assert_eq!(app.send("infer", of_another).code(), "not_found");
}

#[test]
fn a_model_without_state_says_so() {
    let app = app(doubling());
    let error = app.ask("session", json!({ "do": "begin", "page": "p", "model": "m" })).unwrap_err();
    assert_eq!(error["code"], "invalid_input", "{error}");
}
