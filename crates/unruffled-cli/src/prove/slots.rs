//! `prove slots`: no more runs than instances, also when callers give up and models cannot.

use std::sync::Arc;
use std::time::Duration;

use unruffled::Engine;
use unruffled::engine::{ErrorKind, Handle};

use super::Proof;
use super::models::{Gauge, wait, work};
use super::plan::{Outcome, Plan, left_over, runtime};
use super::report::Findings;

pub(super) const PROOF: Proof = Proof {
    name: "slots",
    what: "Callers give up before a model that cannot be stopped is done, and ask again at once.",
    pass_line: "never more than 2 runs at once with 2 instances, and every request ended",
    run,
};

const INSTANCES: usize = 2;
const CALLERS: usize = 4;

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

fn run(plan: &Plan) -> Outcome {
    let (engine, gauge) = (Engine::new(), Arc::new(Gauge::default()));
    let counted = Arc::clone(&gauge);
    let model = engine.wrap(move |ms: u64| {
        let _counted = counted.enter();
        // Half of it on a core, half of it elsewhere.
        work(Duration::from_millis(ms / 2));
        wait(Duration::from_millis(ms - ms / 2));
    });
    let model = model.instances(INSTANCES).name("slots").build()?;
    let requests = plan.pick(500, 150);
    plan.run(runtime()?, async { measure(plan, model, &gauge, requests).await })
}

async fn measure(plan: &Plan, model: Handle<u64, ()>, gauge: &Gauge, requests: usize) -> Outcome {
    let tasks: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let share = requests / CALLERS + usize::from(caller < requests % CALLERS);
            tokio::spawn(ask(model.clone(), plan.random(caller as u64), share))
        })
        .collect();
    let mut ends = Ends::default();
    for task in tasks {
        ends.add(task.await?);
    }
    let left = left_over(&model).await;

    let mut findings = Findings::default();
    findings.count("requests", "requests", requests);
    findings.count("expired", "their deadline passed", ends.expired);
    findings.count("given_up", "given up by their callers", ends.given_up);
    findings.count("refused", "refused, being hopeless", ends.refused);
    findings.count("answered", "answered", ends.answered);
    findings.count("runs", "runs", gauge.begun());
    findings.count("runs_at_once_max", "runs at once, at most", gauge.most());
    findings.require(gauge.most() <= INSTANCES, || format!("{} runs at once", gauge.most()));
    findings.require(gauge.most() == INSTANCES, || "the instances were never all busy".into());
    findings.require(ends.count() == requests, || format!("{} of {requests} ended", ends.count()));
    findings.require(ends.wrong.is_empty(), || format!("ended wrongly: {}", ends.wrong.join("; ")));
    findings.require(left == 0, || format!("{left} were left in the queue or running"));
    Ok(findings)
}

/// Asks so often, and never waits long enough.
async fn ask(model: Handle<u64, ()>, mut random: fastrand::Rng, requests: usize) -> Ends {
    let mut ends = Ends::default();
    for _ in 0..requests {
        let patience = Duration::from_millis(random.u64(4..10));
        let request = model.infer(random.u64(10..30));
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
