//! [`Texts`]: an [exchange](crate::exchange) in JSON.

use std::time::Instant;

use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::json;
use unruffled_model::{Name, TraceContext};
use unruffled_protocol::{Body, Form, InferRequest, InferResponse, Limits, Parameters, PlainRequest};

use crate::access::Identity;
use crate::ask::Answered;
use crate::budget::Part;
use crate::exchange::{Arrived, Asked, Front, Held};
use crate::packing::Frame;
use crate::refusal::Refusal;
use crate::reply::encode;
use crate::seats::Busy;
use crate::service::{Found, Service, Target};
use crate::shared_memory::Reader;
use crate::spans::Transport;
use crate::terms;

/// The parameter by which a client wants to be told which answer is the last, and is. Triton's name for it is reserved in JSON.
const LAST: &str = "unruffled_last";

/// Requests and answers in JSON, one by one.
#[derive(Clone)]
pub(super) struct Texts {
    pub(super) service: Service,
    pub(super) identity: Identity,
    pub(super) target: Target,
    /// By when everything is to be over.
    pub(super) deadline: Option<Instant>,
    /// The trace that the requests came with.
    pub(super) trace: Option<TraceContext>,
    /// Whether binary data may follow the text of an answer.
    pub(super) takes_binary: bool,
}

/// What is remembered of a request.
#[derive(Clone)]
pub(super) struct Mark {
    id: Option<String>,
    frame: Frame,
    /// Whether it is to be told which answer is the last.
    tells_last: bool,
}

impl Mark {
    /// Of what could not be read.
    fn none() -> Self {
        Self { id: None, frame: Frame::Protocol, tells_last: false }
    }

    pub(super) fn of(request: &InferRequest, frame: Frame) -> Result<Self, Refusal> {
        let tells_last = request.parameters.bool(LAST)?.unwrap_or(false);
        Ok(Self { id: request.id.clone(), frame, tells_last })
    }
}

/// What is said to a request.
pub(super) struct Told {
    id: Option<String>,
    pub(super) outcome: Result<Body, Refusal>,
}

impl Told {
    /// What is sent: an answer, or an object of `error`, `status` and the `id`, if there is one.
    pub(super) fn into_body(self) -> Body {
        self.outcome.unwrap_or_else(|refusal| {
            let mut told = json!({ "error": refusal.message(), "status": refusal.status().as_u16() });
            if let Some(id) = self.id {
                told["id"] = id.into();
            }
            Body { bytes: told.to_string().into_bytes(), json_bytes: None }
        })
    }
}

impl Texts {
    /// Reads one request: an inference, or plain values.
    pub(super) async fn arrived(
        &self,
        json: Bytes,
        binary: Bytes,
        part: Part,
        busy: Option<Busy>,
    ) -> Arrived<Mark> {
        let at = Instant::now();
        let mut mark = Mark::none();
        let asked = async {
            let place = self.service.enter()?;
            let read = terms::in_time(self.deadline, self.read(json, binary, part));
            let (request, frame, part) = read.await?;
            mark = Mark::of(&request, frame)?;
            let held = Held { _part: part, _place: place, _busy: busy };
            Ok(Asked { target: self.target.clone(), request, held })
        };
        let asked = asked.await;
        Arrived { at, mark, asked }
    }

    async fn read(
        &self,
        json: Bytes,
        binary: Bytes,
        mut part: Part,
    ) -> Result<(InferRequest, Frame, Part), Refusal> {
        let found = self.service.find(&self.identity, &self.target)?;
        if found.handle.known_info().is_none() {
            found.handle.ready().await?;
        }
        let (info, limit) = (found.handle.info(), self.service.options().body_limit());
        let memory = self.service.shared_memory().clone();
        let weight = if memory.is_used() { usize::MAX } else { json.len() + binary.len() };
        let read = move || {
            let limits = Limits::default();
            let (request, frame) = if PlainRequest::is_plain(&json, &info.signature, &limits) {
                let PlainRequest { request, is_row } =
                    PlainRequest::from_json(&json, &info.signature, &limits)?;
                (request, Frame::Plain { is_row })
            } else {
                let memory = Reader::new(&memory, limit, &mut part);
                (InferRequest::from_parts(&json, &binary, &memory, &limits)?, Frame::Protocol)
            };
            Ok((request, frame, part))
        };
        self.service.offload().run(weight, read).await?
    }
}

impl Front for Texts {
    type Mark = Mark;
    type Told = Told;

    const TRANSPORT: Transport = Transport::Http;

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    async fn answer(
        &self,
        service: &Service,
        model: &Name,
        mark: &Mark,
        mut answered: Answered,
    ) -> Result<Told, Refusal> {
        if !self.takes_binary && answered.forms.contains(&Form::Binary) {
            return Err(Refusal::bad_request(
                "outputs in binary are not for streams of text: leave `binary_data` out, or use a WebSocket",
            ));
        }
        if mark.tells_last {
            answered.parameters.insert(LAST, answered.is_last);
        }
        let id = answered.id.clone();
        let packed = encode(service, model, &HeaderMap::new(), mark.frame, answered).await?;
        Ok(Told { id, outcome: Ok(packed.into_body()) })
    }

    fn refusal(&self, mark: &Mark, refusal: Refusal) -> Told {
        Told { id: mark.id.clone(), outcome: Err(refusal) }
    }

    /// The end of a stream tells the end; over a WebSocket, which goes on, an answer without outputs does.
    fn end(&self, found: &Found, _: &InferRequest, mark: &Mark) -> Result<Option<Told>, Refusal> {
        if !mark.tells_last {
            return Ok(None);
        }
        let (name, version, id) = (found.handle.name(), found.version.as_deref(), mark.id.as_deref());
        let (parameters, none) = (Parameters::new().with(LAST, true), std::iter::empty());
        let bytes = match mark.frame {
            Frame::Protocol => InferResponse::write_json(name, version, id, &parameters, none)?,
            Frame::Plain { is_row } => {
                InferResponse::write_plain(name, version, id, &parameters, none, is_row)?
            }
        };
        Ok(Some(Told { id: mark.id.clone(), outcome: Ok(Body { bytes, json_bytes: None }) }))
    }

    fn broken(&self, refusal: Refusal) -> Told {
        Told { id: None, outcome: Err(refusal) }
    }
}
