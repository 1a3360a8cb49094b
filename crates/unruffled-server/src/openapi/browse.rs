//! The page on which the API can be browsed and tried: Swagger UI, in the program itself.

use std::sync::{Arc, LazyLock};

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use utoipa_swagger_ui::{Config, serve};

use crate::refusal::Refusal;

/// Where the document is, and how much of it is unfolded.
static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    Arc::new(Config::from("/openapi.json").doc_expansion("list").default_models_expand_depth(-1))
});

/// Nothing but what is here; the page sets styles by itself, and has pictures in them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
///
/// # Errors
///
/// There is none of this name, or it cannot be made.
pub(super) fn file(name: &str) -> Result<Response, Refusal> {
    match serve(name, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => {
            let headers: [(HeaderName, String); 4] = [
                (header::CONTENT_TYPE, file.content_type),
                (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
                (header::CACHE_CONTROL, "no-cache".to_owned()),
            ];
            Ok((headers, file.bytes.into_owned()).into_response())
        }
        Ok(None) => Err(Refusal::not_found(format!("the page has no file `{name}`"))),
        Err(error) => {
            tracing::error!(%error, "a file of the page cannot be made");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made"))
        }
    }
}
