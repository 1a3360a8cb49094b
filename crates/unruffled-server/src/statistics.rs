//! Statistics and configuration of models, as values: every front writes them in its own way.

use std::time::{Duration, Instant, SystemTime};

use unruffled_engine::{Distribution, ModelMetrics};
use unruffled_model::{Batching, Dim};
use unruffled_protocol::{
    BatchStatistics, InferStatistics, MemoryUsage, ModelConfiguration, ModelStatistics, SequenceBatching,
    StatisticDuration, Statistics,
};

use crate::refusal::Refusal;
use crate::service::{Found, Service};

/// What models have done: the one that is named, in the version that is named, or all.
pub(crate) fn statistics(service: &Service, found: Option<&Found>) -> Statistics {
    let now = (Instant::now(), SystemTime::now());
    let wanted = |model: &ModelMetrics| match found {
        None => true,
        Some(found) => {
            model.name == *found.handle.name()
                && found.asked.as_ref().is_none_or(|asked| model.version.as_ref() == Some(asked))
        }
    };
    let models = service.metrics().models.into_iter().filter(wanted);
    Statistics { model_stats: models.map(|model| of_model(service, model, now)).collect() }
}

fn of_model(service: &Service, model: ModelMetrics, now: (Instant, SystemTime)) -> ModelStatistics {
    let times = |all: &Distribution| StatisticDuration::new(all.count, all.sum);
    // Told where the run is told: what it takes to gather and scatter is part of it.
    let within = |run: StatisticDuration| StatisticDuration { ns: 0, ..run };
    let batch_stats: Vec<_> = model
        .batches
        .iter()
        .map(|batch| {
            let run = StatisticDuration::new(batch.runs, batch.sum);
            BatchStatistics {
                batch_size: batch.rows as u64,
                compute_input: within(run),
                compute_infer: run,
                compute_output: within(run),
            }
        })
        .collect();
    let failed: u64 = model.failed.iter().map(|(_, count)| count).sum();
    let success = times(&model.total_answered);
    // By request, as its wait is: each had its part of a run.
    let run = StatisticDuration::new(success.count, model.batches.iter().map(|batch| batch.sum).sum());
    let cache = model.cache.unwrap_or_default();
    let memory = service.memory_of(&model.name);
    ModelStatistics {
        version: model
            .version
            .or_else(|| service.version(&model.name))
            // A model without versions is in its first: perf_analyzer reads a number here.
            .map_or_else(|| "1".to_owned(), |version| version.to_string()),
        last_inference: model.last_run.map_or(0, |last| since_epoch(last, now)),
        inference_count: model.batches.iter().map(|batch| batch.rows as u64 * batch.runs).sum(),
        execution_count: model.batches.iter().map(|batch| batch.runs).sum(),
        inference_stats: InferStatistics {
            success,
            fail: StatisticDuration::new(failed, model.total_failed.sum),
            queue: StatisticDuration { count: success.count, ..times(&model.queue) },
            compute_input: within(run),
            compute_infer: run,
            compute_output: within(run),
            cache_hit: StatisticDuration { count: cache.hits + cache.joined, ns: 0 },
            cache_miss: StatisticDuration { count: cache.misses, ns: 0 },
        },
        batch_stats,
        memory_usage: memory
            .map(|bytes| MemoryUsage { kind: "CPU".into(), id: 0, byte_size: bytes as u64 })
            .into_iter()
            .collect(),
        name: model.name.to_string(),
        ..ModelStatistics::default()
    }
}

fn since_epoch(last: Instant, (now, wall): (Instant, SystemTime)) -> u64 {
    let at = wall.checked_sub(now.saturating_duration_since(last)).unwrap_or(wall);
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How a model is run; it is loaded for it, if need be.
pub(crate) async fn configuration(found: &Found) -> Result<ModelConfiguration, Refusal> {
    if found.handle.known_info().is_none() {
        found.handle.ready().await?;
    }
    let (info, options) = (found.handle.info(), found.handle.options());
    // A batch is a first dimension of any size, in all inputs.
    let batched = info.batching != Batching::Single
        && !info.signature.inputs.is_empty()
        && info.signature.inputs.iter().all(|spec| {
            let first = spec.dims.as_ref().and_then(|dims| dims.first());
            first.is_some_and(|dim| !matches!(dim, Dim::Fixed(_)))
        });
    let max_batch = if batched { options.max_batch() as u64 } else { 0 };
    let mut configuration = ModelConfiguration::new(
        &**found.handle.name(),
        &*info.platform,
        &*info.backend,
        &info.signature,
        max_batch,
        options.instances() as u64,
    );
    configuration.sequence_batching = info.sequence.as_ref().map(|_| SequenceBatching::default());
    if configuration.sequence_batching.is_some() {
        configuration.dynamic_batching = None;
    }
    Ok(configuration)
}
