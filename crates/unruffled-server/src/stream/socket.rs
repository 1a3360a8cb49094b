//! `GET /v2/models/{model}/stream`: the same over a WebSocket.
//!
//! A text is a request, and so is a binary message: four bytes that say, the least first, how long its JSON text is, the
//! text, and the tensors behind it. Answers come in the order of the requests, in binary if they hold tensors in binary.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, stream};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message, error::CapacityError};
use unruffled_protocol::Body;

use super::front::{Mark, Texts};
use super::{begin, told};
use crate::access::{Identity, Kept};
use crate::body;
use crate::exchange::Arrived;
use crate::refusal::Refusal;
use crate::seats::Seat;
use crate::service::{Service, Target};
use crate::successor::{Gained, Stream, Succession};

/// How long the client has to answer the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// The bytes before a binary message: the length of its text.
const PREFIX: usize = 4;

/// What is read at a time, and buffered to be written before it must be taken.
const BUFFER_BYTES: usize = 64 << 10;

/// What a client may call this among its protocols; a browser that brings its key there must.
const PROTOCOL: &str = "unruffled";

type Socket = WebSocketStream<Box<dyn Stream>>;

pub(super) async fn socket(
    State(service): State<Service>,
    identity: Identity,
    target: Result<Target, Refusal>,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let (mut head, body) = request.into_parts();
    let begun = accepted(&head.method, head.version, &head.headers)
        .and_then(|accept| Ok((begin(service, identity, target, &head.headers, arrived)?, accept)));
    let (front, accept) = match begun {
        Ok(begun) => begun,
        Err(refusal) => return body::refuse(refusal, &head.headers, body).await,
    };
    let front = Texts { takes_binary: true, ..front };
    let kept = head.extensions.remove::<Kept>();
    let converse = move |gained: Gained| {
        async move {
            let _kept = kept;
            converse(front, gained).await;
        }
        .boxed()
    };
    if let Some(succession) = head.extensions.remove::<Succession>() {
        succession.leave_to(Box::new(converse));
    } else if let Some(upgrade) = head.extensions.remove::<hyper::upgrade::OnUpgrade>() {
        // Somebody else's server gives the connection away; nobody there waits for it.
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => {
                    let stream = Box::new(TokioIo::new(upgraded));
                    converse(Gained { stream, read: Bytes::new(), seat: None }).await;
                }
                Err(error) => tracing::debug!(%error, "a connection did not become a WebSocket"),
            }
        });
    } else {
        return Refusal::unsupported("this connection cannot become a WebSocket").into_response();
    }
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    if lists(&head.headers, header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    response
}

/// Whether the header lists this item.
fn lists(headers: &HeaderMap, name: HeaderName, item: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(item))
}

/// What the handshake is answered with; RFC 6455, section 4.2.
fn accepted(method: &Method, version: Version, headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let upgrades =
        lists(headers, header::CONNECTION, "upgrade") && lists(headers, header::UPGRADE, "websocket");
    if method != Method::GET || !upgrades {
        let message = "a stream is a WebSocket, or takes lines of JSON by POST";
        let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, message);
        return Err(refusal.with(header::UPGRADE, HeaderValue::from_static("websocket")));
    }
    if version != Version::HTTP_11 {
        return Err(Refusal::bad_request("a WebSocket begins over HTTP/1.1"));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "`Sec-WebSocket-Version` must be 13");
        return Err(refusal.with(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| Refusal::bad_request("header `Sec-WebSocket-Key` is missing"))?;
    let accept = derive_accept_key(key.as_bytes());
    Ok(HeaderValue::try_from(accept).expect("it is in base 64"))
}

/// Serves one WebSocket to its end. Dropped, what is under way is cancelled.
async fn converse(front: Texts, gained: Gained) {
    let Gained { stream, read, seat } = gained;
    let limit = front.service.options().body_limit();
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let socket = WebSocketStream::from_partially_read(stream, read.into(), Role::Server, Some(config)).await;
    let (mut sink, source) = socket.split();
    let (gone, options) = (Arc::new(Notify::new()), front.service.options());
    let (quiet, patience) = (options.idle_timeout, options.answer_timeout);
    let incoming = Incoming { front: front.clone(), source, seat, gone: Arc::clone(&gone) };
    let requests = stream::unfold(Some(incoming), async |incoming| incoming?.next().await);
    let mut answers = pin!(told(front, requests));
    let last = loop {
        let told = tokio::select! {
            biased;
            () = gone.notified() => break None,
            told = answers.next() => told,
            () = sleep(quiet) => {
                // Whoever lives answers, which is read and forgotten; who does not is found out when it is sent.
                if !send(&mut sink, Message::Ping(Bytes::new()), patience).await {
                    return;
                }
                continue;
            }
        };
        let Some(told) = told else { break Some(CloseCode::Away) };
        if !send(&mut sink, message(told.into_body()), patience).await {
            return;
        }
    };
    let close = last.map(|code| CloseFrame { code, reason: "".into() });
    // They go or they do not: either way it ends here.
    let _ = timeout(GOODBYE, async {
        let _ = sink.send(Message::Close(close)).await;
        sink.close().await
    })
    .await;
}

/// Sends a message; false if the client does not take it.
async fn send(sink: &mut SplitSink<Socket, Message>, message: Message, patience: Duration) -> bool {
    matches!(timeout(patience, sink.send(message)).await, Ok(Ok(())))
}

fn message(body: Body) -> Message {
    let Body { bytes, json_bytes } = body;
    let Some(json_bytes) = json_bytes.and_then(|bytes| u32::try_from(bytes).ok()) else {
        return match String::from_utf8(bytes) {
            Ok(text) => Message::text(text),
            Err(error) => Message::binary(error.into_bytes()),
        };
    };
    let mut message = BytesMut::with_capacity(PREFIX + bytes.len());
    message.put_u32_le(json_bytes);
    message.extend_from_slice(&bytes);
    Message::Binary(message.freeze())
}

/// What the client sends.
struct Incoming {
    front: Texts,
    source: SplitStream<Socket>,
    seat: Option<Arc<Seat>>,
    /// Told when the client has gone.
    gone: Arc<Notify>,
}

type Next = Option<(Result<Arrived<Mark>, Refusal>, Option<Incoming>)>;

impl Incoming {
    async fn next(mut self) -> Next {
        loop {
            let service = &self.front.service;
            let message = tokio::select! {
                // The end goes first, so that who never stops sending cannot put it off.
                biased;
                () = service.draining() => return Some((Err(Refusal::shutting_down()), None)),
                message = self.source.next() => message,
            };
            let (json, binary) = match message {
                Some(Ok(Message::Text(text))) => (Bytes::from(text), Bytes::new()),
                Some(Ok(Message::Binary(message))) => match split(&message) {
                    Ok(parts) => parts,
                    Err(refusal) => return Some((Err(refusal), None)),
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(Error::Capacity(CapacityError::MessageTooLong { size, max_size }))) => {
                    return Some((Err(Refusal::too_large(Some(size), max_size)), None));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    self.gone.notify_one();
                    return std::future::pending().await;
                }
            };
            let mut part = service.budget().part();
            if let Err(refusal) = part.grow_to(json.len() + binary.len()) {
                return Some((Err(refusal), None));
            }
            let busy = self.seat.as_ref().map(|seat| seat.busy());
            let arrived = self.front.arrived(json, binary, part, busy).await;
            return Some((Ok(arrived), Some(self)));
        }
    }
}

/// The text of a binary message, and the tensors behind it.
fn split(message: &Bytes) -> Result<(Bytes, Bytes), Refusal> {
    let prefix = message.first_chunk::<PREFIX>().map(|prefix| u32::from_le_bytes(*prefix));
    let length = prefix.and_then(|length| usize::try_from(length).ok());
    match length.and_then(|length| length.checked_add(PREFIX)) {
        Some(end) if end <= message.len() => Ok((message.slice(PREFIX..end), message.slice(end..))),
        _ => Err(Refusal::bad_request(format!(
            "a binary message of {} bytes begins with four that say, the least first, how long its JSON text is",
            message.len()
        ))),
    }
}
