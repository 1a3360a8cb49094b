//! `ModelStreamInfer`: requests come one after the other, and so do their answers, in the same order.
//!
//! So many requests are at work at a time, and no further one is read before the first of them is answered and its answer
//! taken: a client that sends faster than it reads is held back by its own connection.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use futures_core::Stream;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use unruffled_model::Name;
use unruffled_protocol::grpc::{
    self, FINAL_RESPONSE, ModelInferResponse, ModelStreamInferResponse, WANTS_FINAL_RESPONSE,
};
use unruffled_protocol::{InferResponse, Parameters};

use super::call::{Call, check_form};
use super::infer::{Received, closing, read, write};
use super::messages::{Message, Messages};
use super::reply::{Pieces, framed, stream_reply};
use super::status::status;
use crate::ask::{Answered, ask_each, has_one_answer};
use crate::budget::Part;
use crate::partial::ask_rows;
use crate::refusal::Refusal;
use crate::service::{Found, Service};
use crate::terms::Terms;

/// The answers to one request, framed; an error ends the whole call.
type Answers = BoxStream<'static, Result<Pieces, Status>>;

/// What a request holds until its last answer is taken.
type Held = (Part, OwnedSemaphorePermit);

pub(super) async fn infer(State(service): State<Service>, request: Request) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    if let Err(refusal) = check_form(&head) {
        return refusal.into_response();
    }
    match Call::new(&head, arrived) {
        Ok(call) => stream_reply(answers(service, call, body)),
        Err(refusal) => status(refusal).into_http(),
    }
}

fn answers(
    service: Service,
    call: Call,
    body: Body,
) -> impl Stream<Item = Result<Pieces, Status>> + Send + 'static {
    let options = service.options();
    let (messages, at_once) = (Messages::new(body, &call, options.body_limit()), options.stream_requests);
    requests(service.clone(), messages)
        .map(move |message| {
            let service = service.clone();
            async move {
                match message {
                    Ok(message) => answer(service, call, message).await,
                    // Nothing after it can be understood.
                    Err(refusal) => stream::once(async { Err(status(refusal)) }).boxed(),
                }
            }
        })
        .buffered(at_once)
        .flatten()
}

/// The messages of the client, as they come; the error that makes the rest unreadable, or the end of the server, is the last.
fn requests(
    service: Service,
    messages: Messages,
) -> impl Stream<Item = Result<Message, Refusal>> + Send + 'static {
    stream::unfold(Some(messages), move |messages| {
        let service = service.clone();
        async move {
            let mut messages = messages?;
            let message = tokio::select! {
                // The end goes first, so that who never stops sending cannot put it off.
                biased;
                () = service.draining() => Err(closing()),
                message = messages.next(&service) => message.transpose()?,
            };
            let messages = message.is_ok().then_some(messages);
            Some((message, messages))
        }
    })
}

/// Everything that is answered to one request. An error is an answer too: the next request is another one.
async fn answer(service: Service, call: Call, message: Message) -> Answers {
    let mut id = String::new();
    let begun = tokio::select! {
        biased;
        begun = begin(&service, &call, message, &mut id) => begun,
        () = service.closing() => Err(closing()),
    };
    begun.unwrap_or_else(|refusal| {
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
    call: &Call,
    message: Message,
    id: &mut String,
) -> Result<Answers, Refusal> {
    let arrived = Instant::now();
    let place = service.enter()?;
    let (Received { id: given, asked }, part) = call.in_time(read(service, message)).await?;
    *id = given;
    let (target, request) = asked?;
    let found = service.find(&target)?;
    let terms = Terms::new(&request.parameters, call.deadline, arrived)?;
    let wants_final = request.parameters.bool(WANTS_FINAL_RESPONSE)?.unwrap_or(false);
    if found.handle.known_info().is_none() {
        call.in_time(async { Ok(found.handle.ready().await?) }).await?;
    }
    let held = (part, place);
    if has_one_answer(&found, &request)? {
        let answered = ask_rows(service, &found, request, &terms).await?;
        let answer = written(service, found.handle.name(), answered).await?;
        return Ok(stream::once(async move {
            let _held = held;
            Ok(answer)
        })
        .boxed());
    }
    let mut several = Several {
        service: service.clone(),
        call: *call,
        id: id.clone(),
        name: found.handle.name().clone(),
        end: wants_final.then(|| empty(&found, request.id.clone())),
        each: ask_each(service.clone(), found, request, &terms)?.boxed(),
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
            () = self.service.closing() => Err(closing()),
        };
        let answer = match answered {
            Ok(Some(answered)) => {
                self.is_over = answered.is_last;
                written(&self.service, &self.name, answered).await
            }
            Ok(None) => {
                self.is_over = true;
                framed(grpc::encode_stream_response(self.end.take()?))
            }
            Err(refusal) => Err(refusal),
        };
        Some(answer.or_else(|refusal| {
            self.is_over = true;
            refused(&self.call, self.id.clone(), refusal)
        }))
    }
}

/// An answer without outputs, which only says that it is the last.
fn empty(found: &Found, id: Option<String>) -> ModelInferResponse {
    let parameters = Parameters::new().with(FINAL_RESPONSE, true);
    let (name, version) = (found.handle.name(), found.version.as_deref());
    let written = InferResponse::write_grpc(name, version, id.as_deref(), &parameters, std::iter::empty());
    written.expect("there is no output that could not be written")
}

async fn written(service: &Service, name: &Name, mut answered: Answered) -> Result<Pieces, Refusal> {
    answered.parameters.insert(FINAL_RESPONSE, answered.is_last);
    framed(grpc::encode_stream_response(write(service, name, answered).await?))
}
