//! [`TraceContext`]: where a request stands in a distributed trace, as the W3C has it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::ModelError;

/// A place in a trace: W3C Trace Context, level 1 (<https://www.w3.org/TR/trace-context-1/>).
///
/// ```
/// use unruffled_model::TraceContext;
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace: TraceContext = header.parse()?;
/// assert!(trace.is_sampled());
/// assert_eq!(trace.to_string(), header);
/// # Ok::<(), unruffled_model::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
    state: Option<Arc<str>>,
}

impl TraceContext {
    /// The place under the span `parent_id` of the trace `trace_id`; `None` if either is zero, which the standard forbids.
    pub fn new(trace_id: u128, parent_id: u64, sampled: bool) -> Option<Self> {
        let valid = trace_id != 0 && parent_id != 0;
        valid.then_some(Self { trace_id, parent_id, flags: u8::from(sampled), state: None })
    }

    /// Adds the vendors' part, the `tracestate` header, which is passed on as it is.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<Arc<str>>) -> Self {
        self.state = Some(state.into());
        self
    }

    /// The place under another span of the same trace, for what is done on behalf of this one: `None` if the span is zero.
    #[must_use]
    pub fn child(&self, span_id: u64, sampled: bool) -> Option<Self> {
        let flags = self.flags & !1 | u8::from(sampled);
        (span_id != 0).then(|| Self { parent_id: span_id, flags, ..self.clone() })
    }

    /// The trace.
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The span that caused the request.
    pub fn parent_id(&self) -> u64 {
        self.parent_id
    }

    /// Whether the caller records this trace.
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// The `tracestate` header, if there is one.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

/// The `traceparent` header.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

/// Reads a `traceparent` header.
impl FromStr for TraceContext {
    type Err = ModelError;

    fn from_str(header: &str) -> Result<Self, ModelError> {
        let wrong = |what: &str| ModelError::invalid_input(format!("traceparent `{header}`: {what}"));
        let mut parts = header.split('-');
        let mut part = |name: &str, digits: usize| {
            let text = parts.next().unwrap_or("");
            let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if text.len() != digits || !text.bytes().all(hex) {
                return Err(wrong(&format!("{name} must be {digits} lowercase hexadecimal digits")));
            }
            Ok(u128::from_str_radix(text, 16).expect("at most 32 digits, seen just now"))
        };
        let version = part("the version", 2)?;
        let (trace_id, parent_id) = (part("the trace id", 32)?, part("the parent id", 16)?);
        let flags = part("the flags", 2)?;
        if version == 0xff {
            return Err(wrong("version ff is forbidden"));
        }
        if version == 0 && parts.next().is_some() {
            return Err(wrong("version 00 has four parts"));
        }
        let context = Self::new(trace_id, parent_id as u64, false).ok_or_else(|| wrong("an id is zero"))?;
        // Later versions may give the other bits a meaning that we do not know.
        Ok(Self { flags: if version == 0 { flags as u8 } else { flags as u8 & 1 }, ..context })
    }
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    #[track_caller]
    fn check(header: &str, problem: Option<&str>) {
        let parsed: Result<TraceContext, _> = header.parse();
        match (parsed, problem) {
            (Ok(_), None) => {}
            (Err(error), Some(problem)) => assert!(error.to_string().contains(problem), "{error}"),
            (parsed, _) => panic!("{header}: {parsed:?}"),
        }
    }

    #[test]
    fn headers_are_read_as_the_standard_says() {
        const IDS: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        check(&format!("00-{IDS}-01"), None);
        check(&format!("01-{IDS}-01-what-the-future-brings"), None);
        check(&format!("00-{IDS}-01-more"), Some("four parts"));
        check(&format!("ff-{IDS}-01"), Some("forbidden"));
        check(&format!("00-{IDS}-1"), Some("the flags"));
        check(&format!("00-{}-01", IDS.to_uppercase()), Some("lowercase"));
        check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", Some("zero"));
        check("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", Some("zero"));
        check("", Some("the version"));
        check("00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some("the trace id"));
    }

    #[test]
    fn what_is_passed_on_is_what_came() {
        let trace = TraceContext::new(7, 9, true).unwrap().with_state("vendor=1");
        assert_eq!(trace.to_string(), "00-00000000000000000000000000000007-0000000000000009-01");
        assert_eq!((trace.state(), trace.is_sampled()), (Some("vendor=1"), true));
        assert_eq!(TraceContext::new(0, 9, true), None);

        let child = trace.child(11, false).unwrap();
        assert_eq!(child.to_string(), "00-00000000000000000000000000000007-000000000000000b-00");
        assert_eq!((child.state(), trace.child(0, true)), (Some("vendor=1"), None));
    }
}
