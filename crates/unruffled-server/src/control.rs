//! The end points of the extensions: statistics, configuration, model repository, shared memory, trace settings.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::timeout;
use unruffled_protocol::{ControlRequest, IndexEntry, IndexRequest, Region};

use crate::access::Identity;
use crate::body;
use crate::coding::Coding;
use crate::endpoint::{EndPoint, get, post};
use crate::metadata::json;
use crate::refusal::Refusal;
use crate::service::{Service, Target};
use crate::{repository, statistics};

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

/// There is no tracing of this kind: these are the settings of a server that does none.
pub(crate) const TRACE_SETTINGS: [(&str, &str); 6] = [
    (TRACE_LEVEL, TRACE_OFF),
    ("trace_rate", "1000"),
    ("trace_count", "-1"),
    ("log_frequency", "0"),
    ("trace_file", ""),
    ("trace_mode", "triton"),
];

pub(crate) const TRACE_LEVEL: &str = "trace_level";

pub(crate) const TRACE_OFF: &str = "OFF";

/// What is told to who wants to trace.
pub(crate) fn no_tracing() -> Refusal {
    Refusal::unsupported("requests are not traced into files here; leave `trace_level` at OFF")
}

/// `GET /v2/trace/setting`.
pub(crate) async fn trace_settings() -> Response {
    let value = |name: &str, value: &str| if name == TRACE_LEVEL { json!([value]) } else { json!(value) };
    let settings: Value =
        TRACE_SETTINGS.into_iter().map(|(name, text)| (name.to_owned(), value(name, text))).collect();
    json(settings.to_string().into_bytes()).into_response()
}

/// `POST /v2/trace/setting`: what would change nothing is taken.
pub(crate) async fn set_trace(
    State(service): State<Service>,
    identity: Identity,
    request: Request,
) -> Result<Response, Refusal> {
    identity.may_administrate()?;
    let body = read(&service, request).await?;
    let wanted: Value = if body.is_empty() { Value::Null } else { parse(&body)? };
    let off = match &wanted[TRACE_LEVEL] {
        Value::Null => true,
        Value::Array(levels) => levels.iter().all(|level| level == TRACE_OFF),
        level => level == TRACE_OFF,
    };
    if !off {
        return Err(no_tracing());
    }
    Ok(trace_settings().await)
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

fn parse(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad_request(format!("the body is not JSON: {error}")))
}

/// Success, and nothing to say about it.
fn done() -> Response {
    StatusCode::OK.into_response()
}
