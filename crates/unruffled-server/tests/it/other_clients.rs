//! A client that somebody else wrote, and a router inside somebody else's service.

use axum::routing::get;
use tokio::net::TcpListener;
use unruffled_engine::{Engine, PoolOptions};
use unruffled_server::{ServerOptions, router};
use unruffled_testing::scripted::doubling;
use ureq::Agent;

use crate::support::{Client, ONE_ROW, TestServer};

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).build().into()
}

#[test]
fn ureq() {
    let options = ServerOptions::default().with_body_bytes(10_000);
    let (server, _) = TestServer::with(doubling(), PoolOptions::default(), options);
    let (agent, url) = (agent(), format!("http://{}/v2/models/m/infer", server.address()));
    for (body, status) in [
        (ONE_ROW.to_owned(), 200),
        ("x".repeat(1 << 20), 413),
        ("{}".to_owned(), 400),
        (ONE_ROW.to_owned(), 200),
    ] {
        let mut answer = agent.post(&url).send(&body).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status(), status, "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(json.get(if status == 200 { "outputs" } else { "error" }).is_some());
    }
}

#[test]
fn a_router_inside_another_service() {
    let engine = Engine::new();
    engine.wrap_model(doubling()).name("m").register().unwrap();
    let service = axum::Router::new()
        .route("/", get(|| async { "mine" }))
        .merge(router(engine, ServerOptions::default()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async { axum::serve(listener, service).await });
    let mut client = Client::connect(address);
    client.infer(ONE_ROW).assert_doubled();
    assert_eq!(client.get("/").body, "mine");
    client.get("/other").assert_error(404, &["`/other`"]);
    client.infer("{").assert_error(400, &["not JSON"]);
    client.infer(ONE_ROW).assert_doubled();
}
