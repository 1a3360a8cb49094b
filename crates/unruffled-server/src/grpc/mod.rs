//! The protocol over gRPC: each of its calls is a path, a message there and messages back.
//!
//! Messages are framed here and not by a library, so that their bytes are counted before they are read and large ones are
//! inflated and decoded off the event loop.

mod status;

mod call;
mod messages;
mod reply;

mod unary;

mod about;
mod control;
mod infer;
mod stream;

mod health;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;

use crate::refusal::Refusal;
use crate::service::Service;

/// The calls of the protocol, health and reflection.
pub(crate) fn routes(service: &Service) -> Router<Service> {
    let path = |call: &str| format!("/{}/{call}", unruffled_protocol::grpc::SERVICE);
    Router::new()
        .route(&path("ServerLive"), post(about::server_live))
        .route(&path("ServerReady"), post(about::server_ready))
        .route(&path("ModelReady"), post(about::model_ready))
        .route(&path("ServerMetadata"), post(about::server))
        .route(&path("ModelMetadata"), post(about::model))
        .route(&path("ModelInfer"), post(infer::infer))
        .route(&path("ModelStreamInfer"), post(stream::infer))
        .route(&path("ModelConfig"), post(control::configuration))
        .route(&path("ModelStatistics"), post(control::statistics))
        .route(&path("RepositoryIndex"), post(control::index))
        .route(&path("RepositoryModelLoad"), post(control::load))
        .route(&path("RepositoryModelUnload"), post(control::unload))
        .route(&path("SystemSharedMemoryStatus"), post(control::regions))
        .route(&path("SystemSharedMemoryRegister"), post(control::register))
        .route(&path("SystemSharedMemoryUnregister"), post(control::unregister))
        .route(&path("CudaSharedMemoryStatus"), post(control::cuda_regions))
        .route(&path("CudaSharedMemoryUnregister"), post(control::unregister_cuda))
        .route(&path("CudaSharedMemoryRegister"), post(control::register_cuda))
        .route(&path("LogSettings"), post(control::log_settings))
        .route(&path("TraceSetting"), post(control::trace_settings))
        .merge(health::routes(service))
}

/// Answers a call that is not served.
pub(crate) fn unknown(request: &Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    status::status(Refusal::unsupported(format!("the call `{path}` is not served here"))).into_http()
}
