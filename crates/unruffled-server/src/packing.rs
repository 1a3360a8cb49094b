//! [`Packing`]: in which form the body of a request comes, and in which its answer goes.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use unruffled_model::Signature;
use unruffled_protocol::{Body, InferRequest, Limits, PlainRequest};

use crate::budget::Part;
use crate::coding::Coding;
use crate::refusal::Refusal;
use crate::shared_memory::{Reader, SharedMemory};

/// The length of the JSON part of a body with binary tensors behind it.
pub(crate) const JSON_BYTES: HeaderName = HeaderName::from_static("inference-header-content-length");

/// What a request that is larger than it looks must have in it.
const MENTION: &[u8] = b"shared_memory_region";

/// The most bytes that are searched for it.
const SEARCHED: usize = 16 << 10;

/// What is around the tensors of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// All that the protocol tells of them.
    Protocol,
    /// Their names; see [`PlainRequest`].
    Plain { is_row: bool },
}

/// How the body of a request is packed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packing {
    coding: Coding,
    /// How many bytes of JSON come before the binary data, once expanded; all if it is not said.
    json_bytes: Option<usize>,
    is_plain: bool,
}

impl Packing {
    /// What the headers say of it.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let coding = Coding::given(headers)?;
        let Some(value) = headers.get(&JSON_BYTES) else {
            return Ok(Self { coding, json_bytes: None, is_plain: false });
        };
        let text =
            value.to_str().ok().map(str::trim).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match text.and_then(|text| text.parse().ok()) {
            Some(bytes) => Ok(Self { coding, json_bytes: Some(bytes), is_plain: false }),
            None => {
                let shown: String = String::from_utf8_lossy(value.as_bytes()).chars().take(80).collect();
                Err(Refusal::bad_request(format!(
                    "header `Inference-Header-Content-Length` is `{shown}`; expected the bytes of the JSON part"
                )))
            }
        }
    }

    /// The same, with values beside the names of inputs.
    pub(crate) fn plain(self) -> Self {
        Self { is_plain: true, ..self }
    }

    /// Whether the body is nothing but the data of the only input.
    fn is_raw(self) -> bool {
        self.json_bytes == Some(0)
    }

    /// Whether only the model knows what the data are.
    pub(crate) fn needs_signature(self) -> bool {
        self.is_plain || self.is_raw()
    }

    /// About how much work it is to unpack a body, in bytes.
    pub(crate) fn weight(self, body: &Bytes, memory: &SharedMemory) -> usize {
        // A large body is not searched here: it is unpacked elsewhere anyway.
        let mentions = || body.len() > SEARCHED || body.windows(MENTION.len()).any(|part| part == MENTION);
        let may_grow = self.coding != Coding::Identity || (memory.is_used() && mentions());
        if may_grow { usize::MAX } else { body.len() }
    }

    /// Reads the request. `signature` is that of the model, where it is [needed](Self::needs_signature).
    pub(crate) fn unpack(
        self,
        body: Bytes,
        limit: usize,
        part: &mut Part,
        memory: &SharedMemory,
        signature: Option<&Signature>,
    ) -> Result<(InferRequest, Frame), Refusal> {
        let body = self.coding.expand(body, limit, part)?;
        let none = Signature::default();
        let (signature, limits) = (signature.unwrap_or(&none), Limits::default());
        if self.is_plain {
            let PlainRequest { request, is_row } = PlainRequest::from_json(&body, signature, &limits)?;
            return Ok((request, Frame::Plain { is_row }));
        }
        if self.is_raw() {
            return Ok((InferRequest::from_raw(&body, signature)?, Frame::Protocol));
        }
        let json_bytes = self.json_bytes.unwrap_or(body.len());
        if json_bytes > body.len() {
            return Err(Refusal::bad_request(format!(
                "header `Inference-Header-Content-Length` is {json_bytes}, but the body has {} bytes",
                body.len()
            )));
        }
        let (json, binary) = (body.slice(..json_bytes), body.slice(json_bytes..));
        let request = InferRequest::from_parts(&json, &binary, &Reader::new(memory, limit, part), &limits)?;
        Ok((request, Frame::Protocol))
    }
}

/// An answer as it is sent.
pub(crate) struct Packed {
    body: Body,
    coding: Coding,
}

impl Packed {
    pub(crate) fn new(mut body: Body, coding: Coding) -> Result<Self, Refusal> {
        body.bytes = coding.compress(body.bytes).map_err(|error| {
            tracing::error!(%error, "an answer could not be compressed");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed to compress the answer")
        })?;
        Ok(Self { body, coding })
    }

    /// What is sent, for who sends it in another way.
    pub(crate) fn into_body(self) -> Body {
        self.body
    }
}

impl IntoResponse for Packed {
    fn into_response(self) -> Response {
        let Self { body: Body { bytes, json_bytes }, coding } = self;
        let kind = if json_bytes.is_some() { "application/octet-stream" } else { "application/json" };
        let mut response = ([(header::CONTENT_TYPE, kind)], bytes).into_response();
        if let Some(bytes) = json_bytes {
            response.headers_mut().insert(JSON_BYTES, bytes.into());
        }
        if let Some(name) = coding.name() {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        response
    }
}
