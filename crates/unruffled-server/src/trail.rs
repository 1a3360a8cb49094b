//! [`Trail`]: follows one request from its headers to its end, for traces and for the log.

use std::time::{Instant, SystemTime};

use axum::http::{HeaderMap, HeaderName};
use unruffled_engine::Priority;
use unruffled_model::{Batching, Name, Tensors, TraceContext};
use unruffled_protocol::InferRequest;

use crate::ask::Answered;
use crate::refusal::Refusal;
use crate::service::{Found, Service};
use crate::spans::{Operation, Outcome, RequestSpan, Transport};
use crate::terms::Terms;

const PARENT: HeaderName = HeaderName::from_static("traceparent");

const STATE: HeaderName = HeaderName::from_static("tracestate");

/// The most bytes of `traceparent`: later versions of the standard may add to the 55 of this one.
const PARENT_BYTES: usize = 256;

/// The most bytes of `tracestate` that go on: as many as the standard asks to pass on at least.
const STATE_BYTES: usize = 512;

/// The most members of `tracestate`.
const STATE_MEMBERS: usize = 32;

/// The trace that a request comes with. What is not as the standard has it counts as nothing: then a trace begins here.
pub(crate) fn incoming(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(PARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    let parent = parent.to_str().ok().filter(|text| text.len() <= PARENT_BYTES)?;
    let context: TraceContext = parent.trim().parse().ok()?;
    Some(match state(headers) {
        Some(state) => context.with_state(state),
        None => context,
    })
}

/// The vendors' part, as much as is passed on: the newest members stand first, and the last ones are left out.
fn state(headers: &HeaderMap) -> Option<String> {
    let mut state = String::new();
    let mut members = 0;
    for value in headers.get_all(STATE) {
        let is_visible = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
        let text = value.to_str().ok().filter(|text| text.as_bytes().iter().all(is_visible))?;
        for member in text.split(',').map(str::trim).filter(|member| !member.is_empty()) {
            // One that is broken breaks the whole.
            member.split_once('=').filter(|(key, _)| !key.is_empty())?;
            members += 1;
            if members > STATE_MEMBERS || state.len() + 1 + member.len() > STATE_BYTES {
                return (!state.is_empty()).then_some(state);
            }
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(member);
        }
    }
    (!state.is_empty()).then_some(state)
}

/// One request on its way. Dropped before its end, its client has gone.
#[derive(Default)]
pub(crate) struct Trail {
    /// What the model is given.
    context: Option<TraceContext>,
    /// What is told of it, if it is.
    told: Option<Box<Told>>,
    model: Option<Name>,
    id: Option<String>,
}

struct Told {
    service: Service,
    arrived: Instant,
    span: RequestSpan,
}

impl Trail {
    /// Follows a request that came with this trace, or without one.
    pub(crate) fn new(
        service: &Service,
        incoming: Option<TraceContext>,
        arrived: Instant,
        operation: Operation,
        transport: Transport,
    ) -> Self {
        let Some(tracing) = &service.options().tracing else {
            // Whoever records nothing adds no place of its own.
            return Self::at(incoming, None);
        };
        let Some((context, sampled)) = place(incoming.as_ref(), |id, parent| tracing.samples(id, parent))
        else {
            return Self::at(incoming, None);
        };
        let told = sampled.then(|| {
            let span = RequestSpan {
                context: context.clone(),
                parent_id: incoming.as_ref().map(TraceContext::parent_id),
                operation,
                transport,
                started: SystemTime::now() - arrived.elapsed(),
                asked: None,
                took: arrived.elapsed(),
                timings: None,
                model: None,
                version: None,
                id: None,
                rows: None,
                priority: Priority::default(),
                outcome: Outcome::Abandoned,
            };
            Box::new(Told { service: service.clone(), arrived, span })
        });
        Self::at(Some(context), told)
    }

    fn at(context: Option<TraceContext>, told: Option<Box<Told>>) -> Self {
        Self { context, told, model: None, id: None }
    }

    /// The place in the trace that whatever is done for the request is given.
    pub(crate) fn context(&self) -> Option<&TraceContext> {
        self.context.as_ref()
    }

    /// It is for this model.
    pub(crate) fn is_for(&mut self, found: &Found, request: &InferRequest) {
        self.model = Some(found.handle.name().clone());
        self.id = request.id.clone().filter(|id| !id.is_empty());
        if let Some(told) = &mut self.told {
            told.span.version.clone_from(&found.version);
            told.span.rows = rows(found, &request.inputs);
        }
    }

    /// It goes to the engine now.
    pub(crate) fn asks(&mut self, terms: &Terms) {
        if let Some(told) = &mut self.told {
            told.span.priority = terms.priority;
            told.span.asked = Some(told.arrived.elapsed());
        }
    }

    /// The engine has answered, perhaps not for the last time.
    pub(crate) fn answered(&mut self, answered: &Answered) {
        if let Some(told) = &mut self.told {
            told.span.version.clone_from(&answered.version);
            if answered.timings.is_some() {
                told.span.timings.clone_from(&answered.timings);
            }
        }
    }

    /// It has ended, with an answer or without.
    pub(crate) fn end<T>(&mut self, outcome: &Result<T, Refusal>) {
        match outcome {
            Ok(_) => self.tell(|| Outcome::Answered),
            Err(refusal) => self.refused(refusal),
        }
    }

    /// It has ended without an answer.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.log(refusal);
        let status = refusal.status().as_u16();
        self.tell(|| Outcome::Refused { status, message: refusal.message().to_owned() });
    }

    fn tell(&mut self, outcome: impl FnOnce() -> Outcome) {
        let Some(told) = self.told.take() else { return };
        let Told { service, arrived, mut span } = *told;
        span.took = arrived.elapsed();
        span.outcome = outcome();
        (span.model, span.id) = (self.model.take(), self.id.take());
        if let Some(tracing) = &service.options().tracing {
            tracing.tell(span);
        }
    }

    /// What is no fault of the client is in the log once. That there is too much to do is no fault of anybody: it is counted,
    /// and lines about it would only add to it.
    fn log(&self, refusal: &Refusal) {
        let status = refusal.status();
        if !status.is_server_error() {
            return;
        }
        let (model, id) = (self.model.as_deref(), self.id.as_deref());
        let trace = self.context.as_ref().map(|context| format!("{:032x}", context.trace_id()));
        let (status, error) = (status.as_u16(), refusal.message());
        if status == 500 {
            tracing::error!(model, id, trace, status, error, "a request failed");
        } else {
            tracing::info!(model, id, trace, status, error, "a request was not answered");
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.tell(|| Outcome::Abandoned);
    }
}

/// A place of its own for a request in its trace, and whether it is told. `None` if the system has no random numbers.
fn place(
    incoming: Option<&TraceContext>,
    samples: impl FnOnce(u128, Option<bool>) -> bool,
) -> Option<(TraceContext, bool)> {
    let mut random = [0; 24];
    getrandom::fill(&mut random).ok()?;
    let (trace, span) = random.split_at(16);
    let span = u64::from_be_bytes(span.try_into().ok()?) | 1;
    match incoming {
        Some(parent) => {
            let sampled = samples(parent.trace_id(), Some(parent.is_sampled()));
            Some((parent.child(span, sampled)?, sampled))
        }
        None => {
            let trace = u128::from_be_bytes(trace.try_into().ok()?) | 1;
            let sampled = samples(trace, None);
            Some((TraceContext::new(trace, span, sampled)?, sampled))
        }
    }
}

/// How many rows a request has, for a model that takes rows.
fn rows(found: &Found, inputs: &Tensors) -> Option<usize> {
    found.handle.known_info().filter(|info| info.batching != Batching::Single)?;
    inputs.iter().next()?.1.shape().first().copied()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::{incoming, place};

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[track_caller]
    fn check(pairs: &[(&'static str, &str)], expected: Option<(&str, Option<&str>)>) {
        let found = incoming(&headers(pairs));
        let found = found.map(|trace| (trace.to_string(), trace.state().map(str::to_owned)));
        let expected = expected.map(|(trace, state)| (trace.to_owned(), state.map(str::to_owned)));
        assert_eq!(found, expected, "{pairs:?}");
    }

    #[test]
    fn a_trace_is_taken_as_the_standard_says() {
        check(&[], None);
        check(&[("traceparent", TRACE)], Some((TRACE, None)));
        check(&[("traceparent", "no trace")], None);
        check(&[("traceparent", TRACE), ("traceparent", TRACE)], None);
        check(&[("tracestate", "a=1")], None);
        let long = format!("01{}-{}", &TRACE[2..], "x".repeat(300));
        check(&[("traceparent", &long)], None);
    }

    #[test]
    fn the_state_is_bounded() {
        let with = |state: &str, expected| {
            check(&[("traceparent", TRACE), ("tracestate", state)], Some((TRACE, expected)));
        };
        with("a=1, b=2", Some("a=1,b=2"));
        with("a=1,,b=2,", Some("a=1,b=2"));
        with("nothing", None);
        with("", None);
        let big = "x".repeat(600);
        with(&format!("a=1,b={big}"), Some("a=1"));
        with(&format!("b={big}"), None);
        check(
            &[("traceparent", TRACE), ("tracestate", "a=1"), ("tracestate", "b=2")],
            Some((TRACE, Some("a=1,b=2"))),
        );
        let many: Vec<_> = (0..40).map(|i| format!("k{i}=1")).collect();
        with(&many.join(","), Some(&many[..32].join(",")));
    }

    #[test]
    fn a_place_keeps_the_trace_and_its_state() {
        let parent = incoming(&headers(&[("traceparent", TRACE), ("tracestate", "a=1")])).unwrap();
        let (child, sampled) = place(Some(&parent), |_, parent| parent == Some(true)).unwrap();
        assert_eq!((child.trace_id(), child.state()), (parent.trace_id(), Some("a=1")));
        assert!(sampled && child.is_sampled() && child.parent_id() != parent.parent_id());
        let (new, sampled) = place(None, |_, parent| parent.is_some()).unwrap();
        assert!(!sampled && !new.is_sampled() && new.trace_id() != parent.trace_id());
    }
}
