//! `prove expiry`: deadlines fire on time while every instance is busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use unruffled::Engine;
use unruffled::engine::{ErrorKind, Handle, PoolOptions, ThreadPriority};

use super::Proof;
use super::models::{wait_until, work};
use super::plan::{Broken, Outcome, Plan, cores, event_loop, join, left_over, thread};
use super::report::{Findings, Times};

pub(super) const PROOF: Proof = Proof {
    name: "expiry",
    what: "Requests wait with deadlines while models that cannot be stopped hold every instance and every core.",
    pass_line: "lateness of deadlines: p99 <= 2 ms more than that of the machine's own timer beside it",
    run,
};

const ALLOWED: Duration = Duration::from_millis(2);

/// Threads that measure, of either kind: samples come in faster, and deadlines meet.
const PAIRS: u64 = 2;

/// A model that runs until it is told to end, and hears of nothing else.
type Endless = Arc<AtomicBool>;

fn run(plan: &Plan<'_>) -> Outcome {
    let engine = Engine::new();
    let instances = cores();
    let model = engine.wrap(|end: Endless| {
        while !end.load(Ordering::Relaxed) {
            work(Duration::from_micros(200));
        }
    });
    // Known to be slow: threads give way from the start, rather than once a first run has come to its end.
    let options = PoolOptions::default().with_instances(instances).with_thread_priority(ThreadPriority::Low);
    let model = model.options(options).name("endless").build()?;
    plan.run(event_loop()?, async {
        let end = Endless::default();
        let _ended = EndOnDrop(Arc::clone(&end));
        let busy: Vec<_> = (0..instances).map(|_| model.infer(Arc::clone(&end)).submit()).collect();
        let begin = Instant::now();
        while model.status().running < instances {
            if begin.elapsed() > Duration::from_secs(5) {
                return Err(Broken::new("the instances did not all begin within 5 s"));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (deadlines, machine, wrong) = measure(plan, &model).await?;
        let held = model.status().running;
        end.store(true, Ordering::Relaxed);
        for request in busy {
            request.await?;
        }
        let left = left_over(&model).await;

        let mut findings = Findings::default();
        findings.count("instances_busy", "instances held all along", held);
        let own = findings.spread("late_ms", "deadlines late by", &deadlines);
        let beside = findings.spread("machine_late_ms", "machine's timer late by", &machine);
        let more = own.p99.saturating_sub(beside.p99);
        findings.time("more_than_machine_p99_ms", "more, by p99", more);
        findings.require(more <= ALLOWED, || format!("deadlines fired {more:.1?} later, by p99"));
        findings.require(held == instances, || format!("{held} of {instances} instances were held"));
        findings.require(wrong.is_empty(), || format!("{} ended wrongly: {}", wrong.len(), wrong[0]));
        findings.require(left == 0, || format!("{left} were left in the queue or running"));
        Ok(findings)
    })
}

/// Lets the model end with the proof, however that ends.
struct EndOnDrop(Endless);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How late deadlines were, how late the machine's own timer was at the same time, and what ended otherwise.
async fn measure(
    plan: &Plan<'_>,
    model: &Handle<Endless, ()>,
) -> Result<(Times, Times, Vec<String>), Broken> {
    let (parts, each) = plan.pick((10, 80), (3, 50));
    plan.steps(parts);
    let (mut deadlines, mut machine, mut wrong) = (Times::default(), Times::default(), Vec::new());
    for part in 0..parts as u64 {
        let mut threads = Vec::new();
        for pair in 0..PAIRS {
            // The same numbers for both: the same instants, but for what each adds.
            let random = plan.random(part * PAIRS + pair);
            let (model, own) = (model.clone(), random.clone());
            threads.push((
                thread("deadlines", move || expire(&model, own, each))?,
                thread("machine's timer", move || sleep(random, each))?,
            ));
        }
        for (expiring, sleeping) in threads {
            let (late, ended_wrongly) = blocking(move || join(expiring)).await???;
            deadlines.extend(&late);
            wrong.extend(ended_wrongly);
            machine.extend(&blocking(move || join(sleeping)).await??);
        }
        plan.step();
    }
    Ok((deadlines, machine, wrong))
}

async fn blocking<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Result<T, Broken> {
    Ok(tokio::task::spawn_blocking(body).await?)
}

fn patience(random: &mut fastrand::Rng) -> Duration {
    Duration::from_micros(random.u64(2_000..10_000))
}

/// Awaits requests that cannot be run, on a thread that does nothing else.
fn expire(
    model: &Handle<Endless, ()>,
    mut random: fastrand::Rng,
    count: usize,
) -> Result<(Times, Vec<String>), Broken> {
    let nothing_else = Builder::new_current_thread().build()?;
    let (mut late, mut wrong) = (Times::default(), Vec::new());
    for _ in 0..count {
        let due = Instant::now() + patience(&mut random);
        let outcome = nothing_else.block_on(model.infer(Endless::default()).deadline(due).submit());
        let now = Instant::now();
        match outcome {
            Err(error) if error.kind() == ErrorKind::DeadlineExceeded && now >= due => {
                late.add(now.saturating_duration_since(due));
            }
            Err(error) => wrong.push(error.to_string()),
            Ok(_) => wrong.push("it was answered".into()),
        }
    }
    Ok((late, wrong))
}

/// Sleeps as the machine lets it.
fn sleep(mut random: fastrand::Rng, count: usize) -> Times {
    let mut late = Times::default();
    for _ in 0..count {
        let due = Instant::now() + patience(&mut random);
        wait_until(due);
        late.add(due.elapsed());
    }
    late
}
