//! `prove segv`: a worker process that dies costs the row that killed it, and is replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use unruffled::engine::{Error, ErrorKind, PoolOptions};
use unruffled::{Engine, TensorHandle};

use super::Proof;
use super::kinds::{self, Ask, Script, answer};
use super::plan::{Broken, Outcome, Plan, join, left_over, runtime, thread};
use super::report::{Findings, Times};
use super::watched::Watched;

pub(super) const PROOF: Proof = Proof {
    name: "segv",
    what: "One of 32 requests at once makes the Python worker that runs it die of a bad address.",
    pass_line: "31 right answers and one error that says why; ready again within 1 s, and readiness says so meanwhile",
    run,
};

const ROWS: usize = 32;

/// How long the model may be without a worker, each time one died.
const OUTAGE: Duration = Duration::from_secs(1);

fn run(plan: &Plan<'_>) -> Outcome {
    let (model, _folder) = match kinds::python(plan, Script::Joint) {
        Ok(python) => python,
        Err(why) => return Ok(Findings::left_out("python", "Python", why)),
    };
    let engine = Engine::new();
    let options = PoolOptions::default().with_max_batch(ROWS);
    let begin = Instant::now();
    let (handle, _door) = Watched::build(&engine, "segv", options, model)?;
    plan.run(runtime()?, async {
        let first = handle.infer(Ask::Double(1.0).joint()).await?;
        let start = begin.elapsed();
        answer(&first).ok_or_else(|| Broken::new("no answer that can be read"))?;
        measure(plan, &handle, start).await
    })
}

async fn measure(plan: &Plan<'_>, model: &TensorHandle, start: Duration) -> Outcome {
    let rounds = plan.pick(20, 4);
    plan.steps(rounds);
    let watch = Watch::begin(model)?;
    let mut random = plan.random(0);
    let (mut right, mut errors, mut wrong) = (0, 0, Vec::new());
    for round in 0..rounds {
        let at = random.usize(0..ROWS);
        let number = |row: usize| (ROWS * round + row) as f64;
        let asked: Vec<_> = (0..ROWS)
            .map(|row| if row == at { Ask::Die } else { Ask::Double(number(row)) })
            .map(|ask| model.infer(ask.joint()).submit())
            .collect();
        for (row, request) in asked.into_iter().enumerate() {
            match request.await {
                Ok(outputs) if row != at && answer(&outputs).is_some_and(|(y, _)| y == 2.0 * number(row)) => {
                    right += 1;
                }
                Err(error) if row == at && says_why(&error) => errors += 1,
                Ok(_) => wrong.push(format!("row {row} got another's answer, row {at} being deadly")),
                Err(error) => wrong.push(format!("row {row}, row {at} being deadly: {error}")),
            }
        }
        plan.step();
    }
    // Whoever asks now waits for the last worker to be back.
    model.infer(Ask::Double(1.0).joint()).await?;
    let left = left_over(model).await;
    let outages = watch.end()?;

    let mut findings = Findings::default();
    findings.count("rounds", "rounds of 32 requests", rounds);
    findings.count("right_answers", "right answers", right);
    findings.count("errors", "errors that say why", errors);
    findings.time("first_start_ms", "first start of Python and model", start);
    let outage = findings.spread("not_ready_ms", "not ready after a death", &outages);
    findings.require(right == rounds * (ROWS - 1), || format!("{right} of {} right", rounds * (ROWS - 1)));
    findings.require(errors == rounds, || format!("{errors} errors for {rounds} deadly rows"));
    findings.require(wrong.is_empty(), || wrong[0].clone());
    findings.require(outages.len() >= rounds, || format!("readiness flipped only {} times", outages.len()));
    findings.require(outage.max <= OUTAGE, || format!("not ready for {:.1?}", outage.max));
    findings
        .require(model.status().ready && left == 0, || format!("at the end not ready, or {left} left over"));
    Ok(findings)
}

fn says_why(error: &Error) -> bool {
    error.kind() == ErrorKind::ModelCrashed && error.to_string().contains("SIGSEGV")
}

/// Looks at a model's readiness, all the time.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Times>,
}

impl Watch {
    fn begin(model: &TensorHandle) -> Result<Self, Broken> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, model) = (Arc::clone(&stop), model.clone());
        let thread = thread("readiness", move || {
            let (mut outages, mut since) = (Times::default(), None);
            while !stopped.load(Ordering::Relaxed) {
                match (model.status().ready, since) {
                    (false, None) => since = Some(Instant::now()),
                    (true, Some(begin)) => {
                        outages.add(begin.elapsed());
                        since = None;
                    }
                    _ => std::thread::park_timeout(Duration::from_micros(100)),
                }
            }
            outages
        })?;
        Ok(Self { stop, thread })
    }

    /// How long each outage took.
    fn end(self) -> Result<Times, Broken> {
        self.stop.store(true, Ordering::Relaxed);
        join(self.thread)
    }
}
