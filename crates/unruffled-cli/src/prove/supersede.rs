//! `prove supersede`: what a search box needs that asks at every keystroke.

use std::sync::Arc;
use std::time::{Duration, Instant};

use unruffled::Engine;
use unruffled::engine::{ErrorKind, Handle};
use unruffled::model::FnModel;

use super::Proof;
use super::models::{Gauge, wait_hooked};
use super::plan::{Broken, Outcome, Plan, event_loop, left_over};
use super::report::{Findings, Times};

pub(super) const PROOF: Proof = Proof {
    name: "supersede",
    what: "A key every 5 ms, each a request to a model of 30 to 50 ms that takes the place of the one before.",
    pass_line: "of each burst only the newest is answered, the others end as cancelled; one run at a time; nothing is left",
    run,
};

const RHYTHM: Duration = Duration::from_millis(5);
const BURST: u64 = 20;

struct Key {
    number: u64,
    run: Duration,
}

/// A key's answer, and when the model had it.
struct Found {
    number: u64,
    at: Instant,
}

fn run(plan: &Plan<'_>) -> Outcome {
    let (engine, gauge) = (Engine::new(), Arc::new(Gauge::default()));
    let counted = Arc::clone(&gauge);
    let model = FnModel::interruptible(move |key: &Key, ctx| {
        let _counted = counted.enter();
        wait_hooked(key.run, ctx)?;
        Ok(Found { number: key.number, at: Instant::now() })
    });
    let model = engine.wrap_model(model).name("search").build()?;
    plan.run(event_loop()?, async { measure(plan, &model, &gauge).await })
}

/// What came of all bursts.
#[derive(Default)]
struct Sum {
    newest: usize,
    superseded: usize,
    in_a_pause: usize,
    late: Times,
    left: usize,
    wrong: Vec<String>,
}

async fn measure(plan: &Plan<'_>, model: &Handle<Key, Found>, gauge: &Gauge) -> Outcome {
    let bursts = plan.pick(10, 3);
    plan.steps(bursts);
    let mut random = plan.random(0);
    let mut sum = Sum::default();
    for _ in 0..bursts {
        burst(model, &mut random, &mut sum).await?;
        plan.step();
    }
    let superseded = model.metrics().superseded;
    let mut findings = Findings::default();
    findings.count("keys", "keys", bursts as u64 * BURST);
    findings.count("bursts", "bursts", bursts);
    findings.count("newest_answered", "newest answered", sum.newest);
    findings.count("superseded", "older ones cancelled", sum.superseded);
    findings.count("answered_in_a_pause", "answered before the next key", sum.in_a_pause);
    findings.count("runs_at_once_max", "runs at once, at most", gauge.most());
    findings.spread("after_run_ms", "answer beyond the run itself", &sum.late);
    findings.require(sum.newest == bursts, || format!("{} of {bursts} newest answered", sum.newest));
    let older = sum.superseded + sum.in_a_pause;
    let expected = bursts * (BURST as usize - 1);
    findings.require(older == expected, || format!("{older} of {expected} older ones ended as they should"));
    findings.require(superseded >= sum.superseded as u64, || {
        format!("the engine counts {superseded} superseded, their callers {}", sum.superseded)
    });
    findings.require(gauge.most() == 1, || format!("{} runs at once", gauge.most()));
    findings.require(sum.left == 0, || format!("{} were left in the queue or running", sum.left));
    findings.require(sum.wrong.is_empty(), || sum.wrong[0].clone());
    Ok(findings)
}

async fn burst(model: &Handle<Key, Found>, random: &mut fastrand::Rng, sum: &mut Sum) -> Result<(), Broken> {
    let mut requests = Vec::new();
    let begin = Instant::now();
    for number in 0..BURST {
        let run = Duration::from_millis(random.u64(30..=50));
        tokio::time::sleep_until((begin + RHYTHM * number as u32).into()).await;
        let asked = Instant::now();
        let request = model.infer(Key { number, run }).supersede("box").submit();
        requests.push((run, asked, Instant::now(), request));
    }
    // When the key after it was in: what was answered by then was answered in time.
    let next: Vec<_> = requests.iter().skip(1).map(|(_, _, submitted, _)| *submitted).collect();
    let last = next.len();
    // The newest first: that is what somebody waits for.
    for (at, (run, asked, _, request)) in requests.into_iter().enumerate().rev() {
        let outcome = request.await;
        match outcome {
            Ok(found) if found.number != at as u64 => {
                sum.wrong.push(format!("key {at} got another's answer"));
            }
            Ok(_) if at == last => {
                sum.newest += 1;
                sum.late.add(asked.elapsed().saturating_sub(run));
            }
            Ok(found) if found.at < next[at] => sum.in_a_pause += 1,
            Ok(_) => sum.wrong.push(format!("key {at} was answered after the next was in")),
            Err(error) if at < last && error.kind() == ErrorKind::Cancelled => sum.superseded += 1,
            Err(error) => sum.wrong.push(format!("key {at}: {error}")),
        }
    }
    sum.left += left_over(model).await;
    Ok(())
}
