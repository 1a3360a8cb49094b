//! Bodies and heads that are too large, too slow, or not what they say.

use std::io::Write as _;
use std::time::Duration;

use unruffled_engine::PoolOptions;
use unruffled_model::{Tensor, Tensors};
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{ScriptedModel, doubling};

use crate::support::{ONE_ROW, TestServer};

const HEAD: &str = "POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\n";

#[test]
fn an_announced_body_is_refused_before_it_is_read() {
    let (server, _) = TestServer::with_model(doubling());
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut client = server.client();
        client.write(format!("{HEAD}Content-Length: 104857600\r\n{expect}\r\n"));
        let answer = client.answer();
        answer.assert_error(413, &["104857600", "67108864"]);
        assert_eq!(answer.header("connection"), Some("close"));
        client.assert_closed();
    }
    let mut client = server.client();
    client.write(format!("{HEAD}Content-Length: 1099511627776\r\n\r\n"));
    client.answer().assert_error(413, &["1099511627776"]);
    server.client().infer(ONE_ROW).assert_doubled();
}

#[test]
fn a_client_that_sends_all_before_it_listens_finds_the_answer() {
    let options = ServerOptions::default().with_body_bytes(1000);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    client.send_infer(&"x".repeat(16 << 20));
    client.answer().assert_error(413, &["16777216", "1000"]);
    server.client().infer(ONE_ROW).assert_doubled();
}

#[test]
fn a_body_without_an_end_is_refused_at_the_limit() {
    let limit = 1 << 20;
    let options = ServerOptions::default().with_body_bytes(limit).with_in_flight_bytes(limit);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    client.write(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n"));
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut sent = 0;
    // Goes on until the server has closed; the socket's buffers take some in the meantime.
    while client.stream().write_all(chunk.as_bytes()).is_ok() && sent <= limit {
        sent += 0x10000;
    }
    client.answer().assert_error(413, &["1048576"]);
    // What the refused body held is free again: this takes all there is.
    let padded = format!("{ONE_ROW}{}", " ".repeat(limit - ONE_ROW.len()));
    server.client().infer(&padded).assert_doubled();
}

#[test]
fn a_body_that_does_not_come() {
    let options = ServerOptions::default().with_body_timeout(Duration::from_millis(20));
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    client.write(format!("{HEAD}Content-Length: 100\r\n\r\n{{"));
    client.answer().assert_error(408, &["20ms"]);
    client.assert_closed();
    server.client().infer(ONE_ROW).assert_doubled();
}

#[test]
fn a_head_that_does_not_come() {
    // Long enough for a request to arrive on a busy machine.
    let options = ServerOptions::default().with_idle_timeout(Duration::from_millis(300));
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    client.write(HEAD);
    client.assert_closed();
    let mut client = server.client();
    client.infer(ONE_ROW).assert_doubled();
    client.assert_closed();
}

#[test]
fn an_answer_that_is_not_read() {
    let model = ScriptedModel::new(|_: &Tensors, _| {
        // More than the sockets between the two hold.
        let zeros = Tensor::filled(&[6 << 20], 0_u8)?;
        Ok(Tensors::new().with("y", zeros))
    });
    let options = ServerOptions::default().with_connections(1).with_answer_timeout(Duration::from_millis(20));
    let (server, _) = TestServer::with(model, PoolOptions::default(), options);
    let mut idle = server.client();
    idle.send_infer(ONE_ROW);
    // There is room for one connection: this one is served only when the other has been cut.
    assert_eq!(server.client().get("/v2/health/live").status, 200);
}

#[test]
fn a_head_without_an_end() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    client.write(HEAD);
    client.write(format!("X-Long: {}\r\n\r\n", "x".repeat(100_000)));
    assert_eq!(client.answer().status, 431);
    server.client().infer(ONE_ROW).assert_doubled();
}

#[test]
fn framing_that_can_be_read_in_two_ways() {
    let (server, _) = TestServer::with_model(doubling());
    let smuggled = "GET /v2 HTTP/1.1\r\nHost: test\r\n\r\n";
    for lengths in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Content-Length : 5\r\n",
        "Content-Length: -1\r\n",
    ] {
        let mut client = server.client();
        client.write(format!("{HEAD}{lengths}\r\n0\r\n\r\n{smuggled}"));
        assert_eq!(client.answer().status, 400, "{lengths}");
        client.assert_closed();
    }
    // Both together: the chunks count, and what follows them is not taken for a request.
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        let mut client = server.client();
        client.write(format!("{HEAD}{lengths}\r\n0\r\n\r\n{smuggled}"));
        assert_eq!(client.answer().status, 400, "{lengths}");
        client.assert_closed();
    }
    server.client().infer(ONE_ROW).assert_doubled();
}
