//! Goodput: how many requests are answered within their deadlines when they come in bursts, by the engine, without
//! batches, and with fixed windows: the same requests for all, in real time, in one run.
//!
//! Beside them stands what could have been reached: a number that no schedule exceeds, a schedule made with knowledge of
//! all arrivals, and two policies without that knowledge, simulated with exact costs and no overhead.
//!
//! `cargo run --release -p benches --bin goodput`, about four minutes. Options: `--quick` (less than 20 seconds),
//! `--seed N`, `--seconds S` per contender and setting, `--queue N` requests that may wait, `--json` (a line per figure).

mod cost;

mod workload;

mod bound;
mod schedule;

mod online;

mod rivals;

mod contender;

mod play;

mod report;

use std::time::Instant;

use benches::runtime;
use unruffled_engine::PoolOptions;

use crate::contender::Way;
use crate::cost::Cost;
use crate::online::Policy;
use crate::report::{Limits, Reference, Report};
use crate::schedule::Run;
use crate::workload::{SETTINGS, Setting};

/// A full batch takes 20 ms and is 7 times as fast as one request at a time.
const COST: Cost = Cost { base: 4_000_000, row: 500_000, max_batch: 32 };

/// What can be asked for.
struct Options {
    seed: u64,
    seconds: f64,
    warm_up: f64,
    queue_limit: usize,
    json: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let queue_limit = PoolOptions::default().queue().items;
        let mut options = Self { seed: 1, seconds: 8.0, warm_up: 1.0, queue_limit, json: false };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            let wrong = |error: &dyn std::fmt::Display| format!("{argument}: {error}");
            match argument.as_str() {
                "--quick" => (options.seconds, options.warm_up) = (0.45, 0.15),
                "--json" => options.json = true,
                "--seed" => options.seed = value()?.parse().map_err(|error| wrong(&error))?,
                "--queue" => options.queue_limit = value()?.parse().map_err(|error| wrong(&error))?,
                "--seconds" => options.seconds = value()?.parse().map_err(|error| wrong(&error))?,
                _ => return Err(format!("unknown option {argument}")),
            }
        }
        if !(options.seconds > 0.0 && options.seconds <= 60.0) {
            return Err("--seconds must be within 0 and 60".to_owned());
        }
        Ok(options)
    }
}

fn main() -> Result<(), String> {
    let options = Options::parse(std::env::args().skip(1))?;
    let report = Report::new(COST, options.json);
    report.heading(options.seed, options.seconds, options.warm_up, options.queue_limit);
    let begin = Instant::now();
    for setting in SETTINGS {
        compare(&setting, &options, &report);
    }
    report.end(begin.elapsed());
    Ok(())
}

/// Plays one setting to all.
fn compare(setting: &Setting, options: &Options, report: &Report) {
    let trace = setting.trace(&COST, options.seconds, options.seed);
    // The same for all, and other requests than those that count.
    let warm_up = setting.trace(&COST, options.warm_up, !options.seed);
    let bound = bound::upper_bound(&trace, &COST);
    let of = |name: &'static str, runs: &[Run]| Reference::new(name, runs, &trace, &COST);
    let simulated = Policy::ALL.map(|policy| (policy.name(), online::simulate(&trace, &COST, policy)));
    let searched = schedule::schedule(&trace, &COST, schedule::WIDTH);
    // Who knows everything may also do what the others do.
    let known = simulated.iter().map(|(_, runs)| runs).chain([&searched]);
    let clairvoyant = known.max_by_key(|runs| schedule::answered(runs, &trace, &COST));
    let clairvoyant = clairvoyant.map(|runs| of("clairvoyant schedule", runs));
    let references = clairvoyant.into_iter().chain(simulated.iter().map(|(name, runs)| of(name, runs)));
    let references = references.collect();
    let limits = Limits { requests: trace.len(), bound, references };
    report.setting(setting.name, &trace, &limits);
    let mut scores = Vec::new();
    for way in Way::ALL {
        // Of its own: what one contender leaves behind is not the next one's business.
        let runtime = runtime();
        let score = play::play(&runtime, way, COST, options.queue_limit, &warm_up, &trace);
        report.row(setting.name, way, &score, &limits);
        scores.push((way, score));
    }
    report.ratios(setting.name, &scores, &limits);
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[track_caller]
    fn check(arguments: &str, expected: Result<(u64, f64, bool), &str>) {
        let parsed = Options::parse(arguments.split_whitespace().map(str::to_owned));
        let parsed = parsed.map(|options| (options.seed, options.seconds, options.json));
        assert_eq!(parsed, expected.map_err(str::to_owned));
    }

    #[test]
    fn options_are_read_or_refused() {
        check("", Ok((1, 8.0, false)));
        check("--quick --seed 9 --json", Ok((9, 0.45, true)));
        check("--seed", Err("--seed needs a value"));
        check("--seconds 0", Err("--seconds must be within 0 and 60"));
        check("--fast", Err("unknown option --fast"));
    }
}
