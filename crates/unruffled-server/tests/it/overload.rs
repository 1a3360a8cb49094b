//! More than fits: what is too much is refused at once, and served again when there is room.

use unruffled_engine::{PoolOptions, QueueLimits};
use unruffled_model::Batching;
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{Answer, Client, ONE_ROW, TestServer, one_row_with, wait_until};

#[track_caller]
fn assert_full(answer: &Answer, parts: &[&str]) {
    answer.assert_error(503, parts);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(seconds >= 1);
}

#[test]
fn a_full_queue() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate).batching(Batching::Single);
    let limits = QueueLimits { items: 1, bytes: 1 << 20 };
    let pool = PoolOptions::default().with_queue(limits);
    let (server, handle) = TestServer::with(model, pool, ServerOptions::default());
    let (mut running, mut queued, mut refused) = (server.client(), server.client(), server.client());
    running.send_infer(ONE_ROW);
    gate.entered();
    queued.send_infer(ONE_ROW);
    wait_until("a place in the queue", || handle.status().queued == 1);
    assert_full(&refused.infer(ONE_ROW), &["`m`", "queue is full", "1 requests", "try again"]);
    gate.open();
    running.answer().assert_doubled();
    queued.answer().assert_doubled();
    server.assert_serves(&mut refused);
}

#[test]
fn too_many_requests_in_flight() {
    let gate = Gate::closed();
    let options = ServerOptions::default().with_in_flight_requests(2);
    let (server, handle) = TestServer::with(doubling().gated(&gate), PoolOptions::default(), options);
    let (mut running, mut queued, mut refused) = (server.client(), server.client(), server.client());
    running.send_infer(ONE_ROW);
    gate.entered();
    queued.send_infer(ONE_ROW);
    wait_until("a place in the queue", || handle.status().queued == 1);
    assert_full(&refused.infer(ONE_ROW), &["server is full", "2 requests", "try again"]);
    assert_eq!(refused.get("/v2/health/ready").status, 200);
    gate.open();
    running.answer().assert_doubled();
    queued.answer().assert_doubled();
    server.assert_serves(&mut refused);
}

#[test]
fn too_many_bytes_in_flight() {
    let gate = Gate::closed();
    let options = ServerOptions::default().with_in_flight_bytes(ONE_ROW.len() + 50);
    let (server, _) = TestServer::with(doubling().gated(&gate), PoolOptions::default(), options);
    let (mut running, mut refused) = (server.client(), server.client());
    running.send_infer(ONE_ROW);
    gate.entered();
    let parts = ["server is full", "bytes of request bodies", "try again"];
    assert_full(&refused.infer(ONE_ROW), &parts);
    let mut chunked = server.client();
    let length = ONE_ROW.len();
    chunked.write(format!(
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{ONE_ROW}"
    ));
    assert_full(&chunked.answer(), &parts);
    gate.open();
    running.answer().assert_doubled();
    server.assert_serves(&mut refused);
}

#[test]
fn health_answers_while_many_requests_wait() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate).batching(Batching::Single);
    let (server, handle) = TestServer::with_model(model);
    let mut clients: Vec<_> = (0..64).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send_infer(ONE_ROW);
    }
    wait_until("all to arrive", || {
        let status = handle.status();
        status.queued + status.running == 64
    });
    assert_eq!(server.client().get("/v2/health/live").status, 200);
    assert_eq!(server.client().get("/v2/health/ready").status, 200);
    gate.open();
    for client in &mut clients {
        client.answer().assert_doubled();
    }
}

#[test]
fn connections_above_the_bound_wait_while_all_are_busy() {
    let gate = Gate::closed();
    let options = ServerOptions::default().with_connections(2);
    let (server, handle) = TestServer::with(doubling().gated(&gate), PoolOptions::default(), options);
    let (mut first, mut second) = (server.client(), server.client());
    first.send_infer(ONE_ROW);
    gate.entered();
    second.send_infer(ONE_ROW);
    wait_until("a place in the queue", || handle.status().queued == 1);
    let mut third = server.client();
    third.send_infer(ONE_ROW);
    gate.open();
    first.answer().assert_doubled();
    second.answer().assert_doubled();
    third.answer().assert_doubled();
}

#[test]
fn who_waits_as_briefly_as_those_who_gave_up_is_told_at_once() {
    patience_is_learned(PoolOptions::default().with_max_batch(1));
}

/// Fewer than a batch wait at a slow model when the first of them go.
#[test]
fn it_takes_no_full_batch_to_learn_that() {
    patience_is_learned(PoolOptions::default().with_max_batch(64));
}

#[track_caller]
fn patience_is_learned(pool: PoolOptions) {
    let gate = Gate::closed();
    let (server, handle) = TestServer::with(doubling().gated(&gate), pool, ServerOptions::default());
    let mut first = server.client();
    first.send_infer(ONE_ROW);
    gate.entered();
    let clients: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = server.client();
            client.send_infer(ONE_ROW);
            client
        })
        .collect();
    wait_until("all of them wait", || handle.status().queued == clients.len());
    // While more than a few wait, whoever goes tells how long clients wait.
    for client in clients {
        client.disconnect();
    }
    wait_until("all have gone", || handle.status().queued == 0);
    let mut patient = server.client();
    patient.infer(ONE_ROW).assert_error(503, &["`m`", "more to do than its clients wait for", "`timeout`"]);
    // Who says how long it waits has that long.
    patient.send_infer(&one_row_with("told", "\"timeout\":20000000"));
    gate.open();
    patient.answer().assert_doubled();
}
