//! Health, metadata and the page for people.

use std::collections::HashMap;
use std::sync::mpsc::channel;

use serde_json::json;
use unruffled_engine::{Engine, PoolOptions};
use unruffled_model::{Name, SharedModel, Tensors};
use unruffled_server::{ServerOptions, Unversioned};
use unruffled_testing::scripted::doubling;

use crate::support::{ONE_ROW, TestServer, wait_until};

#[test]
fn tells_what_it_is_and_what_the_models_take() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let live = client.get("/v2/health/live");
    assert_eq!((live.status, live.json()), (200, json!({"live": true, "ready": true})));
    let ready = client.get("/v2/health/ready");
    assert_eq!((ready.status, ready.json()), (200, json!({"live": true, "ready": true})));
    let metadata = client.get("/v2").json();
    assert_eq!(metadata["name"], "unruffled");
    assert_eq!(
        metadata["extensions"],
        json!([
            "binary_tensor_data",
            "classification",
            "model_configuration",
            "model_repository",
            "model_repository(unload_dependents)",
            "parameters",
            "schedule_policy",
            "sequence",
            "sequence(string_id)",
            "statistics",
            "system_shared_memory",
        ])
    );
    assert!(metadata["version"].is_string());
    assert_eq!(
        client.get("/v2/models/m").json(),
        json!({
            "name": "m",
            "versions": [],
            "platform": "rust",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
        })
    );
    let ready = client.get("/v2/models/m/ready");
    assert_eq!((ready.status, ready.json()), (200, json!({"name": "m", "ready": true})));
}

#[test]
fn a_version_is_part_of_paths_metadata_and_answers() {
    let versions: HashMap<Name, Name> = HashMap::from([("m".into(), "3".into())]);
    let options = ServerOptions::default().with_catalog(versions);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    assert_eq!(client.get("/v2/models/m").json()["versions"], json!(["3"]));
    assert_eq!(client.get("/v2/models/m/versions/3").json()["versions"], json!(["3"]));
    assert_eq!(client.get("/v2/models/m/versions/3/ready").status, 200);
    let answer = client.request("POST", "/v2/models/m/versions/3/infer", "", ONE_ROW);
    answer.assert_doubled();
    assert_eq!(answer.json()["model_version"], "3");
    assert_eq!(client.infer(ONE_ROW).json()["model_version"], "3");

    for path in ["", "/ready", "/infer"] {
        let method = if path == "/infer" { "POST" } else { "GET" };
        let mut ask = |version: &str, parts: &[&str]| {
            let path = format!("/v2/models/m/versions/{version}{path}");
            client.request(method, &path, "", ONE_ROW).assert_error(404, parts);
        };
        ask("2", &["`m`", "no version 2", "has version 3"]);
        ask("latest", &["`latest`", "decimal"]);
        ask("-3", &["`-3`", "decimal"]);
    }
    server.assert_serves(&mut client);
}

#[test]
fn an_unversioned_model_has_no_versions() {
    let options = ServerOptions::default().with_catalog(Unversioned);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let mut client = server.client();
    let answer = client.request("POST", "/v2/models/m/versions/1/infer", "", ONE_ROW);
    answer.assert_error(404, &["no versions", "`/versions/1`"]);
    assert!(client.infer(ONE_ROW).json().get("model_version").is_none());
}

#[test]
fn is_not_ready_while_a_model_is_loading_or_broken() {
    let engine = Engine::new();
    let (go_on, wait) = channel::<()>();
    let loading = engine.load_with("slow", PoolOptions::default(), move |_| {
        let _ = wait.recv();
        let model: SharedModel<Tensors, Tensors> = std::sync::Arc::new(doubling());
        Ok(model)
    });
    let loading = loading.unwrap();
    let server = TestServer::start(engine, ServerOptions::default());
    let mut client = server.client();
    let ready = client.get("/v2/health/ready");
    assert_eq!((ready.status, ready.json()), (503, json!({"live": true, "ready": false})));
    assert_eq!(client.get("/v2/health/live").status, 200);
    for path in ["/v2/models/slow/ready", "/v2/models/slow"] {
        client.get(path).assert_error(503, &["`slow`", "being loaded"]);
    }
    let answer = client.request("POST", "/v2/models/slow/infer", "", ONE_ROW);
    answer.assert_error(503, &["`slow`", "being loaded"]);

    go_on.send(()).unwrap();
    server.runtime.block_on(loading).unwrap();
    assert_eq!(client.get("/v2/health/ready").status, 200);
    assert_eq!(client.get("/v2/models/slow/ready").status, 200);

    let broken = doubling();
    broken.script().fail_instances(usize::MAX);
    let handle = server.engine.wrap_model(broken).name("broken").register().unwrap();
    wait_until("the model to be given up", || client_sees(&server, "/v2/models/broken/infer") == 503);
    assert!(!handle.status().ready);
    assert_eq!(client.get("/v2/health/ready").status, 503);
    client.get("/v2/models/broken/ready").assert_error(503, &["`broken`", "not ready"]);
    assert_eq!(client.get("/v2/models/slow/ready").status, 200, "its neighbour is");
}

fn client_sees(server: &TestServer, path: &str) -> u16 {
    // Short, since a request may wait for an instance that never comes.
    let body = ONE_ROW;
    server.client().request("POST", path, "X-Request-Timeout: 0.05\r\n", body).status
}

#[test]
fn the_page_has_a_line_for_each_model_that_works() {
    let (server, _) = TestServer::with_model(doubling());
    let other = server.engine.wrap_model(doubling()).name("it's / ü").register().unwrap();
    wait_until("the other model", || other.status().ready);
    let address = server.address();
    let mut client = server.client();
    client.write(format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    let page = client.answer();
    assert!(page.header("content-type").unwrap().starts_with("text/plain"));
    let body = r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[0.0,0.0]}]}"#;
    let name = "it%27s%20%2F%20%C3%BC";
    for name in ["m", name] {
        let line = format!("curl http://{address}/v2/models/{name}/infer -d '{body}'");
        assert!(page.body.contains(&line), "{}", page.body);
        let answer = client.request("POST", &format!("/v2/models/{name}/infer"), "", body);
        assert_eq!(answer.json()["outputs"][0]["data"], json!([0.0, 0.0]));
    }
}
