//! `POST /v2/models/{model}/infer`: decode, ask the engine, encode; and `/generate`, the same in plain values.
//!
//! Everything is in one future: when the client goes, the HTTP server drops it, and with it the request in the engine.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use unruffled_engine::Timings;

use crate::access::Identity;
use crate::body;
use crate::budget::Part;
use crate::endpoint::{EndPoint, JSON, post, schema};
use crate::intake::{Admitted, Received, admit, receive};
use crate::partial::ask_rows;
use crate::refusal::Refusal;
use crate::reply::encode;
use crate::service::{Service, Target};
use crate::spans::{Operation, Transport};
use crate::terms::Terms;
use crate::trail::{Trail, incoming};

/// The end points of this module.
pub(crate) fn end_points() -> Vec<EndPoint> {
    let binary = ("application/octet-stream", json!({ "type": "string", "format": "binary" }));
    let supersede = || json!({ "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[ -~]+$" });
    let of_supersede = "Older requests to the model under this name are cancelled.";
    vec![
        post("/v2/models/{model}/infer", infer)
            .says("Inference", "Asks a model: tensors as JSON, or behind it in binary.")
            .versioned()
            .asks_a_model()
            .takes("InferRequest")
            .takes_as(binary.0, binary.1.clone())
            .header("X-Unruffled-Supersede", supersede(), of_supersede)
            .gives_as(200, "The model's outputs", &[(JSON, schema("InferResponse")), binary]),
        post("/v2/models/{model}/generate", generate)
            .says("Inference", "Asks a model in plain values, and is answered so.")
            .versioned()
            .asks_a_model()
            .takes("GenerateRequest")
            .header("X-Unruffled-Supersede", supersede(), of_supersede)
            .gives("The model's outputs", "GenerateResponse"),
    ]
}

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

pub(crate) async fn infer(
    State(service): State<Service>,
    identity: Identity,
    target: Result<Target, Refusal>,
    request: Request,
) -> Response {
    respond(&service, &identity, target, request, |admitted| admitted).await
}

pub(crate) async fn generate(
    State(service): State<Service>,
    identity: Identity,
    target: Result<Target, Refusal>,
    request: Request,
) -> Response {
    respond(&service, &identity, target, request, Admitted::plain).await
}

async fn respond(
    service: &Service,
    identity: &Identity,
    target: Result<Target, Refusal>,
    request: Request,
    read_as: impl FnOnce(Admitted) -> Admitted,
) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    let mut trail = Trail::new(service, incoming(&head.headers), arrived, Operation::Infer, Transport::Http);
    let admitted = target.and_then(|target| {
        identity.may_infer(&target.model)?;
        admit(service, identity, &target, &head.headers, &body, arrived)
    });
    let (admitted, part) = match admitted {
        Ok((admitted, part)) => (read_as(admitted), part),
        Err(refusal) => {
            trail.refused(&refusal);
            return body::refuse(refusal, &head.headers, body).await;
        }
    };
    let answer = tokio::select! {
        // An answer that is there goes out, also in the last moment.
        biased;
        answer = answer(service, &admitted, body, part, &mut trail) => answer,
        () = service.closing() => Err(Refusal::shutting_down()),
    };
    trail.end(&answer);
    answer.unwrap_or_else(Refusal::into_response)
}

/// Takes the body in, has the model answer, writes what it says.
async fn answer(
    service: &Service,
    admitted: &Admitted,
    body: Body,
    part: Part,
    trail: &mut Trail,
) -> Result<Response, Refusal> {
    let Admitted { found, arrived, .. } = admitted;
    let Received { request, frame, held: _held } = receive(service, admitted, body, part).await?;
    trail.is_for(found, &request);
    let terms = Terms::new(&request.parameters, admitted.deadline, *arrived)?
        .superseding(admitted.supersede.clone())
        .traced(trail.context());
    trail.asks(&terms);
    let answered = ask_rows(service, found, request, &terms).await?;
    trail.answered(&answered);
    let timing = answered.timings.as_ref().map(server_timing);
    let mut response =
        encode(service, found.handle.name(), &admitted.accepts, frame, answered).await?.into_response();
    if let Some(timing) = timing {
        response.headers_mut().insert(SERVER_TIMING, timing);
    }
    Ok(response)
}

/// Where the time went, for people with the developer tools of a browser open: milliseconds.
fn server_timing(timings: &Timings) -> HeaderValue {
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let Timings { batch_requests, batch_rows, instance, .. } = timings;
    let text = format!(
        "queue;dur={:.3}, run;dur={:.3};desc=\"{batch_requests} requests, {batch_rows} rows, instance {instance}\"",
        millis(timings.queue),
        millis(timings.run),
    );
    HeaderValue::try_from(text).expect("figures are plain")
}
