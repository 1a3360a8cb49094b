//! What is printed: tables for people, or a line of JSON per figure.

use std::time::Duration;

use benches::{machine, quantile};

use crate::contender::Way;
use crate::cost::Cost;
use crate::play::Score;
use crate::schedule::{self, Run};
use crate::workload::{Class, Request};

/// What could have been reached in one setting.
pub(crate) struct Limits {
    pub(crate) requests: usize,
    /// No schedule answers more in time.
    pub(crate) bound: usize,
    /// Schedules made without real time; the first knew everything beforehand.
    pub(crate) references: Vec<Reference>,
}

/// A schedule to compare with.
pub(crate) struct Reference {
    name: &'static str,
    good: usize,
    good_tight_share: f64,
    mean_batch: f64,
}

impl Reference {
    pub(crate) fn new(name: &'static str, runs: &[Run], trace: &[Request], cost: &Cost) -> Self {
        let good = schedule::answered(runs, trace, cost);
        let is_tight = |request: &Request| request.class == Class::Tight;
        let answered = runs.iter().flat_map(|run| &run.requests).map(|&at| &trace[at as usize]);
        let good_tight = answered.filter(|request| is_tight(request)).count();
        let tight = trace.iter().filter(|request| is_tight(request)).count();
        Self {
            name,
            good,
            good_tight_share: good_tight as f64 / tight.max(1) as f64,
            mean_batch: good as f64 / runs.len().max(1) as f64,
        }
    }
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
        if self.json {
            println!(
                "{{\"setting\":{name:?},\"requests\":{},\"load\":{load:.3},\"bound\":{}}}",
                limits.requests, limits.bound
            );
            for Reference { name: reference, good, good_tight_share, mean_batch } in &limits.references {
                println!(
                    "{{\"setting\":{name:?},\"reference\":{reference:?},\"good\":{good},\"good_percent\":{:.2},\
                     \"good_tight_percent\":{:.2},\"mean_batch\":{mean_batch:.2}}}",
                    share(*good),
                    100.0 * good_tight_share
                );
            }
            return;
        }
        println!("\n## {name}: {} requests, {load:.2} of the capacity\n", limits.requests);
        println!(
            "| contender | good | good, tight | good /s | of the bound | refused | broken | mean batch | p50 | p99 | \
             sent late by p99 | runs longer by |"
        );
        println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        let beyond = |what: &str, count: usize, tight: &str, batch: &str| {
            let (good, rate) = (share(count), count as f64 / seconds);
            let of_bound = 100.0 * count as f64 / limits.bound.max(1) as f64;
            println!(
                "| {what} | {good:.1} % | {tight} | {rate:.0} | {of_bound:.1} % | | | {batch} | | | | |"
            );
        };
        beyond("no schedule exceeds", limits.bound, "", "");
        for reference in &limits.references {
            let tight = format!("{:.1} %", 100.0 * reference.good_tight_share);
            beyond(reference.name, reference.good, &tight, &format!("{:.1}", reference.mean_batch));
        }
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
        let best = |of: &dyn Fn(Way) -> bool| {
            let of = scores.iter().filter(|(way, _)| of(*way));
            of.max_by_key(|(_, score)| score.good).map(|(way, score)| (way.name(), score.good))
        };
        let (window, rival) = (best(&Way::is_window), best(&|way| way != Way::Engine));
        let (Some((_, engine)), Some((window, of_window)), Some((rival, of_rival))) = (engine, window, rival)
        else {
            return;
        };
        let ratio = |to: usize| engine.good as f64 / to.max(1) as f64;
        let clairvoyant = limits.references.first().map_or(0, |reference| reference.good);
        let (to_window, to_rival) = (ratio(of_window), ratio(of_rival));
        let (to_bound, to_clairvoyant) = (ratio(limits.bound), ratio(clairvoyant));
        if self.json {
            println!(
                "{{\"setting\":{setting:?},\"best_window\":{window:?},\"engine_to_best_window\":{to_window:.3},\
                 \"best_rival\":{rival:?},\"engine_to_best_rival\":{to_rival:.3},\
                 \"engine_to_bound\":{to_bound:.3},\"engine_to_clairvoyant\":{to_clairvoyant:.3}}}"
            );
            return;
        }
        println!(
            "\nThe engine: {to_window:.2} of the best fixed window ({window}), {to_rival:.2} of the best rival ({rival}), \
             {to_bound:.2} of the bound, {to_clairvoyant:.2} of the clairvoyant schedule."
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
