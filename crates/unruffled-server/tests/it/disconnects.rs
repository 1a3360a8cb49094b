//! Clients that go: their work is dropped, wherever it is.

use std::sync::mpsc::channel;

use unruffled_model::{Batching, RequestId};
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{ONE_ROW, TestServer, many_rows, one_row, wait_until};

#[test]
fn while_running() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    let mut goes = server.client();
    goes.send_infer(&one_row("goes"));
    assert_eq!(gate.entered(), [RequestId::Text("goes".into())]);
    goes.disconnect();
    assert_eq!(server.dropped(), "/v2/models/m/infer");
    // There is one instance: another run begins only if the first was stopped.
    let mut stays = server.client();
    stays.send_infer(&one_row("stays"));
    assert_eq!(gate.entered(), [RequestId::Text("stays".into())]);
    assert!(script.batches()[0].cancelled);
    gate.open();
    stays.answer().assert_doubled();
    server.assert_serves(&mut stays);
}

#[test]
fn while_queued() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate).batching(Batching::Single);
    let script = model.script();
    let (server, handle) = TestServer::with_model(model);
    let mut stays = server.client();
    stays.send_infer(&one_row("stays"));
    gate.entered();
    let mut goes = server.client();
    goes.send_infer(&one_row("goes"));
    wait_until("a place in the queue", || handle.status().queued == 1);
    goes.disconnect();
    server.dropped();
    let status = handle.status();
    assert_eq!((status.queued, status.running), (0, 1));
    gate.open();
    stays.answer().assert_doubled();
    server.assert_serves(&mut stays);
    assert_eq!(script.batches().len(), 3, "the one that went never ran");
}

#[test]
fn while_the_body_is_decoded_off_the_event_loop() {
    let model = doubling();
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    // The runtime has one blocking thread: while it is held, nothing is decoded.
    let (go_on, wait) = channel::<()>();
    let (tell, held) = channel();
    server.runtime.spawn_blocking(move || {
        tell.send(()).unwrap();
        let _ = wait.recv();
    });
    held.recv().unwrap();
    let mut goes = server.client();
    goes.send_infer(&many_rows(10_000));
    server.client().infer(ONE_ROW).assert_doubled();
    goes.disconnect();
    server.dropped();
    go_on.send(()).unwrap();
    server.client().infer(&many_rows(10_000)).json();
    assert_eq!(script.batch_sizes(), [1, 1], "the one that went never ran");
}

#[test]
fn while_the_body_is_on_its_way() {
    let model = doubling();
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    let mut goes = server.client();
    goes.write(format!(
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n{ONE_ROW}"
    ));
    goes.disconnect();
    server.client().infer(ONE_ROW).assert_doubled();
    assert_eq!(script.batches().len(), 1);
}
