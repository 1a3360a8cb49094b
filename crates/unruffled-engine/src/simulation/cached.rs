//! Histories of one model with a cache: right answers, each request ended once, runs that stop with the last who waits.

use std::collections::HashMap;
use std::future::Future as _;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use fastrand::Rng;
use unruffled_model::{Batch, Caller, Footprint, Kept, Memo, MemoKey, ModelError, Priority};

use super::by_hand::{Bare, ByHand, Counts, Woken, environment, play_all};
use crate::environment::Environment;
use crate::error::{Error, ErrorKind};
use crate::handle::Infer;
use crate::pool::{CacheOptions, Failure, PoolOptions};
use crate::queue::QueueLimits;
use crate::request::Response;

/// What an input costs and its answer, with what it takes to find them.
const ENTRY: usize = 8 + 8 + 512;

/// An input that always fails.
const POOR: u64 = 5;

#[test]
fn cached() {
    let wanted = [
        "answered",
        "cancelled",
        "closed",
        "deadlines",
        "dropped",
        "evicted",
        "failed",
        "hits",
        "joined",
        "refused",
        "stopped runs",
    ];
    play_all(|seed| World::new(seed).play(), "cached", &wanted);
}

/// Inputs are told apart by themselves; some have equal hashes.
struct Numbers;

/// Hashes as its half.
#[derive(PartialEq, Eq)]
struct Clashing(u64);

impl std::hash::Hash for Clashing {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.0 / 2);
    }
}

impl Memo<u64, u64> for Numbers {
    fn key(&self, input: &u64) -> MemoKey {
        MemoKey::new(Clashing(*input))
    }

    fn keep(&self, output: &u64) -> Kept<u64> {
        Kept::new(*output, 8)
    }
}

/// Somebody who waits for an answer.
struct Task {
    content: u64,
    class: Priority,
    caller: Option<u32>,
    deadline: Option<Instant>,
    cancelled: bool,
    infer: Infer<u64, u64>,
    woken: Arc<Woken>,
}

struct World {
    rng: Rng,
    environment: Environment,
    model: ByHand<u64>,
    items: usize,
    bytes: usize,
    ttl: Option<Duration>,
    /// Whether runs fail for no reason.
    moody: bool,
    closed: bool,
    tasks: Vec<Task>,
    /// When an answer to this input was last computed.
    computed: HashMap<u64, Instant>,
    counts: Counts,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let environment = environment(Instant::now());
        let items = rng.usize(1..16);
        let bytes = rng.usize(0..6 * ENTRY);
        let ttl = rng.bool().then(|| Duration::from_micros(rng.u64(200..4_000)));
        let cache = CacheOptions::default().with_bytes(bytes);
        let cache = ttl.map_or(cache, |ttl| cache.with_ttl(ttl));
        let options = PoolOptions::default()
            .with_instances(rng.usize(1..4))
            .with_queue(QueueLimits { items, bytes: 1 << 20 })
            .with_cache(cache);
        let bare =
            Bare::new(|_: &u64| Ok(Footprint::single(8)), rng.u32(..4) > 0).with_memo(Arc::new(Numbers));
        let model = ByHand::new("model", bare, options, &environment);
        let moody = rng.u32(..4) == 0;
        let (tasks, computed, counts) = (Vec::new(), HashMap::new(), Counts::default());
        Self { rng, environment, model, items, bytes, ttl, moody, closed: false, tasks, computed, counts }
    }

    fn now(&self) -> Instant {
        self.environment.timer.now()
    }

    fn play(mut self) -> Result<Counts, String> {
        let steps = self.rng.usize(30..200);
        let close_at = self.rng.usize(..steps * 8);
        for step in 0..steps {
            self.pass()?;
            if step == close_at {
                self.closed = true;
                self.counts.add("closed", 1);
                self.model.pool().close(Error::new(ErrorKind::ShuttingDown, "the engine is shutting down"));
            }
            match self.rng.u32(..10) {
                0..5 => self.submit()?,
                5 => self.give_up(),
                _ => (0..self.rng.usize(1..4)).for_each(|_| self.turn()),
            }
            self.settle()?;
            self.check()?;
        }
        self.finish()
    }

    fn pass(&mut self) -> Result<(), String> {
        let target = self.now() + Duration::from_micros(self.rng.u64(..400));
        while self.environment.timer.advance(target) {
            self.settle()?;
        }
        self.settle()
    }

    fn submit(&mut self) -> Result<(), String> {
        let rng = &mut self.rng;
        let content = rng.u64(..7);
        let plain = rng.bool();
        let class = if plain { Priority::Normal } else { Priority::ALL[rng.usize(..3)] };
        let caller = Some(rng.u32(..3)).filter(|caller| *caller > 0 && !plain);
        let now = self.environment.timer.now();
        let deadline = (!plain && rng.bool()).then(|| now + Duration::from_micros(rng.u64(1..3_000)));
        let company = self.may_join(content, plain);
        let queued = self.model.pool().status().queued;
        let mut request = self.model.handle.infer(content).priority(class);
        if let Some(deadline) = deadline {
            request = request.deadline(deadline);
        }
        if let Some(caller) = caller {
            request = request.caller(Caller::new(caller.to_string()));
        }
        let infer = request.submit();
        if company && self.model.pool().status().queued > queued {
            return Err(format!("{content} is under way, and is put into the queue once more"));
        }
        let mut task =
            Task { content, class, caller, deadline, cancelled: false, infer, woken: Arc::default() };
        match self.poll(&mut task, true)? {
            true => {}
            false => self.tasks.push(task),
        }
        Ok(())
    }

    /// Whether somebody is under way whom a plain request can wait with.
    fn may_join(&mut self, content: u64, plain: bool) -> bool {
        let runs = |class: Priority, content_of: &u64, cancelled: bool| {
            *content_of == content && !cancelled && class != Priority::Bulk
        };
        let running = self.model.going().iter().any(|run| runs(run.class, run.input, run.is_cancelled));
        let like = |task: &Task| {
            task.content == content
                && task.class == Priority::Normal
                && task.caller.is_none()
                && task.deadline.is_none()
        };
        plain && !self.closed && self.tasks.len() < self.items && (running || self.tasks.iter().any(like))
    }

    fn give_up(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.tasks.len());
        match self.rng.bool() {
            true => {
                self.tasks[at].cancelled = true;
                self.tasks[at].infer.canceller().cancel();
            }
            false => {
                self.counts.add("dropped", 1);
                drop(self.tasks.swap_remove(at));
            }
        }
    }

    fn turn(&mut self) {
        let now = self.now();
        let (moody, computed) = (self.moody, &mut self.computed);
        let mut take = |rng: &mut Rng, _: &u64| match rng.u32(..60) {
            0 => Duration::from_millis(50),
            _ => Duration::from_micros(rng.u64(50..900)),
        };
        let mut end = |rng: &mut Rng, batch: &mut Batch<u64, u64>| {
            let content = *batch.rows()[0].input().expect("untouched");
            match rng.u32(..if moody { 12 } else { 200 }) {
                0 => return Some(Failure::Panic("boom".into())),
                1 => return Some(Failure::Error(ModelError::failed("no luck"))),
                _ => {}
            }
            let answer = if content == POOR { Err(ModelError::failed("poor")) } else { Ok(content * 7 + 3) };
            if answer.is_ok() {
                computed.insert(content, now);
            }
            batch.rows_mut()[0].finish(answer);
            None
        };
        self.model.turn(&mut self.rng, now, &mut take, &mut end);
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
        match woken.poll(fresh, |cx| Pin::new(&mut task.infer).poll(cx)) {
            Some(Poll::Ready(outcome)) => self.answered(task, &outcome, fresh).map(|()| true),
            Some(Poll::Pending) | None => Ok(false),
        }
    }

    fn answered(
        &mut self,
        task: &Task,
        outcome: &Result<Response<u64>, Error>,
        fresh: bool,
    ) -> Result<(), String> {
        let (now, content) = (self.now(), task.content);
        match outcome {
            Ok(response) => {
                self.counts.add("answered", 1);
                if response.output != content * 7 + 3 || content == POOR {
                    return Err(format!("{content} got {}", response.output));
                }
                if task.deadline.is_some_and(|deadline| now > deadline) {
                    return Err(format!("{content} was answered late"));
                }
                if fresh {
                    let computed = self.computed.get(&content).map(|at| now - *at);
                    let fits = computed.is_some_and(|age| self.ttl.is_none_or(|ttl| age < ttl));
                    if !fits || !response.provenance.as_ref().is_some_and(|provenance| provenance.cached) {
                        return Err(format!("{content} was answered at once, computed {computed:?} ago"));
                    }
                }
                Ok(())
            }
            Err(error) => {
                let (what, fits) = match error.kind() {
                    ErrorKind::ModelFailed | ErrorKind::ModelCrashed => ("failed", true),
                    ErrorKind::DeadlineExceeded => ("deadlines", task.deadline.is_some()),
                    ErrorKind::Cancelled => ("cancelled", task.cancelled),
                    ErrorKind::Overloaded => ("refused", fresh),
                    ErrorKind::ShuttingDown => ("shutting down", self.closed),
                    _ => ("other", false),
                };
                self.counts.add(what, 1);
                if fits { Ok(()) } else { Err(format!("{content} ended with {error}")) }
            }
        }
    }

    fn check(&mut self) -> Result<(), String> {
        let metrics = self.model.pool().metrics().cache.expect("it has one");
        if metrics.bytes > self.bytes || metrics.bytes != metrics.answers * ENTRY {
            return Err(format!(
                "{} bytes in {} answers, {} allowed",
                metrics.bytes, metrics.answers, self.bytes
            ));
        }
        let tasks = &self.tasks;
        for run in self.model.going() {
            let is_wanted = tasks.iter().any(|task| task.content == *run.input);
            if !is_wanted && !run.is_cancelled {
                return Err(format!("nobody waits for {} any more, and it runs on", run.input));
            }
            if run.is_cancelled && !run.is_yielding {
                self.counts.add("stopped runs", 1);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Counts, String> {
        if !self.closed {
            self.model.pool().drain(Error::new(ErrorKind::ShuttingDown, "the engine is shutting down"));
            self.closed = true;
        }
        for _ in 0..20_000 {
            self.pass()?;
            self.turn();
            self.settle()?;
            if self.tasks.is_empty() && self.model.going().is_empty() {
                break;
            }
        }
        let pool = self.model.pool();
        let (status, metrics, remembered) = (pool.status(), pool.metrics(), pool.remembered());
        let failed: u64 = metrics.failed.iter().map(|(_, count)| count).sum();
        if !self.tasks.is_empty() || status.queued > 0 || remembered > 0 {
            return Err(format!("{} wait, {remembered} remembered, {status:?}", self.tasks.len()));
        }
        if metrics.accepted != metrics.answered + failed {
            return Err(format!(
                "of {} accepted, {} answered and {failed} failed",
                metrics.accepted, metrics.answered
            ));
        }
        let cache = metrics.cache.expect("it has one");
        [("hits", cache.hits), ("joined", cache.joined), ("evicted", cache.evicted)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .for_each(|(what, count)| self.counts.add(what, count));
        Ok(self.counts)
    }
}

#[test]
fn some_inputs_clash() {
    let state = RandomState::new();
    let hash = |content: u64| state.hash_one(Numbers.key(&content));
    assert_eq!(hash(2), hash(3));
    assert!(Numbers.key(&2) != Numbers.key(&3));
}
