//! Answers of calls: messages with their lengths before them, and a status behind.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tonic::{Code, Status};

use super::CONTENT_TYPE;
use super::call::ACCEPT_ENCODING;
use super::messages::PREFIX;
use super::status::status;
use crate::coding::OFFERED;
use crate::refusal::Refusal;

/// A message in pieces, to be sent one after the other.
pub(super) type Pieces = Vec<Bytes>;

/// The message with its length before it.
///
/// # Errors
///
/// Its length is more than 32 bits can tell.
pub(super) fn framed(mut message: Pieces) -> Result<Pieces, Refusal> {
    let bytes: usize = message.iter().map(Bytes::len).sum();
    let length = u32::try_from(bytes).map_err(|_| {
        Refusal::unsupported(format!("the answer has {bytes} bytes; a message of gRPC has less than 4 GiB"))
    })?;
    let mut prefix = [0; PREFIX];
    prefix[1..].copy_from_slice(&length.to_be_bytes());
    // A short beginning becomes one piece with the prefix: one frame to send.
    let first = message.first().map_or(&[][..], |first| first);
    let first = [&prefix, first].concat().into();
    match message.first_mut() {
        Some(piece) => *piece = first,
        None => message.push(first),
    }
    Ok(message)
}

/// The answer of a call that has one.
pub(super) fn reply(outcome: Result<Pieces, Refusal>) -> Response {
    match outcome.and_then(framed) {
        Ok(message) => stream_reply(stream::iter([Ok(message)])),
        Err(refusal) => status(refusal).into_http(),
    }
}

/// The answer of a call that has several, each [framed]; after an error there are no more.
pub(super) fn stream_reply(
    messages: impl Stream<Item = Result<Pieces, Status>> + Send + 'static,
) -> Response {
    // What comes after the end is the status; an error is its own.
    let ended = stream::once(async { Err(Status::new(Code::Ok, "")) });
    let mut is_over = false;
    let frames = messages
        .chain(ended)
        .take_while(move |message| {
            let goes_on = !is_over;
            is_over |= message.is_err();
            std::future::ready(goes_on)
        })
        .flat_map(|message| {
            let frames: Vec<_> = match message {
                Ok(pieces) => pieces.into_iter().map(|piece| Ok(Frame::data(piece))).collect(),
                Err(status) => vec![trailers(&status).map(Frame::trailers)],
            };
            stream::iter(frames)
        });
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(ACCEPT_ENCODING, OFFERED);
    response
}

fn trailers(status: &Status) -> Result<HeaderMap, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(trailers)
}
