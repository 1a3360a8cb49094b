//! The calls that ask about the server and its models: health and metadata.

use axum::extract::{Request, State};
use axum::response::Response;
use unruffled_protocol::grpc::{
    ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ServerLiveRequest,
    ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest,
    ServerReadyResponse,
};

use super::unary::answer;
use crate::access::Identity;
use crate::metadata;
use crate::refusal::Refusal;
use crate::service::{Service, Target};

/// The model that a message names; an empty version is the one that the server picks.
pub(super) fn target(model: String, version: String) -> Result<Target, Refusal> {
    let is_number = version.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        let version: String = version.chars().take(80).collect();
        let message = format!("there is no version `{version}`: versions are decimal integers");
        return Err(Refusal::bad_request(message));
    }
    Ok(Target { model, version: (!version.is_empty()).then_some(version) })
}

pub(super) async fn server_live(State(service): State<Service>, request: Request) -> Response {
    answer(&service, request, async |_: ServerLiveRequest| Ok(ServerLiveResponse { live: true })).await
}

pub(super) async fn server_ready(State(service): State<Service>, request: Request) -> Response {
    let ready = service.is_ready();
    answer(&service, request, async |_: ServerReadyRequest| Ok(ServerReadyResponse { ready })).await
}

/// A model that is not there is none that is ready, and an error: clients ask this to find out.
pub(super) async fn model_ready(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Response {
    answer(&service, request, async |ModelReadyRequest { name, version }| {
        let found = service.find(&identity, &target(name, version)?)?;
        Ok(ModelReadyResponse { ready: found.handle.is_ready() })
    })
    .await
}

pub(super) async fn server(State(service): State<Service>, request: Request) -> Response {
    answer(&service, request, async |_: ServerMetadataRequest| {
        Ok(ServerMetadataResponse::from(metadata::of_server(&service)))
    })
    .await
}

pub(super) async fn model(State(service): State<Service>, identity: Identity, request: Request) -> Response {
    answer(&service, request, async |ModelMetadataRequest { name, version }| {
        let metadata = metadata::of_model(&service, &identity, target(name, version)?).await?;
        Ok(ModelMetadataResponse::from(metadata))
    })
    .await
}
