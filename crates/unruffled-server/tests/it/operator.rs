//! What an operator sees: metrics, stories, the overview, the page.

use serde_json::{Value, json};
use unruffled_engine::{Engine, PoolOptions, QueueLimits};
use unruffled_model::{Batching, ModelError};
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{Client, ONE_ROW, TestServer, one_row, wait_until};

/// Answers one request, lets one fail, refuses one.
fn busy() -> (TestServer, Client) {
    let model = doubling();
    let script = model.script();
    let (server, handle) = TestServer::with_model(model);
    let mut client = server.client();
    client.infer(&one_row("good")).assert_doubled();
    script.fail_next(ModelError::failed("bad luck"));
    client.infer(&one_row("bad")).assert_error(500, &["bad luck"]);
    let wrong = r#"{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}"#;
    client.infer(wrong).assert_error(400, &["`x`"]);
    wait_until("the runs to be counted", || handle.metrics().runs == 2);
    (server, client)
}

fn sample<'a>(metrics: &'a str, name: &str) -> &'a str {
    let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no `{name}` in\n{metrics}"))
}

#[test]
fn metrics_tell_what_happened() {
    let (_server, mut client) = busy();
    let answer = client.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let m = r#"{model="m",version=""}"#;
    let of = |name: &str| sample(&answer.body, name).to_owned();
    assert_eq!(of(&format!("unruffled_requests_accepted_total{m}")), "2");
    assert_eq!(of(&format!("unruffled_requests_answered_total{m}")), "1");
    assert_eq!(of(r#"unruffled_requests_failed_total{model="m",version="",kind="model_failed"}"#), "1");
    assert_eq!(of(r#"unruffled_requests_refused_total{model="m",version="",kind="invalid_input"}"#), "1");
    assert_eq!(of(r#"unruffled_model_ready{model="m"}"#), "1");
    assert_eq!(of(&format!("unruffled_instances{m}")), "1");
    assert_eq!(of(&format!("unruffled_instances_wanted{m}")), "1");
    assert_eq!(of(r#"unruffled_run_seconds_bucket{model="m",version="",le="+Inf"}"#), "2");
    assert_eq!(of(r#"unruffled_run_seconds_bucket{model="m",version="",le="100"}"#), "2");
    assert_eq!(of(&format!("unruffled_run_seconds_count{m}")), "2");
    assert_eq!(of(r#"unruffled_batch_rows_bucket{model="m",version="",le="1"}"#), "2");
    assert_eq!(of("unruffled_server_connections_limit"), "2048");
    assert_eq!(of("unruffled_server_connections"), "1");
    assert_eq!(of("unruffled_server_requests"), "0");
    assert!(!answer.body.contains("# EOF"));

    let open =
        client.request("GET", "/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n", "");
    let form = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(open.header("content-type"), Some(form));
    assert!(open.body.ends_with("# EOF\n"));
    assert_eq!(sample(&open.body, &format!("unruffled_requests_answered_total{m}")), "1");
}

#[test]
fn metrics_have_the_names_that_they_always_had() {
    let (server, _) = TestServer::with_model(doubling());
    let body = server.client().get("/metrics").body;
    let names: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let golden: Vec<&str> = include_str!("metrics.txt").lines().collect();
    assert_eq!(
        names,
        golden,
        "a new name goes into metrics.txt and the guide; an old one stays:\n{}",
        names.join("\n")
    );
}

#[test]
fn what_the_server_refuses_itself_is_counted() {
    let gate = Gate::closed();
    let options = ServerOptions::default().with_in_flight_requests(1).with_in_flight_bytes(1000);
    let (server, _) = TestServer::with(doubling().gated(&gate), PoolOptions::default(), options);
    let mut first = server.client();
    first.send_infer(ONE_ROW);
    gate.entered();
    let mut client = server.client();
    client.infer(ONE_ROW).assert_error(503, &["1 requests are in flight"]);
    let text = client.get("/metrics").body;
    assert_eq!(sample(&text, "unruffled_server_requests"), "1");
    assert_eq!(sample(&text, r#"unruffled_server_refused_total{kind="requests"}"#), "1");
    assert_eq!(sample(&text, r#"unruffled_server_refused_total{kind="bytes"}"#), "0");
    assert_eq!(sample(&text, "unruffled_server_body_bytes"), ONE_ROW.len().to_string());
    gate.open();
    first.answer().assert_doubled();
}

#[test]
fn a_request_is_explained_by_its_name() {
    let (_server, mut client) = busy();
    let story = client.get("/v1/explain/good").json();
    assert_eq!((&story["model"], &story["outcome"]), (&json!("m"), &json!("answered")));
    assert_eq!(story["runs"].as_array().unwrap().len(), 1);
    assert_eq!(story["runs"][0]["end"], "completed");
    assert!(story["story"].as_str().unwrap().contains("request `good` to `m`: answered"), "{story}");
    let story = client.get("/v1/explain/m/bad").json();
    assert_eq!(story["outcome"], "model_failed");
    assert!(story["error"].as_str().unwrap().contains("bad luck"), "{story}");

    client.get("/v1/explain/never").assert_error(404, &["`never`", "/v1/explain/{model}/{number}"]);
    client.get("/v1/explain/m/never").assert_error(404, &["`never`"]);
    client.get("/v1/explain/other/good").assert_error(404, &["`other`"]);
}

#[test]
fn a_request_without_a_name_is_explained_by_its_number() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    client.infer(ONE_ROW).assert_doubled();
    let recent = || server.client().get("/v1/overview").json()["models"][0]["recent"].clone();
    wait_until("the request to be remembered", || recent() != json!([]));
    let id = recent()[0]["id"].as_str().unwrap().to_owned();
    assert!(id.parse::<u64>().is_ok(), "{id}");
    assert_eq!(client.get(&format!("/v1/explain/m/{id}")).json()["outcome"], "answered");
    client.get(&format!("/v1/explain/{id}")).assert_error(404, &["sent without an `id`"]);
}

#[test]
fn the_overview_has_all_models() {
    let (server, mut client) = busy();
    let gate = Gate::closed();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 3, bytes: 1000 });
    let slow = doubling().gated(&gate).batching(Batching::Single);
    let slow = server.engine.wrap_model(slow).name("slow").options(options).register().unwrap();
    wait_until("the other model", || slow.status().ready);
    let mut waiting = [(); 3].map(|()| server.client());
    waiting[0].send("POST", "/v2/models/slow/infer", "", ONE_ROW);
    gate.entered();
    waiting[1..].iter_mut().for_each(|client| client.send("POST", "/v2/models/slow/infer", "", ONE_ROW));
    wait_until("the queue", || slow.status().queued == 2);

    let all = client.get("/v1/overview").json();
    assert_eq!((&all["ready"], &all["requests"]["now"]), (&json!(true), &json!(3)));
    let [m, slow] = all["models"].as_array().unwrap().as_slice() else { panic!("{all}") };
    assert_eq!((&m["name"], &m["state"], &slow["name"]), (&json!("m"), &json!("ready"), &json!("slow")));
    assert_eq!(m["inputs"], json!([{"name": "x", "datatype": "FP32", "shape": [-1, 2], "optional": false}]));
    let y = json!({"name": "y", "datatype": "FP32", "shape": [-1, 2], "optional": false, "labelled": false});
    assert_eq!(m["outputs"], json!([y]));
    assert_eq!(m["totals"]["failed"], json!({"model_failed": 1}));
    assert_eq!(m["totals"]["refused"], json!({"invalid_input": 1}));
    assert_eq!((&m["totals"]["answered"], &m["totals"]["runs"]), (&json!(1), &json!(2)));
    // What the model was never asked is counted, not remembered.
    assert_eq!(m["lately"]["requests"], 2);
    assert!(m["lately"]["run_ms"]["p99"].is_number());
    let outcomes: Vec<&Value> = m["recent"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["model_failed", "answered"]);
    assert_eq!(slow["instances"], json!({"up": 1, "wanted": 1, "running": 1, "leased": 0}));
    assert_eq!(slow["queue"]["requests"], 2);
    assert_eq!(slow["lately"]["total_ms"], Value::Null);
    gate.open();
    waiting.iter_mut().for_each(|client| client.answer().assert_doubled());
}

#[test]
fn a_model_on_its_way_is_in_the_overview() {
    let engine = Engine::new();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let loading = engine.load_with("slow", PoolOptions::default(), move |_| {
        let _ = wait.recv();
        let model: unruffled_model::SharedModel<_, _> = std::sync::Arc::new(doubling());
        Ok(model)
    });
    let server = TestServer::start(engine, ServerOptions::default());
    let mut client = server.client();
    let all = client.get("/v1/overview").json();
    assert_eq!((&all["ready"], &all["models"][0]["state"]), (&json!(false), &json!("loading")));
    assert_eq!(sample(&client.get("/metrics").body, r#"unruffled_model_ready{model="slow"}"#), "0");
    go_on.send(()).unwrap();
    server.runtime.block_on(loading.unwrap()).unwrap();
    assert_eq!(client.get("/v1/overview").json()["models"][0]["state"], "ready");
}

#[test]
fn events_come_until_the_server_drains() {
    let (mut server, _) = TestServer::with_model(doubling());
    let mut watcher = server.client();
    let head = watcher.head_of("GET", "/v1/overview/events");
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    for _ in 0..2 {
        let event = watcher.line_with("data: ");
        let all: Value = serde_json::from_str(&event["data: ".len()..]).unwrap();
        assert_eq!(all["models"][0]["name"], "m");
    }
    server.stop();
    watcher.rest();
    assert_eq!(server.served().cut, 0);
}

#[test]
fn so_many_may_watch_and_whoever_goes_makes_room() {
    let (server, _) = TestServer::with_model(doubling());
    let watch = || {
        let mut client = server.client();
        (client.head_of("GET", "/v1/overview/events").status, client)
    };
    let mut watchers: Vec<_> = (0..32).map(|_| watch()).collect();
    assert!(watchers.iter().all(|(status, _)| *status == 200));
    server.client().get("/v1/overview/events").assert_error(503, &["32 watch already", "/v1/overview"]);
    let (_, gone) = watchers.pop().unwrap();
    gone.disconnect();
    wait_until("the place of the one who went", || watch().0 == 200);
}

#[test]
fn the_page_is_for_browsers_and_the_text_for_others() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let page = client.request("GET", "/", "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n", "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    assert_eq!(page.header("set-cookie"), None);
    assert_eq!(page.header("vary"), Some("accept"));
    // All that it names is here.
    let names: Vec<&str> = page.body.split('"').filter(|word| word.starts_with("page/")).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        let file = client.get(&format!("/{name}"));
        assert_eq!(file.status, 200, "{name}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(file.header("content-security-policy"), Some(policy));
    }
    for accept in ["", "Accept: */*\r\n", "Accept: text/plain\r\n"] {
        let text = client.request("GET", "/", accept, "");
        assert!(text.header("content-type").unwrap().starts_with("text/plain"), "{text:?}");
    }
    client.get("/page/other.js").assert_error(404, &["`other.js`"]);
    client.get("/page/../Cargo.toml").assert_error(404, &["nothing at"]);
}

#[test]
fn every_end_point_takes_get_and_head_only() {
    let (_server, mut client) = busy();
    let paths =
        ["/", "/page/style.css", "/metrics", "/v1/explain/good", "/v1/explain/m/good", "/v1/overview"];
    for path in paths {
        for method in ["POST", "DELETE"] {
            client.request(method, path, "", "").assert_error(405, &[path, "takes GET", method]);
        }
        let length = client.get(path).header("content-length").map(str::to_owned);
        let head = client.head_of("HEAD", path);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        // What goes on meanwhile may add a digit.
        assert!(length.is_some() && head.header("content-length").is_some(), "{path}");
    }
    client.request("POST", "/v1/overview/events", "", "").assert_error(405, &["takes GET"]);
}

#[test]
fn a_newer_request_of_the_same_name_supersedes_the_older() {
    let gate = Gate::closed();
    let (server, handle) = TestServer::with_model(doubling().gated(&gate).batching(Batching::Single));
    let header = "X-Unruffled-Supersede: canvas\r\n";
    let (mut older, mut other, mut newer) = (server.client(), server.client(), server.client());
    older.send("POST", "/v2/models/m/infer", header, ONE_ROW);
    gate.entered();
    other.send("POST", "/v2/models/m/infer", "X-Unruffled-Supersede: another\r\n", ONE_ROW);
    newer.send("POST", "/v2/models/m/infer", header, ONE_ROW);
    older.answer().assert_error(499, &["newer"]);
    gate.open();
    newer.answer().assert_doubled();
    other.answer().assert_doubled();
    wait_until("it to be counted", || handle.metrics().superseded == 1);
    let empty = "X-Unruffled-Supersede: \r\n";
    let mut client = server.client();
    client
        .request("POST", "/v2/models/m/infer", empty, ONE_ROW)
        .assert_error(400, &["X-Unruffled-Supersede"]);
}
