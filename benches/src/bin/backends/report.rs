//! What was measured, as tables or as lines of JSON, and the verdict.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use benches::{machine, median, rate};
use serde_json::json;

use crate::way::Round;

/// The way that all others are compared with.
pub(crate) const LIMIT: &str = "Python loop";

/// What the engine must reach of the limit, with models that take so long.
const SHARE_MIN: f64 = 0.95;
const JUDGED_FROM: Duration = Duration::from_millis(1);

/// The way that is judged.
pub(crate) fn engine(backend: &str) -> String {
    format!("engine with {backend}")
}

/// All rounds of one model with so many rows.
pub(crate) struct Cell {
    pub(crate) model: &'static str,
    pub(crate) rows: usize,
    pub(crate) ways: Vec<(String, Vec<Round>)>,
}

impl Cell {
    fn rounds(&self, way: &str) -> Option<&[Round]> {
        self.ways.iter().find(|(name, _)| name == way).map(|(_, rounds)| &rounds[..])
    }

    /// The middle one of what rounds reached, each as a part of the limit in the same turn.
    fn share(&self, rounds: &[Round]) -> f64 {
        let limit = self.rounds(LIMIT).unwrap_or_default();
        let pairs = rounds.iter().zip(limit);
        median(pairs.map(|(round, limit)| round.rows_per_second / limit.rows_per_second).collect())
    }
}

fn rows_per_second(rounds: &[Round]) -> f64 {
    median(rounds.iter().map(|round| round.rows_per_second).collect())
}

fn p50(rounds: &[Round]) -> Duration {
    Duration::from_secs_f64(median(rounds.iter().map(|round| round.p50.as_secs_f64()).collect()))
}

pub(crate) struct Report {
    json: bool,
    /// What was judged: the model, the rows and the share.
    judged: Vec<(String, f64)>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, judged: Vec::new() }
    }

    pub(crate) fn heading(&self, rounds: usize, length: Duration) {
        if !self.json {
            println!(
                "# Backends\n\n{}; one thread each; medians of {rounds} rounds of {length:?} in turn.",
                machine()
            );
            println!(
                "A call of the engine and of `run_in_executor` is one row, the others take all rows in one."
            );
        }
    }

    pub(crate) fn missing(&self, model: &str, file: &Path) {
        if !self.json {
            println!("\n## {model}\n\nis not there: {}; `cargo xtask models` makes it", file.display());
        }
    }

    pub(crate) fn model(&self, model: &str) {
        if !self.json {
            println!("\n## {model}\n\n| rows | way | rows a second | of the {LIMIT} | p50 of a call |");
            println!("| ---: | --- | ---: | ---: | ---: |");
        }
    }

    pub(crate) fn cell(&mut self, cell: &Cell) {
        for (way, rounds) in &cell.ways {
            let (rows_per_second, share, p50) = (rows_per_second(rounds), cell.share(rounds), p50(rounds));
            if self.json {
                let line = json!({
                    "model": cell.model, "rows": cell.rows, "way": way, "rows_per_second": rows_per_second,
                    "share": share, "p50_us": p50.as_secs_f64() * 1e6,
                });
                println!("{line}");
            } else {
                println!("| {} | {way} | {} | {share:.2} | {p50:.1?} |", cell.rows, rate(rows_per_second));
            }
        }
        let limit = cell.rounds(LIMIT).map(p50);
        if let Some(rounds) = cell.rounds(&engine("ort"))
            && limit.is_some_and(|limit| limit >= JUDGED_FROM)
        {
            self.judged.push((format!("{} with {} rows", cell.model, cell.rows), cell.share(rounds)));
        }
    }

    /// Says whether the engine costs too much.
    ///
    /// # Errors
    ///
    /// Where it does.
    pub(crate) fn end(&self) -> Result<()> {
        let slow: Vec<String> = self
            .judged
            .iter()
            .filter(|(_, share)| *share < SHARE_MIN)
            .map(|(what, share)| format!("{what}: {share:.2}"))
            .collect();
        if !slow.is_empty() {
            bail!("{} has less than {SHARE_MIN} of the {LIMIT}: {}", engine("ort"), slow.join(", "));
        }
        if !self.json && self.judged.is_empty() {
            println!("\nNo call took {JUDGED_FROM:?} or more: the engine's share was not judged.");
        } else if !self.json {
            let least = self.judged.iter().map(|(_, share)| *share).fold(f64::INFINITY, f64::min);
            println!(
                "\n{} has at least {least:.2} of the {LIMIT}, in {} comparisons with calls of {JUDGED_FROM:?} or more.",
                engine("ort"),
                self.judged.len()
            );
        }
        Ok(())
    }
}
