//! `prove poison`: a row that breaks its batch is found, and the others get their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use unruffled::Engine;
use unruffled::engine::{Error, ErrorKind, Handle, PoolOptions};
use unruffled::model::{Footprint, ModelError, RunContext};

use super::Proof;
use super::models::{Joint, mixed, work};
use super::plan::{Broken, Outcome, Plan, runtime};
use super::report::Findings;

pub(super) const PROOF: Proof = Proof {
    name: "poison",
    what: "One row of 32 makes every run that it is part of fail, by an error or by a panic.",
    pass_line: "31 answers and the model's own error for the one, with at most 10 extra runs",
    run,
};

const ROWS: u64 = 32;

/// Twice the steps in which 32 are halved down to one.
const EXTRA_RUNS_MAX: u64 = 2 * ROWS.ilog2() as u64;

/// What a row does to the run that it is part of.
#[derive(Clone)]
enum Input {
    Good(u64),
    /// The run fails.
    Bad(u64),
    /// The run panics.
    Worse(u64),
    /// Keeps the instance busy until it is let go, so that the rows behind it come to share a run.
    Plug(Arc<Plug>),
}

#[derive(Default)]
struct Plug {
    begun: tokio::sync::Notify,
    done: std::sync::Mutex<bool>,
    changed: std::sync::Condvar,
}

impl Plug {
    fn hold(&self) {
        self.begun.notify_one();
        let done = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Whoever holds it lets go, or has gone with the proof.
        let _ = self.changed.wait_timeout_while(done, Duration::from_secs(10), |done| !*done);
    }

    fn let_go(&self) {
        *self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

fn weigh(input: &Input) -> Result<Footprint, ModelError> {
    Ok(Footprint::new(1, size_of::<Input>(), u64::from(matches!(input, Input::Plug(_)))))
}

fn predict(runs: &AtomicU64, rows: &[&Input], _: &RunContext<'_>) -> Result<Vec<u64>, ModelError> {
    if let [Input::Plug(plug)] = rows {
        plug.hold();
        return Ok(vec![0]);
    }
    runs.fetch_add(1, Ordering::Relaxed);
    work(Duration::from_micros(200));
    let row = |row: &&Input| match row {
        Input::Good(number) => Ok(mixed(*number)),
        Input::Bad(number) => Err(ModelError::failed(format!("row {number} cannot be read"))),
        // A panic like any other, but for the report on standard error.
        Input::Worse(number) => std::panic::resume_unwind(Box::new(format!("row {number} is too much"))),
        Input::Plug(_) => Err(ModelError::failed("a plug among rows")),
    };
    rows.iter().map(row).collect()
}

/// Makes a bad row of a number.
type Poison = fn(u64) -> Input;

/// What came of all batches of one kind.
#[derive(Default)]
struct Sum {
    answers: u64,
    errors: u64,
    extra_runs_max: u64,
    wrong: Vec<String>,
}

fn run(plan: &Plan<'_>) -> Outcome {
    let (engine, runs) = (Engine::new(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&runs);
    let model = Joint::new(move |rows: &[&Input], ctx: &RunContext<'_>| predict(&counted, rows, ctx));
    let options = PoolOptions::default().with_max_batch(ROWS as usize);
    let model = engine.wrap_model(model.weighed(weigh)).options(options).name("poison").build()?;
    plan.run(runtime()?, async { measure(plan, &model, &runs).await })
}

async fn measure(plan: &Plan<'_>, model: &Handle<Input, u64>, runs: &AtomicU64) -> Outcome {
    let positions = plan.pick(20, 6);
    plan.steps(2 * positions);
    let mut random = plan.random(0);
    let (mut failing, mut panicking) = (Sum::default(), Sum::default());
    let (bad, worse): (Poison, Poison) = (Input::Bad, Input::Worse);
    let kinds =
        [(&mut failing, bad, ErrorKind::ModelFailed), (&mut panicking, worse, ErrorKind::ModelCrashed)];
    for (sum, poison, kind) in kinds {
        for _ in 0..positions {
            batch(model, runs, random.u64(0..ROWS), poison, kind, sum).await?;
            plan.step();
        }
    }
    let mut findings = Findings::default();
    findings.count("batches", "batches of 32", 2 * positions);
    for (sum, keys, labels) in [
        (
            &failing,
            ["failing_answers", "failing_errors", "failing_extra_runs_max"],
            ["answers beside a failing row", "its own errors", "extra runs, at most"],
        ),
        (
            &panicking,
            ["panicking_answers", "panicking_errors", "panicking_extra_runs_max"],
            ["answers beside a panicking row", "its own errors", "extra runs, at most"],
        ),
    ] {
        let [answers, errors, extra_runs] = [sum.answers, sum.errors, sum.extra_runs_max];
        for (at, count) in [answers, errors, extra_runs].into_iter().enumerate() {
            findings.count(keys[at], labels[at], count);
        }
        let all = positions as u64;
        findings
            .require(answers == all * (ROWS - 1), || format!("{answers} answers of {}", all * (ROWS - 1)));
        findings.require(errors == all, || format!("{errors} errors for {all} bad rows"));
        findings.require(extra_runs <= EXTRA_RUNS_MAX, || format!("{extra_runs} extra runs for one batch"));
        findings.require(sum.wrong.is_empty(), || sum.wrong[0].clone());
    }
    Ok(findings)
}

/// One batch with one bad row.
async fn batch(
    model: &Handle<Input, u64>,
    runs: &AtomicU64,
    at: u64,
    poison: Poison,
    kind: ErrorKind,
    sum: &mut Sum,
) -> Result<(), Broken> {
    let plug = Arc::new(Plug::default());
    let plugged = model.infer(Input::Plug(Arc::clone(&plug))).submit();
    plug.begun.notified().await;
    let before = runs.load(Ordering::Relaxed);
    let base = before * ROWS;
    let input = |row: u64| if row == at { poison(base + row) } else { Input::Good(base + row) };
    let answers: Vec<_> = (0..ROWS).map(|row| model.infer(input(row)).submit()).collect();
    plug.let_go();
    plugged.await?;
    for (row, answer) in (0..ROWS).zip(answers) {
        match answer.await {
            Ok(answer) if row != at && *answer == mixed(base + row) => sum.answers += 1,
            Err(error) if row == at && is_its_own(&error, kind, base + row) => sum.errors += 1,
            Ok(_) => sum.wrong.push(format!("row {row} got another's answer, row {at} being bad")),
            Err(error) => sum.wrong.push(format!("row {row}, row {at} being bad: {error}")),
        }
    }
    // The first run is the one that was asked for.
    sum.extra_runs_max = sum.extra_runs_max.max(runs.load(Ordering::Relaxed) - before - 1);
    Ok(())
}

fn is_its_own(error: &Error, kind: ErrorKind, number: u64) -> bool {
    error.kind() == kind && error.to_string().contains(&format!("row {number} "))
}
