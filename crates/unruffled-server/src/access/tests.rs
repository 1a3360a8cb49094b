//! What the checks let through to end points that ask for more than a name.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::{any, post};
use tower::ServiceExt as _;

use super::{Identity, guarded};
use crate::keys::{Keys, NewKey};
use crate::options::ServerOptions;
use crate::refusal::Refusal;

const BOUND: &str = "127.0.0.1:8000";

fn router(options: &ServerOptions, bound: &str) -> Router {
    let admin = |identity: Identity| async move { identity.may_administrate() };
    let metrics = |identity: Identity| async move { identity.may_read_metrics() };
    let infer = |identity: Identity| async move { identity.may_infer("m").map_err(Refusal::closing) };
    let router = Router::new()
        .route("/admin", post(admin))
        .route("/metrics", any(metrics))
        .route("/infer", post(infer))
        .route("/inference.GRPCInferenceService/ServerLive", post(|| async {}))
        .route("/inference.GRPCInferenceService/ModelInfer", post(infer));
    guarded(router, options, Some(bound.parse().unwrap()))
}

fn ask(router: &Router, path: &str, peer: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(router.clone().oneshot(request)).unwrap()
}

#[track_caller]
fn check(bound: &str, path: &str, peer: &str, headers: &[(&str, &str)], expected: StatusCode) {
    let router = router(&ServerOptions::default(), bound);
    assert_eq!(ask(&router, path, peer, headers).status(), expected, "{path} {peer} {headers:?}");
}

#[test]
fn administration_without_keys_is_for_this_machine() {
    let host = ("host", "localhost:8000");
    for bound in [BOUND, "0.0.0.0:8000"] {
        check(bound, "/admin", "127.0.0.1:5", &[host], StatusCode::OK);
        check(bound, "/admin", "[::1]:5", &[host], StatusCode::OK);
        check(bound, "/admin", "[::ffff:127.0.0.1]:5", &[host], StatusCode::OK);
        check(bound, "/admin", "192.0.2.7:5", &[host], StatusCode::FORBIDDEN);
        check(bound, "/infer", "192.0.2.7:5", &[host], StatusCode::OK);
        check(bound, "/metrics", "192.0.2.7:5", &[host], StatusCode::OK);
        // By way of a proxy it may be anybody.
        let forwarded = [host, ("x-forwarded-for", "127.0.0.1")];
        check(bound, "/admin", "127.0.0.1:5", &forwarded, StatusCode::FORBIDDEN);
    }
    // A page that has given this machine a name of its own.
    let foreign = [("host", "evil.example")];
    check("0.0.0.0:8000", "/admin", "127.0.0.1:5", &foreign, StatusCode::FORBIDDEN);
    check(BOUND, "/admin", "127.0.0.1:5", &foreign, StatusCode::MISDIRECTED_REQUEST);
}

#[test]
fn scopes() {
    for (lines, expected) in [
        ("infer = [\"m\"]", [200, 403, 403]),
        ("metrics = true", [403, 200, 403]),
        ("admin = true", [403, 200, 200]),
        ("", [403, 403, 403]),
    ] {
        let key = NewKey::generate().unwrap();
        let entry = format!("[[key]]\nname = \"a\"\nhash = \"{}\"\n{lines}", key.hash());
        let router = router(&ServerOptions::default().with_keys(Keys::from_toml(&entry).unwrap()), BOUND);
        let statuses = ["/infer", "/metrics", "/admin"]
            .map(|path| ask(&router, path, "127.0.0.1:5", &[("x-api-key", key.reveal())]).status().as_u16());
        assert_eq!(statuses, expected, "{lines}");
        // Being on this machine is no key.
        assert_eq!(ask(&router, "/admin", "127.0.0.1:5", &[]).status(), StatusCode::UNAUTHORIZED);
    }
}

#[test]
fn refusals_of_grpc_are_its_own() {
    let key = NewKey::generate().unwrap();
    let entry = format!("[[key]]\nname = \"a\"\nhash = \"{}\"\nrate = \"1/h\"", key.hash());
    let router = router(&ServerOptions::default().with_keys(Keys::from_toml(&entry).unwrap()), BOUND);
    let path = "/inference.GRPCInferenceService/ModelInfer";
    let grpc = ("content-type", "application/grpc");
    let status = |headers: &[(&str, &str)]| {
        let response = ask(&router, path, "127.0.0.1:5", headers);
        let code = response.headers().get("grpc-status").map(|code| code.to_str().unwrap().to_owned());
        (response.status().as_u16(), code)
    };
    assert_eq!(status(&[grpc]), (200, Some("16".into())));
    let known = ("authorization", &*format!("Bearer {}", key.reveal()));
    assert_eq!(status(&[grpc, known]), (403, None), "it is the end point's to say");
    assert_eq!(status(&[grpc, known]), (200, Some("8".into())));
    let live = ask(&router, "/inference.GRPCInferenceService/ServerLive", "127.0.0.1:5", &[grpc]);
    assert_eq!((live.status().as_u16(), live.headers().get("grpc-status")), (200, None));
}
