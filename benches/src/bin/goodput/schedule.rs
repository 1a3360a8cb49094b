//! A schedule made by somebody who knows all arrivals beforehand: what the upper bound is worth.
//!
//! The best schedule lies between this one and the bound. It is found by a beam search: from each instant at which the
//! instance is free, a few batches and a few waits are tried, and of all ways to get to about the same instant, the most
//! promising are kept.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::bound::largest_now;
use crate::cost::Cost;
use crate::workload::Request;

/// How many ways to the same instant are kept.
pub(crate) const WIDTH: usize = 24;

/// What a request that waits is worth, if there is time for it: it competes for that time with what is still to come.
const HOPE: f64 = 0.2;

/// How many further arrivals a wait may be for.
const WAITS: [usize; 5] = [1, 2, 4, 8, 16];

/// One run: when it begins, and the requests in it, as indices into the trace.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) begin: u64,
    pub(crate) requests: Vec<u32>,
}

/// How a partial schedule came about; the runs before it are shared.
struct Step {
    run: Run,
    before: Option<Rc<Step>>,
}

impl Drop for Step {
    /// One after the other: a long schedule would be a deep recursion.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(mut step) = next.and_then(|step| Rc::try_unwrap(step).ok()) {
            next = step.before.take();
        }
    }
}

/// A way to get to an instant at which the instance is free.
#[derive(Clone)]
struct State {
    now: u64,
    /// How much of the trace has arrived.
    arrived: usize,
    /// Those that are still to be answered and can be, in order of their deadlines.
    waiting: Vec<u32>,
    answered: usize,
    last: Option<Rc<Step>>,
}

/// A schedule for one instance that answers many requests in time. `trace` is in order of arrival.
pub(crate) fn schedule(trace: &[Request], cost: &Cost, width: usize) -> Vec<Run> {
    let slice = cost.row.max(1);
    let mut beam: BTreeMap<u64, Vec<State>> = BTreeMap::new();
    let start = State { now: 0, arrived: 0, waiting: Vec::new(), answered: 0, last: None };
    beam.entry(0).or_default().push(start);
    let mut best: Option<State> = None;
    while let Some((_, states)) = beam.pop_first() {
        for mut state in most_promising(states, trace, cost, width) {
            state.arrive(trace, cost);
            if best.as_ref().is_none_or(|best| state.answered > best.answered) {
                best = Some(state.clone());
            }
            state.next(trace, cost, |next| beam.entry(next.now / slice).or_default().push(next));
        }
    }
    let mut runs = Vec::new();
    let mut last = best.as_ref().and_then(|best| best.last.as_ref());
    while let Some(step) = last {
        runs.push(step.run.clone());
        last = step.before.as_ref();
    }
    runs.reverse();
    runs
}

/// How many requests a schedule answers in time.
///
/// # Panics
///
/// If it is not a schedule: runs that overlap, hold too many, or are late for one of their requests.
pub(crate) fn answered(runs: &[Run], trace: &[Request], cost: &Cost) -> usize {
    let (mut free, mut seen) = (0, vec![false; trace.len()]);
    for run in runs {
        let end = run.begin + cost.of(run.requests.len());
        assert!(run.begin >= free, "runs overlap");
        assert!((1..=cost.max_batch).contains(&run.requests.len()), "a batch is empty or too large");
        for &at in &run.requests {
            let request = &trace[at as usize];
            assert!(request.arrival <= run.begin && end <= request.deadline, "a run is early or late");
            assert!(!std::mem::replace(&mut seen[at as usize], true), "a request runs twice");
        }
        free = end;
    }
    seen.iter().filter(|&&seen| seen).count()
}

fn most_promising(mut states: Vec<State>, trace: &[Request], cost: &Cost, width: usize) -> Vec<State> {
    if states.len() <= 1 {
        return states;
    }
    let per_row = cost.per_row(cost.max_batch);
    states.sort_by_cached_key(|state| {
        // Time is worth the requests that it takes at full speed.
        let promise = state.answered as f64 + HOPE * state.within_reach(trace, per_row) as f64
            - state.now as f64 / per_row;
        (-promise * 64.0) as i64
    });
    // Ways that differ in nothing that shows would fill the beam.
    states.dedup_by_key(|state| {
        (state.now, state.answered, state.waiting.len(), state.waiting.first().copied())
    });
    states.truncate(width);
    states
}

impl State {
    /// Takes in what has arrived by now, and drops what cannot be saved any more.
    fn arrive(&mut self, trace: &[Request], cost: &Cost) {
        let deadline = |at: u32| trace[at as usize].deadline;
        while let Some(next) = trace.get(self.arrived).filter(|next| next.arrival <= self.now) {
            let place = self.waiting.partition_point(|&known| deadline(known) < next.deadline);
            self.waiting.insert(place, self.arrived as u32);
            self.arrived += 1;
        }
        let soonest = self.now + cost.of(1);
        self.waiting.drain(..self.waiting.partition_point(|&known| deadline(known) < soonest));
    }

    /// How many of the waiting would be answered in time if each took its share of a full batch.
    fn within_reach(&self, trace: &[Request], per_row: f64) -> usize {
        let (mut time, mut count) = (self.now as f64, 0);
        for &at in &self.waiting {
            if time + per_row <= trace[at as usize].deadline as f64 {
                time += per_row;
                count += 1;
            }
        }
        count
    }

    /// Offers what may be done now: a few batches, a few waits.
    fn next(&self, trace: &[Request], cost: &Cost, mut offer: impl FnMut(State)) {
        let deadline = |at: &u32| trace[*at as usize].deadline;
        let most = largest_now(self.now, &self.waiting, deadline, cost);
        if most > 0 {
            let patience = deadline(&self.waiting[0]) - self.now;
            let saves_first = cost.rows_within(patience).min(most);
            let mut sizes = [most, saves_first, most * 3 / 4, most / 2, (most + saves_first) / 2];
            sizes.sort_unstable();
            let mut tried = 0;
            for rows in sizes {
                if rows > tried {
                    offer(self.run(rows, trace, cost));
                    tried = rows;
                }
            }
        }
        if most < cost.max_batch {
            for further in WAITS {
                let Some(awaited) = trace.get(self.arrived + further - 1) else { break };
                offer(State { now: awaited.arrival, ..self.clone() });
                if self.waiting.is_empty() {
                    break;
                }
            }
        }
    }

    /// Runs so many of the waiting: those that are due first, of those that it is not too late for.
    fn run(&self, rows: usize, trace: &[Request], cost: &Cost) -> State {
        let end = self.now + cost.of(rows);
        let first = self.waiting.partition_point(|&at| trace[at as usize].deadline < end);
        let mut next = self.clone();
        let requests: Vec<u32> = next.waiting.drain(first..first + rows).collect();
        let run = Run { begin: self.now, requests };
        next.last = Some(Rc::new(Step { run, before: self.last.clone() }));
        next.answered += rows;
        next.now = end;
        next
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::{answered, schedule};
    use crate::bound::tests::{optimum, tiny};
    use crate::bound::upper_bound;
    use crate::cost::Cost;
    use crate::workload::SETTINGS;

    #[test]
    fn schedules_are_true_and_near_the_best() {
        let (mut found, mut total) = (0, 0);
        for seed in 0..1_000 {
            let (trace, cost) = tiny(&mut Rng::with_seed(seed));
            let best = optimum(&trace, &cost, 0, (1 << trace.len()) - 1);
            let own = answered(&schedule(&trace, &cost, 8), &trace, &cost);
            assert!(own <= best, "seed {seed}: {own} of at most {best}");
            found += own;
            total += best;
        }
        assert!(found * 100 >= total * 95, "{found} of {total}");
    }

    #[test]
    fn the_bound_is_near_what_can_be_done() {
        let cost = Cost { base: 4_000_000, row: 500_000, max_batch: 32 };
        for setting in SETTINGS {
            let trace = setting.trace(&cost, 3.0, 1);
            let bound = upper_bound(&trace, &cost);
            let own = answered(&schedule(&trace, &cost, 8), &trace, &cost);
            println!("{}: {} requests, {own} answered, at most {bound}", setting.name, trace.len());
            assert!(own <= bound && bound * 94 <= own * 100, "{}: {own} of at most {bound}", setting.name);
        }
    }
}
