//! The document of the end points, and the page that shows it.

use std::path::Path;

use unruffled_server::ServerOptions;
use unruffled_testing::scripted::doubling;

use crate::support::TestServer;

/// The document as it was when somebody last looked at it.
const GOLDEN: &str = include_str!("openapi.json");

#[test]
fn the_document_is_the_one_that_was_looked_at() {
    let (server, _) = TestServer::with_model(doubling());
    let document = server.client().get("/openapi.json").json();
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    if text != GOLDEN {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi.json");
        std::fs::write(&folder, text).unwrap();
        panic!(
            "the document has changed: look at it, and copy it over tests/it/openapi.json: {}",
            folder.display()
        );
    }
}

#[test]
fn every_path_is_there() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let document = client.get("/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 40, "{}", paths.len());
    for (path, methods) in paths {
        let path = path.replace("{model}", "m").replace("{version}", "1").replace("{file}", "icon.svg");
        let methods = methods.as_object().unwrap();
        // One that it does not take names those that it does.
        let refused = client.request("PATCH", &path, "", "");
        assert_eq!(refused.status, 405, "{path}");
        let allowed: Vec<String> =
            refused.header("allow").unwrap().split(", ").map(str::to_lowercase).collect();
        let mut told: Vec<&String> = methods.keys().collect();
        told.sort_by_key(|method| allowed.iter().position(|known| known == *method));
        assert_eq!(told.len(), allowed.len(), "{path}: {allowed:?}");
        for method in allowed {
            assert!(methods.contains_key(&method), "{path}: {method}");
        }
    }
}

#[test]
fn the_page_is_in_the_program() {
    let (server, _) = TestServer::with_model(doubling());
    let mut client = server.client();
    let page = client.get("/docs/");
    assert!(page.status == 200 && page.body.contains("swagger-ui-bundle.js"), "{page:?}");
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    let script = client.get("/docs/swagger-initializer.js");
    assert!(script.body.contains("/openapi.json"), "{}", script.body);
    assert_eq!(client.get("/docs/swagger-ui-bundle.js").status, 200);
    client.get("/docs/none.js").assert_error(404, &["none.js"]);
    client.get("/docs/%ff").assert_error(404, &["UTF-8"]);
    client.get("/docs/..%2fsecret").assert_error(404, &["secret"]);
}

#[test]
fn an_embedded_router_tells_of_its_own() {
    let engine = unruffled_engine::Engine::new();
    let router = unruffled_server::router(engine, ServerOptions::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let request = axum::extract::Request::get("/openapi.json").body(axum::body::Body::empty()).unwrap();
    let answer = runtime.block_on(tower::ServiceExt::oneshot(router, request)).unwrap();
    let body = runtime.block_on(axum::body::to_bytes(answer.into_body(), usize::MAX)).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(document["paths"]["/v2"].is_object() && document["paths"]["/metrics"].is_null());
}
