//! Which end point answers which path.

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::watch;
use unruffled_engine::Engine;

use crate::access::{guarded, is_grpc};
use crate::options::ServerOptions;
use crate::phase::Phase;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::{body, control, grpc, infer, jobs, metadata, operator};

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
    guarded(protocol(&service).with_state(service.clone()), service.options(), None)
}

/// The protocol's end points, and those for operators.
pub(crate) fn with_operator(service: Service) -> Router {
    // Once more: it holds for the routes that are there when it is said.
    protocol(&service).merge(operator::router()).method_not_allowed_fallback(wrong_method).with_state(service)
}

/// What is told on an address of its own: health and metrics.
pub(crate) fn of_health(service: Service) -> Router {
    Router::new()
        .route("/v2/health/live", get(metadata::live))
        .route("/v2/health/ready", get(metadata::ready))
        .route("/metrics", get(operator::metrics))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(service)
}

fn protocol(service: &Service) -> Router<Service> {
    let mut router = Router::new()
        .route("/v2", get(metadata::server))
        .route("/v2/health/live", get(metadata::live))
        .route("/v2/health/ready", get(metadata::ready))
        .route("/v2/models/stats", get(control::all_statistics))
        .route("/v2/repository/index", post(control::index))
        .route("/v2/repository/models/{model}/load", post(control::load))
        .route("/v2/repository/models/{model}/unload", post(control::unload))
        .route("/v2/systemsharedmemory/status", get(control::regions))
        .route("/v2/systemsharedmemory/unregister", post(control::unregister))
        .route("/v2/systemsharedmemory/region/{region}/status", get(control::regions))
        .route("/v2/systemsharedmemory/region/{region}/register", post(control::register))
        .route("/v2/systemsharedmemory/region/{region}/unregister", post(control::unregister))
        .route("/v2/cudasharedmemory/status", get(control::cuda_regions))
        .route("/v2/cudasharedmemory/unregister", post(control::unregister_cuda))
        .route("/v2/cudasharedmemory/region/{region}/status", get(control::cuda_regions))
        .route("/v2/cudasharedmemory/region/{region}/register", post(control::register_cuda))
        .route("/v2/cudasharedmemory/region/{region}/unregister", post(control::unregister_cuda))
        .route("/v2/trace/setting", get(control::trace_settings).post(control::set_trace))
        .route("/v2/logging", get(control::log_settings).post(control::set_log));
    router = router
        .route("/v1/jobs", get(jobs::list).post(jobs::submit))
        .route("/v1/jobs/{job}", get(jobs::status).delete(jobs::cancel))
        .route("/v1/jobs/{job}/result", get(jobs::result))
        .route("/v1/jobs/{job}/events", get(jobs::events));
    for model in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        router = router
            .route(model, get(metadata::model))
            .route(&format!("{model}/ready"), get(metadata::model_ready))
            .route(&format!("{model}/config"), get(control::configuration))
            .route(
                &format!("{model}/trace/setting"),
                get(control::trace_settings_of).post(control::set_trace_of),
            )
            .route(&format!("{model}/stats"), get(control::model_statistics))
            .route(&format!("{model}/infer"), post(infer::infer));
    }
    router.merge(grpc::routes(service)).fallback(unknown_path).method_not_allowed_fallback(wrong_method)
}

/// The ends of paths that take nothing but POST.
const POSTED: [&str; 6] = ["/infer", "/index", "/load", "/unload", "/register", "/unregister"];

async fn unknown_path(request: Request) -> Response {
    if is_grpc(request.headers()) {
        return grpc::unknown(&request);
    }
    let path = shown(request.uri().path());
    let message =
        format!("there is nothing at `{path}`; the paths are those of the Open Inference Protocol V2");
    refuse(Refusal::not_found(message), request).await
}

async fn wrong_method(request: Request) -> Response {
    if is_grpc(request.headers()) {
        return grpc::unknown(&request);
    }
    let (method, path) = (request.method(), shown(request.uri().path()));
    let right = match path.as_str() {
        "/v1/jobs" | "/v2/logging" => "GET and POST",
        setting if setting.ends_with("/trace/setting") => "GET and POST",
        job if job.starts_with("/v1/jobs/") && job.matches('/').count() == 3 => "GET and DELETE",
        other if POSTED.iter().any(|end| other.ends_with(end)) => "POST",
        // The calls of gRPC: their services have dots.
        other if other.split('/').nth(1).is_some_and(|service| service.contains('.')) => "POST",
        _ => "GET",
    };
    let message = format!("`{path}` takes {right}, not {method}");
    refuse(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message), request).await
}

async fn refuse(refusal: Refusal, request: Request) -> Response {
    let (head, body) = request.into_parts();
    body::refuse(refusal, &head.headers, body).await
}

fn shown(path: &str) -> String {
    path.chars().take(200).collect()
}
