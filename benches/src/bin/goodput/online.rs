//! What can be reached without knowing the future: two policies with exact costs, simulated without overhead.
//!
//! What the engine loses against them is lost to learning costs and to real time, or to a worse policy; what they lose
//! against the clairvoyant schedule is the price of not knowing.

use crate::bound::largest_now;
use crate::cost::Cost;
use crate::schedule::Run;
use crate::workload::Request;

/// Over how long the rate of arrivals is averaged, in nanoseconds.
const RATE_MEMORY: f64 = 20e6;

/// What is decided, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Takes everybody in. Whenever the instance is free it runs the largest batch that is in time for all in it, those
    /// due first among them; who is due before the end of that batch is passed over, and dropped when it is too late.
    DropsWhatIsLate,
    /// Takes in only whom it will answer in time: the queue, by deadline and in full batches, must remain in time for
    /// everybody, and the newcomer even if its batch grows as fast as requests arrive at present.
    KeepsItsPromise,
}

impl Policy {
    pub(crate) const ALL: [Policy; 2] = [Policy::DropsWhatIsLate, Policy::KeepsItsPromise];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Policy::DropsWhatIsLate => "largest batch in time, simulated",
            Policy::KeepsItsPromise => "refusal on arrival, simulated",
        }
    }
}

/// What a policy makes of a trace, which is in order of arrival.
pub(crate) fn simulate(trace: &[Request], cost: &Cost, policy: Policy) -> Vec<Run> {
    let mut instance = Instance { trace, cost, waiting: Vec::new(), free: 0, runs: Vec::new() };
    let mut rate = Rate::default();
    for (at, request) in trace.iter().enumerate() {
        instance.run_until(request.arrival, policy);
        instance.free = instance.free.max(request.arrival);
        rate.arrival(request.arrival);
        let place = instance.enter(at as u32);
        if policy == Policy::KeepsItsPromise && !instance.can_keep(place, rate.per_nanosecond) {
            instance.waiting.remove(place);
        }
    }
    instance.run_until(u64::MAX, policy);
    instance.runs
}

struct Instance<'a> {
    trace: &'a [Request],
    cost: &'a Cost,
    /// Indices into the trace, in order of their deadlines.
    waiting: Vec<u32>,
    /// When the run in progress ends, or now.
    free: u64,
    runs: Vec<Run>,
}

impl Instance<'_> {
    fn deadline(&self, place: usize) -> u64 {
        self.trace[self.waiting[place] as usize].deadline
    }

    fn enter(&mut self, at: u32) -> usize {
        let deadline = |at: u32| self.trace[at as usize].deadline;
        let place = self.waiting.partition_point(|&known| deadline(known) <= deadline(at));
        self.waiting.insert(place, at);
        place
    }

    /// Begins every run that begins before this instant.
    fn run_until(&mut self, instant: u64, policy: Policy) {
        while self.free < instant && !self.waiting.is_empty() {
            let deadline = |at: &u32| self.trace[*at as usize].deadline;
            let rows = match policy {
                Policy::DropsWhatIsLate => largest_now(self.free, &self.waiting, deadline, self.cost),
                Policy::KeepsItsPromise => self.waiting.len().min(self.cost.max_batch),
            };
            if rows == 0 {
                // Too late for all of them.
                self.waiting.clear();
                return;
            }
            let end = self.free + self.cost.of(rows);
            let first = self.waiting.partition_point(|at| deadline(at) < end);
            let requests = self.waiting.drain(first..first + rows).collect();
            self.runs.push(Run { begin: self.free, requests });
            self.free = end;
        }
    }

    /// Whether everybody in the queue will be in time, and the one in this place with room to spare.
    fn can_keep(&self, place: usize, arrivals_per_nanosecond: f64) -> bool {
        let most = self.cost.max_batch;
        let (mut begin, mut left) = (self.free, self.waiting.len());
        for first in (0..self.waiting.len()).step_by(most) {
            let rows = left.min(most);
            if begin + self.cost.of(rows) > self.deadline(first) {
                return false;
            }
            if (first..first + rows).contains(&place) {
                let arrived = self.trace[self.waiting[place] as usize].arrival;
                let still_to_come = arrivals_per_nanosecond * (begin - arrived) as f64;
                let rows = (rows + still_to_come as usize).min(most);
                if begin + self.cost.of(rows) > self.deadline(place) {
                    return false;
                }
            }
            begin += self.cost.of(rows);
            left -= rows;
        }
        true
    }
}

/// How fast requests arrive at present.
#[derive(Default)]
struct Rate {
    per_nanosecond: f64,
    last: u64,
}

impl Rate {
    fn arrival(&mut self, now: u64) {
        let faded = (-((now - self.last) as f64) / RATE_MEMORY).exp();
        self.per_nanosecond = self.per_nanosecond * faded + 1.0 / RATE_MEMORY;
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::{Policy, simulate};
    use crate::bound::tests::{optimum, requests, tiny};
    use crate::cost::Cost;
    use crate::schedule::answered;

    #[test]
    fn simulated_policies_make_true_schedules() {
        for seed in 0..1_000 {
            let (trace, cost) = tiny(&mut Rng::with_seed(seed));
            let best = optimum(&trace, &cost, 0, (1 << trace.len()) - 1);
            for policy in Policy::ALL {
                let good = answered(&simulate(&trace, &cost, policy), &trace, &cost);
                assert!(good <= best, "seed {seed}, {policy:?}: {good} of at most {best}");
            }
        }
    }

    #[test]
    fn late_comers_are_passed_over_for_a_large_batch() {
        let cost = Cost { base: 10, row: 1, max_batch: 4 };
        // When the first run ends at 11, a batch with the first of those that wait would be a batch of one.
        let trace = requests(&[(0, 20), (1, 22), (2, 40), (3, 40), (4, 40), (5, 40)]);
        let runs = simulate(&trace, &cost, Policy::DropsWhatIsLate);
        assert_eq!(
            runs.iter().map(|run| run.requests.clone()).collect::<Vec<_>>(),
            [vec![0], vec![2, 3, 4, 5]]
        );
        // The second has been promised an answer by 22: nobody else fits into a run that ends by then.
        let runs = simulate(&trace, &cost, Policy::KeepsItsPromise);
        assert_eq!(runs.iter().map(|run| run.requests.clone()).collect::<Vec<_>>(), [vec![0], vec![1]]);
    }
}
