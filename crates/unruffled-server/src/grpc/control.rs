//! The calls of the extensions: configuration, statistics, model repository, shared memory, settings of
//! traces and logs.

use axum::extract::{Request, State};
use axum::response::Response;
use unruffled_protocol::grpc::{
    CudaSharedMemoryRegisterRequest, CudaSharedMemoryRegisterResponse, CudaSharedMemoryStatusRequest,
    CudaSharedMemoryStatusResponse, CudaSharedMemoryUnregisterRequest, CudaSharedMemoryUnregisterResponse,
    LogSettingsRequest, LogSettingsResponse, ModelConfigRequest, ModelConfigResponse, ModelStatisticsRequest,
    ModelStatisticsResponse, RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
    SystemSharedMemoryRegisterRequest, SystemSharedMemoryRegisterResponse, SystemSharedMemoryStatusRequest,
    SystemSharedMemoryStatusResponse, SystemSharedMemoryUnregisterRequest,
    SystemSharedMemoryUnregisterResponse, TraceSettingRequest, TraceSettingResponse, log_settings_request,
    log_settings_response, trace_setting_response,
};
use unruffled_protocol::{ControlRequest, Region};

use super::about::target;
use super::unary::answer;
use crate::access::Identity;
use crate::control::no_cuda;
use crate::service::Service;
use crate::settings::LogValue;
use crate::{repository, settings, statistics};

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

/// Refused.
pub(super) async fn register_cuda(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Response {
    answer(&service, request, async |_: CudaSharedMemoryRegisterRequest| {
        identity.may_administrate()?;
        Err::<CudaSharedMemoryRegisterResponse, _>(no_cuda())
    })
    .await
}

pub(super) async fn trace_settings(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Response {
    answer(&service, request, async |TraceSettingRequest { settings: wanted, model_name }| {
        if !wanted.is_empty() {
            identity.may_administrate()?;
            let wanted: Vec<_> = wanted.into_iter().map(|(name, wanted)| (name, wanted.value)).collect();
            settings::set_trace(&service, one(&model_name), &wanted)?;
        }
        let setting = |(name, value): (&str, String)| {
            (name.to_owned(), trace_setting_response::SettingValue { value: vec![value] })
        };
        Ok(TraceSettingResponse { settings: settings::trace(&service).into_iter().map(setting).collect() })
    })
    .await
}

pub(super) async fn log_settings(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Response {
    use log_settings_request::setting_value::ParameterChoice as Wanted;
    use log_settings_response::setting_value::ParameterChoice as Told;

    answer(&service, request, async |LogSettingsRequest { settings: wanted }| {
        if !wanted.is_empty() {
            identity.may_administrate()?;
            let known = |(name, wanted): (String, log_settings_request::SettingValue)| {
                let value = match wanted.parameter_choice? {
                    Wanted::BoolParam(on) => LogValue::Bool(on),
                    Wanted::Uint32Param(level) => LogValue::Number(level),
                    Wanted::StringParam(text) => LogValue::Text(text),
                };
                Some((name, value))
            };
            settings::set_log(&service, wanted.into_iter().filter_map(known).collect())?;
        }
        let setting = |(name, value): (&str, LogValue)| {
            let value = match value {
                LogValue::Bool(on) => Told::BoolParam(on),
                LogValue::Number(level) => Told::Uint32Param(level),
                LogValue::Text(text) => Told::StringParam(text),
            };
            let value = log_settings_response::SettingValue { parameter_choice: Some(value) };
            (name.to_owned(), value)
        };
        Ok(LogSettingsResponse { settings: settings::log(&service)?.into_iter().map(setting).collect() })
    })
    .await
}
