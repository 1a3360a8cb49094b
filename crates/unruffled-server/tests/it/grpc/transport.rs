//! Both protocols on one port, and frames that no library would send.

use std::time::Duration;

use axum::http::Method;
use tonic::Code;
use unruffled_engine::PoolOptions;
use unruffled_model::{RequestId, Tensor, Tensors};
use unruffled_protocol::grpc;
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, ScriptedModel, doubling};

use super::client::{Grpc, assert_doubled, one_row};
use super::wire::{Wire, framed};
use crate::support::{Client, ONE_ROW, TestServer, wait_until};

/// A request for the doubling model as it is sent.
fn one_row_framed(id: &str) -> Vec<u8> {
    framed(&grpc::encode(&one_row(id)))
}

#[test]
fn rest_over_http2() {
    let (server, _) = TestServer::with_model(doubling());
    let mut wire = Wire::connect(&server);
    let (answer, _) = wire.send(Method::GET, "/v2/health/ready", &[], true);
    assert_eq!(wire.answer(answer).status, 200);
    let (answer, mut body) = wire.send(Method::POST, "/v2/models/m/infer", &[], false);
    body.send_data(ONE_ROW.into(), true).unwrap();
    let answer = wire.answer(answer);
    assert_eq!(answer.status, 200);
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(json["outputs"][0]["data"], serde_json::json!([2.0, 5.0]));
    // A refusal that closes a connection of HTTP/1.1 ends one stream here.
    let (answer, mut body) =
        wire.send(Method::POST, "/v2/models/m/infer", &[("content-length", "99999999")], false);
    let answer = wire.answer(answer);
    assert_eq!((answer.status, answer.headers.get("connection")), (413, None));
    body.send_reset(h2::Reason::CANCEL);
    let (answer, _) = wire.send(Method::GET, "/v2", &[], true);
    assert_eq!(wire.answer(answer).status, 200);
}

#[test]
fn what_is_no_call_is_told_so_in_json() {
    let (server, _) = TestServer::with_model(doubling());
    let path = "/inference.GRPCInferenceService/ModelInfer";
    let mut client = server.client();
    let answer = client.request("POST", path, "Content-Type: application/grpc\r\n", "");
    answer.assert_error(505, &["HTTP/2", "/v2"]);
    let mut wire = Wire::connect(&server);
    let (answer, _) = wire.send(Method::POST, path, &[("content-type", "application/json")], true);
    let answer = wire.answer(answer);
    assert_eq!(answer.status, 415);
    assert!(String::from_utf8_lossy(&answer.body).contains("application/grpc"));
    client.get(path).assert_error(405, &["POST"]);
    client.infer(ONE_ROW).assert_doubled();
}

#[test]
fn a_second_address() {
    let engine = unruffled_engine::Engine::new();
    let handle = engine.wrap_model(doubling()).name("m").register().unwrap();
    wait_until("the first instance", || handle.status().ready);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let any = ([127, 0, 0, 1], 0).into();
    let (first, second) = runtime.block_on(async {
        let mut server = unruffled_server::Server::bind(any, engine, ServerOptions::default()).await.unwrap();
        let first = server.local_addr().unwrap();
        assert_eq!(server.also_on(first).await.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
        let second = server.also_on(any).await.unwrap();
        tokio::spawn(server.run(std::future::pending()));
        (first, second)
    });
    assert_ne!(first, second);
    for address in [first, second, first, second] {
        Client::connect(address).infer(ONE_ROW).assert_doubled();
    }
}

#[test]
fn frames_that_are_no_messages() {
    let (server, _) = TestServer::with_model(doubling());
    let mut wire = Wire::connect(&server);
    let invalid = Code::InvalidArgument as i32;
    let mut check = |headers: &[(&str, &str)], body: Vec<u8>, code: i32, part: &str| {
        for call in ["ModelInfer", "ServerLive"] {
            let answer = wire.ask(call, headers, body.clone());
            assert_eq!((answer.status, answer.code()), (200, code), "{call}: {answer:?}");
            assert!(answer.message().contains(part), "`{part}` is not in {answer:?}");
        }
    };
    check(&[], vec![], invalid, "no message");
    check(&[], vec![0, 0, 0], invalid, "within a message");
    check(&[], vec![0, 0, 0, 0, 5, 1], invalid, "within a message");
    check(&[], vec![7, 0, 0, 0, 0], invalid, "flag 7");
    check(&[], vec![1, 0, 0, 0, 0], invalid, "grpc-encoding");
    check(&[("grpc-encoding", "gzip")], vec![1, 0, 0, 0, 2, 3, 4], invalid, "encoding");
    check(&[], framed(&[0x0a, 0xff]), invalid, "message");
    let unknown = Code::Unimplemented as i32;
    check(&[("grpc-encoding", "snappy")], vec![], unknown, "snappy");
    check(&[], vec![0, 0xff, 0xff, 0xff, 0xff], Code::ResourceExhausted as i32, "4294967295");
    check(&[("grpc-timeout", "soon")], vec![], invalid, "soon");
    // A stream answers what it understood, and ends at what it did not.
    let body = [one_row_framed("a"), vec![7, 0, 0, 0, 0], one_row_framed("b")].concat();
    let answer = wire.ask("ModelStreamInfer", &[], body);
    assert_eq!((answer.code(), answer.body.is_empty()), (invalid, false));
    // A message that is none is an error of its own there.
    let body = [framed(&[0x0a, 0xff]), one_row_framed("b")].concat();
    let answer = wire.ask("ModelStreamInfer", &[], body);
    assert_eq!(answer.code(), Code::Ok as i32);
    let answer = wire.ask("ModelInfer", &[], one_row_framed(""));
    assert_eq!(answer.code(), Code::Ok as i32);
}

#[test]
fn messages_in_many_small_frames() {
    let (server, _) = TestServer::with_model(doubling());
    let mut wire = Wire::connect(&server);
    let (answer, mut send) = wire.call("ModelInfer", &[]);
    for byte in one_row_framed("") {
        send.send_data(vec![byte].into(), false).unwrap();
    }
    send.send_data(bytes::Bytes::new(), true).unwrap();
    assert_eq!(wire.answer(answer).code(), Code::Ok as i32);
}

#[test]
fn the_deadline_of_a_call_reaches_the_model() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    let mut wire = Wire::connect(&server);
    // Long enough for the run to begin on a busy machine.
    let answer = wire.ask("ModelInfer", &[("grpc-timeout", "300m")], one_row_framed("late"));
    assert_eq!(answer.code(), Code::DeadlineExceeded as i32, "{answer:?}");
    assert_eq!(gate.entered(), [RequestId::Text("late".into())]);
    let (answer, mut send) = wire.call("ModelInfer", &[]);
    send.send_data(one_row_framed("next").into(), true).unwrap();
    assert_eq!(gate.entered(), [RequestId::Text("next".into())]);
    assert!(script.batches()[0].cancelled);
    gate.open();
    assert_eq!(wire.answer(answer).code(), Code::Ok as i32);
    // Nothing is sent: the deadline passes all the same.
    let (answer, _open) = wire.call("ModelInfer", &[("grpc-timeout", "20m")]);
    let answer = wire.answer(answer);
    assert_eq!(answer.code(), Code::DeadlineExceeded as i32);
    assert!(answer.message().contains("before the request was read"), "{answer:?}");
}

#[test]
fn a_message_that_does_not_come() {
    let options = ServerOptions::default().with_body_timeout(Duration::from_millis(20));
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut wire = Wire::connect(&server);
    let (answer, mut send) = wire.call("ModelInfer", &[]);
    send.send_data(vec![0, 0, 0, 0, 9, 1].into(), false).unwrap();
    let answer = wire.answer(answer);
    assert_eq!(answer.code(), Code::DeadlineExceeded as i32);
    assert!(answer.message().contains("20ms"), "{answer:?}");
}

#[test]
fn a_connection_that_is_cut_stops_what_runs() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let (server, handle) = TestServer::with_model(model);
    let mut wire = Wire::connect(&server);
    let (_answer, mut send) = wire.call("ModelInfer", &[]);
    send.send_data(one_row_framed("goes").into(), true).unwrap();
    gate.entered();
    wire.disconnect();
    assert_eq!(server.dropped(), "/inference.GRPCInferenceService/ModelInfer");
    wait_until("the run to stop", || handle.status().running == 0);
    assert!(script.batches()[0].cancelled);
}

#[test]
fn requests_in_flight_are_answered_before_the_end() {
    let gate = Gate::closed();
    let (mut server, _) = TestServer::with_model(doubling().gated(&gate));
    let stopper = server.stopper();
    {
        let (mut idle, mut wire) = (Wire::connect(&server), Wire::connect(&server));
        let (answer, _) = idle.send(Method::GET, "/v2", &[], true);
        assert_eq!(idle.answer(answer).status, 200);
        let (answer, mut send) = wire.call("ModelInfer", &[]);
        send.send_data(one_row_framed("").into(), true).unwrap();
        gate.entered();
        stopper.send(()).unwrap();
        assert!(idle.ended().is_ok());
        gate.open();
        assert_eq!(wire.answer(answer).code(), Code::Ok as i32);
        assert!(wire.ended().is_ok());
    }
    assert_eq!(server.served().cut, 0);
}

#[test]
fn dropping_the_server_cancels_what_runs() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let (mut server, handle) = TestServer::with_model(model);
    {
        let mut wire = Wire::connect(&server);
        let (_answer, mut send) = wire.call("ModelInfer", &[]);
        send.send_data(one_row_framed("").into(), true).unwrap();
        gate.entered();
    }
    server.abort();
    wait_until("the run to stop", || handle.status().running == 0);
    assert!(script.batches()[0].cancelled);
}

#[test]
fn a_connection_without_requests_ends_in_time() {
    let options = ServerOptions::default().with_idle_timeout(Duration::from_millis(300));
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut wire = Wire::connect(&server);
    assert_eq!(wire.ask("ModelInfer", &[], one_row_framed("")).code(), Code::Ok as i32);
    assert!(wire.ended().is_ok());
    // A client that begins to say which protocol it speaks, and stops.
    let mut client = server.client();
    client.write("PRI * HT");
    client.assert_closed();
}

#[test]
fn an_answer_that_is_not_read_ends_the_connection() {
    let model = ScriptedModel::new(|_: &Tensors, _| {
        let zeros = Tensor::filled(&[6 << 20], 0_u8)?;
        Ok(Tensors::new().with("y", zeros))
    });
    let options = ServerOptions::default().with_answer_timeout(Duration::from_millis(200));
    let (server, _) = TestServer::with(model, PoolOptions::default(), options);
    let mut wire = Wire::with_window(&server, 10);
    let (_answer, mut send) = wire.call("ModelInfer", &[]);
    send.send_data(one_row_framed("").into(), true).unwrap();
    // The socket itself is read all the time.
    let _ = wire.ended();
    assert_eq!(server.client().get("/v2/health/live").status, 200);
}

#[test]
fn a_flood_of_requests_that_are_taken_back() {
    let (server, _) = TestServer::with_model(doubling());
    let mut wire = Wire::connect(&server);
    let is_cut = (0..20_000).any(|_| {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let (answer, mut send) = wire.call("ModelInfer", &[]);
            send.send_reset(h2::Reason::CANCEL);
            drop(answer);
        }));
        outcome.is_err()
    });
    // Whether it was cut or kept up with, nobody else suffers.
    println!("cut: {is_cut}");
    let client = Grpc::connect(&server);
    assert_doubled(&client.infer(one_row("")).unwrap());
    server.client().infer(ONE_ROW).assert_doubled();
}
