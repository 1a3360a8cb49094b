//! `ModelInfer`: decode, ask the engine, encode.
//!
//! Everything is in one future: when the client cancels or goes, it is dropped, and with it the request in the engine.

use std::iter::repeat;
use std::mem::take;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use unruffled_engine::{Error, ErrorKind};
use unruffled_model::{DType, Name};
use unruffled_protocol::grpc::{self, ModelInferRequest, ModelInferResponse};
use unruffled_protocol::{Form, InferRequest, InferResponse, Limits, NoRegions};

use super::about::target;
use super::call::{Call, check_form};
use super::messages::{Message, Messages};
use super::reply::{Pieces, reply};
use super::unary::only;
use crate::ask::{Answered, ask};
use crate::budget::Part;
use crate::refusal::Refusal;
use crate::service::{Service, Target};
use crate::terms::Terms;

pub(super) async fn infer(State(service): State<Service>, request: Request) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    if let Err(refusal) = check_form(&head) {
        return refusal.into_response();
    }
    let outcome = async {
        let call = Call::new(&head, arrived)?;
        let _place = service.enter()?;
        let messages = Messages::new(body, &call, service.options().body_limit());
        tokio::select! {
            // An answer that is there goes out, also in the last moment.
            biased;
            answer = answer(&service, &call, messages) => answer,
            () = service.closing() => Err(closing()),
        }
    };
    reply(outcome.await)
}

/// What is told to those whose answer would come too late.
pub(super) fn closing() -> Refusal {
    Refusal::from(Error::new(ErrorKind::ShuttingDown, "the server is shutting down"))
}

async fn answer(service: &Service, call: &Call, mut messages: Messages) -> Result<Pieces, Refusal> {
    let message = only(&mut messages, call, service).await?;
    let (Received { asked, .. }, _part) = call.in_time(read(service, message)).await?;
    let Asked { target, request, forms } = asked?;
    let found = service.find(&target)?;
    let terms = Terms::new(&request.parameters, call.deadline, call.arrived)?;
    let answered = ask(&found, request, &terms).await?;
    Ok(grpc::encode_response(write(service, found.handle.name(), answered, forms).await?))
}

/// What came in one message.
pub(super) struct Received {
    pub(super) id: String,
    pub(super) asked: Result<Asked, Refusal>,
}

/// A request, and whom it is for.
pub(super) struct Asked {
    pub(super) target: Target,
    pub(super) request: InferRequest,
    /// Where each output goes that is asked for by name.
    pub(super) forms: Vec<Form>,
}

/// Reads a request. What it holds of the budget is for as long as there is no answer: it is of the size of its message.
pub(super) async fn read(service: &Service, message: Message) -> Result<(Received, Part), Refusal> {
    let read = |message: Bytes| {
        let message = grpc::read_request(message, &Limits::default())?;
        Ok(Received { id: message.id.clone(), asked: asked(message) })
    };
    message.read(service, read).await
}

fn asked(mut message: ModelInferRequest) -> Result<Asked, Refusal> {
    let (model, version) = (take(&mut message.model_name), take(&mut message.model_version));
    let request = InferRequest::from_grpc(message, &NoRegions, &Limits::default())?;
    let forms = request.forms(request.outputs.len())?;
    if forms.iter().any(|form| matches!(form, Form::Shared(_))) {
        let message = "outputs in shared memory are not supported over gRPC yet; leave the parameters out";
        return Err(Refusal::unsupported(message));
    }
    for output in &request.outputs {
        if output.classes()?.is_some() {
            let message = "classification is not supported over gRPC yet; leave the parameter out";
            return Err(Refusal::unsupported(message));
        }
    }
    Ok(Asked { target: target(model, version)?, request, forms })
}

/// The message of an answer. Numbers stay where they lie; byte strings are copied, many of them off the event loop.
pub(super) async fn write(
    service: &Service,
    name: &Name,
    answered: Answered,
    forms: Vec<Form>,
) -> Result<ModelInferResponse, Refusal> {
    let strings = answered.outputs.iter().filter(|(_, tensor)| tensor.dtype() == DType::Bytes);
    let copied = strings.map(|(_, tensor)| tensor.byte_len()).sum();
    let name = name.clone();
    let write = move || {
        let Answered { version, id, outputs, parameters, .. } = answered;
        let forms = forms.iter().chain(repeat(&Form::Binary));
        let outputs = outputs.iter().zip(forms).map(|((name, tensor), form)| (name, tensor, form));
        InferResponse::write_grpc(&name, version.as_deref(), id.as_deref(), &parameters, outputs)
    };
    Ok(service.offload().run(copied, write).await??)
}
