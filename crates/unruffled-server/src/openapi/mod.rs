//! The OpenAPI document of the end points, and the page on which it can be browsed and tried.

mod schemas;

mod document;

mod browse;

use std::sync::{Arc, OnceLock};

use axum::http::header;
use bytes::Bytes;
use serde_json::json;

use self::document::document;
use crate::endpoint::{EndPoint, JSON, get};
use crate::service::{Named, named};

/// The end points that tell of these others, and of themselves.
pub(crate) fn end_points(others: &[EndPoint]) -> Vec<EndPoint> {
    let group = "About";
    let text = || json!({ "type": "string" });
    let written: Arc<OnceLock<Bytes>> = Arc::default();
    let told = Arc::clone(&written);
    let own = vec![
        get("/openapi.json", async move || {
            ([(header::CONTENT_TYPE, JSON)], told.get().cloned().unwrap_or_default())
        })
        .says(group, "This document.")
        .gives_as(200, "An OpenAPI document", &[(JSON, json!({ "type": "object" }))]),
        get("/docs/", async || browse::file("index.html"))
            .says(group, "A page on which the API can be browsed and tried.")
            .gives_as(200, "The page", &[("text/html", text())])
            .refuses(&[500]),
        get("/docs/{file}", async |file: Named<String>| named(file).and_then(|file| browse::file(&file)))
            .says(group, "A file of that page.")
            .gives_as(200, "It", &[("*/*", text())])
            .refuses(&[404, 500]),
    ];
    let text = document(others.iter().chain(&own)).to_string();
    written.get_or_init(|| text.into());
    own
}
