//! Refusals as gRPC has them: 200, and the true status in the headers.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::refusal::Refusal;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a request is one of gRPC, whatever its messages are written in.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = content_type.and_then(|value| value.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// An answer without a message: only its end, which stands in the headers.
pub(super) fn refuse(refusal: &Refusal) -> Response {
    let code = match refusal.status() {
        StatusCode::UNAUTHORIZED => 16_u16,
        StatusCode::TOO_MANY_REQUESTS => 8,
        // Forbidden, and asked for under a name that it does not have.
        _ => 7,
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, HeaderValue::from(code));
    headers.insert(MESSAGE, percent_encoded(refusal.message()));
    response
}

fn percent_encoded(message: &str) -> HeaderValue {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::from_str(&text).expect("all of it is printable ASCII")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{is_grpc, refuse};
    use crate::refusal::Refusal;

    #[test]
    fn content_types() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_grpc(&headers), expected, "{value}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn the_status_is_in_the_headers() {
        for (refusal, code) in [
            (Refusal::unauthenticated("who? 100 % ü"), "16"),
            (Refusal::forbidden("no"), "7"),
            (Refusal::too_many("later", std::time::Duration::ZERO), "8"),
        ] {
            let response = refuse(&refusal);
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["grpc-status"], code);
        }
        let response = refuse(&Refusal::unauthenticated("who? 100 % ü"));
        assert_eq!(response.headers()["grpc-message"], "who? 100 %25 %C3%BC");
    }
}
