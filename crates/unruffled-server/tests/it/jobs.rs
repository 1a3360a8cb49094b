//! Jobs over HTTP.

use serde_json::{Value, json};
use unruffled_engine::PoolOptions;
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, doubling};

use crate::support::{Answer, Client, ONE_ROW, TestServer};

fn gated() -> (TestServer, Gate) {
    let gate = Gate::closed();
    let (server, _) =
        TestServer::with(doubling().gated(&gate), PoolOptions::default(), ServerOptions::default());
    (server, gate)
}

fn submit(client: &mut Client, query: &str, headers: &str) -> Answer {
    client.request("POST", &format!("/v1/jobs?{query}"), headers, ONE_ROW)
}

/// The path of a job that was accepted.
#[track_caller]
fn accepted(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    let path = answer.header("location").unwrap().to_owned();
    assert_eq!(path, format!("/v1/jobs/{}", answer.json()["id"].as_str().unwrap()));
    path
}

fn watch(client: &mut Client, path: &str) {
    client.send("GET", &format!("{path}/events"), "", "");
}

/// Reads server-sent events until the stream ends: the states that they tell.
fn states(client: &mut Client) -> Vec<String> {
    let answer = client.chunked();
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let data = answer.body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|json| {
        let status: Value = serde_json::from_str(json).unwrap();
        status["state"].as_str().unwrap().to_owned()
    })
    .collect()
}

#[test]
fn a_job_is_accepted_before_it_runs() {
    let (server, gate) = gated();
    let mut client = server.client();
    let answer = submit(&mut client, "model=m", "");
    let path = accepted(&answer);
    assert_eq!((&answer.json()["model"], &answer.json()["priority"]), (&json!("m"), &json!("bulk")));
    gate.entered();
    assert_eq!(client.get(&path).json()["state"], "running");
    let early = client.get(&format!("{path}/result"));
    assert_eq!((early.status, early.header("retry-after")), (202, Some("1")));

    gate.open();
    let ended = client.get(&format!("{path}?wait=20")).json();
    assert_eq!((&ended["state"], &ended["attempts"]), (&json!("done"), &json!(1)));
    let result = client.get(&format!("{path}/result"));
    result.assert_doubled();
    assert_eq!((&result.json()["model_name"], &result.json()["id"]), (&json!("m"), &ended["id"]));
    let binary = client.get(&format!("{path}/result?binary=true"));
    assert!(binary.header("inference-header-content-length").is_some());
    watch(&mut client, &path);
    assert_eq!(states(&mut client), ["done"]);
}

#[test]
fn states_come_as_events() {
    let (server, gate) = gated();
    let mut client = server.client();
    let path = accepted(&submit(&mut client, "model=m", ""));
    gate.entered();
    watch(&mut client, &path);
    gate.open();
    let states = states(&mut client);
    assert_eq!(states.last().map(String::as_str), Some("done"), "{states:?}");
}

#[test]
fn the_same_key_is_the_same_job() {
    let (server, gate) = gated();
    let mut client = server.client();
    let key = "Idempotency-Key: once\r\n";
    let first = accepted(&submit(&mut client, "model=m", key));
    assert_eq!(accepted(&submit(&mut client, "model=m", key)), first);
    assert_ne!(accepted(&submit(&mut client, "model=m", "")), first);
    gate.open();
    let list = client.get("/v1/jobs?max=1").json();
    assert_eq!(list["jobs"].as_array().unwrap().len(), 1);
    let next = list["next"].as_str().unwrap().to_owned();
    let rest = client.get(&format!("/v1/jobs?model=m&after={next}")).json();
    assert_eq!((rest["jobs"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    assert_eq!(client.get("/v1/jobs?model=other").json()["jobs"], json!([]));
}

#[test]
fn jobs_are_cancelled() {
    let (server, gate) = gated();
    let mut client = server.client();
    let running = accepted(&submit(&mut client, "model=m", ""));
    gate.entered();
    let later = accepted(&submit(&mut client, "model=m&delay=3600", ""));
    let cancelled = client.request("DELETE", &later, "", "");
    assert_eq!((cancelled.status, &cancelled.json()["cancelled"]), (202, &json!("removed")));
    client.request("DELETE", &later, "", "").assert_error(409, &["has ended already"]);
    client.get(&format!("{later}/result")).assert_error(409, &["was cancelled"]);
    assert_eq!(client.request("DELETE", &running, "", "").json()["cancelled"], "asked");
    assert_eq!(client.get(&format!("{running}?wait=20")).json()["state"], "cancelled");
}

#[test]
fn a_job_that_fails_says_why() {
    let model = doubling();
    model.script().fail_next(unruffled_model::ModelError::failed("out of luck"));
    let (server, _) = TestServer::with_model(model);
    let mut client = server.client();
    let path = accepted(&submit(&mut client, "model=m&attempts=1", ""));
    let ended = client.get(&format!("{path}?wait=20")).json();
    assert_eq!((&ended["state"], &ended["failure"]["kind"]), (&json!("failed"), &json!("model_failed")));
    client.get(&format!("{path}/result")).assert_error(500, &["out of luck"]);
}

#[test]
fn mistakes_are_told_at_once() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    submit(&mut client, "", "").assert_error(400, &["`model` is missing"]);
    submit(&mut client, "model=other", "").assert_error(404, &["`other`"]);
    submit(&mut client, "model=m&speed=9", "").assert_error(400, &["`speed`", "known are model, delay"]);
    submit(&mut client, "model=m&delay=-1", "").assert_error(400, &["`delay`", "-1"]);
    submit(&mut client, "model=m", "Idempotency-Key: \r\n").assert_error(400, &["`Idempotency-Key`"]);
    let wrong = ONE_ROW.replace("[1,2]", "[2,1]");
    client.request("POST", "/v1/jobs?model=m", "", &wrong).assert_error(400, &["`x`"]);
    client.get("/v1/jobs/nonsense").assert_error(404, &["`nonsense`"]);
    client.get("/v1/jobs/00000000000000000000000000").assert_error(404, &["00000000000000000000000000"]);
    client.get("/v1/jobs?state=lost").assert_error(400, &["`lost`", "queued, running"]);
    client.request("DELETE", "/v1/jobs", "", "").assert_error(405, &["/v1/jobs"]);
}
