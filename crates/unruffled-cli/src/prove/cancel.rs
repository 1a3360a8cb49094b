//! `prove cancel`: a cancel reaches the model that is running.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use unruffled::Engine;
use unruffled::engine::{ErrorKind, Handle};
use unruffled::model::FnModel;

use super::Proof;
use super::models::{wait_hooked, work_watching};
use super::plan::{Broken, Outcome, Plan, event_loop};
use super::report::{Findings, Times};

pub(super) const PROOF: Proof = Proof {
    name: "cancel",
    what: "Running models are cancelled in four ways: how long until the slot runs the next request.",
    pass_line: "p99 of all <= 20 ms, and every caller hears how its request ended",
    run,
};

const LATEST: Duration = Duration::from_millis(20);

/// How long a model runs if nobody stops it.
const RUN: Duration = Duration::from_secs(2);

/// How often the model that works looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(1);

#[derive(Clone, Copy)]
enum Way {
    Dropped,
    Canceller,
    Deadline,
    Superseded,
}

const WAYS: [(Way, &str, &str); 4] = [
    (Way::Dropped, "free_after_drop_ms", "future dropped"),
    (Way::Canceller, "free_after_canceller_ms", "cancelled from elsewhere"),
    (Way::Deadline, "free_after_deadline_ms", "deadline passed"),
    (Way::Superseded, "free_after_supersede_ms", "superseded"),
];

/// What a request brings: a place to say when its run began.
#[derive(Default)]
struct Job {
    begun: OnceLock<Instant>,
    told: Notify,
}

impl Job {
    fn begin(&self) {
        self.begun.get_or_init(Instant::now);
        self.told.notify_one();
    }

    async fn begun(&self) -> Result<Instant, Broken> {
        tokio::time::timeout(Duration::from_secs(10), self.told.notified())
            .await
            .map_err(|_| Broken::new("a request was not begun within 10 s"))?;
        self.begun.get().copied().ok_or_else(|| Broken::new("a run has no beginning"))
    }
}

type Model = Handle<Arc<Job>, ()>;

fn run(plan: &Plan) -> Outcome {
    let engine = Engine::new();
    let works = FnModel::interruptible(|job: &Arc<Job>, ctx| {
        job.begin();
        work_watching(RUN, LOOK, ctx)
    });
    let waits = FnModel::interruptible(|job: &Arc<Job>, ctx| {
        job.begin();
        wait_hooked(RUN, ctx)
    });
    let works = engine.wrap_model(works).name("works").build()?;
    let waits = engine.wrap_model(waits.with_threads(0)).name("waits").build()?;
    plan.run(event_loop()?, async { measure(plan, &[works, waits]).await })
}

async fn measure(plan: &Plan, models: &[Model]) -> Outcome {
    let rounds = plan.pick(50, 8);
    plan.steps(rounds);
    let mut random = plan.random(0);
    let mut times: [Times; 4] = Default::default();
    let mut wrong = Vec::new();
    for _ in 0..rounds {
        for model in models {
            for ((way, ..), times) in WAYS.iter().zip(&mut times) {
                let held = Duration::from_micros(random.u64(0..3_000));
                let (free, ended) = cancel(model, *way, held).await?;
                times.add(free);
                wrong.extend(ended.err());
            }
        }
        plan.step();
    }
    let mut findings = Findings::default();
    let mut all = Times::default();
    for ((_, key, label), times) in WAYS.iter().zip(&times) {
        findings.spread(key, label, times);
        all.extend(times);
    }
    let all = findings.spread("free_after_cancel_ms", "all", &all);
    findings.require(all.p99 <= LATEST, || format!("the slot was free after {:.1?}, by p99", all.p99));
    findings.require(wrong.is_empty(), || format!("{} ended wrongly: {}", wrong.len(), wrong[0]));
    Ok(findings)
}

/// Cancels a request that has run for a while: how long until its slot ran the next, and whether its caller was told.
async fn cancel(model: &Model, way: Way, held: Duration) -> Result<(Duration, Result<(), String>), Broken> {
    let (job, next) = (Arc::new(Job::default()), Arc::new(Job::default()));
    let request = model.infer(Arc::clone(&job));
    // Long enough not to be refused, had a run ever been cut short so late.
    let due = Instant::now() + Duration::from_millis(15) + held;
    let first = match way {
        Way::Deadline => request.deadline(due).submit(),
        Way::Superseded => request.supersede("field").submit(),
        Way::Dropped | Way::Canceller => request.submit(),
    };
    job.begun().await?;
    if !matches!(way, Way::Deadline) {
        tokio::time::sleep(held).await;
    }
    let now = Instant::now();
    let (cancelled, then, outcome) = match way {
        Way::Dropped => {
            drop(first);
            (now, model.infer(Arc::clone(&next)).submit(), None)
        }
        Way::Canceller => {
            first.canceller().cancel();
            (now, model.infer(Arc::clone(&next)).submit(), Some(first.await))
        }
        Way::Deadline => {
            let then = model.infer(Arc::clone(&next)).submit();
            (due, then, Some(first.await))
        }
        Way::Superseded => {
            let then = model.infer(Arc::clone(&next)).supersede("field").submit();
            (now, then, Some(first.await))
        }
    };
    let free = next.begun().await?.saturating_duration_since(cancelled);
    then.stop().await;
    let expected = match way {
        Way::Deadline => ErrorKind::DeadlineExceeded,
        _ => ErrorKind::Cancelled,
    };
    let ended = match outcome {
        None => Ok(()),
        Some(Err(error)) if error.kind() == expected => Ok(()),
        Some(Err(error)) => Err(error.to_string()),
        Some(Ok(_)) => Err("it was answered".into()),
    };
    Ok((free, ended))
}
