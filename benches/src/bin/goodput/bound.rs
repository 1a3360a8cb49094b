//! How many requests any schedule could have answered in time: an upper bound.
//!
//! A run of n rows takes `base + n * row`, and lies between arrival and deadline of each of its requests. Charge each
//! request an equal share of its run. Then every request that is answered in time
//!
//! - was worked on between its arrival and its deadline only, and
//! - was charged at least `base / m + row`, where m is the largest batch that it could have been part of at all: some
//!   batch of m requests fits between the last arrival among them and the first deadline.
//!
//! Drop what else is true of a schedule (runs are whole, of whole requests, and not interrupted), and a linear program is
//! left: work on requests within their windows, one unit of work per unit of time, each up to its charge, and count every
//! request by the part of its charge that it got. What it counts at most, no schedule exceeds.
//!
//! The amounts of work that requests can get side by side form a polymatroid, as in every flow network. So the program is
//! solved by greed: let the cheapest get all they can, then those of the next charge what is left, and so on. How much a
//! set of requests can get together is what the machine does if it always works on the one that is due first, since
//! windows are intervals.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::cost::Cost;
use crate::workload::Request;

/// A number of requests that no schedule on one instance answers in time more of. `trace` is in order of arrival.
pub(crate) fn upper_bound(trace: &[Request], cost: &Cost) -> usize {
    let largest = largest_batches(trace, cost);
    let (mut count, mut before) = (0.0, 0.0);
    for rows in (1..=cost.max_batch).rev().filter(|rows| largest.contains(rows)) {
        let jobs = trace.iter().zip(&largest).filter(|&(_, &most)| most >= rows);
        let together = work(jobs.map(|(request, &most)| Job {
            arrival: request.arrival as f64,
            deadline: request.deadline,
            charge: cost.per_row(most),
        }));
        count += (together - before) / cost.per_row(rows);
        before = together;
    }
    // Whole requests only; what rounding may have lost is given back first.
    (count + 1e-3).floor() as usize
}

/// For each request, the largest batch that it could be part of, whatever else is done; zero if not even alone.
fn largest_batches(trace: &[Request], cost: &Cost) -> Vec<usize> {
    // A batch can be moved forward in time until the last of its requests arrives: only arrivals need be tried.
    let mut waiting: Vec<u64> = Vec::new();
    let mut arrived = 0;
    let at_arrivals: Vec<usize> = trace
        .iter()
        .map(|request| {
            let now = request.arrival;
            while let Some(next) = trace.get(arrived).filter(|next| next.arrival <= now) {
                waiting.insert(waiting.partition_point(|&known| known < next.deadline), next.deadline);
                arrived += 1;
            }
            waiting.drain(..waiting.partition_point(|&deadline| deadline < now));
            largest_now(now, &waiting, |deadline| *deadline, cost)
        })
        .collect();
    let largest = |request: &Request| {
        let first = trace.partition_point(|other| other.arrival < request.arrival);
        let starts = trace[first..].iter().zip(&at_arrivals[first..]);
        starts
            .take_while(|(start, _)| start.arrival <= request.deadline)
            .map(|(start, &most)| most.min(cost.rows_within(request.deadline - start.arrival)))
            .max()
            .unwrap_or(0)
    };
    trace.iter().map(largest).collect()
}

/// The largest batch that can begin now and end in time for all of its requests; these are in order of their deadlines.
pub(crate) fn largest_now<T>(now: u64, waiting: &[T], deadline: impl Fn(&T) -> u64, cost: &Cost) -> usize {
    (1..=cost.max_batch.min(waiting.len()))
        .rev()
        .find(|&rows| {
            let end = now + cost.of(rows);
            waiting.len() - waiting.partition_point(|request| deadline(request) < end) >= rows
        })
        .unwrap_or(0)
}

/// Work that may be done between two instants.
struct Job {
    arrival: f64,
    deadline: u64,
    charge: f64,
}

/// How much work is done on these jobs, which come in order of arrival, if the one that is due first always goes first.
fn work(jobs: impl Iterator<Item = Job>) -> f64 {
    // By deadline; what is left of each is kept as a number that need not be compared.
    let mut waiting: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut left: Vec<f64> = Vec::new();
    let (mut now, mut done) = (0.0_f64, 0.0);
    let mut run_until = |until: f64, waiting: &mut BinaryHeap<Reverse<(u64, usize)>>, left: &mut [f64]| {
        while now < until
            && let Some(&Reverse((deadline, job))) = waiting.peek()
        {
            let spent = left[job].min(deadline as f64 - now).min(until - now).max(0.0);
            (now, done, left[job]) = (now + spent, done + spent, left[job] - spent);
            if now < until || left[job] <= 0.0 {
                waiting.pop();
            }
        }
        now = now.max(until);
        done
    };
    for job in jobs {
        run_until(job.arrival, &mut waiting, &mut left);
        waiting.push(Reverse((job.deadline, left.len())));
        left.push(job.charge);
    }
    run_until(f64::INFINITY, &mut waiting, &mut left)
}

#[cfg(test)]
pub(crate) mod tests {
    use fastrand::Rng;

    use super::upper_bound;
    use crate::cost::Cost;
    use crate::workload::{Class, Request};

    pub(crate) fn requests(windows: &[(u64, u64)]) -> Vec<Request> {
        let mut windows = windows.to_vec();
        windows.sort_unstable();
        let request = |(arrival, deadline)| Request { arrival, deadline, class: Class::Tight };
        windows.into_iter().map(request).collect()
    }

    /// The best of all schedules: tries every batch as the next one. Only for a handful of requests.
    pub(crate) fn optimum(trace: &[Request], cost: &Cost, now: u64, open: u32) -> usize {
        let mut best = 0;
        let mut batch = open;
        while batch > 0 {
            let rows = batch.count_ones() as usize;
            let members =
                || trace.iter().enumerate().filter(|&(at, _)| batch >> at & 1 == 1).map(|(_, it)| it);
            let begin = members().map(|request| request.arrival).fold(now, u64::max);
            let end = begin + cost.of(rows);
            if rows <= cost.max_batch && members().all(|request| end <= request.deadline) {
                best = best.max(rows + optimum(trace, cost, end, open & !batch));
            }
            batch = (batch - 1) & open;
        }
        best
    }

    /// A few requests with windows of all lengths, and a cost to go with them.
    pub(crate) fn tiny(rng: &mut Rng) -> (Vec<Request>, Cost) {
        let cost = Cost { base: rng.u64(0..8), row: rng.u64(1..5), max_batch: rng.usize(1..5) };
        let span = rng.u64(1..60);
        let windows: Vec<_> = (0..rng.usize(0..7))
            .map(|_| {
                let arrival = rng.u64(0..span);
                (arrival, arrival + rng.u64(0..40))
            })
            .collect();
        (requests(&windows), cost)
    }

    #[test]
    fn no_schedule_exceeds_the_bound() {
        let mut gap = 0;
        let mut total = 0;
        for seed in 0..3_000 {
            let (trace, cost) = tiny(&mut Rng::with_seed(seed));
            let best = optimum(&trace, &cost, 0, (1 << trace.len()) - 1);
            let bound = upper_bound(&trace, &cost);
            assert!(best <= bound && bound <= trace.len(), "seed {seed}: {best} of at most {bound}");
            gap += bound - best;
            total += best;
        }
        // A handful of requests is where whole runs matter most; even there it is not far off.
        assert!(gap * 4 < total, "{gap} above {total}");
    }

    #[track_caller]
    fn check(windows: &[(u64, u64)], max_batch: usize, bound: usize) {
        let (trace, cost) = (requests(windows), Cost { base: 10, row: 1, max_batch });
        assert_eq!(upper_bound(&trace, &cost), bound);
        assert_eq!(optimum(&trace, &cost, 0, (1 << trace.len()) - 1), bound, "the example is not simple");
    }

    #[test]
    fn simple_cases_are_exact() {
        check(&[], 4, 0);
        // Too short a window even alone.
        check(&[(0, 10)], 4, 0);
        check(&[(0, 11)], 4, 1);
        // Time for one full batch, and for two.
        check(&[(0, 14); 8], 4, 4);
        check(&[(0, 28); 8], 4, 8);
        // The impatient one would cost the four that can share a run.
        check(&[(0, 11), (0, 14), (0, 14), (0, 14), (0, 14)], 4, 4);
        // Without batches, one after the other.
        check(&[(0, 23); 5], 1, 2);
        // Windows that do not overlap enough for a batch of two: each pays for a run of its own.
        check(&[(0, 14), (5, 19), (10, 24), (15, 29)], 4, 2);
    }
}
