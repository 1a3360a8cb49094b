//! One request, one answer: as bytes and as numbers, once and never twice, given up, refused, and failed.

use serde_json::json;
use tauri::ipc::InvokeBody;
use tauri_plugin_unruffled::{Builder, UnruffledExt as _};
use unruffled::Tensors;
use unruffled::engine::{PoolOptions, QueueLimits};
use unruffled_testing::scripted::{Gate, Script, ScriptedModel, doubling};

use crate::support::{TestApp, request};

fn app(model: ScriptedModel<Tensors, Tensors>, options: PoolOptions) -> (TestApp, Script) {
    let script = model.script();
    let plugin = Builder::new()
        .with_engine(move |engine| engine.wrap_model(model).name("m").options(options).register().map(drop));
    (TestApp::new(plugin), script)
}

fn doubling_app() -> (TestApp, Script) {
    app(doubling(), PoolOptions::default())
}

#[test]
fn bytes_in_and_out() {
    let (app, _) = doubling_app();
    let answer = app.send("infer", request(1, &json!({}))).framed();
    assert_eq!(answer.elements, [[2.0, 5.0]]);
    assert_eq!(answer.said["model"], "m");
    let output = &answer.said["outputs"][0];
    assert_eq!(
        (&output["name"], &output["datatype"], &output["shape"]),
        (&json!("y"), &json!("FP32"), &json!([1, 2]))
    );
    assert_eq!(answer.said["timings"]["batch_rows"], 1);
    assert!(answer.said["timings"]["run_ms"].as_f64().is_some_and(|run| run >= 0.0));
}

/// What Tauri falls back to when its fast way failed once.
#[test]
fn numbers_in_json_are_taken_too() {
    let (app, _) = doubling_app();
    let numbers = InvokeBody::Json(json!(request(1, &json!({}))));
    assert_eq!(app.send("infer", numbers).framed().elements, [[2.0, 5.0]]);
}

#[test]
fn what_is_wrong_is_named() {
    let (app, script) = doubling_app();
    let refused = |body: InvokeBody, code: &str, parts: &[&str]| {
        let error = app.ask("infer", body).unwrap_err();
        assert_eq!(error["code"], code, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    refused(InvokeBody::Raw(vec![1, 2]), "invalid_input", &["2 bytes"]);
    refused(InvokeBody::Json(json!({ "x": 1 })), "invalid_input", &["frame of bytes"]);
    refused(request(1, &json!({ "model": "none" })).into(), "not_found", &["`none`"]);
    refused(request(2, &json!({ "timeout_ms": -1 })).into(), "invalid_input", &["timeoutMs", "-1"]);
    refused(request(3, &json!({ "priority": "high" })).into(), "invalid_input", &["high", "interactive"]);
    refused(request(4, &json!({ "session": "s" })).into(), "not_found", &["`s`", "begin one"]);
    let wrong = crate::support::frame(&json!({ "page": "p", "call": 5, "model": "m" }), &[&[]]);
    let text = String::from_utf8_lossy(&wrong).replace("[0,2]", "[0,3]").into_bytes();
    refused(text.into(), "invalid_input", &["`x`"]);
    assert!(script.batches().is_empty());
    assert_eq!(app.send("infer", request(6, &json!({}))).framed().elements, [[2.0, 5.0]]);
}

/// A page that is reloaded has its commands sent again by Tauri.
#[test]
fn what_was_made_before_is_not_run_again() {
    let gate = Gate::closed();
    let (app, script) = app(doubling().gated(&gate), PoolOptions::default());
    let first = app.send("infer", request(1, &json!({})));
    gate.entered();
    assert_eq!(app.send("infer", request(1, &json!({}))).code(), "duplicate");
    gate.open();
    assert_eq!(first.framed().elements, [[2.0, 5.0]]);
    assert_eq!(app.send("infer", request(1, &json!({}))).code(), "duplicate");
    assert_eq!(script.batch_sizes(), [1]);
}

#[test]
fn giving_up_reaches_the_running_model() {
    let gate = Gate::closed();
    let (app, script) = app(doubling().gated(&gate), PoolOptions::default().with_max_batch(1));
    let running = app.send("infer", request(1, &json!({})));
    gate.entered();
    let queued = app.send("infer", request(2, &json!({})));
    // The second first: it would begin where the first leaves.
    app.json("cancel", json!({ "page": "p", "calls": [2] }));
    assert_eq!(queued.code(), "cancelled");
    app.json("cancel", json!({ "page": "p", "calls": [1] }));
    assert_eq!(running.code(), "cancelled");
    // The slot is free again: the gate was left by the run that was given up.
    let next = app.send("infer", request(3, &json!({})));
    gate.entered();
    gate.open();
    assert_eq!(next.framed().elements, [[2.0, 5.0]]);
    let ends: Vec<_> = script.batches().iter().map(|batch| batch.cancelled).collect();
    assert_eq!(ends, [true, false]);
    assert_eq!(app.window().unruffled().calls(), 0);
}

#[test]
fn a_newer_request_of_a_key_takes_the_place_of_the_older() {
    let gate = Gate::closed();
    let (app, _) = app(doubling().gated(&gate), PoolOptions::default());
    let key = json!({ "supersede": "search" });
    let old = app.send("infer", request(1, &key));
    gate.entered();
    let new = app.send("infer", request(2, &key));
    assert_eq!(old.code(), "cancelled");
    gate.open();
    assert_eq!(new.framed().elements, [[2.0, 5.0]]);
}

#[test]
fn a_deadline_ends_the_wait() {
    let gate = Gate::closed();
    let (app, _) = app(doubling().gated(&gate), PoolOptions::default());
    let late = app.send("infer", request(1, &json!({ "timeout_ms": 20 })));
    assert_eq!(late.code(), "deadline_exceeded");
    gate.open();
    assert_eq!(app.send("infer", request(2, &json!({}))).framed().elements, [[2.0, 5.0]]);
}

#[test]
fn what_is_too_much_is_refused_at_once() {
    let gate = Gate::closed();
    let limits = QueueLimits { items: 1, bytes: 1 << 20 };
    let options = PoolOptions::default().with_queue(limits).with_max_batch(1);
    let (app, _) = app(doubling().gated(&gate), options);
    let running = app.send("infer", request(1, &json!({})));
    gate.entered();
    // One of the two finds the place taken, whichever comes first.
    let others = [2, 3].map(|call| app.send("infer", request(call, &json!({}))));
    let engine = app.window().unruffled().engine();
    let refused = || engine.metrics().models[0].refused.iter().map(|(_, count)| count).sum::<u64>();
    while refused() == 0 {
        std::thread::yield_now();
    }
    gate.open();
    assert_eq!(running.framed().elements, [[2.0, 5.0]]);
    let ends = others.map(crate::support::Pending::outcome);
    let codes: Vec<_> =
        ends.iter().filter_map(|end| end.as_ref().err()).map(|error| error["code"].clone()).collect();
    assert_eq!(codes, ["overloaded"]);
}

#[test]
fn a_model_that_dies_costs_its_request() {
    let (app, script) = doubling_app();
    script.panic_next(1);
    assert_eq!(app.send("infer", request(1, &json!({}))).code(), "model_crashed");
    assert_eq!(app.send("infer", request(2, &json!({}))).framed().elements, [[2.0, 5.0]]);
}
