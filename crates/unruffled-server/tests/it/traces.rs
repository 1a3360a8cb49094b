//! Traces that requests come with, and the spans that are told of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use unruffled_engine::{Engine, PoolOptions, QueueLimits};
use unruffled_model::{Batching, ModelError, RunContext, Tensor, Tensors, TraceContext};
use unruffled_protocol::grpc::{
    LogSettingsRequest, LogSettingsResponse, ModelInferRequest, ModelInferResponse,
};
use unruffled_server::{
    LogSettings, Logging, Operation, Outcome, RequestSpan, ServerOptions, Tracing, TracingReport, Transport,
};
use unruffled_testing::scripted::{Gate, ScriptedModel, doubling};

use crate::grpc::client::{self, Grpc};
use crate::support::{Client, ONE_ROW, TestServer, one_row, one_row_with, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
const TRACE_ID: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const PARENT_ID: u64 = 0x00f0_67aa_0ba9_02b7;

/// Keeps the spans of a test.
struct Spans {
    told: Mutex<Sender<RequestSpan>>,
    ratio: AtomicU64,
}

impl Tracing for Spans {
    fn samples(&self, _: u128, parent: Option<bool>) -> bool {
        parent.unwrap_or(self.ratio() > 0.5)
    }

    fn tell(&self, span: RequestSpan) {
        // A test that does not listen has ended.
        let _ = self.told.lock().unwrap().send(span);
    }

    fn report(&self) -> TracingReport {
        TracingReport { exported: 7, dropped: 3 }
    }

    fn ratio(&self) -> f64 {
        f64::from_bits(self.ratio.load(Ordering::Relaxed))
    }

    fn set_ratio(&self, ratio: f64) -> Result<(), String> {
        self.ratio.store(ratio.to_bits(), Ordering::Relaxed);
        Ok(())
    }
}

fn spans() -> (ServerOptions, Receiver<RequestSpan>) {
    let (told, spans) = channel();
    let tracing = Spans { told: Mutex::new(told), ratio: AtomicU64::new(1.0_f64.to_bits()) };
    (ServerOptions::default().with_tracing(Arc::new(tracing)), spans)
}

#[track_caller]
fn next(spans: &Receiver<RequestSpan>) -> RequestSpan {
    spans.recv_timeout(PATIENCE).expect("a span")
}

fn traced(client: &mut Client, header: &str, body: &str) {
    let headers = format!("traceparent: {header}\r\ntracestate: vendor=1\r\n");
    client.request("POST", "/v2/models/m/infer", &headers, body).assert_doubled();
}

/// A server whose model tells which trace it was given.
fn seeing(options: ServerOptions) -> (TestServer, Receiver<Option<TraceContext>>) {
    let (tell, seen) = channel();
    let tell = Mutex::new(tell);
    let model = ScriptedModel::new(move |inputs: &Tensors, ctx: &RunContext<'_>| {
        let trace = ctx.request().and_then(|request| request.trace().cloned());
        tell.lock().unwrap().send(trace).map_err(|_| ModelError::failed("nobody listens"))?;
        let x = inputs.get("x").ok_or_else(|| ModelError::invalid_input("no x"))?;
        let twice: Vec<f32> = x.elements::<f32>()?.iter().map(|x| 2.0 * x).collect();
        Ok(Tensors::new().with("y", Tensor::new(x.shape(), twice)?))
    });
    let engine = Engine::new();
    let handle = engine.wrap_model(model).name("m").register().unwrap();
    wait_until("the model", || handle.status().ready);
    (TestServer::start(engine, options), seen)
}

#[test]
fn without_spans_a_trace_is_passed_on_as_it_is() {
    let (server, seen) = seeing(ServerOptions::default());
    let mut client = server.client();
    traced(&mut client, TRACE, ONE_ROW);
    let trace = seen.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!((trace.to_string(), trace.state()), (TRACE.to_owned(), Some("vendor=1")));
    // What is no trace is none, and no error.
    traced(&mut client, "00-nothing", ONE_ROW);
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), None);
}

#[test]
fn the_model_is_given_a_place_below_the_request() {
    let (options, spans) = spans();
    let (server, seen) = seeing(options);
    let mut client = server.client();
    traced(&mut client, TRACE, &one_row("one"));
    let (trace, span) = (seen.recv_timeout(PATIENCE).unwrap().unwrap(), next(&spans));
    assert_eq!(span.context, trace);
    assert_eq!((trace.trace_id(), span.parent_id), (TRACE_ID, Some(PARENT_ID)));
    assert!(trace.is_sampled() && trace.parent_id() != PARENT_ID);
    assert_eq!(trace.state(), Some("vendor=1"));
    assert_eq!((span.model.as_deref(), span.id.as_deref()), (Some("m"), Some("one")));
    assert_eq!((span.operation, span.transport), (Operation::Infer, Transport::Http));
    assert_eq!(span.outcome, Outcome::Answered);
    let (asked, timings) = (span.asked.unwrap(), span.timings.unwrap());
    assert!(asked + timings.queue + timings.run <= span.took, "{asked:?} {timings:?} {:?}", span.took);

    // A trace that its caller does not record is not told, and goes on all the same.
    traced(&mut client, UNSAMPLED, ONE_ROW);
    let trace = seen.recv_timeout(PATIENCE).unwrap().unwrap();
    assert!(trace.trace_id() == TRACE_ID && !trace.is_sampled());
    // A new one begins where there is none.
    traced(&mut client, "00-nothing", &one_row("new"));
    let (trace, span) = (seen.recv_timeout(PATIENCE).unwrap().unwrap(), next(&spans));
    assert_eq!((span.id.as_deref(), span.parent_id, &span.context), (Some("new"), None, &trace));
    assert!(trace.trace_id() != TRACE_ID && trace.is_sampled());
}

#[test]
fn requests_of_one_batch_keep_their_traces() {
    let gate = Gate::closed();
    let (options, spans) = spans();
    let (server, handle) = TestServer::with(doubling().gated(&gate), PoolOptions::default(), options);
    let mut first = server.client();
    first.send_infer(&one_row("first"));
    gate.entered();
    let mut others: Vec<_> = (1..=2_u64)
        .map(|i| {
            let mut client = server.client();
            let headers = format!("traceparent: 00-{:032x}-{:016x}-01\r\n", 100 + i, 200 + i);
            client.send("POST", "/v2/models/m/infer", &headers, &one_row(&format!("r{i}")));
            client
        })
        .collect();
    wait_until("both to wait", || handle.status().queued == 2);
    gate.open();
    first.answer().assert_doubled();
    others.iter_mut().for_each(|client| client.answer().assert_doubled());
    let told: Vec<_> = (0..3).map(|_| next(&spans)).collect();
    for i in 1..=2_u64 {
        let id = format!("r{i}");
        let span = told.iter().find(|span| span.id.as_deref() == Some(&*id)).unwrap();
        assert_eq!((span.context.trace_id(), span.parent_id), (u128::from(100 + i), Some(200 + i)));
        assert_eq!(span.timings.as_ref().unwrap().batch_requests, 2);
        assert_eq!(span.rows, Some(1));
    }
}

#[test]
fn what_ends_without_an_answer_is_told_so() {
    let gate = Gate::opened();
    let model = doubling().gated(&gate).batching(Batching::Single);
    let script = model.script();
    let (options, spans) = spans();
    let pool = PoolOptions::default().with_queue(QueueLimits { items: 1, bytes: 1 << 20 });
    let (server, handle) = TestServer::with(model, pool, options);
    let mut client = server.client();
    script.fail_next(ModelError::failed("bad luck"));
    client.infer(&one_row("bad")).assert_error(500, &["bad luck"]);
    let span = next(&spans);
    let Outcome::Refused { status: 500, message } = &span.outcome else { panic!("{span:?}") };
    assert!(message.contains("bad luck"), "{message}");
    assert_eq!((span.id.as_deref(), span.timings.is_none()), (Some("bad"), true));

    client.request("POST", "/v2/models/nobody/infer", "", ONE_ROW).assert_error(404, &["nobody"]);
    let span = next(&spans);
    assert!(matches!(span.outcome, Outcome::Refused { status: 404, .. }), "{span:?}");
    assert_eq!((span.model, span.asked), (None, None));

    gate.close();
    let mut gone = server.client();
    gone.send_infer(&one_row("gone"));
    wait_until("the run", || gate.waiting() == 1);
    let mut waiting = server.client();
    waiting.send_infer(&one_row("waits"));
    wait_until("one to wait", || handle.status().queued == 1);
    client.infer(&one_row("refused")).assert_error(503, &[]);
    let span = next(&spans);
    assert!(matches!(span.outcome, Outcome::Refused { status: 503, .. }), "{span:?}");
    assert_eq!(span.id.as_deref(), Some("refused"));

    gone.disconnect();
    assert_eq!(server.dropped(), "/v2/models/m/infer");
    let span = next(&spans);
    assert_eq!((span.id.as_deref(), &span.outcome), (Some("gone"), &Outcome::Abandoned));
    gate.open();
    waiting.answer().assert_doubled();
    assert_eq!(next(&spans).outcome, Outcome::Answered);
    client.infer(&one_row_with("late", r#""timeout":"soon""#)).assert_error(400, &["timeout"]);
    assert!(matches!(next(&spans).outcome, Outcome::Refused { status: 400, .. }));
}

#[test]
fn calls_of_grpc_are_told() {
    let (options, spans) = spans();
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let grpc = Grpc::connect(&server);
    let mut request = tonic::Request::new(client::one_row("unary"));
    request.metadata_mut().insert("traceparent", TRACE.parse().unwrap());
    let _: tonic::Response<ModelInferResponse> =
        grpc.call::<ModelInferRequest, _>("ModelInfer", request).unwrap();
    let span = next(&spans);
    assert_eq!((span.transport, span.id.as_deref()), (Transport::Grpc, Some("unary")));
    assert_eq!((span.context.trace_id(), span.parent_id), (TRACE_ID, Some(PARENT_ID)));
    assert_eq!(span.outcome, Outcome::Answered);

    // Each request of a stream is one of its own.
    let mut stream = grpc.stream(&[("traceparent", TRACE)]);
    for id in ["a", "b", "c"] {
        stream.send(client::one_row(id));
        assert_eq!(stream.answer().id, id);
    }
    let mut told: Vec<_> = (0..3).map(|_| next(&spans)).collect();
    told.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(told.iter().filter_map(|span| span.id.as_deref()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(told.iter().all(|span| span.parent_id == Some(PARENT_ID) && span.outcome == Outcome::Answered));
    assert!(told[0].context.parent_id() != told[1].context.parent_id());
}

#[test]
fn jobs_go_on_with_the_trace() {
    let (options, spans) = spans();
    let (server, seen) = seeing(options);
    let mut client = server.client();
    let headers = format!("traceparent: {TRACE}\r\n");
    let answer = client.request("POST", "/v1/jobs?model=m", &headers, ONE_ROW);
    assert_eq!(answer.status, 202, "{answer:?}");
    let span = next(&spans);
    assert_eq!((span.operation, span.parent_id), (Operation::Submit, Some(PARENT_ID)));
    let trace = seen.recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!((trace.trace_id(), trace.parent_id()), (TRACE_ID, span.context.parent_id()));
}

#[test]
fn the_settings_of_traces_are_true() {
    let (options, spans) = spans();
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    let settings = client.get("/v2/trace/setting").json();
    assert_eq!(settings["trace_level"], json!(["TIMESTAMPS"]));
    assert_eq!((&settings["trace_rate"], &settings["trace_mode"]), (&json!("1"), &json!("opentelemetry")));
    let set = |client: &mut Client, body: &str| client.request("POST", "/v2/trace/setting", "", body);
    assert_eq!(set(&mut client, r#"{"trace_rate":"100"}"#).json()["trace_rate"], json!("100"));
    client.infer(&one_row("untold")).assert_doubled();
    assert_eq!(set(&mut client, r#"{"trace_rate":1, "trace_level":null}"#).json()["trace_rate"], json!("1"));
    client.infer(&one_row("told")).assert_doubled();
    assert_eq!(next(&spans).id.as_deref(), Some("told"));
    set(&mut client, r#"{"trace_rate":"often"}"#).assert_error(400, &["`trace_rate`", "often"]);
    set(&mut client, r#"{"trace_level":["OFF"]}"#).assert_error(501, &["`trace_level`", "trace_rate"]);
    let of_model = "/v2/models/m/trace/setting";
    assert_eq!(client.get(of_model).json()["trace_rate"], json!("1"));
    client
        .request("POST", of_model, "", r#"{"trace_rate":"7"}"#)
        .assert_error(501, &["`trace_rate`", "all models"]);
    client.get("/v2/models/nobody/trace/setting").assert_error(404, &["`nobody`"]);
    set(&mut client, r#"{"trace_file":"/tmp/x"}"#).assert_error(501, &["`trace_file`"]);
    set(&mut client, r#"{"volume":"11"}"#).assert_error(400, &["`volume`", "trace_rate"]);
    let metrics = client.get("/metrics").body;
    assert!(metrics.contains("unruffled_spans_exported_total 7\n"), "{metrics}");
    assert!(metrics.contains("unruffled_spans_dropped_total 3\n"), "{metrics}");
}

/// A log that only says what it is told.
pub(crate) struct Told(Mutex<LogSettings>);

impl Told {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(LogSettings { error: true, warning: true, info: false, verbose: 0 })))
    }
}

impl Logging for Told {
    fn settings(&self) -> LogSettings {
        *self.0.lock().unwrap()
    }

    fn set(&self, settings: LogSettings) -> Result<(), String> {
        if settings.verbose > 2 {
            return Err("there are two levels of details".to_owned());
        }
        *self.0.lock().unwrap() = settings;
        Ok(())
    }
}

#[test]
fn operators_change_the_log() {
    let options = ServerOptions::default().with_logging(Told::new());
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    let mut expected = json!({"log_file": "", "log_info": false, "log_warning": true, "log_error": true,
        "log_verbose_level": 0, "log_format": "ISO8601"});
    assert_eq!(client.get("/v2/logging").json(), expected);
    assert!(client.get("/v2").json()["extensions"].as_array().unwrap().contains(&json!("logging")));
    let set = |client: &mut Client, body: &str| client.request("POST", "/v2/logging", "", body);
    expected["log_info"] = json!(true);
    expected["log_verbose_level"] = json!(1);
    assert_eq!(set(&mut client, r#"{"log_info":true,"log_verbose_level":1,"log_file":""}"#).json(), expected);
    for (body, status, part) in [
        (r#"{"log_file":"/tmp/log"}"#, 501, "standard error"),
        (r#"{"log_format":"default"}"#, 501, "ISO8601"),
        (r#"{"log_info":"yes"}"#, 400, "true or false"),
        (r#"{"log_verbose_level":-1}"#, 400, "log_verbose_level"),
        (r#"{"log_verbose_level":3}"#, 501, "two levels"),
        (r#"{"log_colour":true}"#, 400, "log_format"),
        (r#"{"log_info":false,"log_colour":true}"#, 400, "log_colour"),
        ("[]", 400, "settings"),
    ] {
        set(&mut client, body).assert_error(status, &[part]);
        assert_eq!(client.get("/v2/logging").json(), expected, "{body}");
    }
    let told: LogSettingsResponse =
        Grpc::connect(&server).call("LogSettings", LogSettingsRequest::default()).unwrap().into_inner();
    assert_eq!(told.settings.len(), 6);
    let (server, _) = TestServer::with_model(doubling());
    server.client().get("/v2/logging").assert_error(501, &["started the server"]);
}
