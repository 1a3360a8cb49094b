//! Inference that goes well.

use serde_json::json;
use unruffled_model::{ModelError, Tensor, Tensors};
use unruffled_testing::scripted::{Gate, ScriptedModel, doubling};

use crate::support::{ONE_ROW, TestServer, many_rows, one_row, one_row_with};

#[test]
fn answers_in_the_protocols_form() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let answer = client.infer(ONE_ROW);
    assert_eq!(
        answer.json(),
        json!({
            "model_name": "m",
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [2.0, 5.0]}],
        })
    );
    let timing = answer.header("server-timing").unwrap();
    assert!(timing.starts_with("queue;dur=") && timing.contains(", run;dur="), "{timing}");
    assert!(timing.ends_with(r#";desc="1 requests, 1 rows, instance 0""#), "{timing}");
}

#[test]
fn the_id_comes_back_and_reaches_the_model() {
    let model = doubling();
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    let mut client = server.client();
    assert_eq!(client.infer(&one_row("a \\\" ü")).json()["id"], "a \" ü");
    assert_eq!(client.infer(&one_row("")).json()["id"], "");
    assert_eq!(client.infer(ONE_ROW).json().get("id"), None);
    assert_eq!(script.batches()[0].requests[0].to_string(), "a \" ü");
}

#[test]
fn outputs_come_as_asked() {
    let body = format!(r#"{{"outputs":[{{"name":"y"}}],{}"#, &ONE_ROW[1..]);
    let (server, _) = TestServer::with_model(doubling());
    server.client().infer(&body).assert_doubled();
}

#[test]
fn a_function_of_tensors_gives_whatever_it_gives() {
    let model = ScriptedModel::new(|inputs: &Tensors, _| Ok(inputs.clone()));
    let (server, _) = TestServer::with_model(model);
    let answer = server.client().infer(ONE_ROW).json();
    assert_eq!(answer["outputs"][0]["name"], "x");
}

#[test]
fn what_is_not_a_number_is_told_in_the_words_of_other_servers() {
    let model = ScriptedModel::new(|_: &Tensors, _| {
        let odd = Tensor::new(&[3], vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY])?;
        Ok(Tensors::new().with("y", odd))
    });
    let (server, _) = TestServer::with_model(model);
    let answer = server.client().infer(ONE_ROW);
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains(r#""data":[NaN,Infinity,-Infinity]"#), "{}", answer.body);
}

#[test]
fn texts_that_are_none_cannot_be_told_in_json() {
    let model = ScriptedModel::new(|_: &Tensors, _| {
        let bytes = Tensor::new(&[1], vec![unruffled_model::Bytes::from_static(b"\xff")])?;
        Ok::<_, ModelError>(Tensors::new().with("y", bytes))
    });
    let (server, _) = TestServer::with_model(model);
    server.client().infer(ONE_ROW).assert_error(501, &["output `y`", "UTF-8"]);
}

#[test]
fn any_content_type_will_do() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    for headers in [
        "Content-Type: application/octet-stream\r\n",
        "Content-Type: text/nonsense\r\nContent-Encoding: identity\r\n",
    ] {
        let answer = client.request("POST", "/v2/models/m/infer", headers, ONE_ROW);
        answer.assert_doubled();
    }
}

#[test]
fn large_messages_are_converted_off_the_event_loop() {
    let (server, _) = TestServer::with_model(doubling());
    let rows = 20_000;
    let mut client = server.client();
    let answer = client.infer(&many_rows(rows)).json();
    let output = &answer["outputs"][0];
    assert_eq!(output["shape"], json!([rows, 2]));
    assert_eq!(output["data"].as_array().unwrap().len(), 2 * rows);
    assert_eq!(output["data"][2 * rows - 2], 2.5);
    server.assert_serves(&mut client);
}

#[test]
fn a_body_may_come_in_chunks_or_when_it_is_asked_for() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let head = "POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write(head);
    for part in ONE_ROW.as_bytes().chunks(10) {
        client.write(format!("{:x}\r\n{}\r\n", part.len(), std::str::from_utf8(part).unwrap()));
    }
    client.write("0\r\n\r\n");
    client.answer().assert_doubled();

    let length = ONE_ROW.len();
    client.write(format!(
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    ));
    assert_eq!(client.answer().status, 100);
    client.write(ONE_ROW);
    client.answer().assert_doubled();
}

#[test]
fn priorities_reach_the_engine() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate).batching(unruffled_model::Batching::Single);
    let (server, handle) = TestServer::with_model(model);
    let mut first = server.client();
    first.send_infer(ONE_ROW);
    gate.entered();
    let priorities = [("bulk", "7"), ("normal", "2"), ("default", "0"), ("interactive", "1")];
    let mut clients: Vec<_> = (0..)
        .zip(priorities)
        .map(|(before, (id, priority))| {
            let mut client = server.client();
            client.send_infer(&one_row_with(id, &format!(r#""priority":{priority}"#)));
            crate::support::wait_until("a place in the queue", || handle.status().queued > before);
            client
        })
        .collect();
    gate.open();
    first.answer().assert_doubled();
    for client in &mut clients {
        client.answer().assert_doubled();
    }
    let order: Vec<_> = (0..4).map(|_| gate.entered()[0].to_string()).collect();
    assert_eq!(order, ["interactive", "normal", "default", "bulk"]);
}
