//! [`Call`]: what the headers of a call say.

use std::time::{Duration, Instant};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use crate::access::is_grpc;
use crate::coding::{Coding, OFFERED};
use crate::refusal::Refusal;
use crate::terms;

/// How the messages of a call are compressed.
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// The codings that may be used next time.
pub(super) const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// How long the client waits: up to eight digits and a unit.
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Asks for the status of an error instead of its text, in a call of several answers.
const WANTS_STATUS: HeaderName = HeaderName::from_static("triton_grpc_error");

/// What the headers of a call say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) arrived: Instant,
    /// By when the client wants the answer.
    pub(super) deadline: Option<Instant>,
    /// How those messages are compressed that are.
    pub(super) coding: Coding,
    /// Whether an error ends a call of several answers.
    pub(super) ends_by_error: bool,
}

impl Call {
    /// Reads the headers.
    pub(super) fn new(head: &Parts, arrived: Instant) -> Result<Self, Refusal> {
        let headers = &head.headers;
        let timeout = timeout(headers)?.and_then(|timeout| arrived.checked_add(timeout));
        let deadline = [timeout, terms::header_deadline(headers, arrived)?].into_iter().flatten().min();
        let ends_by_error = headers.get(WANTS_STATUS).is_some_and(|value| value == "true");
        Ok(Self { arrived, deadline, coding: coding(headers)?, ends_by_error })
    }

    /// What `work` gives, if it does before the deadline.
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        terms::in_time(self.deadline, work).await
    }
}

/// Refuses what is no call at all: whoever sends it does not understand an answer of gRPC.
pub(super) fn check_form(head: &Parts) -> Result<(), Refusal> {
    if head.version < Version::HTTP_2 {
        let message = "gRPC is spoken over HTTP/2; over HTTP/1.1 the same is under `/v2`";
        return Err(Refusal::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, message));
    }
    if !is_grpc(&head.headers) {
        let message = "a call of gRPC has the content type `application/grpc`; JSON is taken under `/v2`";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    Ok(())
}

fn coding(headers: &HeaderMap) -> Result<Coding, Refusal> {
    let name = headers.get(ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
    if name.is_empty() {
        return Ok(Coding::Identity);
    }
    Coding::named(name).ok_or_else(|| {
        let name: String = String::from_utf8_lossy(name).chars().take(80).collect();
        let message =
            format!("the encoding `{name}` is not known here; use one of gzip, deflate and zstd, or none");
        Refusal::unsupported(message).with(ACCEPT_ENCODING, OFFERED)
    })
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get(TIMEOUT) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    parse_timeout(&text).map(Some).ok_or_else(|| {
        let text: String = text.chars().take(80).collect();
        let message =
            format!("`grpc-timeout` is `{text}`; expected up to eight digits and one of H, M, S, m, u, n");
        Refusal::bad_request(message)
    })
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 60 * 60)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse_timeout;

    #[test]
    fn timeouts_have_a_unit() {
        let millis = |text| parse_timeout(text).as_ref().map(Duration::as_millis);
        assert_eq!(millis("2H"), Some(7_200_000));
        assert_eq!(millis("2M"), Some(120_000));
        assert_eq!(millis("2S"), Some(2000));
        assert_eq!(millis("250m"), Some(250));
        assert_eq!(millis("99999999u"), Some(99_999));
        assert_eq!(parse_timeout("7n"), Some(Duration::from_nanos(7)));
        for bad in ["", "m", "1", "123456789m", "1.5S", "-1S", "+1S", "1s", "1 S", "ü"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
