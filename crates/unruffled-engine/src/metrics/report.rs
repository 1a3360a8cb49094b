//! What monitoring says: [`Metrics`], model by model, and the table that a person reads.

use std::fmt;
use std::time::Instant;

use unruffled_model::Name;

use super::batches::BatchMetrics;
use super::distribution::{Distribution, SizeDistribution};
use super::text::{Brief, Grouped, words};
use crate::error::ErrorKind;

/// What the models of an engine have done. Displayed as a table with a section for each.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// Model by model.
    pub models: Vec<ModelMetrics>,
}

/// What one model has done since it was loaded.
///
/// Every request is counted once among those accepted or refused, and every accepted one that has ended once among those
/// answered or failed. Parts are read one after the other while work goes on: the last few requests may be in one and not
/// yet in another.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelMetrics {
    /// The name of the model.
    pub name: Name,
    /// Which version of it, where there are several.
    pub version: Option<Name>,
    /// Requests that were let in.
    pub accepted: u64,
    /// Requests that were not let in, by reason; reasons that occurred.
    pub refused: Vec<(ErrorKind, u64)>,
    /// Requests that ended with a result.
    pub answered: u64,
    /// Requests that were let in and ended without a result, by reason; reasons that occurred. Those whose callers gave up
    /// are among them.
    pub failed: Vec<(ErrorKind, u64)>,
    /// How long requests waited for their run, from arrival until an instance took them. Those that ended without a run are
    /// left out.
    pub queue: Distribution,
    /// How long runs took, gathering and scattering included.
    pub run: Distribution,
    /// How long requests that were answered took, from arrival to answer.
    pub total_answered: Distribution,
    /// How long requests that failed with their run took, from arrival to end. Those that ended otherwise, by their
    /// deadline for example, are left out.
    pub total_failed: Distribution,
    /// How many requests shared a run.
    pub batch_requests: SizeDistribution,
    /// How many rows a run had.
    pub batch_rows: SizeDistribution,
    /// Runs that gave an answer, by the number of their rows; 64 numbers are told apart.
    pub batches: Vec<BatchMetrics>,
    /// Runs, of whatever kind and end.
    pub runs: u64,
    /// Runs, among these, that were made only because an earlier run of the same requests had failed.
    pub extra_runs: u64,
    /// Runs, among these, on a caller's own thread.
    pub inline_runs: u64,
    /// Runs that were stopped for something more urgent.
    pub preempted: u64,
    /// Requests that a newer one with the same key replaced; they are among those that failed.
    pub superseded: u64,
    /// Leases that were granted; the requests for them are among those answered.
    pub leases: u64,
    /// When the last run ended that gave an answer.
    pub last_run: Option<Instant>,
    /// What was remembered, if anything is.
    pub cache: Option<CacheMetrics>,
}

/// What the cache of a model has done, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheMetrics {
    /// Requests that were answered at once; they are among those answered.
    pub hits: u64,
    /// Requests that joined an equal one that waited or ran.
    pub joined: u64,
    /// Requests that were looked up in vain.
    pub misses: u64,
    /// Answers that had to go to make room.
    pub evicted: u64,
    /// Answers that are remembered.
    pub answers: usize,
    /// The bytes that they take.
    pub bytes: usize,
}

impl fmt::Display for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.models.is_empty() {
            return writeln!(f, "no models");
        }
        for (at, model) in self.models.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{model}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ModelMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => writeln!(f, "{}, version {version}", self.name)?,
            None => writeln!(f, "{}", self.name)?,
        }
        cells(
            f,
            [
                ("accepted", self.accepted),
                ("answered", self.answered),
                ("failed", sum(&self.failed)),
                ("refused", sum(&self.refused)),
            ],
        )?;
        cells(
            f,
            [
                ("runs", self.runs),
                ("extra", self.extra_runs),
                ("inline", self.inline_runs),
                ("pre-empted", self.preempted),
            ],
        )?;
        if self.leases > 0 {
            writeln!(f, "  leases: {}", Grouped(self.leases))?;
        }
        if !self.failed.is_empty() {
            write!(f, "  failed: {}", reasons(&self.failed))?;
            if self.superseded > 0 {
                write!(f, " ({} superseded)", Grouped(self.superseded))?;
            }
            writeln!(f)?;
        }
        if !self.refused.is_empty() {
            writeln!(f, "  refused: {}", reasons(&self.refused))?;
        }
        if let Some(cache) = &self.cache {
            let counts = [
                ("hits", cache.hits),
                ("joined", cache.joined),
                ("misses", cache.misses),
                ("evicted", cache.evicted),
            ];
            cells(f, counts)?;
            writeln!(
                f,
                "  cache: {} answers, {} bytes",
                Grouped(cache.answers as u64),
                Grouped(cache.bytes as u64)
            )?;
        }
        if self.runs == 0 {
            return Ok(());
        }
        writeln!(f)?;
        row(f, "", "count", ["mean", "p50", "p90", "p99", "p99.9", "max"].map(str::to_owned))?;
        for (label, times) in [
            ("queue", &self.queue),
            ("run", &self.run),
            ("answered", &self.total_answered),
            ("failed", &self.total_failed),
        ] {
            if times.count > 0 {
                row(f, label, &Grouped(times.count).to_string(), durations(times))?;
            }
        }
        for (label, sizes) in [("requests/run", &self.batch_requests), ("rows/run", &self.batch_rows)] {
            row(f, label, &Grouped(sizes.count).to_string(), numbers(sizes))?;
        }
        Ok(())
    }
}

fn cells(f: &mut fmt::Formatter<'_>, all: [(&str, u64); 4]) -> fmt::Result {
    let all = all.map(|(label, count)| format!("{label:<10}{:>10}", Grouped(count)));
    writeln!(f, "  {}", all.join("  "))
}

fn sum(kinds: &[(ErrorKind, u64)]) -> u64 {
    kinds.iter().map(|(_, count)| count).sum()
}

fn reasons(kinds: &[(ErrorKind, u64)]) -> String {
    let all: Vec<_> =
        kinds.iter().map(|(kind, count)| format!("{} {}", Grouped(*count), words(*kind))).collect();
    all.join(", ")
}

fn row(f: &mut fmt::Formatter<'_>, label: &str, count: &str, values: [String; 6]) -> fmt::Result {
    write!(f, "  {label:<12}{count:>14}")?;
    for value in values {
        write!(f, "{value:>10}")?;
    }
    writeln!(f)
}

fn durations(all: &Distribution) -> [String; 6] {
    [all.mean, all.p50, all.p90, all.p99, all.p999, all.max].map(|value| Brief(value).to_string())
}

fn numbers(all: &SizeDistribution) -> [String; 6] {
    let [p50, p90, p99, p999, max] =
        [all.p50, all.p90, all.p99, all.p999, all.max].map(|value| Grouped(value).to_string());
    [format!("{:.1}", all.mean), p50, p90, p99, p999, max]
}
