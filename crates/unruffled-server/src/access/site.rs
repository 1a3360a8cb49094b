//! Which site a browser speaks for: the name that it asked for, and the page that made it ask.
//!
//! A page of the internet can have a browser ask servers on its own machine. Against reading, browsers keep its origin
//! apart from ours, until the page gives 127.0.0.1 a name of its own; so the name is looked at. Against asking at all,
//! they tell where the request comes from; so that is looked at before anything is done.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::refusal::Refusal;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What proxies say of whom they speak for.
const FORWARDED: [HeaderName; 3] =
    [header::FORWARDED, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

/// The authority that a request names: of its target, as in HTTP/2, or of its `Host`.
fn authority(head: &Parts) -> Option<Authority> {
    if let Some(authority) = head.uri.authority() {
        return Some(authority.clone());
    }
    let host = head.headers.get(header::HOST)?;
    Authority::try_from(host.as_bytes()).ok()
}

/// Whether a request names this machine as such. One without a name does: browsers always send one.
pub(super) fn names_loopback(head: &Parts) -> bool {
    match authority(head) {
        Some(authority) => is_loopback(authority.host()),
        None => !head.headers.contains_key(header::HOST),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Refuses a request for a name that is neither one of this machine as such nor one of these.
pub(super) fn check_host(head: &Parts, hosts: &[String]) -> Result<(), Refusal> {
    let is_ours = authority(head).is_some_and(|authority| {
        let host = authority.host().trim_end_matches('.');
        hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    });
    if is_ours || names_loopback(head) {
        return Ok(());
    }
    let asked = head.headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
    let asked = asked.as_deref().or(head.uri.host()).unwrap_or_default();
    let message = format!(
        "this server is not called `{asked}`: without keys it answers on this machine only, as localhost or 127.0.0.1; \
         its operator can add a name (--allow-host) or ask for keys (--keys)"
    );
    Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, message))
}

/// Refuses what a page of another site wants done, unless pages of its origin may.
pub(super) fn check_origin(head: &Parts, allowed: &[HeaderValue]) -> Result<(), Refusal> {
    let only_reads = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
    // A WebSocket begins with a GET, and browsers let every page open one.
    if only_reads && !head.headers.contains_key(header::UPGRADE) {
        return Ok(());
    }
    let origin = head.headers.get(header::ORIGIN);
    let is_allowed = |origin: &HeaderValue| allowed.iter().any(|one| one == origin || one == "*");
    if origin.is_some_and(|origin| is_allowed(origin) || is_own(origin, head)) {
        return Ok(());
    }
    let is_cross_site = head.headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site");
    let is_open = allowed.iter().any(|one| one == "*");
    if origin.is_none() && (!is_cross_site || is_open) {
        return Ok(());
    }
    let origin = origin.map_or("another site".into(), |origin| String::from_utf8_lossy(origin.as_bytes()));
    let message = format!(
        "a page of {origin} may not ask here; the operator of the server can allow its origin (--cors-origin)"
    );
    Err(Refusal::forbidden(message))
}

/// Whether an origin is the server's own, as the request names it.
fn is_own(origin: &HeaderValue, head: &Parts) -> bool {
    let Some(authority) = authority(head) else { return false };
    let Some((scheme, site)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else {
        return false;
    };
    matches!(scheme, "http" | "https") && site.eq_ignore_ascii_case(authority.as_str())
}

/// Whether a proxy speaks for somebody else.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use axum::http::request::Parts;
    use axum::http::{HeaderValue, Request};

    use super::{check_host, check_origin, names_loopback};

    fn head(method: &str, headers: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/v2");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn names_of_this_machine() {
        for host in [
            "localhost",
            "LOCALHOST:8000",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1:8000",
            "127.9.9.9",
            "[::1]:8000",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(names_loopback(&head("GET", &[("host", host)])), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:8000",
            "[::2]",
            "0.0.0.0",
            "evil.example@localhost/",
            "",
            " ",
            "a b",
        ] {
            assert!(!names_loopback(&head("GET", &[("host", host)])), "{host}");
        }
        assert!(names_loopback(&head("GET", &[])), "no browser asks without a name");
    }

    #[test]
    fn names_that_were_added() {
        let hosts = ["models.lan".to_owned()];
        assert!(check_host(&head("GET", &[("host", "Models.LAN:8000")]), &hosts).is_ok());
        assert!(check_host(&head("GET", &[("host", "localhost")]), &hosts).is_ok());
        let refusal = check_host(&head("GET", &[("host", "other.lan")]), &hosts).unwrap_err();
        assert_eq!(refusal.status(), 421);
        assert!(refusal.message().contains("`other.lan`"), "{}", refusal.message());
    }

    #[track_caller]
    fn check(method: &str, headers: &[(&'static str, &str)], allowed: &[&'static str], passes: bool) {
        let allowed: Vec<_> = allowed.iter().map(|origin| HeaderValue::from_static(origin)).collect();
        let mut all = vec![("host", "localhost:8000")];
        all.extend_from_slice(headers);
        assert_eq!(check_origin(&head(method, &all), &allowed).is_ok(), passes, "{method} {headers:?}");
    }

    #[test]
    fn pages_of_other_sites() {
        check("POST", &[], &[], true);
        check("POST", &[("origin", "http://localhost:8000")], &[], true);
        check("POST", &[("origin", "http://localhost:3000")], &[], false);
        check("POST", &[("origin", "https://evil.example")], &[], false);
        check("POST", &[("origin", "null")], &[], false);
        check("DELETE", &[("sec-fetch-site", "cross-site")], &[], false);
        check("POST", &[("sec-fetch-site", "same-origin")], &[], true);
        check("GET", &[("origin", "https://evil.example")], &[], true);
        check("GET", &[("origin", "https://evil.example"), ("upgrade", "websocket")], &[], false);
        check("GET", &[("origin", "http://localhost:8000"), ("upgrade", "websocket")], &[], true);
    }

    #[test]
    fn pages_that_may() {
        let app = ["https://app.example", "tauri://localhost"];
        check("POST", &[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")], &app, true);
        check("POST", &[("origin", "tauri://localhost")], &app, true);
        check("POST", &[("origin", "https://app.example.evil.example")], &app, false);
        check("POST", &[("origin", "https://any.example")], &["*"], true);
        check("POST", &[("sec-fetch-site", "cross-site")], &["*"], true);
    }
}
