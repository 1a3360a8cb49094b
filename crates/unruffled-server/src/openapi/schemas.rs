//! The schemas of what is taken and given.

use serde_json::{Map, Value, json};
use unruffled_engine::{ErrorKind, JobState};
use unruffled_model::DType;
use unruffled_protocol::datatype;

use crate::endpoint::schema;

/// All schemas, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let all = protocol()
        .into_iter()
        .chain(repository())
        .chain(statistics())
        .chain(jobs())
        .chain(openai())
        .chain(operator());
    all.map(|(name, schema)| (name.to_owned(), schema)).collect()
}

type Named = Vec<(&'static str, Value)>;

/// An object with these members, of which those without a question mark are always there.
fn object(members: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> = members
        .iter()
        .map(|(name, schema)| (name.trim_end_matches('?').to_owned(), schema.clone()))
        .collect();
    let required: Vec<&str> =
        members.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// The same with an example.
fn example(mut schema: Value, example: &Value) -> Value {
    schema["examples"] = json!([example]);
    schema
}

fn list(of: impl Into<Value>) -> Value {
    let of: Value = of.into();
    json!({ "type": "array", "items": of })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn truth() -> Value {
    json!({ "type": "boolean" })
}

fn number() -> Value {
    json!({ "type": "number" })
}

fn or_null(schema: impl Into<Value>) -> Value {
    let schema: Value = schema.into();
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn anything() -> Value {
    json!({})
}

fn protocol() -> Named {
    let datatypes: Vec<&str> = DType::ALL.iter().map(|dtype| datatype::name(*dtype)).collect();
    let shape = list(count());
    let tensor = object(&[
        ("name", json!({ "type": "string", "maxLength": 1024 })),
        ("datatype", json!({ "type": "string", "enum": datatypes })),
        ("shape", shape),
        ("parameters?", schema("Parameters")),
        ("data?", json!({ "type": "array", "description": "The elements, flat or nested as the shape" })),
    ]);
    let described = object(&[
        ("name", text()),
        ("datatype", text()),
        ("shape", json!({ "type": "array", "items": { "type": "integer", "minimum": -1 } })),
    ]);
    vec![
        ("Error", object(&[("error", text())])),
        ("Health", object(&[("live", truth()), ("ready", truth())])),
        ("Server", object(&[("name", text()), ("version", text()), ("extensions", list(text()))])),
        (
            "Model",
            object(&[
                ("name", text()),
                ("versions", list(text())),
                ("platform", text()),
                ("inputs", list(described.clone())),
                ("outputs", list(described)),
            ]),
        ),
        ("ModelReady", object(&[("name", text()), ("ready", truth())])),
        (
            "Parameters",
            json!({
                "type": "object",
                "additionalProperties": { "type": ["string", "number", "boolean", "null"] },
                "properties": {
                    "timeout": { "type": "integer", "minimum": 0, "description": "How long the client waits, in microseconds" },
                    "priority": { "type": "integer", "minimum": 0, "description": "1 before 2 before 3" },
                    "unruffled_partial": { "type": "boolean", "description": "Each row has an outcome of its own" },
                    "unruffled_supersede": { "type": "string", "description": "Older requests of this name are cancelled" },
                    "binary_data_output": { "type": "boolean", "description": "All outputs are sent in binary" },
                },
            }),
        ),
        ("Tensor", tensor),
        (
            "InferRequest",
            example(
                object(&[
                    ("id?", json!({ "type": "string", "maxLength": 1024 })),
                    ("parameters?", schema("Parameters")),
                    ("inputs", list(schema("Tensor"))),
                    ("outputs?", list(object(&[("name", text()), ("parameters?", schema("Parameters"))]))),
                ]),
                &json!({ "id": "1", "inputs": [{ "name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2.5] }] }),
            ),
        ),
        (
            "InferResponse",
            object(&[
                ("model_name", text()),
                ("model_version?", text()),
                ("id?", text()),
                ("parameters?", schema("Parameters")),
                ("outputs", list(schema("Tensor"))),
            ]),
        ),
        (
            "GenerateRequest",
            json!({ "type": "object", "examples": [{ "x": [1, 2.5] }], "description": "The inputs by their names; other members are parameters" }),
        ),
        (
            "GenerateResponse",
            json!({
                "type": "object",
                "description": "The outputs by their names",
                "required": ["model_name"],
                "properties": { "model_name": text(), "model_version": text(), "id": text() },
            }),
        ),
    ]
}

fn repository() -> Named {
    let settings = json!({ "type": "object" });
    vec![
        ("IndexRequest", object(&[("ready?", truth())])),
        (
            "Index",
            list(object(&[
                ("name", text()),
                ("version?", text()),
                ("state?", json!({ "enum": ["READY", "UNAVAILABLE", "LOADING", "UNLOADING", "UNKNOWN"] })),
                ("reason?", text()),
            ])),
        ),
        ("ControlRequest", object(&[("parameters?", settings)])),
        ("Configuration", object(&[("name", text()), ("platform", text()), ("max_batch_size", count())])),
        ("Region", object(&[("key", text()), ("offset?", count()), ("byte_size", count())])),
        (
            "Regions",
            list(object(&[("name", text()), ("key", text()), ("offset", count()), ("byte_size", count())])),
        ),
        ("TraceSettings", json!({ "type": "object" })),
        ("LogSettings", json!({ "type": "object" })),
    ]
}

fn statistics() -> Named {
    let model = object(&[
        ("name", text()),
        ("version", text()),
        ("last_inference", count()),
        ("inference_count", count()),
        ("execution_count", count()),
        ("inference_stats", json!({ "type": "object" })),
        ("batch_stats", json!({ "type": "array" })),
    ]);
    vec![("Statistics", object(&[("model_stats", list(model))]))]
}

fn jobs() -> Named {
    let states: Vec<&str> = JobState::ALL.into_iter().map(JobState::name).collect();
    let payload = object(&[("kind", text()), ("bytes", count())]);
    let kinds: Vec<&str> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
    let failure = object(&[("kind", json!({ "enum": kinds })), ("message", text())]);
    vec![
        (
            "Job",
            object(&[
                ("id", text()),
                ("model", text()),
                ("state", json!({ "enum": states })),
                ("key", or_null(text())),
                ("priority", json!({ "enum": ["interactive", "normal", "bulk"] })),
                ("attempts", count()),
                ("attempts_max", count()),
                ("progress", or_null(object(&[("part", or_null(number())), ("text", or_null(text()))]))),
                ("input", payload.clone()),
                ("result", or_null(payload)),
                ("failure", or_null(failure)),
                ("cancel_asked", truth()),
                ("submitted_ms", count()),
                ("ready_ms", count()),
                ("started_ms", or_null(count())),
                ("finished_ms", or_null(count())),
                ("deadline_ms", or_null(count())),
            ]),
        ),
        ("Jobs", object(&[("jobs", list(schema("Job"))), ("next", or_null(text()))])),
        ("Cancelled", object(&[("id", text()), ("cancelled", json!({ "enum": ["removed", "asked"] }))])),
    ]
}

fn openai() -> Named {
    let input = json!({
        "anyOf": [text(), list(text()), list(json!({ "type": "integer" })), list(list(json!({ "type": "integer" })))],
    });
    let embedding = object(&[
        ("object", json!({ "const": "embedding" })),
        ("index", count()),
        ("embedding", json!({ "anyOf": [list(number()), text()] })),
    ]);
    let error = object(&[("message", text()), ("type", text()), ("param", anything()), ("code", anything())]);
    vec![
        ("OpenAIError", object(&[("error", error)])),
        (
            "EmbeddingsRequest",
            example(
                object(&[
                    ("model", text()),
                    ("input", input),
                    ("encoding_format?", json!({ "enum": ["float", "base64"] })),
                    ("dimensions?", json!({ "type": "integer", "minimum": 1 })),
                    ("user?", text()),
                ]),
                &json!({ "model": "embed", "input": ["one text", "another"] }),
            ),
        ),
        (
            "Embeddings",
            object(&[
                ("object", json!({ "const": "list" })),
                ("data", list(embedding)),
                ("model", text()),
                ("usage", object(&[("prompt_tokens", count()), ("total_tokens", count())])),
            ]),
        ),
        (
            "OpenAIModel",
            object(&[
                ("id", text()),
                ("object", json!({ "const": "model" })),
                ("created", count()),
                ("owned_by", text()),
            ]),
        ),
        (
            "OpenAIModels",
            object(&[("object", json!({ "const": "list" })), ("data", list(schema("OpenAIModel")))]),
        ),
    ]
}

fn operator() -> Named {
    vec![
        (
            "Explanation",
            object(&[
                ("id", text()),
                ("model", text()),
                ("priority", text()),
                ("arrived_ms", number()),
                ("waited_ms", number()),
                ("ran_ms", number()),
                ("total_ms", number()),
                ("outcome", text()),
                ("runs", json!({ "type": "array" })),
                ("story", text()),
            ]),
        ),
        (
            "Overview",
            object(&[
                ("at_ms", number()),
                ("version", text()),
                ("ready", truth()),
                ("connections", json!({ "type": "object" })),
                ("requests", json!({ "type": "object" })),
                ("event_loop", json!({ "type": "object" })),
                ("models", list(json!({ "type": "object" }))),
            ]),
        ),
    ]
}
