//! [`Refusal`]: every answer that is no success, and the one map from kinds of errors to HTTP.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use unruffled_engine::{Error, ErrorKind};
use unruffled_protocol::{ErrorBody, ProtocolError, ProtocolErrorKind};

use crate::paths::without_folders;

/// The most bytes of a text: names that came from the client may be long.
const MESSAGE_BYTES: usize = 1000;

/// The status of each kind of error.
///
/// A full queue is 503 and not 429: it says that this server is full, not that this client asks too often, so that load
/// balancers try another server; Triton answers the same. 499 is nginx's word for a client that has gone.
pub(crate) fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::NotReady | ErrorKind::Overloaded | ErrorKind::ShuttingDown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Cancelled => {
            StatusCode::from_u16(499).expect("499 is in the range of what a status can be")
        }
        ErrorKind::ModelFailed | ErrorKind::ModelCrashed => StatusCode::INTERNAL_SERVER_ERROR,
        // The list may grow; the test below fails until the new kind is here.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The status of each kind of mistake in a message.
fn status_of_protocol(kind: ProtocolErrorKind) -> StatusCode {
    match kind {
        ProtocolErrorKind::Unsupported | ProtocolErrorKind::Unrepresentable => StatusCode::NOT_IMPLEMENTED,
        ProtocolErrorKind::MissingOutput => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// An answer that is no success: `{"error": text}` and a status.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    closes: bool,
}

impl Refusal {
    /// A refusal; `message` names what was wrong and, where there is one, the remedy.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
            message.push_str("...");
        }
        Self { status, message, headers: Vec::new(), closes: false }
    }

    /// The client asked wrongly.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// The server is full.
    pub(crate) fn overloaded(message: impl Into<String>) -> Self {
        Self::new(status_of(ErrorKind::Overloaded), message).retry_after(Duration::ZERO)
    }

    /// The server is about to end.
    pub(crate) fn shutting_down() -> Self {
        Error::new(ErrorKind::ShuttingDown, "the server is shutting down").into()
    }

    /// Nobody knows who asks.
    pub(crate) fn unauthenticated(message: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"unruffled\"");
        Self::new(StatusCode::UNAUTHORIZED, message).with(header::WWW_AUTHENTICATE, challenge)
    }

    /// Who asks may not.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// Who asks has asked for too much; there is room again after this wait.
    pub(crate) fn too_many(message: impl Into<String>, wait: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, message).retry_after(wait)
    }

    /// The deadline passed while the server still had the request.
    pub(crate) fn late(message: impl Into<String>) -> Self {
        Self::new(status_of(ErrorKind::DeadlineExceeded), message)
    }

    /// The body is too large.
    pub(crate) fn too_large(given: Option<usize>, limit: usize) -> Self {
        let has = given.map_or(format!("more than {limit} bytes"), |bytes| format!("{bytes} bytes"));
        let message =
            format!("the body has {has}; the limit is {limit}: split the request into smaller ones");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message).closing()
    }

    /// The body is larger than it looks.
    pub(crate) fn expands_too_much(limit: usize) -> Self {
        let message =
            format!("the body expands to more than {limit} bytes: split the request into smaller ones");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// A part of the protocol that is not here, or not switched on.
    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    /// What was wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Closes the connection after this answer: a part of the request is unread.
    #[must_use]
    pub(crate) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The status, the text and the headers, for who answers in another form.
    pub(crate) fn into_parts(self) -> (StatusCode, String, Vec<(HeaderName, HeaderValue)>) {
        (self.status, self.message, self.headers)
    }

    /// The answer that clients of OpenAI understand: the error is an object.
    pub(crate) fn into_object(self) -> Response {
        let kind = match self.status.as_u16() {
            401 | 403 => "authentication_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        let error = json!({ "message": self.message, "type": kind, "param": null, "code": null });
        let body = json!({ "error": error }).to_string();
        self.answer(body.into_bytes())
    }

    fn answer(self, body: Vec<u8>) -> Response {
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        headers.extend(self.headers);
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the connection is closed after this answer.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }

    /// Says when to try again: whole seconds, at least one.
    fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.with(header::RETRY_AFTER, seconds.max(1))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        // What the model or the system said may name files; that stays here.
        let (told, known) = (error.to_string(), error.kind());
        let message = without_folders(&told);
        if message != told {
            tracing::info!(error = %told, "a client was told of an error without its paths");
        }
        let refusal = Self::new(status_of(known), message);
        match error.kind() {
            ErrorKind::Overloaded => refusal.retry_after(error.retry_after().unwrap_or_default()),
            _ => refusal,
        }
    }
}

impl From<ProtocolError> for Refusal {
    fn from(error: ProtocolError) -> Self {
        Self::new(status_of_protocol(error.kind()), error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(mut self) -> Response {
        let body = ErrorBody::new(std::mem::take(&mut self.message)).to_json();
        self.answer(body)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::{StatusCode, header};
    use axum::response::IntoResponse as _;
    use unruffled_engine::{Error, ErrorKind};

    use super::{Refusal, status_of};

    #[test]
    fn every_kind_has_its_status() {
        let expected = [
            (ErrorKind::InvalidInput, 400),
            (ErrorKind::NotFound, 404),
            (ErrorKind::NotReady, 503),
            (ErrorKind::Overloaded, 503),
            (ErrorKind::DeadlineExceeded, 504),
            (ErrorKind::Cancelled, 499),
            (ErrorKind::ModelFailed, 500),
            (ErrorKind::ModelCrashed, 500),
            (ErrorKind::ShuttingDown, 503),
        ];
        let mapped: Vec<_> = ErrorKind::ALL.iter().map(|&kind| (kind, status_of(kind).as_u16())).collect();
        assert_eq!(mapped, expected, "a new kind needs a line in the map");
    }

    #[test]
    fn only_overload_says_when_to_try_again() {
        for &kind in ErrorKind::ALL {
            let response = Refusal::from(Error::new(kind, "text")).into_response();
            let retry = response.headers().get(header::RETRY_AFTER);
            assert_eq!(retry.is_some(), kind == ErrorKind::Overloaded, "{kind:?}");
        }
    }

    #[test]
    fn seconds_are_whole_and_rounded_up() {
        for (wait, expected) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (59_500, "60")] {
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "full");
            let response = refusal.retry_after(Duration::from_millis(wait)).into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], expected, "{wait} ms");
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let refusal = Refusal::not_found("ü".repeat(5000));
        assert_eq!(refusal.message, format!("{}...", "ü".repeat(500)));
    }
}
