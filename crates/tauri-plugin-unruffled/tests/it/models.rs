//! Which models there are, how they come into memory and leave it.

use std::sync::mpsc;

use serde_json::{Value, json};
use tauri_plugin_unruffled::Builder;
use unruffled::Tensors;
use unruffled::engine::PoolOptions;

use crate::support::{TestApp, example, frame};

#[test]
fn models_of_a_folder_come_into_memory_when_asked_for() {
    let app = TestApp::new(Builder::new().models(example()).load_when_asked());
    let messages = app.listen(9);
    let status =
        app.json("load", json!({ "page": "p", "call": 1, "model": "digits", "channel": "__CHANNEL__:9" }));
    assert_eq!((&status["name"], &status["state"]), (&json!("digits"), &json!("ready")));
    assert_eq!(status["backend"], "rten", "there is no library among the app's resources");
    assert!(status["inputs"][0]["shape"].is_array() && status["labels"].is_object(), "{status}");
    assert!(messages.try_iter().count() >= 1, "its load was told of");
    let all = app.json("models", json!({}));
    let of = |name: &str| all.as_array().unwrap().iter().find(|model| model["name"] == name).cloned();
    assert_eq!(of("digits").unwrap()["state"], "ready");
    app.json("unload", json!({ "model": "digits" }));
    let all = app.json("models", json!({}));
    assert_eq!(
        all.as_array().unwrap().iter().find(|model| model["name"] == "digits").unwrap()["state"],
        "waiting"
    );
    assert!(all.as_array().unwrap().iter().all(|model| model.get("labels").is_none()), "they may be many");
    let again =
        app.json("load", json!({ "page": "p", "call": 2, "model": "digits", "channel": "__CHANNEL__:9" }));
    assert_eq!(again["state"], "ready");
    let error = app.ask("unload", json!({ "model": "none" })).unwrap_err();
    assert_eq!(error["code"], "not_found");
}

#[test]
fn a_load_that_fails_says_why_and_may_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("broken");
    std::fs::create_dir(&model).unwrap();
    std::fs::write(model.join("model.onnx"), b"nothing of the kind").unwrap();
    let app = TestApp::new(Builder::new().models(folder.path()));
    for call in [1, 2] {
        let arguments = json!({ "page": "p", "call": call, "model": "broken", "channel": "__CHANNEL__:1" });
        let error = app.ask("load", arguments).unwrap_err();
        assert!(error["message"].as_str().unwrap().contains("broken"), "{error}");
    }
    let all: Value = app.json("models", json!({}));
    assert_eq!(all[0]["state"], "failed");
    assert!(all[0]["error"].is_string());
    let asked = app.send("infer", frame(&json!({ "page": "p", "call": 3, "model": "none" }), &[&[1.0, 2.0]]));
    assert_eq!(asked.code(), "not_found");
}

#[test]
fn who_waits_for_a_load_may_give_it_up() {
    let (go_on, gate) = mpsc::channel::<()>();
    let ((begun, beginning), (loading, kept)) = (mpsc::channel(), mpsc::channel());
    let app = TestApp::new(Builder::new().with_engine(move |engine| {
        let loader = move |context: &unruffled::model::LoadContext<'_>| {
            context.progress(0.5);
            begun.send(()).expect("the test waits for it");
            // The test has ended when this fails.
            let _ = gate.recv();
            Ok(std::sync::Arc::new(unruffled_testing::scripted::doubling()) as _)
        };
        let load = engine.load_with::<Tensors, Tensors>("m", PoolOptions::default(), loader)?;
        loading.send(load).expect("the test waits for it");
        Ok(())
    }));
    beginning.recv().unwrap();
    let _loading = kept.recv().unwrap();
    let load = app.send("load", json!({ "page": "p", "call": 1, "model": "m", "channel": "__CHANNEL__:1" }));
    let asked = app.send("infer", crate::support::request(2, &json!({ "timeout_ms": 1 })));
    assert_eq!(asked.code(), "deadline_exceeded", "the load counts");
    assert!(load.is_open());
    app.json("cancel", json!({ "page": "p", "calls": [1] }));
    assert_eq!(load.code(), "cancelled");
    go_on.send(()).unwrap();
    assert_eq!(app.send("infer", crate::support::request(3, &json!({}))).framed().elements, [[2.0, 5.0]]);
}

#[test]
fn figures_are_told() {
    let app = TestApp::new(Builder::new().with_engine(|engine| {
        engine.wrap_model(unruffled_testing::scripted::doubling()).name("m").register().map(drop)
    }));
    app.send("infer", crate::support::request(1, &json!({}))).framed();
    let metrics = app.json("metrics", json!({}));
    assert_eq!((&metrics["models"][0]["name"], &metrics["models"][0]["requests"]), (&json!("m"), &json!(1)));
    assert!(metrics["runtime"]["max_ms"].is_number() && metrics["main_thread"].is_object(), "{metrics}");
}
