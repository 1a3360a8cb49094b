//! `GET /`: the live page, in the program itself; nothing of it comes from elsewhere.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::welcome::welcome;
use super::{Named, named};
use crate::access::Identity;
use crate::refusal::Refusal;
use crate::service::Service;

/// A file of the page.
struct File {
    name: &'static str,
    form: &'static str,
    bytes: &'static [u8],
}

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

macro_rules! files {
    ($($name:literal: $form:expr,)*) => {
        &[$(File { name: $name, form: $form, bytes: include_bytes!(concat!("../../page/", $name)) },)*]
    };
}

const FILES: &[File] = files! {
    "index.html": HTML,
    "style.css": CSS,
    "icon.svg": SVG,
    "app.js": JAVASCRIPT,
    "dom.js": JAVASCRIPT,
    "tell.js": JAVASCRIPT,
    "theme.js": JAVASCRIPT,
    "feed.js": JAVASCRIPT,
    "plots.js": JAVASCRIPT,
    "models.js": JAVASCRIPT,
    "requests.js": JAVASCRIPT,
    "infer.js": JAVASCRIPT,
    "try.js": JAVASCRIPT,
    "try-digit.js": JAVASCRIPT,
    "try-text.js": JAVASCRIPT,
    "try-file.js": JAVASCRIPT,
    "try-json.js": JAVASCRIPT,
    "answer.js": JAVASCRIPT,
    "uPlot.iife.min.js": JAVASCRIPT,
    "uPlot.min.css": CSS,
    "uPlot.LICENSE.txt": TEXT,
};

/// Nothing but what is here, nothing inline, and in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page for browsers, and a text for others.
pub(super) async fn index(
    State(service): State<Service>,
    identity: Identity,
    headers: HeaderMap,
) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    let mut response = if accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        FILES[0].into_response()
    } else {
        welcome(&service, &identity, &headers).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

pub(super) async fn file(name: Named<String>) -> Result<Response, Refusal> {
    let name = named(name)?;
    let found = FILES.iter().find(|file| file.name == name);
    let missing = || Refusal::not_found(format!("the page has no file `{name}`"));
    found.map(IntoResponse::into_response).ok_or_else(missing)
}

impl IntoResponse for &File {
    fn into_response(self) -> Response {
        let headers: [(HeaderName, &'static str); 5] = [
            (header::CONTENT_TYPE, self.form),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            // A newer program has a newer page.
            (header::CACHE_CONTROL, "no-cache"),
        ];
        (headers, self.bytes).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::FILES;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("page");
        let names =
            std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let served: BTreeSet<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(served, names.collect());
    }
}
