//! What is printed: tables for people, or a line of JSON per figure.

use std::time::Duration;

use benches::{machine, quantile};

use crate::contender::Way;
use crate::cost::Cost;
use crate::play::Score;
use crate::workload::Request;

/// What could have been reached in one setting.
pub(crate) struct Limits {
    pub(crate) requests: usize,
    /// No schedule answers more in time.
    pub(crate) bound: usize,
    /// A schedule that knew everything beforehand answers so many.
    pub(crate) clairvoyant: usize,
    pub(crate) clairvoyant_runs: usize,
}

pub(crate) struct Report {
    cost: Cost,
    json: bool,
}

impl Report {
    pub(crate) fn new(cost: Cost, json: bool) -> Self {
        Self { cost, json }
    }

    pub(crate) fn heading(&self, seed: u64, seconds: f64, warm_up: f64, queue_limit: usize) {
        let (machine, Cost { base, row, max_batch }) = (machine(), self.cost);
        let (base, row) = (base as f64 / 1e6, row as f64 / 1e6);
        let capacity = self.cost.capacity();
        if self.json {
            println!(
                "{{\"benchmark\":\"goodput\",\"machine\":{machine:?},\"seed\":{seed},\"seconds\":{seconds},\
                 \"base_ms\":{base},\"row_ms\":{row},\"max_batch\":{max_batch},\"capacity\":{capacity:.0},\
                 \"queue\":{queue_limit}}}"
            );
            return;
        }
        println!("# Goodput\n\n{machine}; tokio with 2 workers; seed {seed}.");
        println!(
            "A run of n requests takes {base} ms + n * {row} ms, {max_batch} at most: {capacity:.0} /s in full batches. \
             One instance; {queue_limit} may wait.\n{seconds} s per contender, after {warm_up} s that do not count. \
             Deadlines 20 to 40 ms (tight) and 60 to 100 ms after the planned arrival.\n\
             Good: answered within the deadline. Broken: not refused, and then not answered in time."
        );
    }

    pub(crate) fn setting(&self, name: &str, trace: &[Request], limits: &Limits) {
        let seconds = trace.last().map_or(0.0, |request| request.arrival as f64 / 1e9);
        let load = limits.requests as f64 / seconds / self.cost.capacity();
        let share = |count: usize| 100.0 * count as f64 / limits.requests.max(1) as f64;
        let mean = limits.clairvoyant as f64 / limits.clairvoyant_runs.max(1) as f64;
        if self.json {
            println!(
                "{{\"setting\":{name:?},\"requests\":{},\"load\":{load:.3},\"bound\":{},\"clairvoyant\":{},\
                 \"clairvoyant_batch\":{mean:.1}}}",
                limits.requests, limits.bound, limits.clairvoyant
            );
            return;
        }
        println!("\n## {name}: {} requests, {load:.2} of the capacity\n", limits.requests);
        println!(
            "| contender | good | good, tight | good /s | of the bound | refused | broken | mean batch | p50 | p99 | \
             sent late by p99 | runs longer by |"
        );
        println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        let beyond = |what: &str, count: usize, batch: &str| {
            let (good, rate) = (share(count), count as f64 / seconds);
            let of_bound = 100.0 * count as f64 / limits.bound.max(1) as f64;
            println!("| {what} | {good:.1} % | | {rate:.0} | {of_bound:.1} % | | | {batch} | | | | |");
        };
        beyond("no schedule exceeds", limits.bound, "");
        beyond("clairvoyant schedule", limits.clairvoyant, &format!("{mean:.1}"));
    }

    pub(crate) fn row(&self, setting: &str, way: Way, score: &Score, limits: &Limits) {
        let name = way.name();
        let percent = |share: f64| 100.0 * share;
        let good = percent(score.share(score.good));
        let tight = percent(score.good_tight_share());
        let rate = score.good as f64 / score.seconds.max(1e-9);
        let of_bound = percent(score.good as f64 / limits.bound.max(1) as f64);
        let refused = percent(score.share(score.refused));
        let broken = percent(score.broken_share());
        let batch = score.mean_batch();
        let over = percent(score.overrun(&self.cost));
        let (p50, p99) = (quantile(&score.latency, 0.5), quantile(&score.latency, 0.99));
        let late = quantile(&score.sent_late, 0.99);
        if self.json {
            println!(
                "{{\"setting\":{setting:?},\"contender\":{name:?},\"requests\":{},\"good\":{},\"good_percent\":{good:.2},\
                 \"good_tight_percent\":{tight:.2},\"good_per_second\":{rate:.0},\"of_bound_percent\":{of_bound:.2},\
                 \"refused_percent\":{refused:.2},\"broken_percent\":{broken:.2},\"mean_batch\":{batch:.2},\
                 \"p50_ms\":{:.3},\"p99_ms\":{:.3},\"sent_late_p99_ms\":{:.3},\"overrun_percent\":{over:.3}}}",
                score.requests,
                score.good,
                ms(p50),
                ms(p99),
                ms(late)
            );
            return;
        }
        println!(
            "| {name} | {good:.1} % | {tight:.1} % | {rate:.0} | {of_bound:.1} % | {refused:.1} % | {broken:.1} % | \
             {batch:.1} | {p50:.1?} | {p99:.1?} | {late:.2?} | {over:.2} % |"
        );
    }

    pub(crate) fn ratios(&self, setting: &str, scores: &[(Way, Score)], limits: &Limits) {
        let engine = scores.iter().find(|(way, _)| *way == Way::Engine);
        let windows = scores.iter().filter(|(way, _)| way.is_window());
        let best = windows.max_by_key(|(_, score)| score.good);
        let (Some((_, engine)), Some((window, best))) = (engine, best) else { return };
        let ratio = |to: usize| engine.good as f64 / to.max(1) as f64;
        let (to_window, to_bound) = (ratio(best.good), ratio(limits.bound));
        let (window, to_clairvoyant) = (window.name(), ratio(limits.clairvoyant));
        if self.json {
            println!(
                "{{\"setting\":{setting:?},\"best_window\":{window:?},\"engine_to_best_window\":{to_window:.3},\
                 \"engine_to_bound\":{to_bound:.3},\"engine_to_clairvoyant\":{to_clairvoyant:.3}}}"
            );
            return;
        }
        println!(
            "\nThe engine: {to_window:.2} of the best fixed window ({window}), {to_bound:.2} of the bound, \
             {to_clairvoyant:.2} of the clairvoyant schedule."
        );
    }

    pub(crate) fn end(&self, elapsed: Duration) {
        if !self.json {
            println!("\nTook {elapsed:.0?}.");
        }
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
