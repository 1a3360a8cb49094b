//! `GET /v1/overview`: all models at this moment, and `GET /v1/overview/events`: the same, once a second.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{MissedTickBehavior, interval};
use unruffled_engine::{ErrorKind, Explanation, Lateness, ModelMetrics, ModelStatus, VersionState};
use unruffled_model::TensorSpec;
use unruffled_protocol::{TensorMetadata, datatype};

use super::reading::Reading;
use super::story::{brief, millis};
use crate::access::Identity;
use crate::catalog::FileEnds;
use crate::metadata::json as json_body;
use crate::refusal::Refusal;
use crate::service::Service;

/// How often those who watch are told.
const BEAT: Duration = Duration::from_secs(1);

/// The most who watch at a time; above it, 503.
const WATCHERS: usize = 32;

/// How far back the latest times go.
const LATELY: Duration = Duration::from_secs(10);

/// The most requests of a model that they are made of.
const LATELY_REQUESTS: usize = 256;

/// The most requests of a model that are listed.
const LISTED: usize = 16;

/// Those who watch, and what they were told last.
#[derive(Clone)]
pub(super) struct Watchers {
    places: Arc<Semaphore>,
    told: Arc<Mutex<Option<(Instant, Bytes)>>>,
}

impl Watchers {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(WATCHERS)), told: Arc::default() }
    }

    /// The overview, made anew once a second however many watch.
    async fn latest(&self, service: &Service) -> Result<Bytes, Refusal> {
        let mut told = self.told.lock().await;
        if let Some((_, bytes)) = told.as_ref().filter(|(at, _)| at.elapsed() < BEAT * 9 / 10) {
            return Ok(bytes.clone());
        }
        let bytes = Bytes::from(now(service).await?);
        *told = Some((Instant::now(), bytes.clone()));
        Ok(bytes)
    }
}

pub(super) async fn once(State(service): State<Service>, identity: Identity) -> Result<Response, Refusal> {
    identity.may_read_metrics()?;
    Ok(json_body(now(&service).await?).into_response())
}

/// Until the client goes or the server drains. One that does not read is told nothing meanwhile.
pub(super) fn events(service: Service, watchers: Watchers) -> Result<Response, Refusal> {
    let places = Arc::clone(&watchers.places);
    let place = places.try_acquire_owned().map_err(|_| {
        Refusal::overloaded(format!(
            "{WATCHERS} watch already; ask for `/v1/overview` instead, or try again later"
        ))
    })?;
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = unfold((service, watchers, beats, place), |(service, watchers, mut beats, place)| async {
        tokio::select! {
            // Whoever drains waits for nothing more.
            biased;
            () = service.draining() => return None,
            _ = beats.tick() => {}
        }
        let event = match watchers.latest(&service).await {
            Ok(bytes) => Event::default().data(String::from_utf8_lossy(&bytes)),
            // It is in the log; the next beat may fare better.
            Err(_) => Event::default().comment("no overview"),
        };
        Some((Ok::<_, Infallible>(event), (service, watchers, beats, place)))
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Sse::new(stream)).into_response())
}

/// The overview, made off the event loop.
async fn now(service: &Service) -> Result<Vec<u8>, Refusal> {
    let reader = service.clone();
    let make = move || {
        let reading = Reading::take(&reader);
        overview(&reader, &reading).to_string().into_bytes()
    };
    service.offload().run(usize::MAX, make).await
}

fn overview(service: &Service, all: &Reading) -> Value {
    json!({
        "at_ms": millis(all.at.duration_since(UNIX_EPOCH).unwrap_or_default()),
        "version": env!("CARGO_PKG_VERSION"),
        "ready": service.is_ready(),
        "connections": { "now": all.traffic.connections, "limit": all.limits.connections },
        "requests": { "now": all.traffic.requests, "limit": all.limits.requests, "refused": all.traffic.refused_requests },
        "body_bytes": { "now": all.traffic.body_bytes, "limit": all.limits.body_bytes, "refused": all.traffic.refused_bytes },
        "event_loop": {
            "late_ms": lateness(&all.event_loop.lateness),
            "timer_late_ms": lateness(&all.event_loop.timer_lateness),
            "stalls": all.event_loop.stalls_total,
        },
        "memory": all.memory.as_ref().map(|memory| json!({ "used": memory.used, "budget": memory.budget })),
        "models": all.statuses.iter().map(|status| model(service, all, status)).collect::<Vec<_>>(),
    })
}

fn lateness(late: &Lateness) -> Value {
    json!({
        "recent_max": millis(late.recent_max),
        "p50": millis(late.p50),
        "p99": millis(late.p99),
        "max": millis(late.max),
    })
}

fn model(service: &Service, all: &Reading, status: &ModelStatus) -> Value {
    let info = status.info.as_ref();
    let input = |spec: &TensorSpec| {
        let mut told = tensor(spec);
        if let Some(ends) = service.file_ends(&status.name, &spec.name) {
            told["file"] = file(&ends);
        }
        told
    };
    let inputs = |specs: &[TensorSpec]| specs.iter().map(input).collect::<Vec<_>>();
    let output = |spec: &TensorSpec| {
        let mut told = tensor(spec);
        told["labelled"] = service.label(&status.name, &spec.name, 0).is_some().into();
        told
    };
    let outputs = |specs: &[TensorSpec]| specs.iter().map(output).collect::<Vec<_>>();
    // Of a model that is being loaded for the first time nothing happened yet.
    let recent = service.engine().recent(&status.name, LATELY_REQUESTS).unwrap_or_default();
    let metrics: Vec<&ModelMetrics> = all.metrics_of(&status.name).collect();
    let sum = |count: fn(&ModelMetrics) -> u64| metrics.iter().copied().map(count).sum::<u64>();
    let pools = || status.versions.iter().map(|version| version.pool);
    json!({
        "name": &*status.name,
        "state": state(status),
        "ready": status.is_ready(),
        "platform": info.map(|info| &*info.platform),
        "inputs": info.map(|info| inputs(&info.signature.inputs)).unwrap_or_default(),
        "outputs": info.map(|info| outputs(&info.signature.outputs)).unwrap_or_default(),
        "versions": status.versions.iter().map(|version| json!({
            "version": all.told(status, version),
            "share_percent": version.share_percent,
            "bytes": version.bytes,
        })).collect::<Vec<_>>(),
        "instances": {
            "up": pools().map(|pool| pool.instances).sum::<usize>(),
            "wanted": pools().map(|pool| pool.wanted).sum::<usize>(),
            "running": pools().map(|pool| pool.running).sum::<usize>(),
            "leased": pools().map(|pool| pool.leased).sum::<usize>(),
        },
        "queue": {
            "requests": pools().map(|pool| pool.queued).sum::<usize>(),
            "bytes": pools().map(|pool| pool.queued_bytes).sum::<usize>(),
        },
        "totals": {
            "accepted": sum(|one| one.accepted),
            "answered": sum(|one| one.answered),
            "refused": kinds(&metrics, |one| &one.refused),
            "failed": kinds(&metrics, |one| &one.failed),
            "superseded": sum(|one| one.superseded),
            "runs": sum(|one| one.runs),
            "batched_requests": sum(|one| one.batch_requests.sum),
            "batched_rows": sum(|one| one.batch_rows.sum),
        },
        "lately": lately(&recent, Instant::now()),
        "recent": recent.iter().take(LISTED).map(brief).collect::<Vec<_>>(),
    })
}

fn state(status: &ModelStatus) -> &'static str {
    let main = status.versions.iter().max_by_key(|version| version.share_percent);
    match main.map(|version| version.state) {
        None | Some(VersionState::Loading) => "loading",
        Some(VersionState::NotLoaded) => "on demand",
        Some(VersionState::Failed) => "failed",
        Some(VersionState::Loaded) if status.is_ready() => "ready",
        _ => "not ready",
    }
}

fn tensor(spec: &TensorSpec) -> Value {
    let TensorMetadata { name, dtype, shape } = TensorMetadata::from(spec);
    json!({ "name": name, "datatype": datatype::name(dtype), "shape": shape, "optional": spec.default.is_some() })
}

/// How an input is made of a file, for those who make it there.
fn file(ends: &FileEnds) -> Value {
    let FileEnds { begin, end, block, trim, padding } = ends;
    json!({ "begin": begin, "end": end, "block": block, "trim": trim, "padding": padding })
}

fn kinds(metrics: &[&ModelMetrics], counts: fn(&ModelMetrics) -> &Vec<(ErrorKind, u64)>) -> Value {
    let mut sums = BTreeMap::new();
    for (kind, count) in metrics.iter().flat_map(|one| counts(one)) {
        *sums.entry(kind.code()).or_insert(0) += count;
    }
    json!(sums)
}

/// How the requests fared that ended in the last seconds, as far as they are remembered. Exact, unlike what histograms
/// could say of so short a time.
fn lately(recent: &[Explanation], now: Instant) -> Value {
    let ago = |one: &Explanation| now.saturating_duration_since(one.ended);
    let ended: Vec<&Explanation> = recent.iter().take_while(|one| ago(one) < LATELY).collect();
    // Of many, only the newest are known: then they span less.
    let span = match ended.last() {
        Some(oldest) if ended.len() == LATELY_REQUESTS => ago(oldest).max(Duration::from_millis(1)),
        _ => LATELY,
    };
    let ran: Vec<&Explanation> = ended.iter().copied().filter(|one| !one.runs.is_empty()).collect();
    let answered: Vec<&Explanation> = ended.iter().copied().filter(|one| one.outcome.is_ok()).collect();
    json!({
        "seconds": span.as_secs_f64(),
        "requests": ended.len(),
        "per_second": ended.len() as f64 / span.as_secs_f64(),
        "queue_ms": quantiles(&ran, |one| one.waited),
        "run_ms": quantiles(&ran, |one| one.ran),
        "total_ms": quantiles(&answered, |one| one.total),
    })
}

fn quantiles(of: &[&Explanation], time: fn(&Explanation) -> Duration) -> Option<Value> {
    let mut times: Vec<Duration> = of.iter().copied().map(time).collect();
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    Some(json!({ "p50": millis(at(50)?), "p99": millis(at(99)?), "max": millis(at(100)?) }))
}
