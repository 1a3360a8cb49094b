//! Requests as spans of OpenTelemetry: one for the request, and one for each part of its time.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use unruffled::Priority;
use unruffled_server::{Operation, Outcome, RequestSpan, Transport};

static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(|| {
    InstrumentationScope::builder("unruffled").with_version(env!("CARGO_PKG_VERSION")).build()
});

/// The span of a request, and those of its parts, in the order in which they ended.
pub(super) fn of(request: &RequestSpan) -> Vec<SpanData> {
    let mut spans = parts(request);
    spans.push(whole(request));
    spans
}

fn whole(request: &RequestSpan) -> SpanData {
    let verb = match request.operation {
        Operation::Submit => "submit",
        _ => "infer",
    };
    let name = match &request.model {
        Some(model) => format!("{verb} {model}"),
        // What clients call what is not there would be names without an end.
        None => verb.to_owned(),
    };
    let kind = match request.operation {
        Operation::Submit => SpanKind::Producer,
        _ => SpanKind::Server,
    };
    let status = match &request.outcome {
        Outcome::Answered => Status::Unset,
        Outcome::Refused { message, .. } => Status::error(message.clone()),
        _ => Status::error("nobody waited for the answer any more"),
    };
    SpanData {
        parent_span_id: SpanId::from(request.parent_id.unwrap_or_default()),
        parent_span_is_remote: request.parent_id.is_some(),
        span_kind: kind,
        attributes: attributes(request),
        status,
        ..span(request, request.context.parent_id(), name.into(), Duration::ZERO, request.took)
    }
}

fn attributes(request: &RequestSpan) -> Vec<KeyValue> {
    let mut all = Vec::with_capacity(12);
    let mut add = |name: &'static str, value: Value| all.push(KeyValue::new(name, value));
    match request.transport {
        Transport::Grpc => add("rpc.system.name", "grpc".into()),
        _ => add("http.request.method", "POST".into()),
    }
    match &request.outcome {
        Outcome::Refused { status, .. } => {
            if request.transport == Transport::Http {
                add("http.response.status_code", i64::from(*status).into());
            }
            add("error.type", status.to_string().into());
        }
        Outcome::Abandoned => add("error.type", "cancelled".into()),
        _ if request.transport == Transport::Http => add("http.response.status_code", 200.into()),
        _ => {}
    }
    let priority = match request.priority {
        Priority::Interactive => "interactive",
        Priority::Bulk => "bulk",
        _ => "normal",
    };
    add("unruffled.priority", priority.into());
    if let Some(model) = &request.model {
        add("unruffled.model.name", model.to_string().into());
    }
    if let Some(version) = &request.version {
        add("unruffled.model.version", version.to_string().into());
    }
    if let Some(id) = &request.id {
        add("unruffled.request.id", id.clone().into());
    }
    if let Some(rows) = request.rows {
        add("unruffled.request.rows", count(rows));
    }
    if let Some(timings) = &request.timings {
        add("unruffled.queue.seconds", timings.queue.as_secs_f64().into());
        add("unruffled.run.seconds", timings.run.as_secs_f64().into());
    }
    all
}

/// What is known of where the time went. Each part begins where the one before ended.
fn parts(request: &RequestSpan) -> Vec<SpanData> {
    let Some(asked) = request.asked else { return Vec::new() };
    let part = |name: &'static str, from: Duration, to: Duration| SpanData {
        parent_span_id: SpanId::from(request.context.parent_id()),
        ..span(request, fastrand::u64(1..), name.into(), from, to)
    };
    let mut parts = vec![part("receive", Duration::ZERO, asked)];
    if let Some(timings) = &request.timings {
        let taken = (asked + timings.queue).min(request.took);
        let ran = (taken + timings.run).min(request.took);
        parts.push(part("queue", asked, taken));
        parts.push(SpanData {
            attributes: vec![
                KeyValue::new("unruffled.batch.requests", count(timings.batch_requests)),
                KeyValue::new("unruffled.batch.rows", count(timings.batch_rows)),
                KeyValue::new("unruffled.instance", count(timings.instance)),
                KeyValue::new("unruffled.attempts", i64::from(timings.attempts)),
            ],
            ..part("run", taken, ran)
        });
        parts.push(part("reply", ran, request.took));
    }
    parts
}

fn span(request: &RequestSpan, id: u64, name: Cow<'static, str>, from: Duration, to: Duration) -> SpanData {
    let state: TraceState = request.context.state().and_then(|state| state.parse().ok()).unwrap_or_default();
    let trace = TraceId::from(request.context.trace_id());
    let at = |after: Duration| -> SystemTime { request.started + after };
    SpanData {
        span_context: SpanContext::new(trace, SpanId::from(id), TraceFlags::SAMPLED, false, state),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name,
        start_time: at(from),
        end_time: at(to),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: SCOPE.clone(),
    }
}

fn count(count: usize) -> Value {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}
