//! `ModelStreamInfer`: requests come one after the other, and so do their answers, in the same order.
//!
//! So many requests are at work at a time, and no further one is read before the first of them is answered and its answer
//! taken: a client that sends faster than it reads is held back by its own connection.

use std::mem::take;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use futures_core::Stream;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use unruffled_model::{Name, TraceContext};
use unruffled_protocol::grpc::{
    self, FINAL_RESPONSE, ModelInferResponse, ModelStreamInferResponse, WANTS_FINAL_RESPONSE,
};
use unruffled_protocol::{InferResponse, Parameters};

use super::call::{Call, check_form};
use super::infer::{Received, read, write};
use super::messages::{Message, Messages};
use super::reply::{Pieces, framed, stream_reply};
use super::status::status;
use crate::access::Identity;
use crate::ask::{Answered, ask_each, has_one_answer};
use crate::budget::Part;
use crate::partial::{self, ask_rows};
use crate::refusal::Refusal;
use crate::service::{Found, Service};
use crate::spans::{Operation, Transport};
use crate::terms::Terms;
use crate::trail::{Trail, incoming};

/// The answers to one request, framed; an error ends the whole call.
type Answers = BoxStream<'static, Result<Pieces, Status>>;

/// What a request holds until its last answer is taken.
type Held = (Part, OwnedSemaphorePermit);

pub(super) async fn infer(State(service): State<Service>, identity: Identity, request: Request) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    if let Err(refusal) = check_form(&head) {
        return refusal.into_response();
    }
    match Call::new(&head, arrived) {
        Ok(call) => stream_reply(answers(service, identity, call, incoming(&head.headers), body)),
        Err(refusal) => status(refusal).into_http(),
    }
}

fn answers(
    service: Service,
    identity: Identity,
    call: Call,
    trace: Option<TraceContext>,
    body: Body,
) -> impl Stream<Item = Result<Pieces, Status>> + Send + 'static {
    let options = service.options();
    let (messages, at_once) = (Messages::new(body, &call, options.body_limit()), options.stream_requests);
    requests(service.clone(), call, messages)
        .map(move |request| {
            let (service, identity, trace) = (service.clone(), identity.clone(), trace.clone());
            async move {
                match request {
                    Ok(request) => answer(service, identity, call, trace, request).await,
                    // Nothing after it can be understood.
                    Err(refusal) => stream::once(async { Err(status(refusal)) }).boxed(),
                }
            }
        })
        .buffered(at_once)
        .flatten()
}

/// A request that was read.
struct Arrived {
    at: Instant,
    received: Received,
    held: Held,
}

/// The requests of the client, as they come; what is wrong with one concerns no other. The error that makes the rest
/// unreadable, or the end of the server, is the last.
///
/// Each is read before the next, large ones too, so that they are asked in their order: sequences go by it.
fn requests(
    service: Service,
    call: Call,
    messages: Messages,
) -> impl Stream<Item = Result<Result<Arrived, Refusal>, Refusal>> + Send + 'static {
    stream::unfold(Some(messages), move |messages| {
        let service = service.clone();
        async move {
            let mut messages = messages?;
            let message = tokio::select! {
                // The end goes first, so that who never stops sending cannot put it off.
                biased;
                () = service.draining() => Err(Refusal::shutting_down()),
                message = messages.next(&service) => message.transpose()?,
            };
            Some(match message {
                Ok(message) => (Ok(arrived(&service, &call, message).await), Some(messages)),
                Err(refusal) => (Err(refusal), None),
            })
        }
    })
}

async fn arrived(service: &Service, call: &Call, message: Message) -> Result<Arrived, Refusal> {
    let at = Instant::now();
    let place = service.enter()?;
    let (received, part) = call.in_time(read(service, message)).await?;
    Ok(Arrived { at, received, held: (part, place) })
}

/// Everything that is answered to one request. An error is an answer too: the next request is another one.
async fn answer(
    service: Service,
    identity: Identity,
    call: Call,
    trace: Option<TraceContext>,
    request: Result<Arrived, Refusal>,
) -> Answers {
    let mut id = String::new();
    let arrived = request.as_ref().map_or_else(|_| Instant::now(), |request| request.at);
    let mut trail = Trail::new(&service, trace, arrived, Operation::Infer, Transport::Grpc);
    let begun = match request {
        Err(refusal) => Err(refusal),
        Ok(request) => {
            id.clone_from(&request.received.id);
            tokio::select! {
                biased;
                begun = begin(&service, &identity, &call, request, &mut trail) => begun,
                () = service.closing() => Err(Refusal::shutting_down()),
            }
        }
    };
    begun.unwrap_or_else(|refusal| {
        trail.refused(&refusal);
        let answer = refused(&call, id, refusal);
        stream::once(async { answer }).boxed()
    })
}

/// An answer that is an error.
fn refused(call: &Call, id: String, refusal: Refusal) -> Result<Pieces, Status> {
    if call.ends_by_error {
        return Err(status(refusal));
    }
    let (_, error_message, _) = refusal.into_parts();
    let message = ModelStreamInferResponse {
        error_message,
        infer_response: Some(ModelInferResponse { id, ..ModelInferResponse::default() }),
    };
    framed(vec![grpc::encode(&message).into()]).map_err(status)
}

async fn begin(
    service: &Service,
    identity: &Identity,
    call: &Call,
    request: Arrived,
    trail: &mut Trail,
) -> Result<Answers, Refusal> {
    let Arrived { at, received: Received { id, asked }, held } = request;
    let (target, request) = asked?;
    let found = service.find(identity, &target)?;
    trail.is_for(&found, &request);
    let terms = Terms::new(&request.parameters, call.deadline, at)?.traced(trail.context());
    let wants_final = request.parameters.bool(WANTS_FINAL_RESPONSE)?.unwrap_or(false);
    if found.handle.known_info().is_none() {
        call.in_time(async { Ok(found.handle.ready().await?) }).await?;
    }
    trail.asks(&terms);
    if has_one_answer(&found, &request)? || partial::is_wanted(&request)? {
        let answered = ask_rows(service, &found, request, &terms).await?;
        trail.answered(&answered);
        let answer = written(service, found.handle.name(), answered).await?;
        trail.end(&Ok(()));
        return Ok(stream::once(async move {
            let _held = held;
            Ok(answer)
        })
        .boxed());
    }
    let mut several = Several {
        service: service.clone(),
        call: *call,
        id,
        name: found.handle.name().clone(),
        end: wants_final.then(|| empty(&found, request.id.as_deref())),
        each: ask_each(service.clone(), found, request, &terms)?.boxed(),
        trail: take(trail),
        is_over: false,
        _held: held,
    };
    // Requests are at work side by side until their first answers: most have no other.
    let first = several.next().await;
    let rest = stream::unfold(several, async |mut several| Some((several.next().await?, several)));
    Ok(stream::iter(first).chain(rest).boxed())
}

/// The answers to a request whose model may give several outputs.
struct Several {
    service: Service,
    call: Call,
    id: String,
    name: Name,
    each: BoxStream<'static, Result<Answered, Refusal>>,
    /// What tells the end, if the last output did not.
    end: Option<ModelInferResponse>,
    trail: Trail,
    is_over: bool,
    _held: Held,
}

impl Several {
    async fn next(&mut self) -> Option<Result<Pieces, Status>> {
        if self.is_over {
            return None;
        }
        let answered = tokio::select! {
            biased;
            answered = self.each.next() => answered.transpose(),
            () = self.service.closing() => Err(Refusal::shutting_down()),
        };
        let answer = match answered {
            Ok(Some(answered)) => {
                self.is_over = answered.is_last;
                self.trail.answered(&answered);
                written(&self.service, &self.name, answered).await
            }
            Ok(None) => {
                self.is_over = true;
                match self.end.take() {
                    Some(end) => framed(grpc::encode_stream_response(end)),
                    None => {
                        self.trail.end(&Ok(()));
                        return None;
                    }
                }
            }
            Err(refusal) => Err(refusal),
        };
        if self.is_over && answer.is_ok() {
            self.trail.end(&answer);
        }
        Some(answer.or_else(|refusal| {
            self.is_over = true;
            self.trail.refused(&refusal);
            refused(&self.call, self.id.clone(), refusal)
        }))
    }
}

/// An answer without outputs, which only says that it is the last.
fn empty(found: &Found, id: Option<&str>) -> ModelInferResponse {
    let parameters = Parameters::new().with(FINAL_RESPONSE, true);
    let (name, version) = (found.handle.name(), found.version.as_deref());
    let written = InferResponse::write_grpc(name, version, id, &parameters, std::iter::empty());
    written.expect("there is no output that could not be written")
}

async fn written(service: &Service, name: &Name, mut answered: Answered) -> Result<Pieces, Refusal> {
    answered.parameters.insert(FINAL_RESPONSE, answered.is_last);
    framed(grpc::encode_stream_response(write(service, name, answered).await?))
}
