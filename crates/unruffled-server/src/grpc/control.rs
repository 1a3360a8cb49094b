//! The calls of the extensions: configuration, statistics, model repository, shared memory, trace settings.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::response::Response;
use unruffled_protocol::grpc::{
    CudaSharedMemoryStatusRequest, CudaSharedMemoryStatusResponse, CudaSharedMemoryUnregisterRequest,
    CudaSharedMemoryUnregisterResponse, ModelConfigRequest, ModelConfigResponse, ModelStatisticsRequest,
    ModelStatisticsResponse, RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
    SystemSharedMemoryRegisterRequest, SystemSharedMemoryRegisterResponse, SystemSharedMemoryStatusRequest,
    SystemSharedMemoryStatusResponse, SystemSharedMemoryUnregisterRequest,
    SystemSharedMemoryUnregisterResponse, TraceSettingRequest, TraceSettingResponse, trace_setting_response,
};
use unruffled_protocol::{ControlRequest, Region};

use super::about::target;
use super::unary::answer;
use crate::access::Identity;
use crate::control::{TRACE_LEVEL, TRACE_OFF, TRACE_SETTINGS, no_tracing};
use crate::service::Service;
use crate::{repository, statistics};

pub(super) async fn configuration(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Response {
    answer(&service, request, async |ModelConfigRequest { name, version }| {
        let found = service.find(&identity, &target(name, version)?)?;
        Ok(ModelConfigResponse { config: Some(statistics::configuration(&found).await?.into()) })
    })
    .await
}

pub(super) async fn statistics(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Response {
    answer(&service, request, async |ModelStatisticsRequest { name, version }| {
        let found = match name.is_empty() {
            true => {
                identity.may_read_metrics()?;
                None
            }
            false => Some(service.find(&identity, &target(name, version)?)?),
        };
        Ok(ModelStatisticsResponse::from(statistics::statistics(&service, found.as_ref())))
    })
    .await
}

pub(super) async fn index(State(service): State<Service>, identity: Identity, request: Request) -> Response {
    answer(&service, request, async |RepositoryIndexRequest { ready, .. }| {
        Ok(RepositoryIndexResponse::from(repository::index(&service, &identity, ready).await?))
    })
    .await
}

pub(super) async fn load(State(service): State<Service>, identity: Identity, request: Request) -> Response {
    answer(&service, request, async |wanted: RepositoryModelLoadRequest| {
        identity.may_administrate()?;
        let parameters = ControlRequest::from_grpc(wanted.parameters);
        repository::load(&service, wanted.model_name, &parameters).await?;
        Ok(RepositoryModelLoadResponse {})
    })
    .await
}

pub(super) async fn unload(State(service): State<Service>, identity: Identity, request: Request) -> Response {
    answer(&service, request, async |wanted: RepositoryModelUnloadRequest| {
        identity.may_administrate()?;
        repository::unload(&service, wanted.model_name).await?;
        Ok(RepositoryModelUnloadResponse {})
    })
    .await
}

/// A name, unless it is empty: then all are meant.
fn one(name: &str) -> Option<&str> {
    (!name.is_empty()).then_some(name)
}

pub(super) async fn regions(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Response {
    answer(&service, request, async |SystemSharedMemoryStatusRequest { name }| {
        identity.may_administrate()?;
        Ok(SystemSharedMemoryStatusResponse::from(service.shared_memory().status(one(&name))?))
    })
    .await
}

pub(super) async fn register(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Response {
    answer(&service, request, async |wanted: SystemSharedMemoryRegisterRequest| {
        identity.may_administrate()?;
        service.shared_memory().register(Region::from_grpc(wanted)?)?;
        Ok(SystemSharedMemoryRegisterResponse {})
    })
    .await
}

pub(super) async fn unregister(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Response {
    answer(&service, request, async |SystemSharedMemoryUnregisterRequest { name }| {
        identity.may_administrate()?;
        service.shared_memory().unregister(one(&name));
        Ok(SystemSharedMemoryUnregisterResponse {})
    })
    .await
}

/// There are none; clients ask before they begin.
pub(super) async fn cuda_regions(State(service): State<Service>, request: Request) -> Response {
    answer(&service, request, async |_: CudaSharedMemoryStatusRequest| {
        Ok(CudaSharedMemoryStatusResponse::default())
    })
    .await
}

/// What is not there is forgotten already; clients do so before they begin.
pub(super) async fn unregister_cuda(State(service): State<Service>, request: Request) -> Response {
    answer(&service, request, async |_: CudaSharedMemoryUnregisterRequest| {
        Ok(CudaSharedMemoryUnregisterResponse {})
    })
    .await
}

pub(super) async fn trace_settings(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Response {
    answer(&service, request, async |TraceSettingRequest { settings, .. }| {
        if !settings.is_empty() {
            identity.may_administrate()?;
        }
        let level = settings.get(TRACE_LEVEL);
        if level.is_some_and(|level| level.value.iter().any(|level| level != TRACE_OFF)) {
            return Err(no_tracing());
        }
        let setting = |(name, value): (&str, &str)| {
            let value = vec![value.to_owned()];
            (name.to_owned(), trace_setting_response::SettingValue { value })
        };
        let settings: BTreeMap<_, _> = TRACE_SETTINGS.into_iter().map(setting).collect();
        Ok(TraceSettingResponse { settings })
    })
    .await
}
