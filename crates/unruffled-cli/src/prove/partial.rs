//! `prove partial`: many requests in one scope, each with its own outcome.

use std::time::Duration;

use unruffled::Engine;
use unruffled::engine::{ErrorKind, Handle};
use unruffled::model::{Footprint, ModelError, RunContext};

use super::Proof;
use super::models::{Joint, mixed, work};
use super::plan::{Outcome, Plan, event_loop};
use super::report::Findings;

pub(super) const PROOF: Proof = Proof {
    name: "partial",
    what: "100 rows in one scope, 7 of them bad in one of three ways.",
    pass_line: "93 results and 7 typed errors, in the order given",
    run,
};

const ROWS: usize = 100;
const BAD: usize = 7;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    /// Refused on arrival.
    Invalid,
    /// Fails in the model, and with it the run.
    Failing,
    /// Panics in the model.
    Panicking,
}

impl Kind {
    fn expected(self) -> Option<ErrorKind> {
        match self {
            Kind::Good => None,
            Kind::Invalid => Some(ErrorKind::InvalidInput),
            Kind::Failing => Some(ErrorKind::ModelFailed),
            Kind::Panicking => Some(ErrorKind::ModelCrashed),
        }
    }
}

type Input = (Kind, u64);

fn weigh((kind, _): &Input) -> Result<Footprint, ModelError> {
    match kind {
        Kind::Invalid => Err(ModelError::invalid_input("is not one of ours")),
        _ => Ok(Footprint::single(size_of::<Input>())),
    }
}

fn predict(rows: &[&Input], _: &RunContext<'_>) -> Result<Vec<u64>, ModelError> {
    work(Duration::from_micros(100));
    let row = |&&(kind, number): &&Input| match kind {
        Kind::Good => Ok(mixed(number)),
        Kind::Invalid | Kind::Failing => Err(ModelError::failed("cannot be read")),
        // A panic like any other, but for the report on standard error.
        Kind::Panicking => std::panic::resume_unwind(Box::new("is too much".to_owned())),
    };
    rows.iter().map(row).collect()
}

fn run(plan: &Plan<'_>) -> Outcome {
    let engine = Engine::new();
    let model = engine.wrap_model(Joint::new(predict).weighed(weigh)).name("partial").build()?;
    plan.run(event_loop()?, async { measure(plan, &engine, &model).await })
}

async fn measure(plan: &Plan<'_>, engine: &Engine, model: &Handle<Input, u64>) -> Outcome {
    let rounds = plan.pick(10, 3);
    plan.steps(rounds);
    let mut random = plan.random(0);
    let (mut results, mut errors, mut wrong) = (0, 0, Vec::new());
    for round in 0..rounds {
        let mut kinds = [Kind::Good; ROWS];
        let bad = [Kind::Invalid, Kind::Failing, Kind::Panicking].into_iter().cycle();
        kinds.iter_mut().zip(bad).take(BAD).for_each(|(kind, bad)| *kind = bad);
        random.shuffle(&mut kinds);
        let first = (round * ROWS) as u64;
        let inputs: Vec<_> = kinds.into_iter().zip(first..).collect();
        let requests = inputs.iter().map(|input| model.infer(*input));
        let outcomes = engine.group(requests).run_all().await.into_outcomes();
        if outcomes.len() != ROWS {
            wrong.push(format!("{} outcomes for {ROWS} rows", outcomes.len()));
        }
        for (row, ((kind, number), outcome)) in inputs.into_iter().zip(outcomes).enumerate() {
            match outcome {
                Ok(answer) if kind == Kind::Good && *answer == mixed(number) => results += 1,
                Err(error) if kind.expected() == Some(error.kind()) => errors += 1,
                Ok(_) => wrong.push(format!("row {row} got an answer that is not its own")),
                Err(error) => wrong.push(format!("row {row}: {error}")),
            }
        }
        plan.step();
    }
    let mut findings = Findings::default();
    findings.count("scopes", "scopes", rounds);
    findings.count("results", "results", results);
    findings.count("errors", "typed errors", errors);
    findings.require(results == rounds * (ROWS - BAD), || format!("{results} of {}", rounds * (ROWS - BAD)));
    findings.require(errors == rounds * BAD, || format!("{errors} typed errors of {}", rounds * BAD));
    findings.require(wrong.is_empty(), || wrong[0].clone());
    Ok(findings)
}
