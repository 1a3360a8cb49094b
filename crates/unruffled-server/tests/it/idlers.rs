//! Connections that idle make way, and those that are busy stay.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::num::NonZeroUsize;

use unruffled_engine::PoolOptions;
use unruffled_model::{Tensor, Tensors};
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, ScriptedModel, doubling};

use crate::support::{Client, ONE_ROW, TestServer};

fn start(connections: usize) -> TestServer {
    let options = ServerOptions::default().with_connections(connections);
    TestServer::with(doubling(), PoolOptions::default(), options).0
}

#[test]
fn the_longest_idle_makes_way() {
    let server = start(2);
    let (mut first, mut second) = (server.client(), server.client());
    second.infer(ONE_ROW).assert_doubled();
    first.infer(ONE_ROW).assert_doubled();
    let mut third = server.client();
    third.infer(ONE_ROW).assert_doubled();
    second.assert_closed();
    first.infer(ONE_ROW).assert_doubled();
    let mut fourth = server.client();
    fourth.infer(ONE_ROW).assert_doubled();
    third.assert_closed();
    first.infer(ONE_ROW).assert_doubled();
}

#[test]
fn who_sends_heads_slowly_makes_way() {
    let server = start(1);
    let mut slow = server.client();
    slow.write("GET /v2 HTTP/1.1\r\nHost: te");
    server.client().infer(ONE_ROW).assert_doubled();
    slow.assert_closed();
}

#[test]
fn who_sends_a_body_slowly_makes_way() {
    let server = start(1);
    for body in ["Content-Length: 1000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let mut slow = server.client();
        slow.write(format!("POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\n{body}"));
        server.client().infer(ONE_ROW).assert_doubled();
        slow.assert_closed();
    }
}

#[test]
fn slow_bodies_take_nothing_from_others() {
    let options = ServerOptions::default().with_in_flight_requests(1).with_in_flight_bytes(1 << 20);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut slow: Vec<Client> = (0..50).map(|_| server.client()).collect();
    for client in &mut slow {
        client.write(
            "POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n",
        );
        assert_eq!(client.answer().status, 100, "its body is awaited");
    }
    server.client().infer(ONE_ROW).assert_doubled();
}

#[test]
fn who_awaits_an_answer_stays() {
    let gate = Gate::closed();
    let options = ServerOptions::default().with_connections(2);
    let (server, _) = TestServer::with(doubling().gated(&gate), PoolOptions::default(), options);
    let (mut running, mut idle) = (server.client(), server.client());
    running.send_infer(ONE_ROW);
    gate.entered();
    assert_eq!(idle.get("/v2").status, 200);
    assert_eq!(server.client().get("/v2").status, 200);
    idle.assert_closed();
    gate.open();
    running.answer().assert_doubled();
}

#[test]
fn who_is_still_reading_an_answer_stays() {
    let bytes = 6 << 20;
    // More than the sockets between the two hold.
    let model = ScriptedModel::new(move |_: &Tensors, _| {
        Ok(Tensors::new().with("y", Tensor::filled(&[bytes], 0_u8)?))
    });
    let options = ServerOptions::default().with_connections(1);
    let (server, _) = TestServer::with(model, PoolOptions::default(), options);
    let mut reading = server.client();
    reading.send_infer(ONE_ROW);
    // The answer has begun.
    let mut begin = [0; 12];
    reading.stream().read_exact(&mut begin).unwrap();
    assert_eq!(begin, *b"HTTP/1.1 200");
    let mut waiting = server.client();
    waiting.send("GET", "/v2", "", "");
    let mut rest = Vec::new();
    // Cut off when it has been read: the connection idles from then on, and the other is served.
    reading.stream().read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 2 * bytes && rest.ends_with(b"}"), "{}", rest.len());
    assert_eq!(waiting.answer().status, 200);
}

#[test]
fn ten_thousand_idle_connections_lock_nobody_out() {
    let server = start(2048);
    let mut idle = Vec::new();
    for number in 0..10_000 {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        if number % 2 == 0 {
            // Half of them have begun a request; those that were sent away by then may find that out here.
            let _ = stream.write_all(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: test\r\n");
        }
        idle.push(stream);
        // So that the server keeps up: the operating system drops connections that nobody accepts.
        if number % 100 == 0 {
            server.client().infer(ONE_ROW).assert_doubled();
        }
    }
    let mut client = server.client();
    for _ in 0..100 {
        client.infer(ONE_ROW).assert_doubled();
    }
    assert_eq!(server.client().get("/v2/health/live").status, 200);
}

#[test]
fn an_address_has_so_many_connections() {
    let options = ServerOptions::default().with_connections_per_peer(NonZeroUsize::new(2).unwrap());
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let (mut first, mut second) = (server.client(), server.client());
    first.infer(ONE_ROW).assert_doubled();
    second.infer(ONE_ROW).assert_doubled();
    server.client().assert_closed();
    first.disconnect();
    // Its place is free once the server has seen it go.
    let is_served = || {
        let mut client: Client = server.client();
        let sent = client.stream().write_all(b"GET /v2 HTTP/1.1\r\nHost: test\r\n\r\n").is_ok();
        sent && client.try_answer().is_some_and(|answer| answer.status == 200)
    };
    crate::support::wait_until("its place", is_served);
    second.infer(ONE_ROW).assert_doubled();
}
