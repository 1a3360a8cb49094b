//! [`JobTerms`]: what is said of a job when it is submitted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use unruffled_model::{Caller, Name, Priority, RequestContext, RequestId, TraceContext};

use super::id::JobId;
use super::payload::Payload;

/// How often a job is begun unless it says otherwise.
const ATTEMPTS: u32 = 3;

/// How long a result is kept unless the job says otherwise.
const KEEP: Duration = Duration::from_secs(3600);

/// What is said of a job besides its input.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobTerms {
    /// The model that is to run it.
    pub model: Name,
    /// The same job submitted again is known by this.
    pub key: Option<JobKey>,
    /// Who goes first when work waits.
    pub priority: Priority,
    /// It does not begin earlier.
    pub not_before: Option<SystemTime>,
    /// When its caller gives up: queue, attempts and run included.
    pub deadline: Option<SystemTime>,
    /// How often it is begun at most.
    pub attempts: u32,
    /// How long its result is kept.
    pub keep: Duration,
    /// Its place in a trace.
    pub trace: Option<TraceContext>,
    /// On whose behalf it is made.
    pub caller: Option<Caller>,
    /// Names and values that go wherever the job goes.
    pub baggage: Vec<(Arc<str>, Arc<str>)>,
}

impl JobTerms {
    /// The usual terms: three attempts, normal priority, no deadline, and a result that is kept for an hour.
    pub fn new(model: impl Into<Name>) -> Self {
        Self {
            model: model.into(),
            key: None,
            priority: Priority::Normal,
            not_before: None,
            deadline: None,
            attempts: ATTEMPTS,
            keep: KEEP,
            trace: None,
            caller: None,
            baggage: Vec::new(),
        }
    }

    /// The bytes of all texts in them.
    pub(crate) fn text_bytes(&self) -> usize {
        let key = self.key.as_ref().map_or(0, |key| key.text.len());
        let caller = self.caller.as_ref().map_or(0, |caller| caller.key.len());
        let state = self.trace.as_ref().and_then(|trace| trace.state()).map_or(0, str::len);
        let baggage: usize = self.baggage.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.model.len() + key + caller + state + baggage
    }

    /// What travels with the request that runs the job; its deadline is left to whoever knows the time.
    pub(crate) fn context(&self, id: JobId) -> RequestContext {
        let mut context = RequestContext::new(RequestId::Text(id.to_string().into()));
        context = context.with_priority(self.priority);
        if let Some(trace) = &self.trace {
            context = context.with_trace(trace.clone());
        }
        if let Some(caller) = &self.caller {
            context = context.with_caller(caller.clone());
        }
        for (name, value) in &self.baggage {
            context = context.with_baggage(Arc::clone(name), Arc::clone(value));
        }
        context
    }
}

/// By what a job is known that is submitted again: a text of the caller's, and what the input was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobKey {
    /// The caller's text.
    pub text: Arc<str>,
    /// A digest of model and input: the same text with another input is a mistake, not the same job.
    pub digest: [u8; 32],
}

impl JobKey {
    /// The key of a job for this model with this input. Reads the whole input.
    pub fn new(text: impl Into<Arc<str>>, model: &str, input: &Payload) -> Self {
        let mut digest = Sha256::new();
        for part in [model.as_bytes(), input.kind.as_bytes(), &input.bytes] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Self { text: text.into(), digest: digest.finalize().into() }
    }
}

/// A job on its way into a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// Its name.
    pub id: JobId,
    /// What is said of it.
    pub terms: JobTerms,
    /// Its input.
    pub input: Payload,
}

#[cfg(test)]
mod tests {
    use super::{JobKey, Payload};

    #[test]
    fn a_key_knows_what_it_was_used_for() {
        let input = Payload::new("text/plain", "abc");
        let key = |model: &str, input: &Payload| JobKey::new("k", model, input);
        assert_eq!(key("m", &input), key("m", &input.clone()));
        assert_ne!(key("m", &input), key("n", &input));
        assert_ne!(key("m", &input), key("m", &Payload::new("text/plain", "abd")));
        // The border between the parts counts too.
        assert_ne!(key("m", &input), key("mt", &Payload::new("ext/plain", "abc")));
    }
}
