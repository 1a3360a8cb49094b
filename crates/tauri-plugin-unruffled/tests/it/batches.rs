//! Many requests in one frame, each with its own outcome.

use serde_json::json;
use tauri_plugin_unruffled::Builder;
use unruffled::engine::PoolOptions;
use unruffled::model::ModelError;
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{TestApp, frame};

fn batch(call: u64, rows: &[&[f32]]) -> Vec<u8> {
    frame(&json!({ "page": "p", "call": call, "model": "m", "items": [] }), rows)
}

#[test]
fn each_has_its_own_outcome() {
    let poisoned = doubling().rerunnable().poisoned_by(|inputs| {
        let x =
            inputs.get("x").and_then(|x| x.elements::<f32>().ok().map(<[f32]>::to_vec)).unwrap_or_default();
        if x.first() == Some(&13.0) { Err(ModelError::invalid_input("unlucky")) } else { Ok(()) }
    });
    let plugin =
        Builder::new().with_engine(move |engine| engine.wrap_model(poisoned).name("m").register().map(drop));
    let app = TestApp::new(plugin);
    let answer = app.send("infer_batch", batch(1, &[&[1.0, 2.0], &[13.0, 0.0], &[3.0, 4.0]])).framed();
    assert_eq!(answer.elements, [[2.0, 4.0], [6.0, 8.0]]);
    let items = answer.said["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(items[1]["error"]["code"], "invalid_input");
    assert!(items[0]["outputs"].is_array() && items[2]["outputs"].is_array());
    let none = app.send("infer_batch", batch(2, &[])).framed();
    assert_eq!(none.said["items"], json!([]));
}

#[test]
fn giving_up_ends_all_of_it() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let options = PoolOptions::default().with_max_batch(1);
    let plugin = Builder::new()
        .with_engine(move |engine| engine.wrap_model(model).name("m").options(options).register().map(drop));
    let app = TestApp::new(plugin);
    let asked = app.send("infer_batch", batch(1, &[&[1.0, 2.0], &[3.0, 4.0]]));
    gate.entered();
    app.json("cancel", json!({ "page": "p", "calls": [1] }));
    assert_eq!(asked.code(), "cancelled");
    gate.open();
    let next = app.send("infer_batch", batch(2, &[&[5.0, 6.0]])).framed();
    assert_eq!(next.elements, [[10.0, 12.0]]);
}

#[test]
fn keys_and_sessions_are_not_for_batches() {
    let plugin =
        Builder::new().with_engine(|engine| engine.wrap_model(doubling()).name("m").register().map(drop));
    let app = TestApp::new(plugin);
    for more in [json!({ "session": "s" }), json!({ "supersede": "k" })] {
        let mut said = json!({ "page": "p", "call": 1, "model": "m", "items": [] });
        said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(app.send("infer_batch", frame(&said, &[&[1.0, 2.0]])).code(), "invalid_input");
    }
}
