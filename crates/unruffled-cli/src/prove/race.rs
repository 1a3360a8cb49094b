//! `prove race`: who loses a race stops working.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use unruffled::Engine;
use unruffled::engine::Chain;
use unruffled::model::{FnModel, RunContext};

use super::Proof;
use super::models::{mixed, wait, work_watching};
use super::plan::{Outcome, Plan, event_loop, left_over};
use super::report::{Findings, Times};

pub(super) const PROOF: Proof = Proof {
    name: "race",
    what: "Two models are asked at once, and the one that keeps a core busy loses: how long it goes on working.",
    pass_line: "no core time of the loser later than 20 ms after the win, and every answer the winner's",
    run,
};

const ROUNDS: usize = 200;

/// After the win, the loser has so long to stop.
const LATEST: Duration = Duration::from_millis(20);

/// So long it is watched after that.
const WATCHED: Duration = Duration::from_millis(10);

/// What the thread itself takes in that time, which is asleep: less than this.
const IDLE: Duration = Duration::from_micros(500);

/// How long the loser would work if nobody stopped it.
const LONG: Duration = Duration::from_secs(2);

/// How often it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(1);

/// Where the system says how much core time the loser's thread has had.
#[derive(Default)]
struct Thread(Mutex<Option<PathBuf>>);

impl Thread {
    /// Called on the thread.
    fn note(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = std::fs::read_link("/proc/thread-self").ok().map(|own| Path::new("/proc").join(own));
        }
    }

    /// The core time that it has had; `None` where the system does not say.
    fn cpu_time(&self) -> Option<Duration> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let text = std::fs::read_to_string(known.join("schedstat")).ok()?;
        Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
    }
}

fn run(plan: &Plan<'_>) -> Outcome {
    let engine = Engine::new();
    let thread = Arc::new(Thread::default());
    let noted = Arc::clone(&thread);
    let loser = FnModel::interruptible(move |x: &u64, ctx: &RunContext<'_>| {
        noted.note();
        work_watching(LONG, LOOK, ctx)?;
        Ok(mixed(*x) + 1)
    });
    let loser = engine.wrap_model(loser).name("loser").build()?;
    let winner = |x: u64| {
        wait(Duration::from_millis(1 + x % 5));
        mixed(x)
    };
    // It waits, as for another device.
    let winner = engine.wrap_model(FnModel::new(winner).with_threads(0)).name("winner").build()?;
    let chain = engine.fallback(&loser).then(&winner).race().build();
    let measured = plan.run(event_loop()?, measure(plan, &chain, &thread));
    let left = event_loop()?.block_on(left_over(&loser));
    measured.map(|mut findings| {
        findings.require(left == 0, || format!("{left} runs of the loser are left over"));
        findings
    })
}

async fn measure(plan: &Plan<'_>, chain: &Chain<u64, u64>, thread: &Thread) -> Outcome {
    let rounds = plan.pick(ROUNDS, 30);
    plan.steps(rounds);
    let mut random = plan.random(0);
    let (mut work, mut late, mut later) = (Times::default(), Times::default(), Times::default());
    let (mut right, mut wrong) = (0, Vec::new());
    for _ in 0..rounds {
        let x = random.u64(..1 << 32);
        let before = thread.cpu_time();
        let response = chain.infer(x).await?;
        let (won, at_win) = (Instant::now(), thread.cpu_time());
        match response.output == mixed(x) && response.is_degraded() {
            true => right += 1,
            false => wrong.push(format!("{x} was answered by the loser, or by nobody")),
        }
        tokio::time::sleep_until((won + LATEST).into()).await;
        let stopped = thread.cpu_time();
        tokio::time::sleep(WATCHED).await;
        let times = [before.or(Some(Duration::ZERO)), at_win, stopped, thread.cpu_time()];
        let [Some(before), Some(at_win), Some(stopped), Some(end)] = times else {
            let why = "this system does not say how much core time a thread has had";
            return Ok(Findings::left_out("cpu_time", "core time", why.to_owned()));
        };
        work.add(at_win.saturating_sub(before));
        late.add(stopped.saturating_sub(at_win));
        later.add(end.saturating_sub(stopped));
        plan.step();
    }
    let mut findings = Findings::default();
    findings.count("rounds", "races", rounds);
    findings.count("right_answers", "won by the right one", right);
    findings.spread("loser_before_ms", "loser's core time before the win", &work);
    findings.spread("loser_until_20_ms", "in the 20 ms after it", &late);
    let later = findings.spread("loser_later_ms", "in the 10 ms after those", &later);
    findings.require(wrong.is_empty(), || wrong[0].clone());
    findings.require(work.total() > Duration::ZERO, || "the loser never worked".to_owned());
    findings.require(later.max <= IDLE, || format!("the loser worked on for {:.1?}", later.max));
    let stopped = chain.status().links[0].stopped;
    findings.require(stopped == rounds as u64, || format!("{stopped} of {rounds} losers were stopped"));
    Ok(findings)
}
