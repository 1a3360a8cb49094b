//! `prove stream`: a live source is answered in order, and nothing of it is lost.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;
use tokio::time::Sleep;
use unruffled::Engine;
use unruffled::engine::{Handle, StreamItem, StreamOptions};
use unruffled::model::RunContext;

use super::Proof;
use super::models::{Joint, mixed, work};
use super::plan::{Broken, Outcome, Plan, event_loop, left_over};
use super::report::{Findings, Times};

pub(super) const PROOF: Proof = Proof {
    name: "stream",
    what: "A live source of 10,000 items a second is answered in small batches, and stops at a random moment.",
    pass_line: "as many out as in, in order, each its own answer, the tail within one window of 5 ms and its run",
    run,
};

const SIZE: usize = 32;
const WINDOW: Duration = Duration::from_millis(5);

/// Between two items, on average.
const GAP: Duration = Duration::from_micros(100);

/// What one run costs, whatever its rows.
const RUN: Duration = Duration::from_micros(500);

/// What a tail may take beyond its window and its run: two hand-overs between threads and a timer.
const ALLOWED: Duration = Duration::from_millis(2);

/// Numbers as they come, until it stops.
struct Live {
    random: fastrand::Rng,
    due: Instant,
    end: Instant,
    next: u64,
    given: Arc<AtomicU64>,
    sleep: Pin<Box<Sleep>>,
}

impl Live {
    fn new(mut random: fastrand::Rng, length: Duration, given: Arc<AtomicU64>) -> Self {
        let now = Instant::now();
        let next = random.u64(0..1 << 32);
        Self {
            random,
            due: now,
            end: now + length,
            next,
            given,
            sleep: Box::pin(tokio::time::sleep_until(now.into())),
        }
    }
}

impl Stream for Live {
    type Item = u64;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        if self.due >= self.end {
            return Poll::Ready(None);
        }
        if self.due > Instant::now() {
            let due = self.due;
            self.sleep.as_mut().reset(due.into());
            std::task::ready!(self.sleep.as_mut().poll(cx));
        }
        let gap = GAP.mul_f64(self.random.f64() * 2.0);
        self.due += gap;
        self.given.fetch_add(1, Ordering::Relaxed);
        self.next += 1;
        Poll::Ready(Some(self.next))
    }
}

/// What came of all rounds.
#[derive(Default)]
struct Sum {
    given: u64,
    answered: u64,
    in_order: bool,
    latency: Times,
    tail: Times,
    wrong: Vec<String>,
}

fn run(plan: &Plan<'_>) -> Outcome {
    let engine = Engine::new();
    let model = Joint::new(|rows: &[&u64], _: &RunContext<'_>| {
        work(RUN);
        Ok(rows.iter().map(|number| mixed(**number)).collect())
    });
    let model = engine.wrap_model(model).name("stream").build()?;
    plan.run(event_loop()?, async { measure(plan, &model).await })
}

async fn measure(plan: &Plan<'_>, model: &Handle<u64, u64>) -> Outcome {
    let rounds = plan.pick(10, 3);
    plan.steps(rounds);
    let mut random = plan.random(0);
    let mut sum = Sum { in_order: true, ..Sum::default() };
    for round in 0..rounds {
        let length = Duration::from_micros(random.u64(100_000..500_000));
        one(model, plan.random(round as u64 + 1), length, &mut sum).await?;
        plan.step();
    }
    let left = left_over(model).await;
    let runs = model.metrics().runs;
    let mut findings = Findings::default();
    findings.count("items_in", "items given", sum.given);
    findings.count("items_out", "items answered", sum.answered);
    findings.count("runs", "runs", runs);
    findings.spread("latency_ms", "from given to answered", &sum.latency);
    let tail = findings.spread("tail_ms", "the last, from given to answered", &sum.tail);
    findings.require(sum.given == sum.answered, || format!("{} in, {} out", sum.given, sum.answered));
    findings.require(sum.in_order, || "answers came in another order".into());
    findings.require(tail.max <= WINDOW + RUN + ALLOWED, || format!("a tail took {:.1?}", tail.max));
    findings.require(left == 0, || format!("{left} were left in the queue or running"));
    findings.require(sum.wrong.is_empty(), || sum.wrong[0].clone());
    Ok(findings)
}

/// One source from its beginning to its end.
async fn one(
    model: &Handle<u64, u64>,
    random: fastrand::Rng,
    length: Duration,
    sum: &mut Sum,
) -> Result<(), Broken> {
    let given = Arc::new(AtomicU64::new(0));
    let source = Live::new(random, length, Arc::clone(&given));
    let first = source.next + 1;
    let mut answers = Box::pin(model.stream(source, StreamOptions::batch(SIZE).every(WINDOW)));
    let (mut count, mut last) = (0, None);
    while let Some(item) = std::future::poll_fn(|cx| answers.as_mut().poll_next(cx)).await {
        let StreamItem { seq, arrived, answered, result, .. } = item;
        sum.in_order &= seq == count;
        let took = answered.saturating_duration_since(arrived);
        match result {
            Ok(answer) if *answer == mixed(first + seq) => {}
            Ok(_) => sum.wrong.push(format!("item {seq} got another's answer")),
            Err(error) => sum.wrong.push(format!("item {seq}: {error}")),
        }
        sum.latency.add(took);
        last = Some(took);
        count += 1;
    }
    sum.given += given.load(Ordering::Relaxed);
    sum.answered += count;
    sum.tail.add(last.ok_or_else(|| Broken::new("the source gave nothing"))?);
    Ok(())
}
