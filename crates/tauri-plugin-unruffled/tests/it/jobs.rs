//! Work that goes on whatever becomes of the page.

use std::sync::{Arc, mpsc};

use serde_json::{Value, json};
use tauri_plugin_unruffled::Builder;
use unruffled::engine::PoolOptions;
use unruffled::engine::job::JobLimits;
use unruffled::model::{LoadContext, ModelError};
use unruffled::{DurableJobs, Engine, JobsOptions, Tensor, Tensors};
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{TestApp, digit, example, request};

fn app(gate: &Gate) -> TestApp {
    let model = doubling().gated(gate);
    TestApp::new(
        Builder::new().with_engine(move |engine| engine.wrap_model(model).name("m").register().map(drop)),
    )
}

fn submitted(app: &TestApp, call: u64, more: &Value) -> Value {
    app.ask("submit", request(call, more)).unwrap().deserialize().unwrap()
}

#[test]
fn answered_before_it_runs_and_fetched_when_it_is_done() {
    let gate = Gate::closed();
    let app = app(&gate);
    let status = submitted(&app, 1, &json!({ "key": "once" }));
    assert_eq!((&status["model"], &status["key"]), (&json!("m"), &json!("once")));
    gate.entered();
    let id = &status["id"];
    assert_eq!(submitted(&app, 2, &json!({ "key": "once" }))["id"], *id, "the same key is the same job");
    assert_eq!(app.json("job", json!({ "id": id }))["state"], "running");
    let messages = app.listen(3);
    let watched = app.send("job", json!({ "id": id, "page": "p", "call": 3, "channel": "__CHANNEL__:3" }));
    let result = app.send("job_result", json!({ "page": "p", "call": 4, "id": id }));
    assert!(result.is_open());
    gate.open();
    assert_eq!(result.framed().elements, [[2.0, 5.0]]);
    let last: Value = watched.outcome().unwrap().deserialize().unwrap();
    assert_eq!(last["state"], "done");
    drop(messages);
}

#[test]
fn cancelled_it_ends() {
    let gate = Gate::closed();
    let app = app(&gate);
    let id = submitted(&app, 1, &json!({}))["id"].clone();
    gate.entered();
    assert_eq!(app.json("job_cancel", json!({ "id": id })), true);
    let result = app.send("job_result", json!({ "page": "p", "call": 2, "id": id }));
    assert_eq!(result.code(), "cancelled");
    assert_eq!(app.json("job", json!({ "id": id }))["state"], "cancelled");
}

#[test]
fn what_fails_for_good_says_why() {
    let model = doubling();
    model.script().fail_next(ModelError::failed("out of ink"));
    let app = TestApp::new(
        Builder::new().with_engine(move |engine| engine.wrap_model(model).name("m").register().map(drop)),
    );
    let id = submitted(&app, 1, &json!({ "attempts": 1 }))["id"].clone();
    let error = app.ask("job_result", json!({ "page": "p", "call": 2, "id": id })).unwrap_err();
    assert!(error["message"].as_str().unwrap().contains("out of ink"), "{error}");
    let status = app.json("job", json!({ "id": id }));
    assert_eq!((&status["state"], &status["error"]["code"]), (&json!("failed"), &error["code"]));
}

#[test]
fn a_model_that_nobody_has_asked_for_is_loaded() {
    let app = TestApp::new(Builder::new().models(example()).load_when_asked());
    let status: Value = app.ask("submit", digit(1)).unwrap().deserialize().unwrap();
    let result = app.send("job_result", json!({ "page": "p", "call": 2, "id": status["id"] })).framed();
    assert_eq!(result.said["outputs"][0]["shape"][0], 1);
    assert_eq!(app.send("submit", request(3, &json!({ "model": "none" }))).code(), "not_found");
}

#[test]
fn those_of_the_last_time_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (end, ended) = mpsc::channel::<()>();
    let last_time = async {
        let engine = Engine::new();
        let never = move |_: &LoadContext<'_>| {
            // Fails at the end of the test.
            let _ = ended.recv();
            Err(ModelError::failed("it never comes"))
        };
        let loading = engine.load_with::<Tensors, Tensors>("digits", PoolOptions::default(), never).unwrap();
        let queue = Arc::new(DurableJobs::open(folder.path(), JobLimits::default()).await.unwrap());
        let jobs = engine.use_jobs(Arc::clone(&queue) as _, JobsOptions::default()).unwrap();
        let image = Tensor::new(&[1, 8, 8], vec![0.0_f32; 64]).unwrap();
        let id = jobs.submit("digits", Tensors::new().with("image", image)).await.unwrap().id();
        queue.close().await;
        drop((end, loading));
        id.to_string()
    };
    let id = tauri::async_runtime::block_on(last_time);
    let app = TestApp::new(Builder::new().models(example()).load_when_asked().durable_jobs_in(folder.path()));
    let result = app.send("job_result", json!({ "page": "p", "call": 1, "id": id })).framed();
    assert_eq!(result.said["model"], "digits");
}

#[test]
fn where_they_cannot_be_kept_it_is_said() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let plugin = Builder::new()
        .durable_jobs_in(file.path())
        .with_engine(|engine| engine.wrap_model(doubling()).name("m").register().map(drop));
    let app = TestApp::new(plugin);
    let error = app.ask("submit", request(1, &json!({}))).unwrap_err();
    assert!(error["message"].as_str().unwrap().contains(file.path().to_str().unwrap()), "{error}");
    let error = app.ask("job", json!({ "id": "00000000000000000000000000" })).unwrap_err();
    assert_eq!(error["code"], "not_ready", "{error}");
    assert_eq!(app.send("infer", request(2, &json!({}))).framed().elements, [[2.0, 5.0]], "the rest goes on");
}

#[test]
fn one_that_is_not_known_is_named() {
    let app = app(&Gate::opened());
    for id in ["nothing", "00000000000000000000000000"] {
        let error = app.ask("job", json!({ "id": id })).unwrap_err();
        assert_eq!(error["code"], "not_found", "{error}");
    }
}
