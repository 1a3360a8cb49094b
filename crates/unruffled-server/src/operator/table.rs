//! [`TABLE`]: every metric, its meaning, and where it is read. The page of the guide is checked against it.

use std::time::Duration;

use unruffled_engine::{
    CacheMetrics, Distribution, ErrorKind, Lateness, ModelMetrics, ModelStatus, SizeDistribution,
    VersionStatus,
};

use super::reading::Reading;

/// One metric.
pub(super) struct Metric {
    /// As it is found in the answer; a histogram adds `_bucket`, `_sum` and `_count`.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    /// One sentence without its full stop.
    pub(super) help: &'static str,
    pub(super) read: fn(&Reading, &mut Samples<'_>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, until the model or the server goes; its name ends in `_total`.
    Counter,
    Gauge,
    Histogram,
}

/// What a metric is at this moment.
pub(super) enum Value {
    Number(u64),
    Buckets { sum: f64, count: u64, at_most: Vec<(f64, u64)> },
}

/// Takes the values of one metric: those of its labels, in their order, and the number.
pub(super) type Samples<'a> = dyn FnMut(&[&str], Value) + 'a;

const NONE: &[&str] = &[];
const KIND: &[&str] = &["kind"];
const MODEL: &[&str] = &["model", "version"];
const MODEL_KIND: &[&str] = &["model", "version", "kind"];

#[rustfmt::skip]
pub(super) const TABLE: &[Metric] = &[
    Metric { name: "unruffled_build_info", kind: Kind::Gauge, labels: &["version"],
        help: "Always 1; the label is the version of the program",
        read: |_, out| out(&[env!("CARGO_PKG_VERSION")], Value::Number(1)) },
    Metric { name: "unruffled_server_connections", kind: Kind::Gauge, labels: NONE,
        help: "Connections that are open",
        read: |all, out| out(&[], number(all.traffic.connections)) },
    Metric { name: "unruffled_server_connections_limit", kind: Kind::Gauge, labels: NONE,
        help: "Connections that may be open",
        read: |all, out| out(&[], number(all.limits.connections)) },
    Metric { name: "unruffled_server_requests", kind: Kind::Gauge, labels: NONE,
        help: "Inference requests in flight, from their headers to their answers",
        read: |all, out| out(&[], number(all.traffic.requests)) },
    Metric { name: "unruffled_server_requests_limit", kind: Kind::Gauge, labels: NONE,
        help: "Inference requests that may be in flight",
        read: |all, out| out(&[], number(all.limits.requests)) },
    Metric { name: "unruffled_server_body_bytes", kind: Kind::Gauge, labels: NONE,
        help: "Bytes of the bodies of requests in flight",
        read: |all, out| out(&[], number(all.traffic.body_bytes)) },
    Metric { name: "unruffled_server_body_limit_bytes", kind: Kind::Gauge, labels: NONE,
        help: "Bytes that the bodies of requests in flight may have together",
        read: |all, out| out(&[], number(all.limits.body_bytes)) },
    Metric { name: "unruffled_server_refused_total", kind: Kind::Counter, labels: KIND,
        help: "Requests that the server refused before a model saw them, since there were too many requests or bytes",
        read: |all, out| {
            out(&["requests"], Value::Number(all.traffic.refused_requests));
            out(&["bytes"], Value::Number(all.traffic.refused_bytes));
        } },
    Metric { name: "unruffled_spans_exported_total", kind: Kind::Counter, labels: NONE,
        help: "Spans that were taken by the collector of traces; not there without one",
        read: |all, out| if let Some(report) = &all.tracing { out(&[], Value::Number(report.exported)) } },
    Metric { name: "unruffled_spans_dropped_total", kind: Kind::Counter, labels: NONE,
        help: "Spans that were lost, since the collector was away or did not keep up; not there without one",
        read: |all, out| if let Some(report) = &all.tracing { out(&[], Value::Number(report.dropped)) } },

    Metric { name: "unruffled_event_loop_lateness_seconds", kind: Kind::Histogram, labels: NONE,
        help: "How late the event loop was for its beats, a hundred a second, missed ones included",
        read: |all, out| out(&[], lateness(&all.event_loop.lateness)) },
    Metric { name: "unruffled_event_loop_timer_lateness_seconds", kind: Kind::Histogram, labels: NONE,
        help: "How late the timer was for the same beats: what the machine, not the loop, is to blame for",
        read: |all, out| out(&[], lateness(&all.event_loop.timer_lateness)) },
    Metric { name: "unruffled_event_loop_stalls_total", kind: Kind::Counter, labels: NONE,
        help: "How often the event loop was blocked for 50 milliseconds or longer",
        read: |all, out| out(&[], Value::Number(all.event_loop.stalls_total)) },

    Metric { name: "unruffled_memory_budget_bytes", kind: Kind::Gauge, labels: NONE,
        help: "Bytes that all models may take together; absent without a budget",
        read: |all, out| all.memory.iter().for_each(|memory| out(&[], number(memory.budget))) },
    Metric { name: "unruffled_memory_used_bytes", kind: Kind::Gauge, labels: NONE,
        help: "Bytes that all models take together; absent without a budget",
        read: |all, out| all.memory.iter().for_each(|memory| out(&[], number(memory.used))) },
    Metric { name: "unruffled_memory_loads_total", kind: Kind::Counter, labels: NONE,
        help: "Loads that came to a good end; absent without a budget",
        read: |all, out| all.memory.iter().for_each(|memory| out(&[], Value::Number(memory.loads))) },
    Metric { name: "unruffled_memory_evictions_total", kind: Kind::Counter, labels: NONE,
        help: "Models that were put out of memory for others; absent without a budget",
        read: |all, out| all.memory.iter().for_each(|memory| out(&[], Value::Number(memory.evictions))) },

    Metric { name: "unruffled_model_ready", kind: Kind::Gauge, labels: &["model"],
        help: "1 if the model can answer, if need be after it was loaded, and 0 if not",
        read: |all, out| each_model(all, |model| out(&[&model.name], Value::Number(model.is_ready().into()))) },
    Metric { name: "unruffled_model_bytes", kind: Kind::Gauge, labels: MODEL,
        help: "Bytes that the model takes in memory, or was last found to; 0 if nothing is known",
        read: |all, out| each_version(all, |labels, version| out(labels, number(version.bytes))) },
    Metric { name: "unruffled_instances", kind: Kind::Gauge, labels: MODEL,
        help: "Instances that are up",
        read: |all, out| each_version(all, |labels, version| out(labels, number(version.pool.instances))) },
    Metric { name: "unruffled_instances_wanted", kind: Kind::Gauge, labels: MODEL,
        help: "Instances that are wanted: up, being built, or being replaced",
        read: |all, out| each_version(all, |labels, version| out(labels, number(version.pool.wanted))) },
    Metric { name: "unruffled_instances_running", kind: Kind::Gauge, labels: MODEL,
        help: "Runs in progress, each on an instance",
        read: |all, out| each_version(all, |labels, version| out(labels, number(version.pool.running))) },
    Metric { name: "unruffled_instances_leased", kind: Kind::Gauge, labels: MODEL,
        help: "Instances that one caller has for itself",
        read: |all, out| each_version(all, |labels, version| out(labels, number(version.pool.leased))) },
    Metric { name: "unruffled_queue_requests", kind: Kind::Gauge, labels: MODEL,
        help: "Requests that wait",
        read: |all, out| each_version(all, |labels, version| out(labels, number(version.pool.queued))) },
    Metric { name: "unruffled_queue_bytes", kind: Kind::Gauge, labels: MODEL,
        help: "Bytes of the inputs of requests that wait",
        read: |all, out| each_version(all, |labels, version| out(labels, number(version.pool.queued_bytes))) },

    Metric { name: "unruffled_requests_accepted_total", kind: Kind::Counter, labels: MODEL,
        help: "Requests that were let in",
        read: |all, out| each(all, |labels, model| out(labels, Value::Number(model.accepted))) },
    Metric { name: "unruffled_requests_refused_total", kind: Kind::Counter, labels: MODEL_KIND,
        help: "Requests that were not let in, by the kind of the error",
        read: |all, out| each_kind(all, |model| &model.refused, out) },
    Metric { name: "unruffled_requests_answered_total", kind: Kind::Counter, labels: MODEL,
        help: "Requests that ended with a result",
        read: |all, out| each(all, |labels, model| out(labels, Value::Number(model.answered))) },
    Metric { name: "unruffled_requests_failed_total", kind: Kind::Counter, labels: MODEL_KIND,
        help: "Requests that were let in and ended without a result, by the kind of the error",
        read: |all, out| each_kind(all, |model| &model.failed, out) },
    Metric { name: "unruffled_requests_superseded_total", kind: Kind::Counter, labels: MODEL,
        help: "Requests, among those that failed, that a newer one with the same key replaced",
        read: |all, out| each(all, |labels, model| out(labels, Value::Number(model.superseded))) },
    Metric { name: "unruffled_queue_seconds", kind: Kind::Histogram, labels: MODEL,
        help: "How long requests waited, from arrival until an instance took them",
        read: |all, out| each(all, |labels, model| out(labels, times(&model.queue))) },
    Metric { name: "unruffled_run_seconds", kind: Kind::Histogram, labels: MODEL,
        help: "How long runs took, gathering and scattering included",
        read: |all, out| each(all, |labels, model| out(labels, times(&model.run))) },
    Metric { name: "unruffled_request_seconds", kind: Kind::Histogram, labels: MODEL_KIND,
        help: "How long requests took from arrival to end, by whether they were `answered` or `failed` with their run",
        read: |all, out| each(all, |labels, model| {
            out(&with(labels, "answered"), times(&model.total_answered));
            out(&with(labels, "failed"), times(&model.total_failed));
        }) },
    Metric { name: "unruffled_batch_requests", kind: Kind::Histogram, labels: MODEL,
        help: "How many requests shared a run",
        read: |all, out| each(all, |labels, model| out(labels, sizes(&model.batch_requests))) },
    Metric { name: "unruffled_batch_rows", kind: Kind::Histogram, labels: MODEL,
        help: "How many rows a run had",
        read: |all, out| each(all, |labels, model| out(labels, sizes(&model.batch_rows))) },
    Metric { name: "unruffled_runs_total", kind: Kind::Counter, labels: MODEL,
        help: "Runs, of whatever kind and end",
        read: |all, out| each(all, |labels, model| out(labels, Value::Number(model.runs))) },
    Metric { name: "unruffled_runs_extra_total", kind: Kind::Counter, labels: MODEL,
        help: "Runs made only because an earlier run of the same requests had failed",
        read: |all, out| each(all, |labels, model| out(labels, Value::Number(model.extra_runs))) },
    Metric { name: "unruffled_runs_inline_total", kind: Kind::Counter, labels: MODEL,
        help: "Runs on a caller's own thread",
        read: |all, out| each(all, |labels, model| out(labels, Value::Number(model.inline_runs))) },
    Metric { name: "unruffled_runs_preempted_total", kind: Kind::Counter, labels: MODEL,
        help: "Runs that were stopped for something more urgent",
        read: |all, out| each(all, |labels, model| out(labels, Value::Number(model.preempted))) },
    Metric { name: "unruffled_leases_total", kind: Kind::Counter, labels: MODEL,
        help: "Leases that were granted",
        read: |all, out| each(all, |labels, model| out(labels, Value::Number(model.leases))) },
    Metric { name: "unruffled_cache_requests_total", kind: Kind::Counter, labels: MODEL_KIND,
        help: "Requests that the cache knew (`hit`), that joined an equal one (`joined`), or neither (`miss`)",
        read: |all, out| each_cache(all, |labels, cache| {
            out(&with(labels, "hit"), Value::Number(cache.hits));
            out(&with(labels, "joined"), Value::Number(cache.joined));
            out(&with(labels, "miss"), Value::Number(cache.misses));
        }) },
    Metric { name: "unruffled_cache_evictions_total", kind: Kind::Counter, labels: MODEL,
        help: "Answers that the cache let go to make room",
        read: |all, out| each_cache(all, |labels, cache| out(labels, Value::Number(cache.evicted))) },
    Metric { name: "unruffled_cache_answers", kind: Kind::Gauge, labels: MODEL,
        help: "Answers that the cache holds",
        read: |all, out| each_cache(all, |labels, cache| out(labels, number(cache.answers))) },
    Metric { name: "unruffled_cache_bytes", kind: Kind::Gauge, labels: MODEL,
        help: "Bytes that the cache takes",
        read: |all, out| each_cache(all, |labels, cache| out(labels, number(cache.bytes))) },
];

fn number(number: usize) -> Value {
    Value::Number(number as u64)
}

fn times(all: &Distribution) -> Value {
    let at_most = all.at_most().map(seconds).collect();
    Value::Buckets { sum: all.sum.as_secs_f64(), count: all.count, at_most }
}

fn lateness(all: &Lateness) -> Value {
    let at_most = all.at_most().map(seconds).collect();
    Value::Buckets { sum: all.sum.as_secs_f64(), count: all.count, at_most }
}

fn seconds((bound, count): (Duration, u64)) -> (f64, u64) {
    (bound.as_secs_f64(), count)
}

fn sizes(all: &SizeDistribution) -> Value {
    let at_most = all.at_most().map(|(bound, count)| (bound as f64, count)).collect();
    Value::Buckets { sum: all.sum as f64, count: all.count, at_most }
}

fn each_model(all: &Reading, mut tell: impl FnMut(&ModelStatus)) {
    all.statuses.iter().for_each(&mut tell);
}

/// Each version of each named model.
fn each_version(all: &Reading, mut tell: impl FnMut(&[&str; 2], &VersionStatus)) {
    for model in &all.statuses {
        for version in &model.versions {
            tell(&[&model.name, all.told(model, version)], version);
        }
    }
}

/// Each version of each model, those without a name included.
fn each(all: &Reading, mut tell: impl FnMut(&[&str; 2], &ModelMetrics)) {
    for model in &all.metrics {
        tell(&[&model.name, model.version.as_deref().unwrap_or_default()], model);
    }
}

fn each_kind(all: &Reading, kinds: fn(&ModelMetrics) -> &Vec<(ErrorKind, u64)>, out: &mut Samples<'_>) {
    each(all, |labels, model| {
        for (kind, count) in kinds(model) {
            out(&with(labels, kind.code()), Value::Number(*count));
        }
    });
}

fn each_cache(all: &Reading, mut tell: impl FnMut(&[&str; 2], &CacheMetrics)) {
    each(all, |labels, model| model.cache.iter().for_each(|cache| tell(labels, cache)));
}

fn with<'a>([model, version]: &[&'a str; 2], kind: &'a str) -> [&'a str; 3] {
    [model, version, kind]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Kind, TABLE};

    const GUIDE: &str = include_str!("../../../../docs/guide/metrics.md");

    #[test]
    fn the_guide_has_the_table() {
        let mut expected = String::from("| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n");
        for metric in TABLE {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            expected += &format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join(" "), metric.help);
        }
        assert!(GUIDE.contains(&expected), "docs/guide/metrics.md is to hold\n\n{expected}");
    }

    #[test]
    fn names_follow_the_conventions() {
        let names: BTreeSet<_> = TABLE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), TABLE.len(), "each is there once");
        for metric in TABLE {
            let name = metric.name;
            assert!(name.starts_with("unruffled_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert!(!name.contains("_ms") && !name.contains("_kb"), "{name} is not in base units");
            assert!(metric.labels.iter().all(|label| ["model", "version", "kind"].contains(label)), "{name}");
            assert!(!metric.help.ends_with('.'), "{name}: the encoder adds the full stop");
        }
    }
}
