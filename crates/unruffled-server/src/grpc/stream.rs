//! `ModelStreamInfer`: an [exchange](crate::exchange) in messages of gRPC.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use futures_core::Stream;
use futures_util::stream;
use tonic::Status;
use unruffled_model::Name;
use unruffled_protocol::grpc::{
    self, FINAL_RESPONSE, ModelInferResponse, ModelStreamInferResponse, WANTS_FINAL_RESPONSE,
};
use unruffled_protocol::{InferRequest, InferResponse, Parameters};

use super::call::{Call, check_form};
use super::infer::{read, write};
use super::messages::{Message, Messages};
use super::reply::{Pieces, framed, stream_reply};
use super::status::status;
use crate::access::Identity;
use crate::ask::Answered;
use crate::exchange::{Arrived, Asked, Front, Held, answers};
use crate::refusal::Refusal;
use crate::service::{Found, Service};
use crate::spans::Transport;
use crate::trail::incoming;

pub(super) async fn infer(State(service): State<Service>, identity: Identity, request: Request) -> Response {
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    if let Err(refusal) = check_form(&head) {
        return refusal.into_response();
    }
    match Call::new(&head, arrived) {
        Ok(call) => {
            let requests = requests(service.clone(), call, body);
            stream_reply(answers(service, identity, call, incoming(&head.headers), requests))
        }
        Err(refusal) => status(refusal).into_http(),
    }
}

/// The requests of the client, as they come. The error that makes the rest unreadable, or the end of the server, is the last.
///
/// Each is read before the next, large ones too, so that they are asked in their order: sequences go by it.
fn requests(
    service: Service,
    call: Call,
    body: Body,
) -> impl Stream<Item = Result<Arrived<String>, Refusal>> + Send + 'static {
    let messages = Messages::new(body, &call, service.options().body_limit());
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

async fn arrived(service: &Service, call: &Call, message: Message) -> Arrived<String> {
    let (at, mut mark) = (Instant::now(), String::new());
    let asked = async {
        let place = service.enter()?;
        let (received, part) = call.in_time(read(service, message)).await?;
        mark = received.id;
        let (target, request) = received.asked?;
        Ok(Asked { target, request, held: Held { _part: part, _place: place, _busy: None } })
    };
    let asked = asked.await;
    Arrived { at, mark, asked }
}

impl Front for Call {
    /// The id of the request.
    type Mark = String;
    /// An answer, framed; an error ends the whole call.
    type Told = Result<Pieces, Status>;

    const TRANSPORT: Transport = Transport::Grpc;

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    async fn answer(
        &self,
        service: &Service,
        model: &Name,
        _: &String,
        mut answered: Answered,
    ) -> Result<Self::Told, Refusal> {
        answered.parameters.insert(FINAL_RESPONSE, answered.is_last);
        Ok(Ok(framed(grpc::encode_stream_response(write(service, model, answered).await?))?))
    }

    fn refusal(&self, id: &String, refusal: Refusal) -> Self::Told {
        if self.ends_by_error {
            return Err(status(refusal));
        }
        let (_, error_message, _) = refusal.into_parts();
        let response = ModelInferResponse { id: id.clone(), ..ModelInferResponse::default() };
        let message = ModelStreamInferResponse { error_message, infer_response: Some(response) };
        framed(vec![grpc::encode(&message).into()]).map_err(status)
    }

    /// An answer without outputs, which only says that it is the last.
    fn end(&self, found: &Found, request: &InferRequest, _: &String) -> Result<Option<Self::Told>, Refusal> {
        if request.parameters.bool(WANTS_FINAL_RESPONSE)? != Some(true) {
            return Ok(None);
        }
        let parameters = Parameters::new().with(FINAL_RESPONSE, true);
        let (name, version) = (found.handle.name(), found.version.as_deref());
        let (id, none) = (request.id.as_deref(), std::iter::empty());
        let end = InferResponse::write_grpc(name, version, id, &parameters, none)?;
        Ok(Some(Ok(framed(grpc::encode_stream_response(end))?)))
    }

    fn broken(&self, refusal: Refusal) -> Self::Told {
        Err(status(refusal))
    }
}
