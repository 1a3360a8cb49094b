//! `prove overload`: far more is asked of a server than it can do, and it goes on doing what it can.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Proof;
use super::plan::{Broken, Outcome, Plan};
use super::processes;
use super::report::{Findings, Times};
use super::served::{Client, Served, alone, capacity};

pub(super) const PROOF: Proof = Proof {
    name: "overload",
    what: "A server is asked four times as much as it can answer, by clients that give up after 200 ms.",
    pass_line: "at least 0.9 of its capacity answered in time, health p99 below 50 ms, memory within its bound, at once well again",
    run,
};

/// How many times its capacity it is asked.
const TIMES: f64 = 4.0;

/// How long a client waits.
const PATIENCE: Duration = Duration::from_millis(200);

/// Callers whose answers are the capacity.
const CALLERS: usize = 64;

const GOODPUT_MIN: f64 = 0.9;

const HEALTH_MAX: Duration = Duration::from_millis(50);

/// Between two looks at its health.
const HEALTH_PAUSE: Duration = Duration::from_millis(20);

/// What so many connections as may be, and as much as may be in flight, take at most: what the server states.
const MEMORY_MAX: u64 = (2048 * (64 << 10)) + (256 << 20);

fn run(plan: &Plan<'_>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    plan.run(runtime, async { measure(plan).await })
}

async fn measure(plan: &Plan<'_>) -> Outcome {
    plan.steps(4);
    let served = Served::find(plan).await?;
    let client = &served.client;
    let single = alone(client, 20).await?;
    plan.step();
    let most = capacity(client, CALLERS, plan.pick(Duration::from_secs(4), Duration::from_secs(1))).await?;
    plan.step();
    let idle = served.process.as_ref().and_then(|process| processes::resident(process.id()));

    let length = plan.pick(Duration::from_secs(10), Duration::from_secs(2));
    let (asked, health) = tokio::try_join!(flood(client, most * TIMES, length), watch(client, length))?;
    plan.step();
    let begin = Instant::now();
    client.ask().await?.success()?;
    let recovery = begin.elapsed();
    plan.step();

    let goodput = asked.answered.len() as f64 / length.as_secs_f64() / most;
    let mut findings = Findings::default();
    findings.time("alone_ms", "one caller alone", single);
    findings.rate("capacity", "capacity", most);
    findings.rate("offered", "asked", most * TIMES);
    findings.spread("answered_ms", "answered in time", &asked.answered);
    findings.share("goodput", "part of the capacity answered in time", goodput);
    findings.count("refused", "refused", asked.refused);
    findings.spread("refused_ms", "refused after", &asked.refusals);
    findings.count("given_up", "given up by the client", asked.given_up);
    findings.count("errors", "other errors", asked.errors.len());
    let health = findings.spread("health_ms", "health answered", &health);
    findings.time("recovery_ms", "the first request afterwards", recovery);
    let peak = served.process.as_ref().and_then(|process| processes::resident_max(process.id()));
    if let (Some(idle), Some(peak)) = (idle, peak) {
        findings.bytes("idle_bytes", "memory before", idle);
        findings.bytes("peak_bytes", "memory at its peak", peak);
        findings.require(peak <= idle + MEMORY_MAX, || "it took more memory than it states".into());
    }
    findings.require(goodput >= GOODPUT_MIN, || format!("{goodput:.2} of the capacity was answered in time"));
    findings.require(health.p99 <= HEALTH_MAX, || format!("health took {:?} at p99", health.p99));
    findings.require(asked.errors.is_empty(), || asked.errors.first().cloned().unwrap_or_default());
    // What is left over may be one run under way, and the queue of those who have not given up.
    findings.require(recovery <= PATIENCE + 3 * single, || {
        format!("the first request afterwards took {recovery:?}")
    });
    Ok(findings)
}

/// What became of a flood of requests.
#[derive(Default)]
struct Asked {
    answered: Times,
    refusals: Times,
    refused: usize,
    given_up: usize,
    errors: Vec<String>,
}

/// Asks so many times a second, whatever comes of it.
async fn flood(client: &Client, rate: f64, length: Duration) -> Result<Asked, Broken> {
    let begin = Instant::now();
    let mut asked = Asked::default();
    let mut answers = JoinSet::new();
    let mut due = begin;
    let gap = Duration::from_secs_f64(1.0 / rate);
    while begin.elapsed() < length {
        tokio::time::sleep_until(due.into()).await;
        while due <= Instant::now() {
            let client = client.clone();
            answers.spawn(async move {
                let begin = Instant::now();
                (tokio::time::timeout(PATIENCE, client.ask()).await, begin.elapsed())
            });
            due += gap;
        }
        while let Some(answer) = answers.try_join_next() {
            asked.add(answer?);
        }
    }
    while let Some(answer) = answers.join_next().await {
        asked.add(answer?);
    }
    Ok(asked)
}

type Answer = Result<Result<super::served::Reply, Broken>, tokio::time::error::Elapsed>;

impl Asked {
    fn add(&mut self, (answer, took): (Answer, Duration)) {
        match answer {
            Ok(Ok(reply)) if reply.status.is_success() => self.answered.add(took),
            Ok(Ok(reply)) if [429, 503, 504].contains(&reply.status.as_u16()) => {
                self.refused += 1;
                self.refusals.add(took);
            }
            Ok(Ok(reply)) => self.errors.push(format!("the server answered {}", reply.status)),
            Ok(Err(broken)) => self.errors.push(broken.into_text()),
            Err(_) => self.given_up += 1,
        }
    }
}

/// How long it takes to say that it lives.
async fn watch(client: &Client, length: Duration) -> Result<Times, Broken> {
    let begin = Instant::now();
    let mut times = Times::default();
    while begin.elapsed() < length {
        let asked = Instant::now();
        client.get("/v2/health/live").await?.success()?;
        times.add(asked.elapsed());
        tokio::time::sleep(HEALTH_PAUSE).await;
    }
    Ok(times)
}
