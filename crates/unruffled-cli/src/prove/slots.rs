//! `prove slots`: no more runs than instances, also when callers give up and models cannot.

use std::sync::Arc;
use std::time::Duration;

use unruffled::Engine;
use unruffled::engine::{ErrorKind, Handle, PoolOptions};
use unruffled::model::FnModel;

use super::Proof;
use super::kinds::{self, Ask, Script};
use super::models::{wait, work};
use super::plan::{Broken, Outcome, Plan, left_over, runtime};
use super::report::Findings;
use super::watched::{Door, Watched};

pub(super) const PROOF: Proof = Proof {
    name: "slots",
    what: "Callers give up before a model is done, one that cannot be stopped among them, and ask again at once.",
    pass_line: "never more than 2 runs at once with 2 instances, and every request ended",
    run,
};

const INSTANCES: usize = 2;
const CALLERS: usize = 4;

/// What is told of each kind of model: how many runs there were, and how many at once.
type Keys = [(&'static str, &'static str); 2];

const RUST: Keys = [("runs", "runs of Rust"), ("runs_at_once_max", "at once, at most")];
const ONNX_RUNTIME: Keys =
    [("onnxruntime_runs", "runs of ONNX Runtime"), ("onnxruntime_runs_at_once_max", "at once, at most")];
const PYTHON: Keys = [("python_runs", "runs of Python"), ("python_runs_at_once_max", "at once, at most")];

/// How the requests of a caller ended.
#[derive(Default)]
struct Ends {
    answered: usize,
    expired: usize,
    given_up: usize,
    refused: usize,
    wrong: Vec<String>,
}

impl Ends {
    fn count(&self) -> usize {
        self.answered + self.expired + self.given_up + self.refused + self.wrong.len()
    }

    fn add(&mut self, other: Ends) {
        self.answered += other.answered;
        self.expired += other.expired;
        self.given_up += other.given_up;
        self.refused += other.refused;
        self.wrong.extend(other.wrong);
    }
}

/// Instances of a model, and what keeps one of them busy for so many milliseconds.
struct Subject<I: Send + 'static, O: Send + 'static> {
    model: Handle<I, O>,
    door: Door,
    input: fn(u64) -> I,
}

fn run(plan: &Plan<'_>) -> Outcome {
    let (engine, options) = (Engine::new(), PoolOptions::default().with_instances(INSTANCES));
    let sleeper = FnModel::new(|ms: u64| {
        // Half of it on a core, half of it elsewhere.
        work(Duration::from_millis(ms / 2));
        wait(Duration::from_millis(ms - ms / 2));
    });
    let (model, door) = Watched::build(&engine, "slots", options, Arc::new(sleeper))?;
    let rust = Subject { model, door, input: |ms| ms };
    let onnxruntime = match kinds::slow(plan) {
        Ok(model) => {
            let (model, door) = Watched::build(&engine, "slots-onnxruntime", options, model)?;
            Ok(Subject { model, door, input: |_| kinds::slow_rows(1) })
        }
        Err(why) => Err(why),
    };
    let (python, _folder) = match kinds::python(plan, Script::Alone) {
        Ok((model, folder)) => {
            let (model, door) = Watched::build(&engine, "slots-python", options, model)?;
            let input = |ms| Ask::Spin(ms as f64 / 1e3).alone();
            (Ok(Subject { model, door, input }), Some(folder))
        }
        Err(why) => (Err(why), None),
    };
    let requests = plan.pick(500, 150);
    plan.run(runtime()?, async {
        let mut findings = Findings::default();
        findings.count("requests", "requests of each kind", requests);
        rust.measure(plan, requests, RUST, &mut findings).await?;
        for (subject, keys, name) in [(onnxruntime, ONNX_RUNTIME, "ONNX Runtime"), (python, PYTHON, "Python")]
        {
            match subject {
                Ok(subject) => subject.measure(plan, requests, keys, &mut findings).await?,
                Err(why) => findings.leave_out(keys[0].0, name, why),
            }
        }
        Ok(findings)
    })
}

impl<I: Send + 'static, O: Send + 'static> Subject<I, O> {
    async fn measure(
        self,
        plan: &Plan<'_>,
        requests: usize,
        keys: Keys,
        findings: &mut Findings,
    ) -> Result<(), Broken> {
        let tasks: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let share = requests / CALLERS + usize::from(caller < requests % CALLERS);
                tokio::spawn(ask(self.model.clone(), self.input, plan.random(caller as u64), share))
            })
            .collect();
        let mut ends = Ends::default();
        for task in tasks {
            ends.add(task.await?);
        }
        let left = left_over(&self.model).await;
        let gauge = &self.door.gauge;
        for ((key, label), figure) in keys.into_iter().zip([gauge.begun(), gauge.most()]) {
            findings.count(key, label, figure);
        }
        findings.require(gauge.most() <= INSTANCES, || format!("{} runs at once", gauge.most()));
        findings.require(gauge.most() == INSTANCES, || "the instances were never all busy".into());
        findings.require(ends.count() == requests, || format!("{} of {requests} ended", ends.count()));
        findings.require(ends.wrong.is_empty(), || format!("ended wrongly: {}", ends.wrong.join("; ")));
        findings.require(left == 0, || format!("{left} were left in the queue or running"));
        Ok(())
    }
}

/// Asks so often, and never waits long enough.
async fn ask<I: Send + 'static, O: Send + 'static>(
    model: Handle<I, O>,
    input: fn(u64) -> I,
    mut random: fastrand::Rng,
    requests: usize,
) -> Ends {
    let mut ends = Ends::default();
    for _ in 0..requests {
        let patience = Duration::from_millis(random.u64(4..10));
        let request = model.infer(input(random.u64(10..30)));
        // The engine knows of a deadline; of a caller who simply leaves it hears when that happens.
        let outcome = match random.bool() {
            true => Ok(request.timeout(patience).await),
            false => tokio::time::timeout(patience, request.submit()).await,
        };
        match outcome {
            Err(_) => ends.given_up += 1,
            Ok(Ok(_)) => ends.answered += 1,
            Ok(Err(error)) => match error.kind() {
                ErrorKind::DeadlineExceeded => ends.expired += 1,
                ErrorKind::Overloaded => {
                    ends.refused += 1;
                    tokio::time::sleep(patience).await;
                }
                _ => ends.wrong.push(error.to_string()),
            },
        }
    }
    ends
}
