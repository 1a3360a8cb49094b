//! Calls of one small message there and one back.

use std::time::Instant;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use prost::Message;
use tokio::time::timeout_at;
use unruffled_protocol::grpc;

use super::call::{Call, check_form};
use super::messages::{Message as Received, Messages};
use super::reply::{Pieces, reply};
use crate::refusal::Refusal;
use crate::service::Service;

/// The most bytes of a message that is no inference.
const QUESTION_BYTES: usize = 1 << 20;

/// Answers a call that is no inference.
pub(super) async fn answer<Q, A, F>(
    service: &Service,
    request: Request,
    answer: impl FnOnce(Q) -> F,
) -> Response
where
    Q: Message + Default + 'static,
    A: Message,
    F: Future<Output = Result<A, Refusal>>,
{
    let arrived = Instant::now();
    let (head, body) = request.into_parts();
    if let Err(refusal) = check_form(&head) {
        return refusal.into_response();
    }
    let outcome = async {
        let call = Call::new(&head, arrived)?;
        let limit = QUESTION_BYTES.min(service.options().body_limit());
        let message = only(&mut Messages::new(body, &call, limit), &call, service).await?;
        let (question, _part) = message.read(service, |message, _| Ok(grpc::decode(message)?)).await?;
        let answer = call.in_time(answer(question)).await?;
        Ok::<Pieces, Refusal>(vec![grpc::encode(&answer).into()])
    };
    reply(outcome.await)
}

/// The one message of a call, within the time that a body may take.
pub(super) async fn only(
    messages: &mut Messages,
    call: &Call,
    service: &Service,
) -> Result<Received, Refusal> {
    let patience = service.options().body_timeout;
    let read = async {
        let message = messages.next(service).await?;
        message.ok_or_else(|| Refusal::bad_request("the call has no message; it takes one"))
    };
    let read = async {
        timeout_at((call.arrived + patience).into(), read).await.unwrap_or_else(|_| {
            Err(Refusal::late(format!("the message did not arrive within {patience:?}; send it faster")))
        })
    };
    call.in_time(read).await
}
