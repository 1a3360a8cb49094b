//! Which end point answers which path.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use tokio::sync::watch;
use unruffled_engine::Engine;

use crate::access::{guarded, is_grpc};
use crate::endpoint::EndPoint;
use crate::options::ServerOptions;
use crate::phase::Phase;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::{body, control, grpc, infer, jobs, metadata, openai, openapi, operator, stream};

/// The protocol's end points, for a service of your own.
///
/// The paths are `/v2` and below, jobs under `/v1/jobs`, and the services of gRPC for who speaks HTTP/2. Whatever else is
/// asked of the router is refused in the protocol's manner, by a fallback: call [`Router::reset_fallback`] before merging
/// it with a router that has its own. Bounds on connections, headers and idling are those of the server that runs it;
/// [`Server`](crate::Server) has all of them. Keys are asked for here too. Where there are none, limits per address and
/// administration need to know addresses: serve it with axum's `into_make_service_with_connect_info::<SocketAddr>()`.
///
/// ```
/// # fn example(engine: unruffled_engine::Engine) -> axum::Router {
/// use axum::routing::get;
/// use unruffled_server::{ServerOptions, router};
///
/// axum::Router::new()
///     .route("/hello", get(|| async { "hello" }))
///     .merge(router(engine, ServerOptions::default()))
/// # }
/// ```
pub fn router(engine: Engine, options: ServerOptions) -> Router {
    let (_, phase) = watch::channel(Phase::Serving);
    let service = Service::new(engine, options, phase);
    guarded(routes(&service, protocol()).with_state(service.clone()), service.options(), None)
}

/// The protocol's end points, and those for operators.
pub(crate) fn with_operator(service: Service) -> Router {
    let end_points = protocol().into_iter().chain(operator::end_points()).collect();
    routes(&service, end_points).with_state(service)
}

/// What is told on an address of its own: health and metrics.
pub(crate) fn of_health(service: Service) -> Router {
    Router::new()
        .route("/v2/health/live", get(metadata::live))
        .route("/v2/health/ready", get(metadata::ready))
        .route("/metrics", get(operator::metrics))
        .fallback(unknown_path)
        .method_not_allowed_fallback(|request| wrong_method(Some(vec![Method::GET]), request))
        .with_state(service)
}

/// What is told on any address.
fn protocol() -> Vec<EndPoint> {
    [
        metadata::end_points(),
        infer::end_points(),
        stream::end_points(),
        control::end_points(),
        jobs::end_points(),
        openai::end_points(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Routes to end points, and to those that tell of them.
fn routes(service: &Service, mut end_points: Vec<EndPoint>) -> Router<Service> {
    end_points.extend(openapi::end_points(&end_points));
    let mut router = Router::new();
    let mut methods: HashMap<String, Vec<Method>> = HashMap::new();
    for end_point in &end_points {
        for path in end_point.paths() {
            router = router.route(&path, end_point.handler.clone());
            methods.entry(path).or_default().push(end_point.method.clone());
        }
    }
    let methods = Arc::new(methods);
    let wrong_method = move |path: Option<MatchedPath>, request| {
        let known = path.and_then(|path| methods.get(path.as_str()).cloned());
        wrong_method(known, request)
    };
    router.merge(grpc::routes(service)).fallback(unknown_path).method_not_allowed_fallback(wrong_method)
}

async fn unknown_path(request: Request) -> Response {
    if is_grpc(request.headers()) {
        return grpc::unknown(&request);
    }
    let path = shown(request.uri().path());
    let message =
        format!("there is nothing at `{path}`; the paths are those of the Open Inference Protocol V2");
    refuse(Refusal::not_found(message), request).await
}

/// `known` are the methods of the path; a call of gRPC has one.
async fn wrong_method(known: Option<Vec<Method>>, request: Request) -> Response {
    if is_grpc(request.headers()) {
        return grpc::unknown(&request);
    }
    let known = known.unwrap_or_else(|| vec![Method::POST]);
    let known: Vec<&str> = known.iter().map(Method::as_str).collect();
    let (method, path) = (request.method(), shown(request.uri().path()));
    let message = format!("`{path}` takes {}, not {method}", known.join(" and "));
    let allow = HeaderValue::try_from(known.join(", ")).expect("methods are plain");
    refuse(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).with(header::ALLOW, allow), request).await
}

async fn refuse(refusal: Refusal, request: Request) -> Response {
    let (head, body) = request.into_parts();
    body::refuse(refusal, &head.headers, body).await
}

fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}
