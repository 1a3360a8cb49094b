//! `prove heartbeat`: an event loop keeps time while models have every core.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use unruffled::engine::{EngineOptions, Handle, ThreadPriority};
use unruffled::{Backends, Engine, Tensor, Tensors, sample};

use super::Proof;
use super::models::work;
use super::plan::{Broken, Outcome, Plan, cores, event_loop, left_over};
use super::report::{Findings, Times};

pub(super) const PROOF: Proof = Proof {
    name: "heartbeat",
    what: "An event loop with one thread beats every 10 ms, idle and while its models, at idle priority, keep every core busy.",
    pass_line: "p99 of the lateness under load <= 1.5 times that of the idle process",
    run,
};

const BEAT: Duration = Duration::from_millis(10);
const COST: Duration = Duration::from_millis(20);
const FACTOR: f64 = 1.5;

/// Rows of one request to the model that reads digits.
const ROWS: usize = 256;

struct Load {
    busy: Handle<(), ()>,
    digits: Handle<Tensors, Tensors>,
    pictures: Tensors,
    answered: Arc<AtomicU64>,
}

fn run(plan: &Plan<'_>) -> Outcome {
    // As an application would that has a window to draw.
    let engine = Engine::with_options(EngineOptions::default().with_thread_priority(ThreadPriority::Idle));
    let busy = engine.wrap(|()| work(COST)).instances(cores()).name("busy").build()?;
    let (rounds, length) = plan.pick((6, Duration::from_secs(2)), (3, Duration::from_millis(800)));
    plan.steps(2 * rounds);
    plan.run(event_loop()?, async {
        let digits = Backends::default().load(&engine, &sample::digits())?.await?;
        let pictures = Tensors::new().with("image", Tensor::filled(&[ROWS, 8, 8], 7_f32)?);
        let load = Load { busy, digits, pictures, answered: Arc::default() };
        let (mut idle, mut loaded) = (Beats::default(), Beats::default());
        let mut under_load = Duration::ZERO;
        // By turns, so that what else the machine does hits both.
        for _ in 0..rounds {
            idle.add(&beat(length).await);
            plan.step();
            let begin = Instant::now();
            let callers = call(&load);
            tokio::time::sleep(Duration::from_millis(50)).await;
            loaded.add(&beat(length).await);
            under_load += begin.elapsed();
            drop(callers);
            settle(&load).await?;
            plan.step();
        }
        let answered = load.answered.load(Ordering::Relaxed);
        Ok(findings(&idle, &loaded, answered as f64 / under_load.as_secs_f64()))
    })
}

fn findings(idle_beats: &Beats, loaded_beats: &Beats, per_second: f64) -> Findings {
    let mut findings = Findings::default();
    let idle = findings.spread("idle_late_ms", "late when idle", &idle_beats.late);
    let loaded = findings.spread("loaded_late_ms", "late under load", &loaded_beats.late);
    let factor = loaded.p99.as_secs_f64() / idle.p99.as_secs_f64();
    findings.factor("loaded_to_idle_p99", "under load to idle, by p99", factor);
    for (key, label, beats) in [
        ("idle_wait_for_core_share", "loop waited for a core, idle", idle_beats),
        ("loaded_wait_for_core_share", "loop waited for a core, under load", loaded_beats),
    ] {
        if let Some(waited) = beats.waited {
            findings.share(key, label, waited.as_secs_f64() / beats.length.as_secs_f64());
        }
    }
    findings.rate("answered_per_second", "answered under load", per_second);
    if let Some(slack) = timer_slack() {
        findings.time("timer_slack_ms", "timer slack of the kernel", slack);
    }
    findings.require(factor <= FACTOR, || {
        format!("the loop was late by {:.2?} under load and {:.2?} idle, by p99", loaded.p99, idle.p99)
    });
    findings.require(per_second > 0.0, || "nothing was answered under load".into());
    findings
}

/// How the event loop has kept time.
#[derive(Default)]
struct Beats {
    late: Times,
    length: Duration,
    /// How long its thread could have run and had no core; `None` where the system does not tell.
    waited: Option<Duration>,
}

impl Beats {
    fn add(&mut self, other: &Beats) {
        self.late.extend(&other.late);
        self.length += other.length;
        self.waited = other.waited.map(|waited| self.waited.unwrap_or_default() + waited);
    }
}

async fn beat(length: Duration) -> Beats {
    let mut late = Times::default();
    let (begin, before) = (Instant::now(), waited_for_core());
    while begin.elapsed() < length {
        let due = Instant::now() + BEAT;
        tokio::time::sleep_until(due.into()).await;
        late.add(due.elapsed());
    }
    let waited = before.zip(waited_for_core()).map(|(before, after)| after.saturating_sub(before));
    Beats { late, length: begin.elapsed(), waited }
}

/// How long this thread has waited for a core so far; Linux tells.
fn waited_for_core() -> Option<Duration> {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    figures.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// Callers on the same loop, who ask again as soon as they are answered, until dropped.
fn call(load: &Load) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    for _ in 0..4 * cores() {
        let (busy, answered) = (load.busy.clone(), Arc::clone(&load.answered));
        callers.spawn(async move {
            while busy.infer(()).await.is_ok() {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let (digits, pictures) = (load.digits.clone(), load.pictures.clone());
    let answered = Arc::clone(&load.answered);
    callers.spawn(async move {
        while digits.infer(pictures.clone()).await.is_ok() {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    });
    callers
}

/// Waits until the models are idle again.
async fn settle(load: &Load) -> Result<(), Broken> {
    let left = left_over(&load.busy).await + left_over(&load.digits).await;
    match left {
        0 => Ok(()),
        left => Err(Broken::new(format!("{left} requests went on after their callers had gone"))),
    }
}

/// By how much the kernel may delay the timers of a thread to gather them; Linux tells.
fn timer_slack() -> Option<Duration> {
    let slack = std::fs::read_to_string("/proc/self/timerslack_ns").ok()?;
    slack.trim().parse().ok().map(Duration::from_nanos)
}
