//! Spans at a collector, and what operators change of traces and logs while the server runs.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json};

use crate::collector::{Collector, texts};
use crate::program::{Server, environment, program, run};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn request(id: &str, x: f32) -> Value {
    json!({"id": id, "inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [x]}]})
}

fn ask(server: &Server, id: &str, x: f32, traceparent: &str) -> (u16, Value) {
    post(&format!("{}/v2/models/traced/infer", server.url()), traceparent, &request(id, x))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn post(url: &str, traceparent: &str, body: &Value) -> (u16, Value) {
    let mut post = agent().post(url);
    if !traceparent.is_empty() {
        post = post.header("traceparent", traceparent);
    }
    let mut answer = post.send_json(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap_or(Value::Null))
}

fn get(url: &str) -> Value {
    agent().get(url).call().unwrap().body_mut().read_json().unwrap()
}

/// A model that answers with the trace that it is given, fails at 2, and never ends at 3.
const TRACED: &str = "\
import time

import numpy as np
from unruffled_worker import Tensor, current


class Model:
    def predict(self, x: Tensor['f32', 1]) -> {'seen': Tensor['bytes', 1]}:
        if x[0] == 2:
            raise RuntimeError('no such luck')
        while x[0] == 3:
            time.sleep(0.001)
        return {'seen': np.array([str(current().traceparent).encode()], dtype=object)}
";

fn models() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("traced")).unwrap();
    fs::write(folder.path().join("traced/model.py"), TRACED).unwrap();
    folder
}

/// A server of that model, with these arguments.
fn start(arguments: &[&str]) -> (tempfile::TempDir, Server) {
    let folder = models();
    let (models, python) = (folder.path().display().to_string(), environment());
    let server = Server::start(&[&["--models", &models, "--python", &python][..], arguments].concat());
    (folder, server)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

#[test]
fn spans_arrive_at_a_collector() {
    let mut collector = Collector::start();
    let (_folder, server) = start(&["--otlp", &collector.url()]);
    let (status, answer) = ask(&server, "one", 1.0, TRACE);
    assert_eq!(status, 200, "{answer}");
    let span = collector.request("one");
    assert_eq!((&*hex(&span.trace_id), &*hex(&span.parent_span_id)), (&TRACE[3..35], &TRACE[36..52]));
    // The Python model stands below the span of the request.
    let seen = format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id));
    assert_eq!(answer["outputs"][0]["data"][0], json!(seen));
    assert_eq!((&*span.name, span.kind), ("infer traced", SpanKind::Server as i32));
    assert!(!is_error(&span));
    let attributes = texts(&span.attributes);
    assert_eq!(attributes["unruffled.model.name"], "traced");
    assert_eq!(attributes["unruffled.priority"], "normal");
    assert_eq!(attributes["http.response.status_code"], "200");

    // Its parts follow each other, from its begin to its end.
    let parts = ["receive", "queue", "run", "reply"].map(|name| collector.part(name, &span));
    assert!(parts.iter().all(|part| part.trace_id == span.trace_id));
    let edges: Vec<_> =
        parts.iter().flat_map(|part| [part.start_time_unix_nano, part.end_time_unix_nano]).collect();
    assert!(edges.is_sorted(), "{edges:?}");
    assert_eq!((edges[0], edges[7]), (span.start_time_unix_nano, span.end_time_unix_nano));
    assert_eq!(texts(&parts[2].attributes)["unruffled.batch.requests"], "1");
    assert_eq!(collector.resource["service.name"], "unruffled");

    // What comes without a trace begins one.
    ask(&server, "two", 1.0, "");
    let span = collector.request("two");
    assert!(span.parent_span_id.is_empty() && hex(&span.trace_id) != TRACE[3..35]);
    let metrics = agent().get(format!("{}/metrics", server.url())).call().unwrap();
    let metrics = metrics.into_body().read_to_string().unwrap();
    assert!(metrics.contains("unruffled_spans_dropped_total 0\n"), "{metrics}");
}

#[test]
fn what_went_wrong_is_a_span_and_a_line_in_the_log() {
    let mut collector = Collector::start();
    let (_folder, server) = start(&["--otlp", &collector.url(), "--log-format", "json"]);
    assert_eq!(ask(&server, "bad", 2.0, TRACE).0, 500);
    let span = collector.request("bad");
    assert!(is_error(&span) && span.status.as_ref().unwrap().message.contains("no such luck"), "{span:?}");
    assert_eq!(texts(&span.attributes)["error.type"], "500");

    let body = request("gone", 3.0).to_string();
    let address = server.url().split("://").nth(1).unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /v2/models/traced/infer HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let is_running = || {
        let metrics = agent().get(format!("{}/metrics", server.url())).call().unwrap();
        let metrics = metrics.into_body().read_to_string().unwrap();
        metrics.lines().any(|line| line.starts_with("unruffled_instances_running{") && line.ends_with(" 1"))
    };
    while !is_running() {}
    drop(stream);
    let span = collector.request("gone");
    assert!(is_error(&span), "{span:?}");
    assert_eq!(texts(&span.attributes)["error.type"], "cancelled");

    server.signal("TERM");
    let (code, said) = server.ended();
    assert_eq!(code, 0, "{said}");
    let failures: Vec<Value> = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["fields"]["message"] == "a request failed")
        .collect();
    assert_eq!(failures.len(), 1, "{said}");
    let fields = &failures[0]["fields"];
    let told = (&fields["model"], &fields["id"], &fields["trace"], &fields["status"]);
    assert_eq!(told, (&json!("traced"), &json!("bad"), &json!(&TRACE[3..35]), &json!(500)));
}

#[test]
fn the_last_spans_are_sent_when_the_server_ends() {
    let mut collector = Collector::start();
    let (_folder, server) = start(&["--otlp", &collector.url()]);
    ask(&server, "last", 1.0, "");
    server.signal("TERM");
    assert_eq!(server.ended().0, 0);
    collector.request("last");
}

#[test]
fn a_part_is_told_and_may_be_changed() {
    let mut collector = Collector::start();
    let (_folder, server) = start(&["--otlp", &collector.url(), "--otlp-sample", "0"]);
    ask(&server, "untold", 1.0, "");
    // Its caller records it.
    ask(&server, "asked for", 1.0, TRACE);
    let setting = format!("{}/v2/trace/setting", server.url());
    assert_eq!(get(&setting)["trace_rate"], "0");
    assert_eq!(post(&setting, "", &json!({"trace_rate": "1"})).1["trace_rate"], "1");
    ask(&server, "told", 1.0, "");
    collector.request("told");
    collector.request("asked for");
    assert!(collector.seen().iter().all(|id| id != "untold"));
}

#[test]
fn a_collector_that_is_away_disturbs_nobody() {
    // Nobody listens on this port.
    let (_folder, server) = start(&["--otlp", "http://127.0.0.1:9"]);
    assert_eq!(ask(&server, "one", 1.0, "").0, 200);
    server.signal("TERM");
    let (code, said) = server.ended();
    assert!(code == 0 && said.contains("spans are not taken"), "{said}");
    for (wrong, part) in [("https://collector", "only http://"), ("http://", "http://127.0.0.1:4318")] {
        let said = run(&["serve", "--otlp", wrong]);
        assert!(said.code == 2 && said.err.contains(part), "{wrong}: {}", said.err);
    }
    let said = run(&["serve", "--otlp-sample", "2"]);
    assert!(said.code == 2 && said.err.contains("from 0 to 1"), "{}", said.err);
}

#[test]
fn the_command_line_goes_on_with_the_trace_of_who_started_it() {
    let (folder, server) = start(&[]);
    let mut infer = program();
    infer.args(["infer", "traced", "-i", "x=1", "--json", "--url", server.url()]);
    let output = infer.env("TRACEPARENT", TRACE).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(TRACE), "{said} {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn operators_turn_the_log_up_and_down() {
    let (_folder, server) = start(&["--log", "off"]);
    let logging = format!("{}/v2/logging", server.url());
    let told = get(&logging);
    assert_eq!((&told["log_error"], &told["log_verbose_level"]), (&json!(false), &json!(0)));
    ask(&server, "silent", 2.0, "");
    assert_eq!(post(&logging, "", &json!({"log_error": true})).1["log_error"], json!(true));
    ask(&server, "loud", 2.0, "");
    post(&logging, "", &json!({"log_error": false, "log_info": true}));
    ask(&server, "hidden", 2.0, "");
    server.signal("TERM");
    let (_, said) = server.ended();
    assert!(said.contains("loud") && !said.contains("silent") && !said.contains("hidden"), "{said}");
}
