//! Records of jobs as they stand on disk: JSON, so that whoever looks into a store can read them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use unruffled_engine::job::{JobFailure, JobId, JobKey, JobRecord, JobState, JobTerms, PayloadInfo};
use unruffled_engine::{Caller, ErrorKind, Priority};
use unruffled_model::TraceContext;

/// A record, in words and numbers that mean the same in every version of this program.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    arrival: u64,
    model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<StoredKey>,
    priority: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline_us: Option<u64>,
    attempts_max: u32,
    keep_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    caller: Option<StoredCaller>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    baggage: Vec<(String, String)>,
    input: StoredPayload,
    submitted_us: u64,
    state: String,
    ready_us: u64,
    attempts: u32,
    returned: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_us: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<StoredFailure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<StoredPayload>,
    #[serde(default)]
    cancel_asked: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredKey {
    text: String,
    /// In hexadecimal.
    digest: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredCaller {
    key: String,
    weight: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredPayload {
    kind: String,
    bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredFailure {
    kind: String,
    message: String,
}

/// The record as bytes.
pub(super) fn encode(record: &JobRecord) -> Vec<u8> {
    let terms = &record.terms;
    let stored = Stored {
        arrival: record.arrival,
        model: terms.model.to_string(),
        key: terms.key.as_ref().map(|key| StoredKey { text: key.text.to_string(), digest: hex(&key.digest) }),
        priority: priority_name(terms.priority).into(),
        not_before_us: terms.not_before.map(micros),
        deadline_us: terms.deadline.map(micros),
        attempts_max: terms.attempts,
        keep_us: whole(terms.keep),
        traceparent: terms.trace.as_ref().map(ToString::to_string),
        tracestate: terms.trace.as_ref().and_then(|trace| trace.state().map(str::to_owned)),
        caller: terms
            .caller
            .as_ref()
            .map(|caller| StoredCaller { key: caller.key.to_string(), weight: caller.weight.get() }),
        baggage: terms.baggage.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        input: stored_payload(&record.input),
        submitted_us: micros(record.submitted),
        state: record.state.name().into(),
        ready_us: micros(record.ready),
        attempts: record.attempts,
        returned: record.returned,
        started_us: record.started.map(micros),
        finished_us: record.finished.map(micros),
        failure: record.failure.as_ref().map(|failure| StoredFailure {
            kind: failure.kind.code().into(),
            message: failure.message.to_string(),
        }),
        result: record.result.as_ref().map(stored_payload),
        cancel_asked: record.cancel_asked,
    };
    serde_json::to_vec(&stored).expect("text and numbers are JSON")
}

/// A record out of bytes, or what is wrong with them.
pub(super) fn decode(id: JobId, bytes: &[u8]) -> Result<JobRecord, String> {
    let stored: Stored = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut terms = JobTerms::new(stored.model);
    terms.key = stored
        .key
        .map(|key| match unhex(&key.digest) {
            Some(digest) => Ok(JobKey { text: key.text.into(), digest }),
            None => Err(format!("`{}` is no digest", key.digest)),
        })
        .transpose()?;
    terms.priority = Priority::ALL
        .into_iter()
        .find(|priority| priority_name(*priority) == stored.priority)
        .ok_or_else(|| format!("`{}` is no priority", stored.priority))?;
    terms.not_before = stored.not_before_us.map(time);
    terms.deadline = stored.deadline_us.map(time);
    terms.attempts = stored.attempts_max;
    terms.keep = Duration::from_micros(stored.keep_us);
    terms.trace = stored
        .traceparent
        .map(|header| header.parse::<TraceContext>())
        .transpose()
        .map_err(|error| error.to_string())?
        .map(|trace| match stored.tracestate {
            Some(state) => trace.with_state(state),
            None => trace,
        });
    terms.caller = stored.caller.map(|caller| Caller::new(caller.key).with_weight(caller.weight));
    let shared = |text: String| Arc::<str>::from(text);
    terms.baggage = stored.baggage.into_iter().map(|(name, value)| (shared(name), shared(value))).collect();
    Ok(JobRecord {
        id,
        arrival: stored.arrival,
        terms,
        input: payload_info(stored.input),
        submitted: time(stored.submitted_us),
        state: JobState::ALL
            .into_iter()
            .find(|state| state.name() == stored.state)
            .ok_or_else(|| format!("`{}` is no state", stored.state))?,
        ready: time(stored.ready_us),
        attempts: stored.attempts,
        returned: stored.returned,
        started: stored.started_us.map(time),
        finished: stored.finished_us.map(time),
        failure: stored.failure.map(failure).transpose()?,
        result: stored.result.map(payload_info),
        cancel_asked: stored.cancel_asked,
    })
}

fn failure(stored: StoredFailure) -> Result<JobFailure, String> {
    let kind = ErrorKind::ALL.iter().find(|kind| kind.code() == stored.kind);
    let kind = kind.ok_or_else(|| format!("`{}` is no kind of error", stored.kind))?;
    Ok(JobFailure::new(*kind, stored.message))
}

fn stored_payload(info: &PayloadInfo) -> StoredPayload {
    StoredPayload { kind: info.kind.to_string(), bytes: info.bytes }
}

fn payload_info(stored: StoredPayload) -> PayloadInfo {
    PayloadInfo { kind: stored.kind.into(), bytes: stored.bytes }
}

fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Interactive => "interactive",
        Priority::Normal => "normal",
        Priority::Bulk => "bulk",
    }
}

/// Microseconds since 1970; what is before or beyond is cut.
fn micros(at: SystemTime) -> u64 {
    whole(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn time(micros: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(UNIX_EPOCH)
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use unruffled_engine::job::{JobFailure, JobId, JobKey, JobRecord, JobState, JobTerms, NewJob, Payload};
    use unruffled_engine::{Caller, ErrorKind, Priority};
    use unruffled_model::TraceContext;

    use super::{decode, encode};

    fn full() -> JobRecord {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let input = Payload::new("text/plain", "in");
        let mut terms = JobTerms::new("m");
        terms.key = Some(JobKey::new("k", "m", &input));
        terms.priority = Priority::Bulk;
        (terms.not_before, terms.deadline) = (Some(at(5)), Some(at(60)));
        terms.trace = TraceContext::new(7, 9, true).map(|trace| trace.with_state("vendor=1"));
        terms.caller = Some(Caller::new("window").with_weight(3));
        terms.baggage = vec![("tenant".into(), "ä".into())];
        let mut record = JobRecord::new(at(1), 4, &NewJob { id: JobId::from(7), terms, input });
        record.state = JobState::Failed;
        (record.attempts, record.returned, record.cancel_asked) = (2, 1, true);
        (record.started, record.finished) = (Some(at(6)), Some(at(7)));
        record.failure = Some(JobFailure::new(ErrorKind::ModelCrashed, "broke"));
        record.result = Some(Payload::new("text/plain", "out").info());
        record
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let mut plain = full();
        plain.terms = JobTerms::new("n");
        (plain.failure, plain.result, plain.started, plain.finished) = (None, None, None, None);
        for record in [full(), plain] {
            assert_eq!(decode(record.id, &encode(&record)).unwrap(), record);
        }
    }

    #[test]
    fn every_state_priority_and_kind_of_error_can_be_kept() {
        let mut record = full();
        for state in JobState::ALL {
            for priority in Priority::ALL {
                for &kind in ErrorKind::ALL {
                    (record.state, record.terms.priority) = (state, priority);
                    record.failure = Some(JobFailure::new(kind, "why"));
                    assert_eq!(decode(record.id, &encode(&record)).unwrap(), record);
                }
            }
        }
    }

    #[test]
    fn what_is_no_record_says_why() {
        let text = String::from_utf8(encode(&full())).unwrap();
        let check = |from: &str, to: &str, problem: &str| {
            assert!(text.contains(from), "{from} is not in {text}");
            let error = decode(JobId::from(7), text.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{error}");
        };
        check("\"failed\"", "\"lost\"", "`lost` is no state");
        check("\"bulk\"", "\"soon\"", "`soon` is no priority");
        check("model_crashed", "bored", "`bored` is no kind of error");
        check("\"digest\":\"", "\"digest\":\"x", "is no digest");
        check("\"arrival\"", "\"departure\"", "missing field `arrival`");
        assert!(decode(JobId::from(7), b"{").is_err());
    }
}
