//! [`document`]: what end points tell of themselves, as OpenAPI has it.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::schemas::schemas;
use crate::endpoint::{EndPoint, JSON, schema};

/// The version of OpenAPI; https://spec.openapis.org/oas/v3.1.0.
const OPENAPI: &str = "3.1.0";

/// The document that tells of these end points.
pub(super) fn document<'a>(end_points: impl Iterator<Item = &'a EndPoint>) -> Value {
    let mut paths = Map::new();
    for end_point in end_points {
        for path in end_point.paths() {
            let operation = operation(end_point, &path);
            let methods = paths.entry(path).or_insert_with(|| json!({}));
            methods[end_point.method.as_str().to_lowercase()] = operation;
        }
    }
    json!({
        "openapi": OPENAPI,
        "info": {
            "title": "Unruffled",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Models behind the Open Inference Protocol V2",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        // None where the server has no keys.
        "security": [{}, { "bearer": [] }, { "key": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
        },
    })
}

fn operation(end_point: &EndPoint, path: &str) -> Value {
    let mut operation = json!({
        "tags": [end_point.group],
        "summary": end_point.summary,
        "operationId": id(end_point, path),
        "responses": responses(end_point),
    });
    let parameters = parameters(end_point, path);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if !end_point.takes.is_empty() {
        operation["requestBody"] =
            json!({ "required": end_point.needs_body, "content": content(&end_point.takes) });
    }
    operation
}

/// A name for programs: the method, and the words of the path.
fn id(end_point: &EndPoint, path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut id = end_point.method.as_str().to_lowercase();
    for word in words {
        id.push('_');
        id.push_str(word);
    }
    id
}

fn parameters(end_point: &EndPoint, path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let of_path = names.map(|name| {
        let schema = match name {
            "version" => json!({ "type": "string", "pattern": "^[0-9]+$" }),
            _ => json!({ "type": "string", "minLength": 1 }),
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let more = |place: &'static str, all: &[(&str, Value, &str)]| -> Vec<Value> {
        let parameter = |(name, schema, says): &(&str, Value, &str)| json!({ "name": name, "in": place, "schema": schema, "description": says });
        all.iter().map(parameter).collect()
    };
    of_path.chain(more("query", &end_point.query)).chain(more("header", &end_point.headers)).collect()
}

fn responses(end_point: &EndPoint) -> Value {
    let mut responses = Map::new();
    for (status, says, kinds) in &end_point.gives {
        let mut response = json!({ "description": says });
        if !kinds.is_empty() {
            response["content"] = content(kinds);
        }
        if let Some((member, parameter, ids)) = end_point.links {
            let parameters = json!({ parameter: format!("$response.body#/{member}") });
            let link = |id: &&str| ((*id).to_owned(), json!({ "operationId": id, "parameters": parameters }));
            response["links"] = ids.iter().map(link).collect::<Map<_, _>>().into();
        }
        responses.insert(status.to_string(), response);
    }
    let error = schema(if end_point.is_openai { "OpenAIError" } else { "Error" });
    for status in &end_point.refuses {
        // One that tells how things are says so with more than a success.
        let refusal = responses.entry(status.to_string()).or_insert_with(
            || json!({ "description": reason(*status), "content": content(&[(JSON, error.clone())]) }),
        );
        if matches!(status, 429 | 503) {
            refusal["headers"]["Retry-After"] =
                json!({ "description": "When to try again, in seconds", "schema": { "type": "integer" } });
        }
    }
    responses.into()
}

fn content(kinds: &[(&'static str, Value)]) -> Value {
    kinds
        .iter()
        .map(|(kind, schema)| ((*kind).to_owned(), json!({ "schema": schema })))
        .collect::<Map<_, _>>()
        .into()
}

/// What a status means here.
fn reason(status: u16) -> &'static str {
    match status {
        400 => "The request is wrong; the text says where",
        401 => "There is no key, or none that is known",
        403 => "The key lacks the scope, or the page is of another site",
        404 => "There is no such model, version, job or request",
        408 => "The body came too late",
        409 => "It has ended already",
        413 => "The body is too large",
        415 => "The body is encoded in a way that is not taken",
        421 => "The server was asked for under a foreign name",
        426 => "A WebSocket is expected",
        429 => "Too much for one client",
        499 => "A newer request took the place of this one",
        500 => "The model failed or crashed",
        501 => "A part of the protocol that is not here, or not switched on",
        503 => "The queue or the server is full, the model is not ready, or the server is shutting down",
        504 => "The deadline passed",
        other => {
            StatusCode::from_u16(other).ok().and_then(|status| status.canonical_reason()).unwrap_or("Refused")
        }
    }
}
