//! Jobs over HTTP: submitted and answered before they run, asked for, watched, cancelled.

mod query;
mod told;

use std::convert::Infallible;
use std::pin::Pin;
use std::time::{Duration, Instant};

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use unruffled_engine::job::{CancelAnswer, JobEvents, JobFilter, JobId};
use unruffled_engine::{Job, JobState, JobStatus, Priority};
use unruffled_model::{Tensors, TraceContext};
use unruffled_protocol::{Form, InferRequest, Parameters};

pub use self::told::job_status;

use self::query::Query;
use crate::access::Identity;
use crate::ask::Answered;
use crate::body;
use crate::endpoint::{EndPoint, JSON, delete, events as events_of, get, post, schema};
use crate::intake::{Received, admit, receive};
use crate::metadata::json as written;
use crate::packing::Frame;
use crate::refusal::Refusal;
use crate::reply::encode;
use crate::service::{Service, Target};
use crate::spans::{Operation, Transport};
use crate::terms;
use crate::trail::{Trail, incoming};

/// What a client calls a job, so that it is not done twice when it is sent twice.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The most bytes of such a key.
const KEY_BYTES: usize = 256;

/// How many jobs one page lists, unless the client says, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// How long a client may wait for a job with one request.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What may be said of a job when it is submitted.
const SUBMIT: [&str; 4] = ["model", "delay", "attempts", "keep"];

/// The end points of this module.
pub(crate) fn end_points() -> Vec<EndPoint> {
    let (text, seconds) = (|| json!({ "type": "string" }), || json!({ "type": "number", "minimum": 0 }));
    let count = |least: u32| json!({ "type": "integer", "minimum": least });
    let states = JobState::ALL.map(JobState::name);
    let binary = ("application/octet-stream", json!({ "type": "string", "format": "binary" }));
    let mut submit = post("/v1/jobs", submit)
        .says("Jobs", "Submits a job; answered as soon as the queue has it, before it runs.")
        .asks_a_model()
        .takes("InferRequest")
        .takes_as(binary.0, binary.1.clone())
        .query("model", text(), "Who is to run it; must be said.")
        .query("delay", seconds(), "Seconds before it may begin.")
        .query("keep", seconds(), "Seconds for which the result is kept.")
        .query("attempts", count(1), "How often it may be tried.")
        .header(
            "Idempotency-Key",
            json!({ "type": "string", "minLength": 1, "maxLength": 256 }),
            "The same key is the same job.",
        )
        .gives_as(
            202,
            "It is in the queue; `Location` is where it is told how it does",
            &[(JSON, schema("Job"))],
        );
    let others =
        &["get_v1_jobs_job", "delete_v1_jobs_job", "get_v1_jobs_job_result", "get_v1_jobs_job_events"];
    submit = submit.leads_to("id", "job", others).refuses(&[409]);
    let job = |end_point: EndPoint| end_point.refuses(&[404, 500, 503]);
    vec![
        submit,
        get("/v1/jobs", list)
            .says("Jobs", "The jobs that there are, in the order in which they came.")
            .query("state", json!({ "type": "string", "enum": states }), "Only those in this state.")
            .query("model", text(), "Only those of this model.")
            .query("after", text(), "Those after this one: `next` of the page before.")
            .query("max", count(1), "How many, 1,000 at most.")
            .gives("A page of them", "Jobs")
            .refuses(&[404, 500, 503]),
        job(get("/v1/jobs/{job}", status))
            .says("Jobs", "How a job is doing.")
            .query("wait", seconds(), "Answered when it has ended, or after so many seconds, 60 at most.")
            .gives("It", "Job"),
        job(delete("/v1/jobs/{job}", cancel))
            .says("Jobs", "Cancels a job: what waits never begins, what runs is told to stop.")
            .gives_as(202, "It is, or will be", &[(JSON, schema("Cancelled"))])
            .refuses(&[409]),
        job(get("/v1/jobs/{job}/result", result))
            .says("Jobs", "The result of a job.")
            .query("binary", json!({ "type": "boolean" }), "Tensors in binary.")
            .gives_as(200, "The outputs", &[(JSON, schema("InferResponse")), binary])
            .gives_as(202, "There is none yet", &[(JSON, schema("Job"))])
            .refuses(&[400, 409, 499, 504]),
        job(get("/v1/jobs/{job}/events", events))
            .says("Jobs", "The states of a job as events, until it has ended.")
            .gives_as(200, "Events, until it has ended", &[events_of("Job")]),
    ]
}

/// `POST /v1/jobs?model=NAME`: the body is that of an inference. Answered as soon as the queue has it.
async fn submit(State(service): State<Service>, identity: Identity, request: Request) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    let mut trail =
        Trail::new(&service, incoming(&head.headers), arrived, Operation::Submit, Transport::Http);
    let wanted = Query::of(&head.uri, &SUBMIT).and_then(|query| {
        let Some(model) = query.text("model") else {
            return Err(Refusal::bad_request(
                "`model` is missing; say who is to run it: /v1/jobs?model=NAME",
            ));
        };
        let target = Target { model: model.to_owned(), version: None };
        let (admitted, part) = admit(&service, &identity, &target, &head.headers, &body, arrived)?;
        Ok((query, admitted, part))
    });
    let (query, admitted, part) = match wanted {
        Ok(wanted) => wanted,
        Err(refusal) => {
            trail.refused(&refusal);
            return body::refuse(refusal, &head.headers, body).await;
        }
    };
    let submitted = async {
        let Received { request, held: _held, .. } = receive(&service, &admitted, body, part).await?;
        trail.is_for(&admitted.found, &request);
        let trace = trail.context().cloned();
        let status = queue(&service, &identity, &query, &head.headers, request, trace).await?;
        let location = format!("/v1/jobs/{}", status.id);
        let location = HeaderValue::try_from(location).expect("a job's name is plain");
        Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], told(&status)).into_response())
    };
    let submitted = tokio::select! {
        biased;
        submitted = submitted => submitted,
        () = service.closing() => Err(Refusal::shutting_down()),
    };
    trail.end(&submitted);
    submitted.unwrap_or_else(Refusal::into_response)
}

/// Puts a job into the queue.
async fn queue(
    service: &Service,
    identity: &Identity,
    query: &Query,
    headers: &HeaderMap,
    request: InferRequest,
    trace: Option<TraceContext>,
) -> Result<JobStatus, Refusal> {
    let model = query.text("model").unwrap_or_default();
    let handle = service.find(identity, &Target { model: model.to_owned(), version: None })?.handle;
    // What cannot be run is told now, and not when nobody looks any more.
    if let Some(info) = handle.known_info().filter(|info| !info.signature.inputs.is_empty()) {
        info.signature.check(&request.inputs).map_err(|error| Refusal::bad_request(error.to_string()))?;
    }
    let parameters = &request.parameters;
    let mut job = service.jobs().submit(model, request.inputs).priority(match parameters.priority()? {
        // Nobody waits for a job at a screen, unless its client says so.
        None => Priority::Bulk,
        given => terms::priority(given),
    });
    if let Some(caller) = identity.caller() {
        job = job.caller(caller);
    }
    if let Some(trace) = trace {
        job = job.trace(trace);
    }
    if let Some(key) = key(headers)? {
        job = job.key(identity.owned(&key));
    }
    if let Some(timeout) = parameters.timeout()? {
        job = job.timeout(timeout);
    }
    let seconds = "a number of seconds, such as 1.5";
    if let Some(delay) = query.get::<f64>("delay", seconds)? {
        job = job.delay(duration("delay", delay)?);
    }
    if let Some(keep) = query.get::<f64>("keep", seconds)? {
        job = job.keep(duration("keep", keep)?);
    }
    if let Some(attempts) = query.get::<u32>("attempts", "how often it may be tried")? {
        job = job.attempts(attempts);
    }
    Ok(job.await?.status().await?)
}

fn duration(name: &str, seconds: f64) -> Result<Duration, Refusal> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        Refusal::bad_request(format!(
            "`{name}` is `{seconds}`; expected a number of seconds that is not negative"
        ))
    })
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(KEY) else { return Ok(None) };
    match value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_BYTES) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Refusal::bad_request(format!(
            "header `Idempotency-Key` takes 1 to {KEY_BYTES} plain letters"
        ))),
    }
}

/// `GET /v1/jobs`: those that there are, page by page.
async fn list(State(service): State<Service>, identity: Identity, uri: Uri) -> Result<Response, Refusal> {
    identity.may_list_jobs()?;
    let query = Query::of(&uri, &["state", "model", "after", "max", "newest"])?;
    let state = query.text("state").map(|text| {
        JobState::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| {
            let names = JobState::ALL.map(JobState::name).join(", ");
            let shown: String = text.chars().take(80).collect();
            Refusal::bad_request(format!("`state` is `{shown}`; expected one of {names}"))
        })
    });
    let max = query.get("max", "how many are listed")?.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let mut filter = JobFilter::default().with_max(max + 1);
    filter.state = state.transpose()?;
    filter.model = query.text("model").map(Into::into);
    filter.after = query.get("after", "the name of a job")?;
    filter.newest_first = query.get("newest", "true or false")?.unwrap_or(false);
    let mut jobs = service.jobs().list(filter).await?;
    let next = (jobs.len() > max).then(|| jobs[max - 1].id.to_string());
    jobs.truncate(max);
    let jobs: Vec<_> = jobs.iter().map(job_status).collect();
    Ok(written(json!({ "jobs": jobs, "next": next }).to_string().into_bytes()).into_response())
}

/// `GET /v1/jobs/{job}`: how it is doing; with `?wait=SECONDS`, once it has ended or so long after.
async fn status(
    State(service): State<Service>,
    identity: Identity,
    Path(job): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let query = Query::of(&uri, &["wait"])?;
    let job = find(&service, &identity, &job).await?;
    if let Some(wait) = query.get::<f64>("wait", "a number of seconds, such as 1.5")? {
        let wait = duration("wait", wait)?.min(WAIT_MAX);
        let ended = async {
            let mut events = job.events().await?;
            while let Some(status) = events.next().await {
                if status.state.is_final() {
                    break;
                }
            }
            Ok::<_, Refusal>(())
        };
        tokio::select! {
            ended = tokio::time::timeout(wait, ended) => {
                if let Ok(ended) = ended {
                    ended?;
                }
            }
            () = service.draining() => {}
        }
    }
    Ok(told(&job.status().await?))
}

/// `GET /v1/jobs/{job}/result`: as the answer of an inference, once it is there; until then, 202 and how the job is doing.
async fn result(
    State(service): State<Service>,
    identity: Identity,
    Path(job): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let query = Query::of(&uri, &["binary"])?;
    let binary = query.get::<bool>("binary", "true or false")?.unwrap_or(false);
    let job = find(&service, &identity, &job).await?;
    let status = job.status().await?;
    if status.state == JobState::Cancelled {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            format!("job {} was cancelled: it has no result", job.id()),
        ));
    }
    let Some(outputs) = job.result().await? else {
        let retry = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
        return Ok((StatusCode::ACCEPTED, retry, told(&status)).into_response());
    };
    let form = if binary { Form::Binary } else { Form::Json };
    let answered = Answered {
        version: None,
        id: Some(job.id().to_string()),
        forms: vec![form; outputs.len()],
        outputs,
        parameters: Parameters::new(),
        timings: None,
        is_last: true,
    };
    Ok(encode(&service, &status.model, &headers, Frame::Protocol, answered).await?.into_response())
}

/// `DELETE /v1/jobs/{job}`: what waits never begins, what runs is told to stop.
async fn cancel(
    State(service): State<Service>,
    identity: Identity,
    Path(job): Path<String>,
) -> Result<Response, Refusal> {
    let job = find(&service, &identity, &job).await?;
    let cancelled = match job.cancel().await? {
        CancelAnswer::Removed => "removed",
        CancelAnswer::Asked => "asked",
        CancelAnswer::TooLate => {
            return Err(Refusal::new(StatusCode::CONFLICT, format!("job {} has ended already", job.id())));
        }
        CancelAnswer::Unknown => return Err(unknown(&job.id().to_string())),
    };
    let body = json!({ "id": job.id().to_string(), "cancelled": cancelled });
    Ok((StatusCode::ACCEPTED, written(body.to_string().into_bytes())).into_response())
}

/// `GET /v1/jobs/{job}/events`: its states as server-sent events, from now until it has ended.
async fn events(
    State(service): State<Service>,
    identity: Identity,
    Path(job): Path<String>,
) -> Result<Response, Refusal> {
    let job = find(&service, &identity, &job).await?;
    let events = stream::unfold(Some((job.events().await?, service)), next_event);
    let events: Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>> = Box::pin(events);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// The next state of a job. The last one ends the events; so does a server that ends.
async fn next_event(
    watched: Option<(JobEvents, Service)>,
) -> Option<(Result<Event, Infallible>, Option<(JobEvents, Service)>)> {
    let (mut events, service) = watched?;
    let status = tokio::select! {
        biased;
        status = events.next() => status?,
        () = service.draining() => return None,
    };
    let event = Event::default().event("status").id(status.revision.to_string());
    let event = event.data(job_status(&status).to_string());
    let goes_on = !status.state.is_final();
    Some((Ok(event), goes_on.then_some((events, service))))
}

/// A job of a model that they may know of.
async fn find(service: &Service, identity: &Identity, job: &str) -> Result<Job<Tensors>, Refusal> {
    let id: JobId = job.parse().map_err(|_| unknown(job))?;
    let found = service.jobs().attach(id).await?;
    // Whose model is none of theirs hears what whoever guesses names hears.
    identity.may_see(&found.status().await?.model).map_err(|_| unknown(job))?;
    Ok(found)
}

fn unknown(job: &str) -> Refusal {
    let shown: String = job.chars().take(80).collect();
    Refusal::not_found(format!("there is no job `{shown}`; it was never submitted, or is not kept any more"))
}

fn told(status: &JobStatus) -> Response {
    written(job_status(status).to_string().into_bytes()).into_response()
}
