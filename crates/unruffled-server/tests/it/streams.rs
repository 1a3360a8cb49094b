//! Requests in lines, answered in their order.

use serde_json::{Value, json};
use unruffled_engine::{Engine, PoolOptions};
use unruffled_model::{Batching, RequestId};
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{Client, TestServer, one_row, wait_until};

/// Begins a stream, and reads the head of its answer.
fn begin(client: &mut Client, headers: &str) {
    client.write(format!(
        "POST /v2/models/m/stream HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{headers}\r\n"
    ));
}

fn send(client: &mut Client, text: &str) {
    client.write(format!("{:x}\r\n{text}\r\n", text.len()));
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The id of the answer in one chunk.
#[track_caller]
fn answered(client: &mut Client) -> String {
    let line = client.chunk();
    assert!(line.ends_with('\n'), "{line}");
    let answer = parse(&line);
    assert_eq!(answer["outputs"][0]["data"], json!([2.0, 5.0]), "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

#[test]
fn lines_are_answered_as_they_come() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    begin(&mut client, "");
    let head = client.chunked_head();
    assert_eq!((head.status, head.header("content-type")), (200, Some("application/x-ndjson")));
    send(&mut client, &format!("{}\n", one_row("a")));
    assert_eq!(answered(&mut client), "a");
    // A line in pieces, two lines at once, a blank one, and one that is ended by the end.
    let line = one_row("b");
    send(&mut client, &line[..20]);
    send(&mut client, &format!("{}\r\n\n{}\n", &line[20..], one_row("c")));
    assert_eq!([answered(&mut client), answered(&mut client)], ["b", "c"]);
    send(&mut client, &one_row("d"));
    client.write("0\r\n\r\n");
    assert_eq!(answered(&mut client), "d");
    assert_eq!(client.chunk(), "");
    server.assert_serves(&mut client);
}

#[test]
fn a_bad_line_costs_itself() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let bad = r#"{"id":"bad","inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}"#;
    let body = format!("{}\n{bad}\nno\n{}\n", one_row("a"), one_row("b"));
    client.send("POST", "/v2/models/m/stream", "", &body);
    let answer = client.chunked();
    let lines: Vec<Value> = answer.body.lines().map(parse).collect();
    assert_eq!(lines.len(), 4, "{answer:?}");
    assert_eq!((&lines[0]["id"], &lines[3]["id"]), (&json!("a"), &json!("b")));
    assert_eq!((&lines[1]["id"], &lines[1]["status"]), (&json!("bad"), &json!(400)));
    assert!(lines[1]["error"].as_str().unwrap().contains("`x`"), "{}", lines[1]);
    assert!(lines[2]["error"].as_str().unwrap().contains("not JSON"), "{}", lines[2]);
    server.assert_serves(&mut client);
}

#[test]
fn those_at_work_share_batches_and_keep_their_order() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let (server, handle) = TestServer::with_model(model);
    let mut client = server.client();
    let ids: Vec<String> = (0..40).map(|id| id.to_string()).collect();
    let body: String = ids.iter().map(|id| one_row(id) + "\n").collect();
    client.send("POST", "/v2/models/m/stream", "", &body);
    let first = gate.entered().len();
    wait_until("all to be at work", || handle.status().queued + first == 40);
    gate.open();
    let answer = client.chunked();
    let answered: Vec<Value> = answer.body.lines().map(|line| parse(line)["id"].clone()).collect();
    assert_eq!(answered, ids);
    assert!(script.batches().len() <= 3, "{:?}", script.batch_sizes());
}

#[test]
fn events_if_they_are_wanted() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let body = format!("{}\n{}\n", one_row("a"), one_row("b"));
    client.send("POST", "/v2/models/m/stream", "Accept: text/event-stream\r\n", &body);
    let answer = client.chunked();
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events: Vec<&str> = answer.body.split_terminator("\n\n").collect();
    let ids: Vec<Value> = events.iter().map(|event| parse(&event["data: ".len()..])["id"].clone()).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn closing_cancels_what_runs() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let (server, handle) = TestServer::with_model(model);
    // Once with the body still under way, once after its end.
    for end in ["", "0\r\n\r\n"] {
        let mut goes = server.client();
        begin(&mut goes, "");
        send(&mut goes, &format!("{}\n", one_row("runs")));
        assert_eq!(gate.entered(), [RequestId::Text("runs".into())]);
        send(&mut goes, &format!("{}\n", one_row("waits")));
        goes.write(end);
        wait_until("a place in the queue", || handle.status().queued == 1);
        goes.disconnect();
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
fn no_more_is_read_than_is_at_work() {
    let gate = Gate::closed();
    let options = ServerOptions::default().with_stream_requests(2);
    // One at a time, so that the second waits while the first runs.
    let model = doubling().gated(&gate).batching(Batching::Single);
    let (server, handle) = TestServer::with(model, PoolOptions::default(), options);
    let mut client = server.client();
    let body: String = (0..5).map(|id| one_row(&id.to_string()) + "\n").collect();
    client.send("POST", "/v2/models/m/stream", "", &body);
    gate.entered();
    wait_until("one more", || handle.status().queued == 1);
    // Whoever asks after it comes right behind the second.
    let mut other = server.client();
    other.send_infer(&one_row("other"));
    wait_until("another client", || handle.status().queued == 2);
    gate.open();
    assert_eq!(client.chunked().body.lines().count(), 5);
    other.answer().assert_doubled();
}

#[test]
fn what_cannot_begin_is_refused_by_its_status() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let line = one_row("a");
    client.request("POST", "/v2/models/none/stream", "", &line).assert_error(404, &["`none`"]);
    let packed = "Content-Encoding: gzip\r\n";
    client.request("POST", "/v2/models/m/stream", packed, &line).assert_error(415, &["leave"]);
    let late = "X-Request-Timeout: soon\r\n";
    client.request("POST", "/v2/models/m/stream", late, &line).assert_error(400, &["soon"]);
    server.assert_serves(&mut client);
}

#[test]
fn bounds_hold_for_every_line() {
    let options = ServerOptions::default().with_body_bytes(200);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    begin(&mut client, "");
    client.chunked_head();
    // Together they are more than one body may be.
    for id in ["a", "b", "c"] {
        send(&mut client, &format!("{}\n", one_row(id)));
        assert_eq!(answered(&mut client), id);
    }
    send(&mut client, &"x".repeat(201));
    let refused = parse(&client.chunk());
    assert_eq!(refused["status"], 413, "{refused}");
    assert_eq!(client.chunk(), "");
    server.assert_serves(&mut server.client());
}

#[test]
fn a_deadline_holds_for_the_whole() {
    let gate = Gate::closed();
    let (server, _) = TestServer::with_model(doubling().gated(&gate));
    let mut client = server.client();
    client.send("POST", "/v2/models/m/stream", "X-Request-Timeout: 0.05\r\n", &one_row("late"));
    let refused = parse(&client.chunked().body);
    assert_eq!((&refused["id"], &refused["status"]), (&json!("late"), &json!(504)));
}

#[test]
fn the_end_of_the_server_is_told() {
    let gate = Gate::closed();
    let (mut server, _) = TestServer::with_model(doubling().gated(&gate));
    let mut client = server.client();
    begin(&mut client, "");
    client.chunked_head();
    send(&mut client, &format!("{}\n", one_row("a")));
    gate.entered();
    server.stop();
    gate.open();
    // What has begun is answered; then nothing more is taken.
    assert_eq!(answered(&mut client), "a");
    assert_eq!(parse(&client.chunk())["status"], 503);
    assert_eq!(client.chunk(), "");
    client.write("0\r\n\r\n");
    assert_eq!(server.served().cut, 0);
}

#[test]
fn a_model_that_dies_costs_its_request() {
    let model = doubling();
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    let mut client = server.client();
    begin(&mut client, "");
    client.chunked_head();
    script.panic_next(1);
    send(&mut client, &format!("{}\n", one_row("a")));
    let refused = parse(&client.chunk());
    assert_eq!((&refused["id"], &refused["status"]), (&json!("a"), &json!(500)));
    send(&mut client, &format!("{}\n", one_row("b")));
    assert_eq!(answered(&mut client), "b");
}

#[test]
fn a_newer_line_takes_the_place_of_an_older() {
    let gate = Gate::closed();
    let (server, handle) = TestServer::with_model(doubling().gated(&gate));
    let mut client = server.client();
    let line = |id| crate::support::one_row_with(id, r#""unruffled_supersede":"canvas""#) + "\n";
    begin(&mut client, "");
    client.chunked_head();
    send(&mut client, &line("old"));
    gate.entered();
    send(&mut client, &line("new"));
    let told = parse(&client.chunk());
    assert_eq!((&told["id"], &told["status"]), (&json!("old"), &json!(499)));
    gate.open();
    assert_eq!(answered(&mut client), "new");
    assert_eq!(handle.status().queued, 0);
}

#[test]
fn plain_values_are_answered_plainly() {
    let engine = Engine::new();
    let handle = engine.wrap_model(doubling()).name("m").register().unwrap();
    wait_until("the first instance", || handle.status().ready);
    let server = TestServer::start(engine, ServerOptions::default());
    let mut client = server.client();
    client.send("POST", "/v2/models/m/stream", "", "{\"x\":[1,2.5]}\n{\"id\":\"b\",\"x\":[[3,4],[5,6]]}\n");
    let answer = client.chunked();
    let lines: Vec<Value> = answer.body.lines().map(parse).collect();
    assert_eq!(lines[0]["y"], json!([2.0, 5.0]), "{answer:?}");
    assert_eq!((&lines[1]["y"], &lines[1]["id"]), (&json!([[6.0, 8.0], [10.0, 12.0]]), &json!("b")));
}
