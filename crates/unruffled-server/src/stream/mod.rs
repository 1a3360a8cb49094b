//! Requests that come one by one, and their answers as they are there: lines in, lines or server-sent events out; or both
//! over a WebSocket. Closing it cancels what is under way.

mod front;
mod lines;

mod socket;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::sync::Notify;

use self::front::{Mark, Texts, Told};
use self::lines::{End, Lines};
use self::socket::socket;
use crate::access::Identity;
use crate::body;
use crate::endpoint::{EndPoint, events, get, post};
use crate::exchange::{Arrived, Asked, Held, answers};
use crate::intake::{Received, admit, receive};
use crate::refusal::Refusal;
use crate::service::{Service, Target};
use crate::terms::{self, SUPERSEDE_PARAMETER};
use crate::trail::incoming;

/// The content type of lines of JSON.
const LINES: &str = "application/x-ndjson";

/// The content type of server-sent events.
const EVENTS: &str = "text/event-stream";

/// The end points of this module.
pub(crate) fn end_points() -> Vec<EndPoint> {
    let texts = json!({ "type": "string" });
    let lines = json!({ "type": "string", "examples": ["{\"x\": [1, 2.5]}\n{\"x\": [3, 4]}\n"] });
    vec![
        post("/v2/models/{model}/generate_stream", generate_stream)
            .says("Inference", "Asks a model in plain values; its outputs come as events, one by one.")
            .versioned()
            .asks_a_model()
            .takes("GenerateRequest")
            .gives_as(200, "An event for each output", &[events("GenerateResponse")]),
        post("/v2/models/{model}/stream", stream)
            .says("Inference", "Requests in lines of JSON, answered in their order as they come; in events if they are accepted.")
            .versioned()
            .asks_a_model()
            .takes_as(LINES, lines)
            .gives_as(200, "Lines or events: answers, or errors", &[(LINES, texts), events("InferResponse")]),
        get("/v2/models/{model}/stream", socket)
            .says("Inference", "The same over a WebSocket.")
            .versioned()
            .asks_a_model()
            .gives_as(101, "The connection becomes a WebSocket", &[])
            .refuses(&[415, 426]),
    ]
}

/// `POST /v2/models/{model}/stream`: a request in each line, answered in their order.
async fn stream(
    State(service): State<Service>,
    identity: Identity,
    target: Result<Target, Refusal>,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    match begin(service, identity, target, &head.headers, arrived) {
        Ok(front) => write(lines(front, body), wants_events(&head.headers)),
        Err(refusal) => body::refuse(refusal, &head.headers, body).await,
    }
}

/// Refuses what can be refused before anything is read.
fn begin(
    service: Service,
    identity: Identity,
    target: Result<Target, Refusal>,
    headers: &HeaderMap,
    arrived: Instant,
) -> Result<Texts, Refusal> {
    let target = target?;
    identity.may_infer(&target.model)?;
    service.find(&identity, &target)?;
    if headers.contains_key(header::CONTENT_ENCODING) {
        let message = "a stream of requests is not compressed; leave `Content-Encoding` out";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let deadline = terms::header_deadline(headers, arrived)?;
    Ok(Texts { service, identity, target, deadline, trace: incoming(headers), takes_binary: false })
}

/// The answers to the lines of a body.
fn lines(front: Texts, body: Body) -> impl Stream<Item = Told> + Send + 'static {
    let gone = Arc::new(Notify::new());
    let lines = Lines::new(body, front.service.options().body_limit());
    let (reader, tell) = (front.clone(), Arc::clone(&gone));
    let requests = stream::unfold(Some(lines), move |lines| {
        let (reader, tell) = (reader.clone(), Arc::clone(&tell));
        async move {
            let mut lines = lines?;
            let line = tokio::select! {
                // The end goes first, so that who never stops sending cannot put it off.
                biased;
                () = reader.service.draining() => Err(End::Refused(Refusal::shutting_down())),
                line = lines.next(&reader.service) => line,
            };
            match line {
                Ok((line, part)) => {
                    let arrived = reader.arrived(line, bytes::Bytes::new(), part, None).await;
                    Some((Ok(arrived), Some(lines)))
                }
                Err(End::Ended) => None,
                Err(End::Refused(refusal)) => Some((Err(refusal), None)),
                Err(End::Gone) => {
                    tell.notify_one();
                    std::future::pending().await
                }
            }
        }
    });
    // Who has gone wants no answers.
    told(front, requests).take_until(async move { gone.notified().await })
}

/// The answers to requests, wherever they come from.
fn told(
    front: Texts,
    requests: impl Stream<Item = Result<Arrived<Mark>, Refusal>> + Send + 'static,
) -> impl Stream<Item = Told> + Send + 'static {
    let (service, identity, trace) = (front.service.clone(), front.identity.clone(), front.trace.clone());
    answers(service, identity, front, trace, requests)
}

/// `POST /v2/models/{model}/generate_stream`: one request in plain values, and all that the model gives as events.
async fn generate_stream(
    State(service): State<Service>,
    identity: Identity,
    target: Result<Target, Refusal>,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    let admitted = target.and_then(|target| {
        identity.may_infer(&target.model)?;
        let (admitted, part) = admit(&service, &identity, &target, &head.headers, &body, arrived)?;
        Ok((target, admitted.plain(), part))
    });
    let (target, admitted, part) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => return body::refuse(refusal, &head.headers, body).await,
    };
    let begun = async {
        let Received { mut request, frame, held: (part, place) } =
            receive(&service, &admitted, body, part).await?;
        if let Some(key) = &admitted.supersede {
            request.parameters.insert(SUPERSEDE_PARAMETER, &**key);
        }
        let mark = Mark::of(&request, frame)?;
        let held = Held { _part: part, _place: place, _busy: None };
        let asked = Ok(Asked { target: target.clone(), request, held });
        let request = Arrived { at: arrived, mark, asked };
        let deadline = admitted.deadline;
        let front = Texts {
            service: service.clone(),
            identity: identity.clone(),
            target,
            deadline,
            trace: incoming(&head.headers),
            takes_binary: false,
        };
        let requests = stream::once(async { Ok(request) });
        let mut told = Box::pin(told(front, requests));
        // What goes wrong at once is told by the status.
        let first = match told.next().await {
            Some(Told { outcome: Err(refusal), .. }) => return Err(refusal),
            first => first,
        };
        Ok(write(stream::iter(first).chain(told), true))
    };
    let begun: Result<Response, Refusal> = tokio::select! {
        // An answer that is there goes out, also in the last moment.
        biased;
        begun = begun => begun,
        () = service.closing() => Err(Refusal::shutting_down()),
    };
    begun.unwrap_or_else(Refusal::into_response)
}

/// Whether server-sent events are wanted.
fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with(EVENTS))
}

/// Sends answers as they come.
fn write(told: impl Stream<Item = Told> + Send + 'static, as_events: bool) -> Response {
    let texts = told.map(|told| told.into_body().bytes);
    if as_events {
        let events = texts.map(|text| {
            // JSON has no line breaks of its own.
            Ok::<_, Infallible>(Event::default().data(String::from_utf8_lossy(&text)))
        });
        return Sse::new(events).keep_alive(KeepAlive::default()).into_response();
    }
    let lines = texts.map(|mut text| {
        text.push(b'\n');
        Ok::<_, Infallible>(text)
    });
    ([(header::CONTENT_TYPE, LINES), (header::CACHE_CONTROL, "no-cache")], Body::from_stream(lines))
        .into_response()
}
