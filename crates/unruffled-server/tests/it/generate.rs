//! Triton's generate extension: plain values in, plain values out.

use std::time::Duration;

use serde_json::{Value, json};
use unruffled_engine::{Engine, PoolOptions};
use unruffled_model::{
    Batching, DType, Dim, Emitter, FnModel, Footprint, LoadedModel, ModelError, ModelInfo, RunContext, Serve,
    Signature, Tensor, TensorSpec, Tensors,
};
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{TestServer, wait_until};

#[test]
fn one_answer() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let answer = client.request("POST", "/v2/models/m/generate", "", r#"{"id":"a","x":[1,2.5]}"#);
    assert_eq!(answer.json(), json!({ "model_name": "m", "id": "a", "y": [2.0, 5.0] }));
    assert!(answer.header("server-timing").is_some_and(|timing| timing.contains("queue")), "{answer:?}");
    let late = r#"{"x":[1,2],"parameters":{"timeout":-1}}"#;
    client.request("POST", "/v2/models/m/generate", "", late).assert_error(400, &["`timeout`", "-1"]);
    let wrong = r#"{"z":[1,2]}"#;
    client.request("POST", "/v2/models/m/generate", "", wrong).assert_error(400, &["no input `z`", "`x`"]);
    client.request("POST", "/v2/models/m/generate", "", "{}").assert_error(400, &["`x`"]);
    client.get("/v2/models/m/generate").assert_error(405, &["POST"]);
    server.assert_serves(&mut client);
}

/// A function that says what it takes and gives.
struct Counting<M> {
    function: M,
    info: ModelInfo,
}

impl<M: LoadedModel<Input = Tensors, Output = Tensors>> LoadedModel for Counting<M> {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &Tensors) -> Result<Footprint, ModelError> {
        self.info.signature.check(input)?;
        self.function.admit(input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        self.function.with_instance(serve)
    }
}

/// A model that counts up to its input, one output each.
fn counting() -> TestServer {
    serving(&["i"], |up_to, out| {
        (0..up_to).try_for_each(|i| out.emit(Tensors::new().with("i", Tensor::scalar(i))))
    })
}

/// A model that takes a number and gives these, in several outputs.
fn serving(
    names: &[&str],
    give: impl Fn(i32, &mut Emitter<'_, Tensors>) -> Result<(), ModelError> + Send + Sync + 'static,
) -> TestServer {
    let engine = Engine::new();
    let function =
        FnModel::streaming(move |inputs: &Tensors, out: &mut Emitter<'_, Tensors>, _: &RunContext<'_>| {
            let up_to = inputs.get("n").map_or(Ok(0), |n| n.elements::<i32>().map(|n| n[0]))?;
            if up_to < 0 {
                return Err(ModelError::invalid_input("cannot count down"));
            }
            give(up_to, out)
        });
    let signature = Signature {
        inputs: vec![TensorSpec::new("n", DType::I32, [Dim::Fixed(1)])],
        outputs: names.iter().map(|name| TensorSpec::new(*name, DType::I32, [])).collect(),
    };
    let info = ModelInfo::new("test", "counting").with_signature(signature).with_batching(Batching::Single);
    let handle = engine.wrap_model(Counting { function, info }).name("m").register().unwrap();
    wait_until("the first instance", || handle.status().ready);
    TestServer::start(engine, ServerOptions::default())
}

#[test]
fn many_answers_as_events() {
    let server = counting();
    let mut client = server.client();
    client.send("POST", "/v2/models/m/generate_stream", "", r#"{"n":3}"#);
    let answer = client.chunked();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    let events = answer.body.split_terminator("\n\n").map(|event| {
        let event: Value = serde_json::from_str(&event["data: ".len()..]).unwrap();
        event["i"].clone()
    });
    assert_eq!(events.collect::<Vec<_>>(), [0, 1, 2]);
    // What goes wrong before the first answer is told by the status.
    let wrong = client.request("POST", "/v2/models/m/generate_stream", "", r#"{"n":-1}"#);
    wrong.assert_error(400, &["cannot count down"]);
    client
        .request("POST", "/v2/models/none/generate_stream", "", r#"{"n":1}"#)
        .assert_error(404, &["`none`"]);
}

#[test]
fn tensors_that_come_one_after_the_other() {
    let server = serving(&["i", "sum"], |up_to, out| {
        (0..up_to).try_for_each(|i| out.emit(Tensors::new().with("i", Tensor::scalar(i))))?;
        out.emit(Tensors::new().with("sum", Tensor::scalar((0..up_to).sum::<i32>())))
    });
    let mut client = server.client();
    let mut told = |request: &str| -> Vec<Value> {
        client.send("POST", "/v2/models/m/stream", "", request);
        client.chunked().body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = told(r#"{"n":3}"#);
    let expected = [json!({"i": 0}), json!({"i": 1}), json!({"i": 2}), json!({"sum": 3})];
    let named = |one: &Value| {
        let mut one = one.as_object().unwrap().clone();
        one.remove("model_name");
        Value::from(one)
    };
    assert_eq!(all.iter().map(named).collect::<Vec<_>>(), expected);
    // What is not asked for is no answer; and which is the last is told to whoever wants to know.
    let input = r#"{"name":"n","datatype":"INT32","shape":[1],"data":[3]}"#;
    let parameters = r#""parameters":{"unruffled_last":true}"#;
    let sum = told(&format!(r#"{{{parameters},"inputs":[{input}],"outputs":[{{"name":"sum"}}]}}"#));
    assert_eq!(sum[0]["outputs"][0]["data"], json!([3]), "{sum:?}");
    let is_last: Vec<_> = sum.iter().map(|one| one["parameters"]["unruffled_last"] == true).collect();
    assert_eq!(is_last.iter().position(|last| *last), Some(sum.len() - 1), "{sum:?}");
    assert!(sum[1..].iter().all(|one| one["outputs"] == json!([])), "{sum:?}");
    // It lacks what it promised, all the same.
    let none = serving(&["i"], |_, out| out.emit(Tensors::new().with("j", Tensor::scalar(1))));
    let mut client = none.client();
    client.send("POST", "/v2/models/m/stream", "", r#"{"n":1}"#);
    assert!(client.chunked().body.contains("output `i`: the model did not give"), "{}", "promises are kept");
}

#[test]
fn going_cancels_the_stream() {
    let gate = Gate::closed();
    let (server, handle) = TestServer::with_model(doubling().gated(&gate));
    let mut goes = server.client();
    goes.send("POST", "/v2/models/m/generate_stream", "", r#"{"x":[1,2]}"#);
    gate.entered();
    goes.disconnect();
    wait_until("the run to stop", || handle.status().running == 0);
    gate.open();
    server.assert_serves(&mut server.client());
}

#[test]
fn a_newer_stream_takes_the_place_of_an_older() {
    let gate = Gate::closed();
    let (server, _) = TestServer::with_model(doubling().gated(&gate));
    let (path, key) = ("/v2/models/m/generate_stream", "X-Unruffled-Supersede: canvas\r\n");
    let (mut old, mut new) = (server.client(), server.client());
    old.send("POST", path, key, r#"{"x":[1,2]}"#);
    gate.entered();
    new.send("POST", path, key, r#"{"x":[3,4]}"#);
    old.answer().assert_error(499, &["newer"]);
    gate.open();
    assert!(new.chunked().body.contains("[6.0,8.0]"));
}

#[test]
fn what_outlasts_the_grace_is_told_so() {
    let options = ServerOptions::default().with_grace(Duration::from_millis(20));
    let (mut server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut sending = server.client();
    let head =
        "POST /v2/models/m/generate_stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    sending.write(head);
    // Its head has been read once the server has answered somebody after it.
    assert_eq!(server.client().get("/v2").status, 200);
    server.stop();
    sending.answer().assert_error(503, &["shutting down"]);
    drop(sending);
    assert_eq!(server.served().cut, 0);
}
