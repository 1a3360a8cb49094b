//! [`Statistics`]: what models have done, as the statistics extension tells it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::encode;

/// How often something was done, and how long it took together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatisticDuration {
    /// How often.
    pub count: u64,
    /// How long together, in nanoseconds.
    pub ns: u64,
}

impl StatisticDuration {
    /// So many times, so long together.
    pub fn new(count: u64, sum: Duration) -> Self {
        Self { count, ns: u64::try_from(sum.as_nanos()).unwrap_or(u64::MAX) }
    }
}

/// Where the time of requests went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InferStatistics {
    /// Requests that were answered with a result, from arrival to answer.
    pub success: StatisticDuration,
    /// Requests that failed.
    pub fail: StatisticDuration,
    /// Their wait for a run.
    pub queue: StatisticDuration,
    /// Preparing inputs, where it is told apart from the run.
    pub compute_input: StatisticDuration,
    /// Running.
    pub compute_infer: StatisticDuration,
    /// Preparing outputs, where it is told apart from the run.
    pub compute_output: StatisticDuration,
    /// Requests that were answered from the cache.
    pub cache_hit: StatisticDuration,
    /// Requests that were not.
    pub cache_miss: StatisticDuration,
}

/// What runs of one batch size took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchStatistics {
    /// How many rows each had.
    pub batch_size: u64,
    /// Preparing inputs, where it is told apart from the run.
    pub compute_input: StatisticDuration,
    /// Running.
    pub compute_infer: StatisticDuration,
    /// Preparing outputs, where it is told apart from the run.
    pub compute_output: StatisticDuration,
}

/// Memory that a model takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryUsage {
    /// Which kind: `CPU`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which device of that kind.
    pub id: i64,
    /// How many bytes.
    pub byte_size: u64,
}

/// What one version of a model has done since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelStatistics {
    /// The model.
    pub name: String,
    /// The version; empty if it has none.
    pub version: String,
    /// When a run last gave an answer, in milliseconds since 1970; 0 if none has.
    pub last_inference: u64,
    /// Rows of runs that gave an answer.
    pub inference_count: u64,
    /// These runs.
    pub execution_count: u64,
    /// Where the time went.
    pub inference_stats: InferStatistics,
    /// Models that answer a request several times have figures here; none do.
    pub response_stats: BTreeMap<String, u64>,
    /// Runs by batch size.
    pub batch_stats: Vec<BatchStatistics>,
    /// The memory that is measured.
    pub memory_usage: Vec<MemoryUsage>,
}

/// What several models have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Each version of each model.
    pub model_stats: Vec<ModelStatistics>,
}

impl Statistics {
    /// Writes the body.
    pub fn to_json(&self) -> Vec<u8> {
        encode::to_json(self)
    }
}
