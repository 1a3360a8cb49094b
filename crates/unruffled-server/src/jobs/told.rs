//! Jobs as JSON.

use std::time::SystemTime;

use serde_json::{Value, json};
use unruffled_engine::JobStatus;
use unruffled_engine::job::PayloadInfo;

/// How a job is doing, as the end points tell it.
///
/// `id`, `model`, `state` (`queued`, `running`, `done`, `failed` or `cancelled`), `key`, `priority`, `attempts` and
/// `attempts_max`, `progress` (`part` from 0 to 1, `text`), `input` and `result` (`kind`, a media type, and `bytes`),
/// `failure` (`kind`, a code of the engine's errors, and `message`), `cancel_asked`, and moments in milliseconds since 1970:
/// `submitted_ms`, `ready_ms`, `started_ms`, `finished_ms`, `deadline_ms`. What is not known is `null`.
pub fn job_status(status: &JobStatus) -> Value {
    let payload = |info: &PayloadInfo| json!({ "kind": &*info.kind, "bytes": info.bytes });
    let failure = status.failure.as_ref();
    let progress = status.progress.as_ref();
    json!({
        "id": status.id.to_string(),
        "model": &*status.model,
        "state": status.state.name(),
        "key": status.key.as_deref(),
        "priority": format!("{:?}", status.priority).to_lowercase(),
        "attempts": status.attempts,
        "attempts_max": status.attempts_max,
        "progress": progress.map(|progress| json!({ "part": progress.part, "text": progress.text.as_deref() })),
        "input": payload(&status.input),
        "result": status.result.as_ref().map(payload),
        "failure": failure.map(|failure| json!({ "kind": failure.kind.code(), "message": &*failure.message })),
        "cancel_asked": status.cancel_asked,
        "submitted_ms": since_1970(status.submitted),
        "ready_ms": since_1970(status.ready),
        "started_ms": status.started.map(since_1970),
        "finished_ms": status.finished.map(since_1970),
        "deadline_ms": status.deadline.map(since_1970),
    })
}

fn since_1970(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
