//! What went into a job or came out of it, in a form for others.

use std::io::Write as _;
use std::path::Path;

use unruffled::engine::job::{JobData as _, JobOutcome, JobQueue as _, Payload, TENSORS};
use unruffled::{JobStatus, Tensors};
use unruffled_protocol::{InferResponse, Parameters};

use super::Opened;
use crate::exit::{Exit, Failure};

/// The payload that is asked for.
pub(super) fn payload(opened: &Opened, status: &JobStatus, input: bool) -> Result<Payload, Failure> {
    let id = status.id;
    if input {
        let input = opened.ask(opened.queue.input(id))?;
        return input.ok_or_else(|| {
            let message = format!("the input of job {id} is not kept: it is {}", status.state.name());
            Failure::new(Exit::Input, message)
        });
    }
    match opened.ask(opened.queue.outcome(id))? {
        Some(JobOutcome::Done(result)) => Ok(result),
        Some(JobOutcome::Failed(failure)) => {
            Err(Failure::new(Exit::Failed, format!("job {id} has failed: {}", failure.message)))
        }
        Some(JobOutcome::Cancelled) => Err(Failure::new(Exit::Input, format!("job {id} was cancelled"))),
        None => {
            let message = format!("job {id} is {}: it has no result yet", status.state.name());
            Err(Failure::new(Exit::Busy, message))
        }
    }
}

/// Tensors as JSON of the Open Inference Protocol; all else as it is.
pub(super) fn readable(status: &JobStatus, payload: &Payload) -> Result<Vec<u8>, Failure> {
    if &*payload.kind != TENSORS {
        return Ok(payload.bytes.to_vec());
    }
    let tensors = Tensors::from_payload(payload).map_err(Failure::asking)?;
    let id = status.id.to_string();
    let json = InferResponse::write_json(&status.model, None, Some(&id), &Parameters::new(), tensors.iter());
    let mut json = json.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    json.push(b'\n');
    Ok(json)
}

/// Writes to a file, or to standard output.
pub(super) fn write(bytes: &[u8], file: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = file else {
        // Whoever reads may stop at any time.
        let _ = std::io::stdout().lock().write_all(bytes);
        return Ok(());
    };
    std::fs::write(file, bytes).map_err(|error| {
        Failure::new(Exit::Failed, format!("`{}` cannot be written: {error}", file.display()))
    })
}
