//! What clients of OpenAI ask for: embeddings, and which models there are.

mod input;
mod output;

mod embeddings;
mod models;

use axum::Router;
use axum::routing::{get, post};

use crate::service::Service;

pub(crate) fn router() -> Router<Service> {
    Router::new()
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{model}", get(models::model))
}
