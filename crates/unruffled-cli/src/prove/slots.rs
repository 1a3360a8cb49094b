//! `prove slots`: no more runs than instances, also when callers give up and models cannot.

use std::sync::Arc;
use std::time::Duration;

use unruffled::Engine;
use unruffled::engine::{ErrorKind, Handle};
use unruffled::model::FnModel;

use super::Proof;
use super::models::{wait, work};
use super::plan::{Broken, Outcome, Plan, left_over, runtime};
use super::report::Findings;
use super::watched::{Door, Watched};

pub(super) const PROOF: Proof = Proof {
    name: "slots",
    what: "Callers give up before a model that cannot be stopped is done, and ask again at once.",
    pass_line: "never more than 2 runs at once with 2 instances, and every request ended",
    run,
};

const INSTANCES: usize = 2;
const CALLERS: usize = 4;

const KEYS: [(&str, &str); 7] = [
    ("requests", "requests"),
    ("expired", "their deadline passed"),
    ("given_up", "given up by their callers"),
    ("refused", "refused, being hopeless"),
    ("answered", "answered"),
    ("runs", "runs"),
    ("runs_at_once_max", "runs at once, at most"),
];

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

fn run(plan: &Plan) -> Outcome {
    let engine = Engine::new();
    let sleeper = FnModel::new(|ms: u64| {
        // Half of it on a core, half of it elsewhere.
        work(Duration::from_millis(ms / 2));
        wait(Duration::from_millis(ms - ms / 2));
    });
    let (model, door) = Watched::build(&engine, "slots", INSTANCES, Arc::new(sleeper))?;
    let subject = Subject { model, door, input: |ms| ms };
    let requests = plan.pick(500, 150);
    plan.run(runtime()?, async {
        let mut findings = Findings::default();
        subject.measure(plan, requests, KEYS, &mut findings).await?;
        Ok(findings)
    })
}

impl<I: Send + 'static, O: Send + 'static> Subject<I, O> {
    async fn measure(
        self,
        plan: &Plan,
        requests: usize,
        keys: [(&'static str, &'static str); 7],
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
        let figures =
            [requests, ends.expired, ends.given_up, ends.refused, ends.answered, gauge.begun(), gauge.most()];
        for ((key, label), figure) in keys.into_iter().zip(figures) {
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
