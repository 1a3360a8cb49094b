//! Streams over WebSockets.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::{IntoClientRequest as _, client};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, HandshakeError, Message, WebSocket};
use unruffled_engine::{Engine, PoolOptions};
use unruffled_model::RequestId;
use unruffled_server::{Keys, NewKey, ServerOptions, router};
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{TestServer, one_row, wait_until};

fn request(server: &TestServer) -> Request {
    request_to(server.address())
}

fn request_to(address: SocketAddr) -> Request {
    format!("ws://localhost:{}/v2/models/m/stream", address.port()).into_client_request().unwrap()
}

/// Opens a socket, or tells the status with which that is refused, and why.
fn try_open(server: &TestServer, request: Request) -> Result<WebSocket<TcpStream>, (u16, String)> {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    match client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(Error::Http(answer))) => {
            let body = answer.body().clone().unwrap_or_default();
            Err((answer.status().as_u16(), String::from_utf8(body).unwrap()))
        }
        Err(error) => panic!("{error}"),
    }
}

fn open(server: &TestServer) -> WebSocket<TcpStream> {
    try_open(server, request(server)).unwrap()
}

#[track_caller]
fn text(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        match socket.read().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The code with which the server closes, to the end of the connection.
#[track_caller]
fn closed(socket: &mut WebSocket<TcpStream>) -> Option<CloseCode> {
    let mut code = None;
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => code = frame.map(|frame| frame.code),
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return code,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn texts_are_answered_in_their_order() {
    let (server, _) = TestServer::with_model(doubling());
    let mut socket = open(&server);
    for id in ["a", "b"] {
        socket.write(Message::text(one_row(id))).unwrap();
    }
    socket.write(Message::text("no")).unwrap();
    socket.write(Message::text(r#"{"id":"d","x":[3,4]}"#)).unwrap();
    socket.flush().unwrap();
    let answers: Vec<Value> = (0..4).map(|_| text(&mut socket)).collect();
    assert_eq!([&answers[0]["id"], &answers[1]["id"]], ["a", "b"]);
    assert_eq!(answers[1]["outputs"][0]["data"], json!([2.0, 5.0]));
    assert_eq!(answers[2]["status"], 400);
    assert_eq!(answers[3], json!({ "model_name": "m", "id": "d", "y": [6.0, 8.0] }));
    socket.send(Message::Ping(b"x".as_slice().into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(b"x".as_slice().into()));
    socket.close(None).unwrap();
    closed(&mut socket);
}

#[test]
fn tensors_in_binary_both_ways() {
    let (server, _) = TestServer::with_model(doubling());
    let mut socket = open(&server);
    let json =
        br#"{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32",
        "parameters":{"binary_data_size":8}}]}"#;
    let mut message = u32::try_from(json.len()).unwrap().to_le_bytes().to_vec();
    message.extend_from_slice(json);
    for element in [1.0_f32, 2.5] {
        message.extend_from_slice(&element.to_le_bytes());
    }
    socket.send(Message::binary(message)).unwrap();
    let Message::Binary(answer) = socket.read().unwrap() else { panic!("expected bytes") };
    let length = u32::from_le_bytes(*answer.first_chunk().unwrap()) as usize;
    let told: Value = serde_json::from_slice(&answer[4..4 + length]).unwrap();
    assert_eq!(told["outputs"][0]["parameters"]["binary_data_size"], 8);
    assert_eq!(answer[4 + length..], [2.0_f32.to_le_bytes(), 5.0_f32.to_le_bytes()].concat());
    // A length that lies ends the stream, with the reason.
    socket.send(Message::binary(vec![255, 0, 0, 0, 1])).unwrap();
    let told = text(&mut socket);
    assert_eq!(told["status"], 400);
    assert!(told["error"].as_str().unwrap().contains("5 bytes"), "{told}");
    closed(&mut socket);
}

#[test]
fn closing_cancels_what_runs() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let (server, handle) = TestServer::with_model(model);
    // Once by the book, once by going.
    for says_so in [true, false] {
        let mut socket = open(&server);
        socket.send(Message::text(one_row("runs"))).unwrap();
        assert_eq!(gate.entered(), [RequestId::Text("runs".into())]);
        socket.send(Message::text(one_row("waits"))).unwrap();
        wait_until("a place in the queue", || handle.status().queued == 1);
        if says_so {
            socket.close(None).unwrap();
            closed(&mut socket);
        }
        drop(socket);
        wait_until("both to be gone", || {
            let status = handle.status();
            (status.queued, status.running) == (0, 0)
        });
    }
    assert!(script.batches().iter().all(|batch| batch.cancelled), "{:?}", script.batches());
    gate.open();
    server.assert_serves(&mut server.client());
}

#[test]
fn what_is_no_handshake_is_refused() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let path = "/v2/models/m/stream";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    client.get(path).assert_error(426, &["POST"]);
    let answer = client.request("GET", path, &format!("{upgrade}Sec-WebSocket-Version: 8\r\n"), "");
    answer.assert_error(426, &["13"]);
    assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    let answer = client.request("GET", path, &format!("{upgrade}Sec-WebSocket-Version: 13\r\n"), "");
    answer.assert_error(400, &["Sec-WebSocket-Key"]);
    server.assert_serves(&mut client);
    let mut unknown = request(&server);
    *unknown.uri_mut() = "ws://localhost/v2/models/none/stream".parse().unwrap();
    let (status, body) = try_open(&server, unknown).unwrap_err();
    assert!(status == 404 && body.contains("`none`"), "{status} {body}");
    // Pages of other sites have sockets too.
    let mut foreign = request(&server);
    foreign.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    assert_eq!(try_open(&server, foreign).unwrap_err().0, 403);
}

#[test]
fn a_key_comes_among_the_protocols() {
    let key = NewKey::generate().unwrap();
    let keys =
        format!("[[key]]\nname = \"page\"\nhash = \"{}\"\ninfer = [\"m\"]\nconcurrency = 1\n", key.hash());
    let engine = Engine::new();
    let handle = engine.wrap_model(doubling()).name("m").register().unwrap();
    wait_until("the first instance", || handle.status().ready);
    let options = ServerOptions::default().with_keys(Keys::from_toml(&keys).unwrap());
    let server = TestServer::start(engine, options);
    assert_eq!(try_open(&server, request(&server)).unwrap_err().0, 401);
    let with_key = || {
        let mut request = request(&server);
        let protocols = format!("unruffled, unruffled-key.{}", key.reveal());
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
        request
    };
    let mut socket = try_open(&server, with_key()).unwrap();
    socket.send(Message::text(one_row("a"))).unwrap();
    assert_eq!(text(&mut socket)["id"], "a");
    // The socket is one request of its key, as long as it is open.
    assert_eq!(try_open(&server, with_key()).unwrap_err().0, 429);
    drop(socket);
    wait_until("its place to be free", || try_open(&server, with_key()).is_ok());
}

#[test]
fn a_message_has_bounds() {
    let options = ServerOptions::default().with_body_bytes(200);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut socket = open(&server);
    for id in ["a", "b", "c"] {
        socket.send(Message::text(one_row(id))).unwrap();
        assert_eq!(text(&mut socket)["id"], id);
    }
    socket.send(Message::text("x".repeat(201))).unwrap();
    assert_eq!(text(&mut socket)["status"], 413);
    server.assert_serves(&mut server.client());
}

#[test]
fn the_end_of_the_server_is_told() {
    let gate = Gate::closed();
    let (mut server, _) = TestServer::with_model(doubling().gated(&gate));
    let mut socket = open(&server);
    socket.send(Message::text(one_row("a"))).unwrap();
    gate.entered();
    server.stop();
    gate.open();
    assert_eq!(text(&mut socket)["id"], "a");
    assert_eq!(text(&mut socket)["status"], 503);
    assert_eq!(closed(&mut socket), Some(CloseCode::Away));
    assert_eq!(server.served().cut, 0);
}

#[test]
fn an_idle_socket_makes_way() {
    let gate = Gate::closed();
    let options = ServerOptions::default().with_connections(1);
    let (server, _) = TestServer::with(doubling().gated(&gate), PoolOptions::default(), options);
    let mut busy = open(&server);
    busy.send(Message::text(one_row("a"))).unwrap();
    gate.entered();
    // One that is at work does not: who comes waits.
    let mut waits = server.client();
    waits.send_infer(&one_row("b"));
    gate.open();
    assert_eq!(text(&mut busy)["id"], "a");
    waits.answer().assert_doubled();
    assert!(busy.read().is_err(), "it idled, and its place was needed");
}

#[test]
fn a_router_in_a_service_of_ones_own_has_sockets_too() {
    let gate = Gate::closed();
    let engine = Engine::new();
    let handle = engine.wrap_model(doubling().gated(&gate)).name("m").register().unwrap();
    wait_until("the first instance", || handle.status().ready);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let router = router(engine, ServerOptions::default());
    let _served = runtime.spawn(async move { axum::serve(listener, router).await });
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut socket, _) = client(request_to(address), stream).unwrap();
    socket.send(Message::text(one_row("a"))).unwrap();
    gate.entered();
    gate.open();
    assert_eq!(text(&mut socket)["id"], "a");
    // It is cancelled there like anywhere.
    gate.close();
    socket.send(Message::text(one_row("b"))).unwrap();
    gate.entered();
    drop(socket);
    wait_until("the run to stop", || handle.status().running == 0);
}
