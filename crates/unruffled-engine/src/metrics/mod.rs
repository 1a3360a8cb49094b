//! What a model did, in numbers: counters and distributions, recorded where things happen and put together when somebody
//! asks.

mod text;

mod batches;
mod distribution;

mod report;

mod meter;

#[cfg(test)]
mod tests;

pub use batches::BatchMetrics;
pub(crate) use distribution::DurationCounts;
pub use distribution::{Distribution, SizeDistribution};
pub(crate) use meter::{Meter, RunFigures};
pub use report::{CacheMetrics, Metrics, ModelMetrics};
pub(crate) use text::{Brief, words};
