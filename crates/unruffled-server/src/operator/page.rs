//! `GET /`: the live page, in the program itself; nothing of it comes from elsewhere.

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use super::welcome::welcome;
use crate::access::Identity;
use crate::refusal::Refusal;
use crate::service::{Named, Service, named};

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
    "key.js": JAVASCRIPT,
    "door.js": JAVASCRIPT,
    "events.js": JAVASCRIPT,
    "dialog.js": JAVASCRIPT,
    "feed.js": JAVASCRIPT,
    "narrow.js": JAVASCRIPT,
    "plots.js": JAVASCRIPT,
    "models.js": JAVASCRIPT,
    "requests.js": JAVASCRIPT,
    "infer.js": JAVASCRIPT,
    "answer.js": JAVASCRIPT,
    "jobs.js": JAVASCRIPT,
    "try.js": JAVASCRIPT,
    "drop.js": JAVASCRIPT,
    "try-digit.js": JAVASCRIPT,
    "try-file.js": JAVASCRIPT,
    "try-json.js": JAVASCRIPT,
    "try-pair.js": JAVASCRIPT,
    "try-picture.js": JAVASCRIPT,
    "try-sound.js": JAVASCRIPT,
    "try-text.js": JAVASCRIPT,
    "uPlot.iife.min.js": JAVASCRIPT,
    "uPlot.min.css": CSS,
    "uPlot.LICENSE.txt": TEXT,
};

/// Nothing but what is here, nothing inline, and in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Gives browsers the page before anybody is asked for a key: nothing of it is secret, and it asks for the key itself.
/// Whatever else is asked goes on to `guarded`.
pub(crate) fn before_keys(guarded: Router) -> Router {
    guarded.layer(from_fn(async |request: Request, next: Next| match of_page(&request) {
        Some(mut response) => {
            if request.method() == Method::HEAD {
                let length = response.body().size_hint().exact().unwrap_or_default();
                response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                *response.body_mut() = Body::empty();
            }
            response
        }
        None => next.run(request).await,
    }))
}

/// The page or a file of it, if a browser asks for that by the very path that the page names: no other way of writing it.
fn of_page(request: &Request) -> Option<Response> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return None;
    }
    match request.uri().path() {
        "/" => wants_html(request.headers()).then(for_browsers),
        path => path.strip_prefix("/page/").and_then(find).map(IntoResponse::into_response),
    }
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

/// The page for browsers, and a text for others.
pub(super) async fn index(
    State(service): State<Service>,
    identity: Identity,
    headers: HeaderMap,
) -> Response {
    if wants_html(&headers) {
        return for_browsers();
    }
    varying(welcome(&service, &identity, &headers).into_response())
}

fn for_browsers() -> Response {
    varying(FILES[0].into_response())
}

fn varying(mut response: Response) -> Response {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

pub(super) async fn file(name: Named<String>) -> Result<Response, Refusal> {
    let name = named(name)?;
    let missing = || Refusal::not_found(format!("the page has no file `{name}`"));
    find(&name).map(IntoResponse::into_response).ok_or_else(missing)
}

fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
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
