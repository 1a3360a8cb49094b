//! Histories of a chain: one answer each, from whom it says, losers stopped, nobody asked who should not be.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use fastrand::Rng;
use unruffled_model::{Batch, Footprint, ModelError};

use super::by_hand::{Bare, ByHand, Counts, Woken, environment, play_all};
use crate::breaker::{Breaker, BreakerOptions, BreakerState};
use crate::environment::Environment;
use crate::error::{Error, ErrorKind};
use crate::fallback::{Attempt, Chain, ChainRequest, Fallback, Link};
use crate::pool::{Failure, PoolOptions};
use crate::queue::QueueLimits;
use crate::request::Response;

const NAMES: [&str; 3] = ["large", "small", "tiny"];

#[test]
fn chains() {
    let wanted = [
        "answered by the first",
        "answered by others",
        "asked",
        "deadlines",
        "defaults",
        "dropped",
        "invalid",
        "opened",
        "passed over",
        "stopped",
        "stopped runs",
        "all failed",
    ];
    play_all(|seed| World::new(seed).play(), "chains", &wanted);
}

/// Whether no model takes it.
fn is_bad(id: u64) -> bool {
    id.is_multiple_of(11)
}

/// Somebody who waits for an answer.
struct Task {
    id: u64,
    deadline: Option<Instant>,
    attempt: Attempt<u64, u64>,
    woken: Arc<Woken>,
}

struct World {
    rng: Rng,
    environment: Environment,
    models: Vec<ByHand<u64>>,
    /// Models that fail.
    ill: [bool; 3],
    breakers: Vec<Breaker>,
    chain: Chain<u64, u64>,
    has_default: bool,
    tasks: Vec<Task>,
    next_id: u64,
    counts: Counts,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let environment = environment(Instant::now());
        let admit = |id: &u64| match is_bad(*id) {
            true => Err(ModelError::invalid_input("no such number")),
            false => Ok(Footprint::single(8)),
        };
        let models: Vec<_> = NAMES
            .iter()
            .map(|name| {
                let options = PoolOptions::default()
                    .with_instances(rng.usize(1..3))
                    .with_queue(QueueLimits { items: rng.usize(1..6), bytes: 1 << 20 });
                ByHand::new(name, Bare::new(admit, rng.u32(..4) > 0), options, &environment)
            })
            .collect();
        let us = Duration::from_micros;
        let options = BreakerOptions::default()
            .with_calls_min(rng.usize(1..5))
            .with_window(rng.usize(1..12), us(20_000))
            .with_open(us(rng.u64(1..3_000)), us(6_000))
            .with_probes(rng.usize(1..3), rng.usize(1..3));
        let breakers: Vec<_> = NAMES.iter().map(|name| Breaker::new(*name, options)).collect();
        let mut links = models.iter().zip(&breakers).map(|(model, breaker)| {
            let link = Link::new(&model.handle).breaker(breaker);
            let link = if rng.bool() { link.budget(us(rng.u64(50..2_000))) } else { link };
            match rng.u32(..4) {
                0 => link.hedge_after(us(rng.u64(1..800))),
                1 => link.hedge_when_late(),
                _ => link,
            }
        });
        let first = links.next().expect("there are three");
        let fallback = links.fold(Fallback::new(environment.timer.clone(), first), Fallback::then);
        let fallback = match rng.u32(..3) {
            0 => fallback,
            1 => fallback.by_slack(),
            _ => fallback.race(),
        };
        let has_default = rng.bool();
        let fallback = if has_default { fallback.default(|id| u64::MAX - id) } else { fallback };
        Self {
            chain: fallback.build(),
            rng,
            environment,
            models,
            ill: [false; 3],
            breakers,
            has_default,
            tasks: Vec::new(),
            next_id: 1,
            counts: Counts::default(),
        }
    }

    fn now(&self) -> Instant {
        self.environment.timer.now()
    }

    fn play(mut self) -> Result<Counts, String> {
        for _ in 0..self.rng.usize(30..250) {
            let before = self.closed_ways();
            self.pass()?;
            match self.rng.u32(..20) {
                0..8 => self.submit()?,
                8 => self.drop_one(),
                9 => {
                    let at = self.rng.usize(..3);
                    self.ill[at] = self.rng.u32(..3) > 0;
                }
                _ => {
                    for _ in 0..self.rng.usize(1..6) {
                        self.turn()?;
                    }
                }
            }
            self.settle()?;
            self.check(&before)?;
        }
        self.finish()
    }

    fn pass(&mut self) -> Result<(), String> {
        let target = self.now() + Duration::from_micros(self.rng.u64(..300));
        while self.environment.timer.advance(target) {
            self.settle()?;
        }
        self.settle()
    }

    fn submit(&mut self) -> Result<(), String> {
        let id = self.next_id;
        self.next_id += 1;
        let us = Duration::from_micros(self.rng.u64(..4_000));
        let deadline = self.rng.bool().then(|| self.now() + us);
        let request = self.chain.infer(id);
        let request = deadline.into_iter().fold(request, ChainRequest::deadline);
        let mut task = Task { id, deadline, attempt: request.submit(), woken: Arc::default() };
        if !self.poll(&mut task, true)? {
            self.tasks.push(task);
        }
        Ok(())
    }

    fn drop_one(&mut self) {
        if !self.tasks.is_empty() {
            let at = self.rng.usize(..self.tasks.len());
            self.counts.add("dropped", 1);
            drop(self.tasks.swap_remove(at));
        }
    }

    fn turn(&mut self) -> Result<(), String> {
        let (at, now) = (self.rng.usize(..3), self.now());
        let (tasks, ill) = (&self.tasks, self.ill[at]);
        let mut unwanted = None;
        let mut take = |rng: &mut Rng, id: &u64| {
            if is_bad(*id) || !tasks.iter().any(|task| task.id == *id) {
                unwanted = Some(*id);
            }
            match rng.u32(..if ill { 4 } else { 80 }) {
                0 => Duration::from_millis(30),
                _ => Duration::from_micros(rng.u64(50..700)),
            }
        };
        let mut end = |rng: &mut Rng, batch: &mut Batch<u64, u64>| {
            match rng.u32(..if ill { 3 } else { 60 }) {
                0 => return Some(Failure::Panic("boom".into())),
                1 => return Some(Failure::Error(ModelError::failed("no luck"))),
                _ => {}
            }
            let id = *batch.rows()[0].input().expect("untouched");
            batch.rows_mut()[0].finish(Ok(id * 10 + at as u64));
            None
        };
        self.models[at].turn(&mut self.rng, now, &mut take, &mut end);
        match unwanted {
            Some(id) => Err(format!("{} begins with {id}, which nobody waits for", NAMES[at])),
            None => self.settle(),
        }
    }

    fn settle(&mut self) -> Result<(), String> {
        while let Some(at) = self.tasks.iter().position(|task| task.woken.is_set()) {
            let mut task = self.tasks.swap_remove(at);
            if !self.poll(&mut task, false)? {
                self.tasks.push(task);
            }
        }
        Ok(())
    }

    /// True: it has its answer.
    fn poll(&mut self, task: &mut Task, fresh: bool) -> Result<bool, String> {
        let woken = Arc::clone(&task.woken);
        match woken.poll(fresh, |cx| Pin::new(&mut task.attempt).poll(cx)) {
            Some(Poll::Ready(outcome)) => self.answered(task, &outcome).map(|()| true),
            Some(Poll::Pending) | None => Ok(false),
        }
    }

    fn answered(&mut self, task: &Task, outcome: &Result<Response<u64>, Error>) -> Result<(), String> {
        let (id, now) = (task.id, self.now());
        let is_late = task.deadline.is_some_and(|deadline| now > deadline);
        match outcome {
            Ok(response) => {
                let degraded =
                    response.provenance.as_ref().and_then(|provenance| provenance.degraded.as_ref());
                let by = degraded.map_or(NAMES[0], |degraded| &*degraded.by);
                let (expected, what) = match NAMES.iter().position(|name| *name == by) {
                    Some(0) => (id * 10, "answered by the first"),
                    Some(at) => (id * 10 + at as u64, "answered by others"),
                    None => (u64::MAX - id, "defaults"),
                };
                self.counts.add(what, 1);
                if what == "defaults" && task.deadline.is_some_and(|deadline| now >= deadline) {
                    return Err(format!("{id} got the default after its deadline"));
                }
                if response.output != expected || is_late || is_bad(id) {
                    return Err(format!("{id} got {} by {by}, late: {is_late}", response.output));
                }
                if degraded.is_some_and(|degraded| degraded.why.is_empty() && by != NAMES[0]) {
                    return Err(format!("{id} does not say why {by} answered"));
                }
                Ok(())
            }
            Err(error) => {
                let is_due = task.deadline.is_some_and(|deadline| now >= deadline);
                let (what, fits) = match error.kind() {
                    ErrorKind::InvalidInput => ("invalid", is_bad(id)),
                    // A bad input may find nobody to say so; a default would have been given otherwise.
                    ErrorKind::DeadlineExceeded => ("deadlines", is_due || !self.has_default),
                    ErrorKind::ModelFailed
                    | ErrorKind::ModelCrashed
                    | ErrorKind::NotReady
                    | ErrorKind::Overloaded => ("all failed", !self.has_default),
                    _ => ("other", false),
                };
                self.counts.add(what, 1);
                if fits { Ok(()) } else { Err(format!("{id} ended with {error}")) }
            }
        }
    }

    /// Links that nothing may go through until then, and how often they were asked.
    fn closed_ways(&self) -> Vec<Option<(Instant, u64)>> {
        let status = self.chain.status();
        let ways = self.breakers.iter().zip(&status.links);
        ways.map(|(breaker, link)| Some((breaker.status().open_until?, link.asked))).collect()
    }

    fn check(&mut self, before: &[Option<(Instant, u64)>]) -> Result<(), String> {
        let now = self.now();
        let status = self.chain.status();
        for ((before, link), breaker) in before.iter().zip(&status.links).zip(&self.breakers) {
            if let Some((until, asked)) = before
                && *until > now
                && (link.asked != *asked || breaker.status().state != BreakerState::Open)
            {
                return Err(format!("{} was asked though its breaker is open", link.name));
            }
        }
        for model in &mut self.models {
            let name = model.handle.name().clone();
            for run in model.going() {
                let is_wanted = self.tasks.iter().any(|task| task.id == *run.input);
                if !is_wanted && !run.is_cancelled {
                    return Err(format!("{name} runs {} on, which nobody waits for", run.input));
                }
                if run.is_cancelled {
                    self.counts.add("stopped runs", 1);
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Counts, String> {
        self.ill = [false; 3];
        for _ in 0..20_000 {
            self.pass()?;
            self.turn()?;
            let busy = self.models.iter_mut().any(|model| !model.going().is_empty());
            if self.tasks.is_empty() && !busy {
                break;
            }
        }
        let left: usize = self.models.iter().map(|model| model.pool().status().queued).sum();
        if !self.tasks.is_empty() || left > 0 {
            return Err(format!("{} wait for ever, {left} are left in queues", self.tasks.len()));
        }
        let status = self.chain.status();
        for (link, breaker) in status.links.iter().zip(&self.breakers) {
            if link.asked != link.answered + link.failed + link.stopped {
                return Err(format!("not each request has one end: {link:?}"));
            }
            let counts = [
                ("asked", link.asked),
                ("stopped", link.stopped),
                ("passed over", link.passed_over),
                ("opened", breaker.status().opened),
            ];
            counts
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .for_each(|(what, count)| self.counts.add(what, count));
        }
        Ok(self.counts)
    }
}
