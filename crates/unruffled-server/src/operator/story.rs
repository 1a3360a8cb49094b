//! `GET /v1/explain/{id}`: what became of a request, and why.

use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use unruffled_engine::{ExplainedRun, Explanation, Priority, RequestId, RunEnd};

use crate::access::Identity;
use crate::refusal::Refusal;
use crate::service::{Named, Service, named};

/// The newest request of this name to any model.
pub(super) async fn of_any(
    State(service): State<Service>,
    identity: Identity,
    id: Named<String>,
) -> Result<Json<Value>, Refusal> {
    let id = named(id)?;
    match service.engine().explain(&RequestId::Text(id.as_str().into())) {
        Some(explanation) => {
            identity.may_see(&explanation.model)?;
            Ok(Json(json(&explanation)))
        }
        None => Err(unknown(
            &id,
            "; one that was sent without an `id` is found by its model and number, at \
            `/v1/explain/{model}/{number}`",
        )),
    }
}

/// The newest request of this name, or of this number, to one model.
pub(super) async fn of_model(
    State(service): State<Service>,
    identity: Identity,
    names: Named<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let (model, id) = named(names)?;
    identity.may_see(&model)?;
    let engine = service.engine();
    let mut found = engine.explain_of(&model, &RequestId::Text(id.as_str().into()))?;
    if let (None, Ok(number)) = (&found, id.parse()) {
        found = engine.explain_of(&model, &RequestId::Number(number))?;
    }
    found.map(|explanation| Json(json(&explanation))).ok_or_else(|| unknown(&id, ""))
}

fn unknown(id: &str, remedy: &str) -> Refusal {
    Refusal::not_found(format!(
        "request `{id}` is not among the last that ended: it goes on, or is forgotten, or never came{remedy}"
    ))
}

/// The whole story.
pub(super) fn json(explanation: &Explanation) -> Value {
    let mut story = brief(explanation);
    let more = json!({
        "model": &*explanation.model,
        "allowed_ms": explanation.allowed.map(millis),
        "ahead": { "requests": explanation.ahead_requests, "rows": explanation.ahead_rows, "running": explanation.running },
        "predicted": { "wait_ms": explanation.predicted_wait.map(millis), "run_ms": explanation.predicted_run.map(millis) },
        "runs": explanation.runs.iter().map(run).collect::<Vec<_>>(),
        "error": explanation.outcome.as_ref().err().map(|error| error.message().to_owned()),
        "story": explanation.to_string(),
    });
    if let (Value::Object(story), Value::Object(more)) = (&mut story, more) {
        story.extend(more);
    }
    story
}

/// What of a request fits into a line.
pub(super) fn brief(explanation: &Explanation) -> Value {
    let last = explanation.runs.last();
    json!({
        "id": explanation.id.to_string(),
        "priority": match explanation.priority {
            Priority::Interactive => "interactive",
            Priority::Normal => "normal",
            Priority::Bulk => "bulk",
        },
        "arrived_ms": millis(explanation.arrived.duration_since(UNIX_EPOCH).unwrap_or_default()),
        "waited_ms": millis(explanation.waited),
        "ran_ms": millis(explanation.ran),
        "total_ms": millis(explanation.total),
        "outcome": explanation.outcome.as_ref().map_or_else(|error| error.kind().code(), |()| "answered"),
        "shared_with": last.map_or(0, |run| run.requests.saturating_sub(1)),
        "rows": last.map(|run| run.rows),
        "instance": last.map(|run| run.instance),
    })
}

fn run(run: &ExplainedRun) -> Value {
    json!({
        "began_ms": millis(run.began),
        "ended_ms": millis(run.ended),
        "predicted_ms": run.predicted.map(millis),
        "instance": run.instance,
        "requests": run.requests,
        "rows": run.rows,
        "neighbours": run.neighbours.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "end": match run.end {
            RunEnd::Completed => "completed",
            RunEnd::Failed => "failed",
            RunEnd::Crashed => "crashed",
            RunEnd::Preempted => "preempted",
            RunEnd::Split => "split",
            RunEnd::Stopped => "stopped",
            _ => "other",
        },
    })
}

/// Milliseconds, to a microsecond.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
