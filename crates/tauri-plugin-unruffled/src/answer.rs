//! Answers, as frames tell them.

use std::time::Duration;

use serde_json::{Value, json};
use unruffled::model::Provenance;
use unruffled::{Response, Tensors, Timings};

use crate::error::Error;
use crate::frame::Writer;

/// Adds an answer to a frame, and gives what its JSON is to say of it.
pub(crate) fn answer(writer: &mut Writer, model: &str, response: &Response<Tensors>) -> Result<Value, Error> {
    let mut told = part(writer, model, &response.output)?;
    told["timings"] = timings(&response.timings);
    if let Some(provenance) = &response.provenance {
        tell_provenance(&mut told, provenance);
    }
    Ok(told)
}

/// Tensors alone: one of several outputs of a request, or the result of a job.
pub(crate) fn part(writer: &mut Writer, model: &str, output: &Tensors) -> Result<Value, Error> {
    Ok(json!({ "model": model, "outputs": writer.add(output)? }))
}

/// Where the time went: in milliseconds.
pub(crate) fn timings(timings: &Timings) -> Value {
    json!({
        "queue_ms": milliseconds(timings.queue),
        "run_ms": milliseconds(timings.run),
        "batch_requests": timings.batch_requests,
        "batch_rows": timings.batch_rows,
    })
}

pub(crate) fn tell_provenance(told: &mut Value, provenance: &Provenance) {
    if let Some(version) = &provenance.version {
        told["version"] = (&**version).into();
    }
    if provenance.cached {
        told["cached"] = true.into();
    }
    if let Some(degraded) = &provenance.degraded {
        let why: Vec<[&str; 2]> = degraded.why.iter().map(|(model, reason)| [&**model, &**reason]).collect();
        told["degraded"] = json!({ "by": &*degraded.by, "why": why });
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
