//! Items in, results out over a channel: in order, no faster than they are taken, with an end that is said.

use serde_json::{Value, json};
use tauri_plugin_unruffled::{Builder, UnruffledExt as _};
use unruffled::engine::{PoolOptions, QueueLimits};
use unruffled::{Tensor, Tensors};
use unruffled_testing::scripted::{Gate, ScriptedModel, doubling};

use crate::support::{Framed, TestApp, frame, next, wait_until};

fn open(call: u64, channel: u32, credit: usize, in_flight: usize) -> Value {
    json!({
        "do": "open", "page": "p", "call": call, "model": "m",
        "credit": credit, "in_flight": in_flight, "channel": format!("__CHANNEL__:{channel}"),
    })
}

fn push(call: u64, rows: &[&[f32]]) -> Vec<u8> {
    frame(&json!({ "page": "p", "call": call, "items": [] }), rows)
}

fn app(gate: &Gate) -> TestApp {
    let model = doubling().gated(gate);
    let plugin = Builder::new().with_engine(move |engine| {
        engine.wrap_model(model).name("m").options(PoolOptions::default().with_max_batch(8)).register()?;
        let words = |inputs: &Tensors,
                     out: &mut unruffled::model::Emitter<'_, Tensors>,
                     _: &unruffled::model::RunContext<'_>| {
            let x = inputs
                .get("x")
                .and_then(|x| x.elements::<f32>().ok().map(<[f32]>::to_vec))
                .unwrap_or_default();
            x.iter().try_for_each(|x| {
                let y = Tensor::new(&[1], vec![*x])
                    .map_err(|error| unruffled::model::ModelError::failed(error.to_string()))?;
                out.emit(Tensors::new().with("y", y))
            })
        };
        engine.wrap_streaming(words).name("each").register().map(drop)
    });
    TestApp::new(plugin)
}

fn app_of(model: ScriptedModel<Tensors, Tensors>, options: PoolOptions) -> TestApp {
    TestApp::new(
        Builder::new().with_engine(move |engine| {
            engine.wrap_model(model).name("m").options(options).register().map(drop)
        }),
    )
}

/// The results of messages up to the end, and what the end says.
fn all(
    messages: &std::sync::mpsc::Receiver<tauri::ipc::InvokeResponseBody>,
) -> (Vec<Value>, Vec<Vec<f32>>, Value) {
    let (mut results, mut elements) = (Vec::new(), Vec::new());
    loop {
        let Framed { said, elements: more } = next(messages);
        if let Some(end) = said.get("end") {
            return (results, elements, end.clone());
        }
        results.extend(said["results"].as_array().unwrap().iter().cloned());
        elements.extend(more);
    }
}

#[test]
fn results_come_in_order_and_the_end_is_said() {
    let app = app(&Gate::opened());
    let messages = app.listen(7);
    app.json("stream", open(1, 7, 64, 16));
    let rows: Vec<[f32; 2]> = (0..20_u8).map(|row| [f32::from(row), 0.5]).collect();
    let rows: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
    app.ask("stream", push(1, &rows[..15])).unwrap();
    app.ask("stream", push(1, &rows[15..])).unwrap();
    app.json("stream", json!({ "do": "end", "page": "p", "call": 1 }));
    let (results, elements, end) = all(&messages);
    let items: Vec<_> = results.iter().map(|result| result["item"].as_u64().unwrap()).collect();
    assert_eq!(items, (0..20).collect::<Vec<_>>());
    assert!(results.iter().all(|result| result["last"] == true && result["model"] == "m"));
    assert_eq!(elements[19], [38.0, 1.0]);
    assert_eq!(end, json!({ "items": 20, "results": 20 }));
    assert_eq!(app.window().unruffled().calls(), 0);
}

#[test]
fn no_more_comes_than_is_taken() {
    let app = app(&Gate::opened());
    let messages = app.listen(7);
    app.json("stream", open(1, 7, 2, 4));
    let rows: [&[f32]; 3] = [&[0.0, 0.0], &[1.0, 1.0], &[2.0, 2.0]];
    app.ask("stream", push(1, &rows)).unwrap();
    let mut items = Vec::new();
    while items.len() < 2 {
        items.extend(next(&messages).elements);
    }
    assert_eq!(items.len(), 2, "that was the credit");
    app.json("stream", json!({ "do": "end", "page": "p", "call": 1 }));
    assert!(messages.try_recv().is_err());
    app.json("stream", json!({ "do": "taken", "page": "p", "call": 1, "count": 2 }));
    let (_, elements, end) = all(&messages);
    assert_eq!((elements, end), (vec![vec![4.0, 4.0]], json!({ "items": 3, "results": 3 })));
}

#[test]
fn the_source_waits_for_room() {
    let gate = Gate::closed();
    let app = app(&gate);
    let messages = app.listen(7);
    app.json("stream", open(1, 7, 64, 1));
    app.ask("stream", push(1, &[&[0.0, 0.0]])).unwrap();
    gate.entered();
    // One is with the model and one waits to be: the third finds no room.
    app.ask("stream", push(1, &[&[1.0, 1.0]])).unwrap();
    let third = app.send("stream", push(1, &[&[2.0, 2.0]]));
    assert!(third.is_open());
    gate.open();
    third.outcome().unwrap();
    app.json("stream", json!({ "do": "end", "page": "p", "call": 1 }));
    let (_, elements, end) = all(&messages);
    assert_eq!((elements.len(), &end["items"]), (3, &json!(3)));
}

#[test]
fn a_model_may_give_several_for_one_item() {
    let app = app(&Gate::opened());
    let messages = app.listen(7);
    let mut opened = open(1, 7, 64, 4);
    opened["model"] = "each".into();
    app.json("stream", opened);
    app.ask("stream", push(1, &[&[1.0, 2.0], &[3.0, 4.0]])).unwrap();
    app.json("stream", json!({ "do": "end", "page": "p", "call": 1 }));
    let (results, elements, end) = all(&messages);
    assert_eq!(elements, [[1.0], [2.0], [3.0], [4.0]]);
    let lasts: Vec<_> =
        results.iter().filter(|result| result["last"] == true).map(|result| &result["item"]).collect();
    assert_eq!(lasts, [0, 1]);
    assert_eq!(end["items"], 2);
}

#[test]
fn giving_up_is_said_at_the_end() {
    let gate = Gate::closed();
    let app = app(&gate);
    let messages = app.listen(7);
    app.json("stream", open(1, 7, 64, 4));
    app.ask("stream", push(1, &[&[0.0, 0.0]])).unwrap();
    gate.entered();
    app.json("cancel", json!({ "page": "p", "calls": [1] }));
    let (results, _, end) = all(&messages);
    assert!(results.is_empty());
    assert_eq!(end["error"]["code"], "cancelled");
    assert_eq!(app.send("stream", push(1, &[&[1.0, 1.0]])).code(), "cancelled");
}

#[test]
fn an_item_that_fails_leaves_the_others_alone() {
    let app = app(&Gate::opened());
    let messages = app.listen(7);
    app.json("stream", open(1, 7, 64, 4));
    let bad = frame(&json!({ "page": "p", "call": 1, "items": [] }), &[&[]]);
    let bad = String::from_utf8_lossy(&bad).replace("[0,2]", "[0,3]").into_bytes();
    app.ask("stream", push(1, &[&[1.0, 1.0]])).unwrap();
    app.ask("stream", bad).unwrap();
    app.ask("stream", push(1, &[&[2.0, 2.0]])).unwrap();
    app.json("stream", json!({ "do": "end", "page": "p", "call": 1 }));
    let (results, elements, _) = all(&messages);
    assert_eq!(results[1]["error"]["code"], "invalid_input");
    assert_eq!(elements, [[2.0, 2.0], [4.0, 4.0]]);
}

#[test]
fn a_model_that_dies_takes_only_its_item_along() {
    let model = doubling();
    model.script().panic_next(1);
    let options = PoolOptions::default().with_max_batch(1);
    let app = app_of(model, options);
    let messages = app.listen(7);
    app.json("stream", open(1, 7, 64, 1));
    app.ask("stream", push(1, &[&[0.0, 0.0], &[1.0, 1.0]])).unwrap();
    app.json("stream", json!({ "do": "end", "page": "p", "call": 1 }));
    let (results, elements, end) = all(&messages);
    assert_eq!(results[0]["error"]["code"], "model_crashed", "{results:?}");
    assert_eq!((elements, end), (vec![vec![2.0, 2.0]], json!({ "items": 2, "results": 2 })));
}

#[test]
fn what_finds_no_room_is_told_and_the_rest_goes_on() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let options =
        PoolOptions::default().with_max_batch(1).with_queue(QueueLimits { items: 1, bytes: 1 << 20 });
    let app = app_of(model, options);
    let messages = app.listen(7);
    app.json("stream", open(1, 7, 64, 8));
    app.ask("stream", push(1, &[&[0.0, 0.0]])).unwrap();
    gate.entered();
    app.ask("stream", push(1, &[&[1.0, 1.0], &[2.0, 2.0], &[3.0, 3.0]])).unwrap();
    app.json("stream", json!({ "do": "end", "page": "p", "call": 1 }));
    // One runs and one waits: another is refused before there is room again.
    wait_until(|| app.json("metrics", json!({}))["models"][0]["errors"]["overloaded"].as_u64() > Some(0));
    gate.open();
    let (results, elements, end) = all(&messages);
    assert_eq!(end["items"], 4);
    let refused = results.iter().filter(|result| result["error"]["code"] == "overloaded").count();
    assert_eq!(elements.len() + refused, 4);
    assert!(refused > 0);
    assert_eq!(elements[0], [0.0, 0.0]);
}
