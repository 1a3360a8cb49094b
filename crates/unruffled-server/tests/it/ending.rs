//! The end of the engine and of the server.

use std::net::TcpStream;
use std::time::Duration;

use unruffled_engine::PoolOptions;
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{ONE_ROW, TestServer};

#[test]
fn the_engine_ends_before_the_server() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    client.infer(ONE_ROW).assert_doubled();
    server.runtime.block_on(server.engine.shutdown(Duration::ZERO));
    client.infer(ONE_ROW).assert_error(503, &["shutting down"]);
    assert_eq!(client.get("/v2/health/ready").status, 503);
    client.get("/v2/models/m/ready").assert_error(503, &["`m`"]);
    assert_eq!(client.get("/v2/health/live").status, 200);
}

#[test]
fn requests_in_flight_are_answered_and_new_ones_find_nobody() {
    let gate = Gate::closed();
    let (mut server, _) = TestServer::with_model(doubling().gated(&gate));
    let (mut idle, mut running) = (server.client(), server.client());
    assert_eq!(idle.get("/v2").status, 200);
    running.send_infer(ONE_ROW);
    gate.entered();
    server.stop();
    idle.assert_closed();
    assert!(TcpStream::connect(server.address()).is_err(), "the listener is gone");
    gate.open();
    running.answer().assert_doubled();
    running.assert_closed();
    assert_eq!(server.served().cut, 0);
}

#[test]
fn what_outlasts_the_grace_is_told_so() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let options = ServerOptions::default().with_grace(Duration::from_millis(20));
    let (mut server, handle) = TestServer::with(model, PoolOptions::default(), options);
    let (mut running, mut sending) = (server.client(), server.client());
    running.send_infer(ONE_ROW);
    gate.entered();
    sending.write("POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n{");
    // Its head has been read once the server has answered somebody after it.
    assert_eq!(server.client().get("/v2").status, 200);
    server.stop();
    running.answer().assert_error(503, &["shutting down"]);
    running.assert_closed();
    drop(sending);
    assert_eq!(server.served().cut, 0);
    crate::support::wait_until("the run to stop", || handle.status().running == 0);
    assert!(script.batches()[0].cancelled);
}

#[test]
fn dropping_the_server_cancels_what_runs() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let (mut server, handle) = TestServer::with_model(model);
    let mut client = server.client();
    client.send_infer(ONE_ROW);
    gate.entered();
    server.abort();
    assert_eq!(server.dropped(), "/v2/models/m/infer");
    client.assert_closed();
    crate::support::wait_until("the run to stop", || handle.status().running == 0);
    assert!(script.batches()[0].cancelled);
}
