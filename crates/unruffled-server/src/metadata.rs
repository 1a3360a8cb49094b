//! The end points that ask about the server and its models: health and metadata.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use unruffled_protocol::{Health, ModelMetadata, ModelReady, ServerMetadata};

use crate::access::Identity;
use crate::endpoint::{EndPoint, JSON, get, schema};
use crate::refusal::Refusal;
use crate::service::{Service, Target};

/// The parts of the protocol beyond its core that work fully.
const EXTENSIONS: [&str; 11] = [
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
];

/// The end points of this module.
pub(crate) fn end_points() -> Vec<EndPoint> {
    let ready = "/v2/models/{model}/ready";
    vec![
        get("/v2", server)
            .says("Server", "What the server is, and which extensions it knows.")
            .gives("It", "Server"),
        get("/v2/health/live", live).says("Server", "Whether it lives.").gives("It does", "Health"),
        get("/v2/health/ready", self::ready)
            .says("Server", "Whether all models are loaded and can answer.")
            .gives("They are", "Health")
            .gives_as(503, "They are not", &[(JSON, schema("Health"))]),
        get("/v2/models/{model}", model)
            .says("Models", "What the model takes and gives.")
            .versioned()
            .asks_a_model()
            .gives("Its signature", "Model"),
        get(ready, model_ready)
            .says("Models", "Whether the model can answer.")
            .versioned()
            .asks_a_model()
            .gives("It can", "ModelReady"),
    ]
}

/// A body that is JSON already.
pub(crate) fn json(body: Vec<u8>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], body)
}

/// `GET /v2/health/live`: an answer is all it takes.
pub(crate) async fn live(State(service): State<Service>) -> Response {
    let ready = service.is_ready();
    json(Health { live: true, ready }.to_json()).into_response()
}

/// `GET /v2/health/ready`: all models are loaded and can answer.
pub(crate) async fn ready(State(service): State<Service>) -> Response {
    let ready = service.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, json(Health { live: true, ready }.to_json())).into_response()
}

/// What is there if somebody has said how.
const LOGGING: &str = "logging";

/// What the server says about itself.
pub(crate) fn of_server(service: &Service) -> ServerMetadata {
    let logging = service.options().logging.as_ref().map(|_| LOGGING);
    ServerMetadata {
        name: "unruffled".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: EXTENSIONS.into_iter().chain(logging).map(str::to_owned).collect(),
    }
}

/// `GET /v2`.
pub(crate) async fn server(State(service): State<Service>) -> Response {
    json(of_server(&service).to_json()).into_response()
}

/// What the server says about a model.
pub(crate) async fn of_model(
    service: &Service,
    identity: &Identity,
    target: Target,
) -> Result<ModelMetadata, Refusal> {
    let found = service.find(identity, &target)?;
    if found.handle.known_info().is_none() {
        found.handle.ready().await?;
    }
    let versions = service.versions(&found.handle).iter().map(ToString::to_string).collect();
    let info = found.handle.info();
    Ok(ModelMetadata::new(target.model, versions, &*info.platform, &info.signature))
}

/// `GET /v2/models/{model}`.
pub(crate) async fn model(
    State(service): State<Service>,
    identity: Identity,
    target: Target,
) -> Result<Response, Refusal> {
    Ok(json(of_model(&service, &identity, target).await?.to_json()).into_response())
}

/// `GET /v2/models/{model}/ready`.
pub(crate) async fn model_ready(
    State(service): State<Service>,
    identity: Identity,
    target: Target,
) -> Result<Response, Refusal> {
    let found = service.find(&identity, &target)?;
    let name = target.model.as_str();
    if !found.handle.is_ready() {
        let message =
            format!("model `{name}` is not ready: it takes no requests, or has no instance to run them");
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    Ok(json(ModelReady { name, ready: true }.to_json()).into_response())
}
