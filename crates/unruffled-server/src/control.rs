//! The end points of the extensions: statistics, configuration, model repository, shared memory, settings of
//! traces and logs.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use unruffled_protocol::{ControlRequest, IndexEntry, IndexRequest, Region};

use crate::access::Identity;
use crate::body;
use crate::coding::Coding;
use crate::endpoint::{EndPoint, get, post};
use crate::metadata::json;
use crate::refusal::Refusal;
use crate::service::{Service, Target};
use crate::settings::LogValue;
use crate::{repository, settings, statistics};

/// The most bytes of a body that controls something.
const BODY_BYTES: usize = 1 << 20;

/// The end points of this module.
pub(crate) fn end_points() -> Vec<EndPoint> {
    let memory = "Shared memory";
    let done = |end_point: EndPoint| end_point.gives_as(200, "Done", &[]);
    vec![
        get("/v2/models/stats", all_statistics)
            .says("Models", "What all models have done.")
            .gives("Counts and times", "Statistics"),
        get("/v2/models/{model}/stats", model_statistics)
            .says("Models", "What the model has done.")
            .versioned()
            .asks_a_model()
            .gives("Counts and times", "Statistics"),
        get("/v2/models/{model}/config", configuration)
            .says("Models", "The settings of the model, as Triton has them.")
            .versioned()
            .asks_a_model()
            .gives("Its settings", "Configuration"),
        post("/v2/repository/index", index)
            .says("Repository", "The models that there are, loaded or not.")
            .may_take("IndexRequest")
            .gives("The models", "Index"),
        done(post("/v2/repository/models/{model}/load", load))
            .says("Repository", "Loads the model, or loads it anew beside the one that runs.")
            .asks_a_model()
            .may_take("ControlRequest"),
        done(post("/v2/repository/models/{model}/unload", unload))
            .says("Repository", "Ends the model.")
            .asks_a_model()
            .may_take("ControlRequest"),
        get("/v2/systemsharedmemory/status", regions)
            .says(memory, "All regions.")
            .gives("They", "Regions")
            .refuses(&[400]),
        get("/v2/systemsharedmemory/region/{region}/status", regions)
            .says(memory, "One region.")
            .gives("It", "Regions")
            .refuses(&[400, 404]),
        done(post("/v2/systemsharedmemory/region/{region}/register", register))
            .says(memory, "Makes a region of shared memory known under a name.")
            .takes("Region")
            .refuses(&[501]),
        done(post("/v2/systemsharedmemory/unregister", unregister))
            .says(memory, "Forgets all regions.")
            .may_take("ControlRequest"),
        done(post("/v2/systemsharedmemory/region/{region}/unregister", unregister))
            .says(memory, "Forgets a region.")
            .may_take("ControlRequest"),
        get("/v2/models/{model}/trace/setting", trace_settings_of)
            .says("Models", "How requests to the model are traced.")
            .versioned()
            .asks_a_model()
            .gives("Settings", "TraceSettings"),
        post("/v2/models/{model}/trace/setting", set_trace_of)
            .says("Models", "Sets how requests to the model are traced.")
            .versioned()
            .asks_a_model()
            .may_take("TraceSettings")
            .gives("Settings", "TraceSettings"),
        get("/v2/logging", log_settings)
            .says("Server", "What is logged.")
            .gives("Settings", "LogSettings")
            .refuses(&[501]),
        post("/v2/logging", set_log)
            .says("Server", "Sets what is logged.")
            .may_take("LogSettings")
            .gives("Settings", "LogSettings")
            .refuses(&[501]),
        get("/v2/cudasharedmemory/status", cuda_regions)
            .says(memory, "Regions of GPUs: none.")
            .gives("None", "Regions"),
        get("/v2/cudasharedmemory/region/{region}/status", cuda_regions)
            .says(memory, "A region of a GPU: there is none.")
            .gives("None", "Regions"),
        done(post("/v2/cudasharedmemory/region/{region}/register", register_cuda))
            .says(memory, "Memory of GPUs is not taken.")
            .may_take("ControlRequest")
            .refuses(&[501]),
        done(post("/v2/cudasharedmemory/unregister", unregister_cuda))
            .says(memory, "Forgets all regions of GPUs.")
            .may_take("ControlRequest"),
        done(post("/v2/cudasharedmemory/region/{region}/unregister", unregister_cuda))
            .says(memory, "Forgets a region of a GPU.")
            .may_take("ControlRequest"),
        get("/v2/trace/setting", trace_settings)
            .says("Server", "How requests are traced.")
            .gives("Settings", "TraceSettings"),
        post("/v2/trace/setting", set_trace)
            .says("Server", "Sets how requests are traced.")
            .may_take("TraceSettings")
            .gives("Settings", "TraceSettings")
            .refuses(&[501]),
    ]
}

/// `GET /v2/models/{model}/stats`.
pub(crate) async fn model_statistics(
    State(service): State<Service>,
    identity: Identity,
    target: Target,
) -> Result<Response, Refusal> {
    let found = service.find(&identity, &target)?;
    Ok(json(statistics::statistics(&service, Some(&found)).to_json()).into_response())
}

/// `GET /v2/models/stats`.
pub(crate) async fn all_statistics(
    State(service): State<Service>,
    identity: Identity,
) -> Result<Response, Refusal> {
    identity.may_read_metrics()?;
    Ok(json(statistics::statistics(&service, None).to_json()).into_response())
}

/// `GET /v2/models/{model}/config`.
pub(crate) async fn configuration(
    State(service): State<Service>,
    identity: Identity,
    target: Target,
) -> Result<Response, Refusal> {
    let found = service.find(&identity, &target)?;
    Ok(json(statistics::configuration(&found).await?.to_json()).into_response())
}

/// `POST /v2/repository/index`.
pub(crate) async fn index(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Result<Response, Refusal> {
    let wanted = IndexRequest::from_json(&read(&service, request).await?)?;
    let entries = repository::index(&service, &identity, wanted.ready).await?;
    Ok(json(IndexEntry::list_to_json(&entries)).into_response())
}

/// `POST /v2/repository/models/{model}/load`.
pub(crate) async fn load(
    State(service): State<Service>,
    identity: Identity,
    target: Target,
    request: Request,
) -> Result<Response, Refusal> {
    identity.may_administrate()?;
    let wanted = ControlRequest::from_json(&read(&service, request).await?)?;
    repository::load(&service, target.model, &wanted).await?;
    Ok(done())
}

/// `POST /v2/repository/models/{model}/unload`.
pub(crate) async fn unload(
    State(service): State<Service>,
    identity: Identity,
    target: Target,
    request: Request,
) -> Result<Response, Refusal> {
    identity.may_administrate()?;
    ControlRequest::from_json(&read(&service, request).await?)?;
    repository::unload(&service, target.model).await?;
    Ok(done())
}

/// `GET /v2/systemsharedmemory[/region/{region}]/status`.
pub(crate) async fn regions(
    State(service): State<Service>,
    identity: Identity,
    region: Option<Path<String>>,
) -> Result<Response, Refusal> {
    identity.may_administrate()?;
    let regions = service.shared_memory().status(region.as_deref().map(String::as_str))?;
    Ok(json(Region::list_to_json(&regions)).into_response())
}

/// `POST /v2/systemsharedmemory/region/{region}/register`.
pub(crate) async fn register(
    State(service): State<Service>,
    identity: Identity,
    Path(region): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    identity.may_administrate()?;
    let region = Region::from_json(&region, &read(&service, request).await?)?;
    service.shared_memory().register(region)?;
    Ok(done())
}

/// `POST /v2/systemsharedmemory[/region/{region}]/unregister`.
pub(crate) async fn unregister(
    State(service): State<Service>,
    identity: Identity,
    region: Option<Path<String>>,
    request: Request,
) -> Result<Response, Refusal> {
    identity.may_administrate()?;
    read(&service, request).await?;
    service.shared_memory().unregister(region.as_deref().map(String::as_str));
    Ok(done())
}

/// `GET /v2/cudasharedmemory[/region/{region}]/status`: there are none; clients ask before they begin.
pub(crate) async fn cuda_regions(identity: Identity) -> Result<Response, Refusal> {
    identity.may_administrate()?;
    Ok(json(Region::list_to_json(&[])).into_response())
}

/// `POST /v2/cudasharedmemory/region/{region}/register`.
pub(crate) async fn register_cuda(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Result<Response, Refusal> {
    identity.may_administrate()?;
    read(&service, request).await?;
    Err(no_cuda())
}

/// `POST /v2/cudasharedmemory[/region/{region}]/unregister`: what is not there is forgotten already.
pub(crate) async fn unregister_cuda(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Result<Response, Refusal> {
    identity.may_administrate()?;
    read(&service, request).await?;
    Ok(done())
}

/// Memory of graphics cards cannot be read here.
pub(crate) fn no_cuda() -> Refusal {
    Refusal::unsupported(
        "CUDA shared memory is not taken here: pass tensors in system shared memory, or in the message",
    )
}

/// `GET /v2/trace/setting`.
pub(crate) async fn trace_settings(State(service): State<Service>) -> Response {
    traced(&service)
}

/// `GET /v2/models/{model}/trace/setting`: those of all.
pub(crate) async fn trace_settings_of(
    State(service): State<Service>,
    identity: Identity,
    target: Target,
) -> Result<Response, Refusal> {
    service.find(&identity, &target)?;
    Ok(traced(&service))
}

fn traced(service: &Service) -> Response {
    let value = |name: &str, value: String| match settings::is_list(name) {
        true => json!([value]),
        false => json!(value),
    };
    let settings: Value =
        settings::trace(service).into_iter().map(|(name, text)| (name, value(name, text))).collect();
    json(settings.to_string().into_bytes()).into_response()
}

/// `POST /v2/trace/setting`: what would change nothing is taken.
pub(crate) async fn set_trace(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Result<Response, Refusal> {
    change_trace(&service, &identity, None, request).await
}

/// `POST /v2/models/{model}/trace/setting`.
pub(crate) async fn set_trace_of(
    State(service): State<Service>,
    identity: Identity,
    target: Target,
    request: Request,
) -> Result<Response, Refusal> {
    let found = service.find(&identity, &target)?;
    change_trace(&service, &identity, Some(found.handle.name()), request).await
}

async fn change_trace(
    service: &Service,
    identity: &Identity,
    model: Option<&str>,
    request: Request,
) -> Result<Response, Refusal> {
    identity.may_administrate()?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let wanted = members(&read(service, request).await?)?.into_iter().map(|(name, value)| match value {
        Value::Null => (name, Vec::new()),
        Value::Array(values) => (name, values.iter().map(text).collect()),
        value => (name, vec![text(&value)]),
    });
    settings::set_trace(service, model, &wanted.collect::<Vec<_>>())?;
    Ok(traced(service))
}

/// `GET /v2/logging`.
pub(crate) async fn log_settings(State(service): State<Service>) -> Result<Response, Refusal> {
    let value = |value| match value {
        LogValue::Bool(on) => json!(on),
        LogValue::Number(level) => json!(level),
        LogValue::Text(text) => json!(text),
    };
    let settings: Value =
        settings::log(&service)?.into_iter().map(|(name, setting)| (name, value(setting))).collect();
    Ok(json(settings.to_string().into_bytes()).into_response())
}

/// `POST /v2/logging`.
pub(crate) async fn set_log(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Result<Response, Refusal> {
    identity.may_administrate()?;
    let mut wanted = Vec::new();
    for (name, value) in members(&read(&service, request).await?)? {
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let value = match value {
            Value::Bool(on) => LogValue::Bool(on),
            Value::String(text) => LogValue::Text(text),
            value => LogValue::Number(
                number(&value)
                    .ok_or_else(|| Refusal::bad_request(format!("`{}` takes no such value", shown(&name))))?,
            ),
        };
        wanted.push((name, value));
    }
    settings::set_log(&service, wanted)?;
    log_settings(State(service)).await
}

/// The members of a body that is an object, or nothing.
fn members(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match body {
        [] => Ok(Map::new()),
        body => serde_json::from_slice(body).map_err(|error| {
            Refusal::bad_request(format!("the body is not JSON of settings by their names: {error}"))
        }),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The body of a request that is no inference.
async fn read(service: &Service, request: Request) -> Result<Bytes, Refusal> {
    let (head, body) = request.into_parts();
    let limit = BODY_BYTES.min(service.options().body_limit());
    let coding = Coding::given(&head.headers).map_err(Refusal::closing)?;
    let mut part = body::admit(&body, limit, service.budget()).map_err(Refusal::closing)?;
    let collect = body::collect(body, limit, &mut part);
    let body = timeout(service.options().body_timeout, collect).await.unwrap_or_else(|_| {
        let message = "the body did not arrive in time; send it faster";
        Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message).closing())
    })?;
    coding.expand(body, limit, &mut part)
}

/// Success, and nothing to say about it.
fn done() -> Response {
    StatusCode::OK.into_response()
}
