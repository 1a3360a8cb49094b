//! `GET /v1/models`: the models that there are.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::access::Identity;
use crate::metadata::json as written;
use crate::refusal::Refusal;
use crate::service::{Service, Target};

/// All models that they may know of.
pub(crate) async fn list(State(service): State<Service>, identity: Identity) -> Response {
    let models = service.models();
    let seen = models.iter().filter(|model| identity.sees(&model.name));
    let data: Vec<Value> = seen.map(|model| object(&model.name)).collect();
    written(json!({ "object": "list", "data": data }).to_string().into_bytes()).into_response()
}

/// One of them.
pub(crate) async fn model(
    State(service): State<Service>,
    identity: Identity,
    target: Result<Target, Refusal>,
) -> Response {
    match target.and_then(|target| service.find(&identity, &target)) {
        Ok(found) => written(object(found.handle.name()).to_string().into_bytes()).into_response(),
        Err(refusal) => refusal.into_object(),
    }
}

/// When a model was made is not known.
fn object(name: &str) -> Value {
    json!({ "id": name, "object": "model", "created": 0, "owned_by": "unruffled" })
}
