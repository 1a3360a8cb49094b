//! `metrics`: how the models and the loops of the app are doing.

use serde_json::{Map, Value, json};
use tauri::{Runtime, Webview, command};
use unruffled::engine::{Distribution, LoopReport, ModelMetrics};

use crate::answer::milliseconds;
use crate::error::Error;
use crate::runtime::UnruffledExt as _;
use crate::scope::Scope;

#[command]
pub(crate) async fn metrics<R: Runtime>(webview: Webview<R>, scope: Scope) -> Result<Value, Error> {
    let app = webview.unruffled();
    let pools = app.engine.models();
    let metrics = app.engine.metrics();
    let models = metrics.models.iter().filter(|model| scope.allows(&model.name)).map(|model| {
        let pool = pools.iter().find(|known| known.name == model.name).and_then(|known| known.pool.as_ref());
        let (queued, running) = pool.map_or((0, 0), |pool| (pool.queued, pool.running));
        of_model(model, queued, running)
    });
    let models: Vec<Value> = models.collect();
    let loops = app.loops.lock();
    let report = |report: Option<LoopReport>| report.as_ref().map(lateness);
    Ok(json!({
        "models": models,
        "main_thread": report(loops.as_ref().map(|loops| loops.main_thread.report())),
        "runtime": report(loops.as_ref().map(|loops| loops.runtime.report())),
    }))
}

fn of_model(model: &ModelMetrics, queued: usize, running: usize) -> Value {
    let errors: Map<String, Value> =
        model.failed.iter().chain(&model.refused).fold(Map::new(), |mut errors, (kind, count)| {
            let before = errors.get(kind.code()).and_then(Value::as_u64).unwrap_or(0);
            errors.insert(kind.code().to_owned(), (before + count).into());
            errors
        });
    json!({
        "name": &*model.name,
        "queued": queued,
        "running": running,
        "requests": model.answered,
        "errors": errors,
        "queue_ms": distribution(&model.queue),
        "run_ms": distribution(&model.run),
        "batch_rows": { "mean": model.batch_rows.mean, "max": model.batch_rows.max },
        "superseded": model.superseded,
    })
}

fn distribution(distribution: &Distribution) -> Value {
    json!({ "p50": milliseconds(distribution.p50), "p99": milliseconds(distribution.p99) })
}

fn lateness(report: &LoopReport) -> Value {
    let late = &report.lateness;
    json!({
        "p50_ms": milliseconds(late.p50),
        "p99_ms": milliseconds(late.p99),
        "max_ms": milliseconds(late.max),
        "recent_max_ms": milliseconds(late.recent_max),
        "stalls": report.stalls_total,
    })
}
