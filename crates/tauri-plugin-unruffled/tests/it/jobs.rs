//! Work that goes on whatever becomes of the page.

use serde_json::{Value, json};
use tauri_plugin_unruffled::Builder;
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{TestApp, request};

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
fn one_that_is_not_known_is_named() {
    let app = app(&Gate::opened());
    for id in ["nothing", "00000000000000000000000000"] {
        let error = app.ask("job", json!({ "id": id })).unwrap_err();
        assert_eq!(error["code"], "not_found", "{error}");
    }
}
