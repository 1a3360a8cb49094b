//! Deadlines pass in the queue and in the run: the client is told at once, and the work is dropped.

use unruffled_model::Batching;
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{ONE_ROW, TestServer, one_row, one_row_with, wait_until};

const INFER: &str = "/v2/models/m/infer";

#[test]
fn while_running() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    let mut client = server.client();
    // Long enough for the run to begin on a busy machine.
    client.send_infer(&one_row_with("late", r#""timeout":300000"#));
    gate.entered();
    client.answer().assert_error(504, &["`m`", "deadline"]);
    // There is one instance: another run begins only if the first was stopped.
    client.send_infer(ONE_ROW);
    gate.entered();
    assert!(script.batches()[0].cancelled);
    gate.open();
    client.answer().assert_doubled();
    server.assert_serves(&mut client);
}

#[test]
fn while_queued() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate).batching(Batching::Single);
    let script = model.script();
    let (server, handle) = TestServer::with_model(model);
    let mut running = server.client();
    running.send_infer(&one_row("running"));
    gate.entered();
    let mut client = server.client();
    let answer = client.request("POST", INFER, "X-Request-Timeout: 0.3\r\n", ONE_ROW);
    answer.assert_error(504, &["`m`", "deadline"]);
    wait_until("an empty queue", || handle.status().queued == 0);
    gate.open();
    running.answer().assert_doubled();
    server.assert_serves(&mut client);
    assert_eq!(script.batches().len(), 3, "the late one never ran");
}

#[test]
fn the_shorter_one_counts() {
    let gate = Gate::closed();
    let (server, _) = TestServer::with_model(doubling().gated(&gate));
    let mut client = server.client();
    let hour = r#""timeout":3600000000"#;
    let answer = client.request("POST", INFER, "X-Request-Timeout: 0.02\r\n", &one_row_with("1", hour));
    answer.assert_error(504, &[]);
    let short = r#""timeout":20000"#;
    let answer = client.request("POST", INFER, "X-Request-Timeout: 3600\r\n", &one_row_with("2", short));
    answer.assert_error(504, &[]);
}

#[test]
fn while_the_body_is_on_its_way() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    client.write(format!(
        "POST {INFER} HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\nX-Request-Timeout: 0.02\r\n\r\n{{"
    ));
    let answer = client.answer();
    answer.assert_error(504, &["deadline", "read"]);
    assert_eq!(answer.header("connection"), Some("close"));
    client.assert_closed();
    server.client().infer(ONE_ROW).assert_doubled();
}
