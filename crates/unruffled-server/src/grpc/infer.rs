//! `ModelInfer`: decode, ask the engine, encode.
//!
//! Everything is in one future: when the client cancels or goes, it is dropped, and with it the request in the engine.

use std::mem::take;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use unruffled_model::{DType, Name, Tensor};
use unruffled_protocol::grpc::{self, ModelInferRequest, ModelInferResponse};
use unruffled_protocol::{Form, InferRequest, InferResponse, Limits};

use super::about::target;
use super::call::{Call, check_form};
use super::messages::{Message, Messages};
use super::reply::{Pieces, reply};
use super::unary::only;
use crate::access::Identity;
use crate::ask::Answered;
use crate::budget::Part;
use crate::partial::ask_rows;
use crate::refusal::Refusal;
use crate::reply::place;
use crate::service::{Service, Target};
use crate::shared_memory::Reader;
use crate::spans::{Operation, Transport};
use crate::terms::Terms;
use crate::trail::{Trail, incoming};

pub(super) async fn infer(State(service): State<Service>, identity: Identity, request: Request) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    if let Err(refusal) = check_form(&head) {
        return refusal.into_response();
    }
    let mut trail = Trail::new(&service, incoming(&head.headers), arrived, Operation::Infer, Transport::Grpc);
    let outcome = async {
        let call = Call::new(&head, arrived)?;
        let _place = service.enter()?;
        let messages = Messages::new(body, &call, service.options().body_limit());
        tokio::select! {
            // An answer that is there goes out, also in the last moment.
            biased;
            answer = answer(&service, &identity, &call, messages, &mut trail) => answer,
            () = service.closing() => Err(Refusal::shutting_down()),
        }
    };
    let outcome = outcome.await;
    trail.end(&outcome);
    reply(outcome)
}

async fn answer(
    service: &Service,
    identity: &Identity,
    call: &Call,
    mut messages: Messages,
    trail: &mut Trail,
) -> Result<Pieces, Refusal> {
    let message = only(&mut messages, call, service).await?;
    let (Received { asked, .. }, _part) = call.in_time(read(service, message)).await?;
    let (target, request) = asked?;
    let found = service.find(identity, &target)?;
    trail.is_for(&found, &request);
    let terms = Terms::new(&request.parameters, call.deadline, call.arrived)?.traced(trail.context());
    trail.asks(&terms);
    let answered = ask_rows(service, &found, request, &terms).await?;
    trail.answered(&answered);
    Ok(grpc::encode_response(write(service, found.handle.name(), answered).await?))
}

/// What came in one message.
pub(super) struct Received {
    pub(super) id: String,
    /// The request, and whom it is for.
    pub(super) asked: Result<(Target, InferRequest), Refusal>,
}

/// Reads a request. What it holds of the budget is for as long as there is no answer: it is of the size of its message.
pub(super) async fn read(service: &Service, message: Message) -> Result<(Received, Part), Refusal> {
    let (memory, limit) = (service.shared_memory().clone(), service.options().body_limit());
    let read = move |message: Bytes, part: &mut Part| {
        let message = grpc::read_request(message, &Limits::default())?;
        let id = message.id.clone();
        Ok(Received { id, asked: asked(message, &Reader::new(&memory, limit, part)) })
    };
    message.read(service, read).await
}

fn asked(mut message: ModelInferRequest, memory: &Reader<'_>) -> Result<(Target, InferRequest), Refusal> {
    let target = target(take(&mut message.model_name), take(&mut message.model_version))?;
    Ok((target, InferRequest::from_grpc(message, memory, &Limits::default())?))
}

/// The message of an answer. Numbers stay where they lie; what is copied, if it is much, is copied off the event loop.
pub(super) async fn write(
    service: &Service,
    name: &Name,
    answered: Answered,
) -> Result<ModelInferResponse, Refusal> {
    let is_copied =
        |tensor: &Tensor, form: &Form| tensor.dtype() == DType::Bytes || matches!(form, Form::Shared(_));
    let outputs = answered.outputs.iter().zip(&answered.forms);
    let copied = outputs.filter(|((_, tensor), form)| is_copied(tensor, form));
    let copied = copied.map(|((_, tensor), _)| tensor.byte_len()).sum();
    let (name, memory) = (name.clone(), service.shared_memory().clone());
    let write = move || {
        let Answered { version, id, outputs, forms, parameters, .. } = answered;
        let forms = place(&outputs, forms, &memory)?;
        let outputs = outputs.iter().zip(&forms).map(|((name, tensor), form)| (name, tensor, form));
        let (version, id) = (version.as_deref(), id.as_deref());
        Ok(InferResponse::write_grpc(&name, version, id, &parameters, outputs)?)
    };
    service.offload().run(copied, write).await?
}
