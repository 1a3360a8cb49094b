//! What clients of OpenAI ask for.

use serde_json::{Value, json};
use unruffled_engine::Engine;
use unruffled_model::{Bytes, DType, Dim, ModelError, RunContext, Signature, Tensor, TensorSpec, Tensors};
use unruffled_server::{Keys, NewKey, ServerOptions};
use unruffled_testing::scripted::{Gate, ScriptedModel, doubling};

use crate::support::{Answer, Client, TestServer, wait_until};

/// A model whose embedding of a text is its length, one, and three; a word is a token.
pub(crate) fn embedding() -> ScriptedModel<Tensors, Tensors> {
    let embed = |inputs: &Tensors, _: &RunContext<'_>| {
        let texts = inputs.get("text").expect("it was checked").elements::<Bytes>()?;
        if texts.iter().any(|text| &**text == b"fail") {
            return Err(ModelError::failed("was asked to"));
        }
        let rows: Vec<f32> = texts.iter().flat_map(|text| [text.len() as f32, 1.0, 3.0]).collect();
        let words = |text: &Bytes| text.split(|byte| *byte == b' ').count() as i64;
        Ok(Tensors::new()
            .with("embedding", Tensor::new(&[texts.len(), 3], rows)?)
            .with("token_count", Tensor::new(&[texts.len()], texts.iter().map(words).collect::<Vec<_>>())?))
    };
    ScriptedModel::new(embed).with_info(|info| {
        info.signature = Signature {
            inputs: vec![TensorSpec::new("text", DType::Bytes, [Dim::Any])],
            outputs: vec![
                TensorSpec::new("embedding", DType::F32, [Dim::Any, Dim::Fixed(3)]),
                TensorSpec::new("token_count", DType::I64, [Dim::Any]),
            ],
        };
    })
}

fn start(options: ServerOptions) -> TestServer {
    let engine = Engine::new();
    engine.wrap_model(embedding()).name("embed").register().unwrap();
    engine.wrap_model(doubling()).name("m").register().unwrap();
    wait_until("the models", || engine.is_ready());
    TestServer::start(engine, options)
}

fn embed(client: &mut Client, body: &str) -> Answer {
    client.request("POST", "/v1/embeddings", "", body)
}

/// The error of an answer, which must be as OpenAI has it.
#[track_caller]
fn error(answer: &Answer, status: u16, kind: &str) -> String {
    let json = answer.json();
    assert_eq!((answer.status, &json["error"]["type"]), (status, &json!(kind)), "{json}");
    assert!(json["error"].as_object().unwrap().contains_key("code"), "{json}");
    json["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn texts_become_rows_in_their_order() {
    let server = start(ServerOptions::default());
    let mut client = server.client();
    let answer = embed(&mut client, r#"{"model":"embed","input":["four","five five"],"user":"u"}"#).json();
    let row = |index: usize, first: f64| json!({ "object": "embedding", "index": index, "embedding": [first, 1.0, 3.0] });
    assert_eq!(
        answer,
        json!({
            "object": "list",
            "data": [row(0, 4.0), row(1, 9.0)],
            "model": "embed",
            "usage": { "prompt_tokens": 3, "total_tokens": 3 },
        })
    );
    let short = embed(&mut client, r#"{"model":"embed","input":"four","dimensions":1}"#).json();
    assert_eq!(short["data"][0]["embedding"], json!([1.0]));
}

#[test]
fn mistakes_are_told_as_objects() {
    let server = start(ServerOptions::default());
    let mut client = server.client();
    let invalid = "invalid_request_error";
    let told = error(&embed(&mut client, "{"), 400, invalid);
    assert!(told.contains("no request for embeddings"), "{told}");
    let told = error(&embed(&mut client, r#"{"model":"m","input":"a"}"#), 400, invalid);
    assert!(told.contains("`m` does not take texts"), "{told}");
    let told = error(&embed(&mut client, r#"{"model":"embed","input":[1]}"#), 400, invalid);
    assert!(told.contains("does not take token ids"), "{told}");
    let told = error(&embed(&mut client, r#"{"model":"embed","input":"a","dimensions":4}"#), 400, invalid);
    assert!(told.contains('4') && told.contains('3'), "{told}");
    error(&embed(&mut client, r#"{"model":"none","input":"a"}"#), 404, "not_found_error");
    error(&embed(&mut client, r#"{"model":"embed","input":"fail"}"#), 500, "server_error");
    client.get("/v1/embeddings").assert_error(405, &["POST"]);
}

#[test]
fn going_cancels_and_waiting_has_an_end() {
    let gate = Gate::closed();
    let engine = Engine::new();
    let handle = engine.wrap_model(embedding().gated(&gate)).name("embed").register().unwrap();
    wait_until("the model", || engine.is_ready());
    let server = TestServer::start(engine, ServerOptions::default());
    let mut goes = server.client();
    goes.send("POST", "/v1/embeddings", "", r#"{"model":"embed","input":"a"}"#);
    gate.entered();
    goes.disconnect();
    wait_until("the run to stop", || handle.status().running == 0);
    let late = "X-Request-Timeout: 0.02\r\n";
    let body = r#"{"model":"embed","input":"a"}"#;
    error(&server.client().request("POST", "/v1/embeddings", late, body), 504, "server_error");
}

#[test]
fn the_models_that_there_are() {
    let server = start(ServerOptions::default());
    let mut client = server.client();
    let list = client.get("/v1/models").json();
    let names: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(names, ["embed", "m"]);
    assert_eq!(client.get("/v1/models/m").json()["object"], "model");
    error(&client.get("/v1/models/none"), 404, "not_found_error");
}

#[test]
fn keys_hold_here_too() {
    let key = NewKey::generate().unwrap();
    let entry = format!("[[key]]\nname = \"a\"\nhash = \"{}\"\ninfer = [\"m\"]\n", key.hash());
    let server = start(ServerOptions::default().with_keys(Keys::from_toml(&entry).unwrap()));
    let mut client = server.client();
    error(&client.get("/v1/models"), 401, "authentication_error");
    let bearer = format!("Authorization: Bearer {}\r\n", key.reveal());
    let list = client.request("GET", "/v1/models", &bearer, "").json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    let body = r#"{"model":"embed","input":"a"}"#;
    error(&client.request("POST", "/v1/embeddings", &bearer, body), 403, "authentication_error");
}
