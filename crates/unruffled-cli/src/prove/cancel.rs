//! `prove cancel`: a cancel reaches the model that is running.

use std::sync::Arc;
use std::time::{Duration, Instant};

use unruffled::engine::{ErrorKind, Handle, PoolOptions};
use unruffled::model::{FnModel, SharedModel};
use unruffled::{Engine, Tensors};

use super::Proof;
use super::kinds::{self, Ask, Script};
use super::models::{wait_hooked, work_watching};
use super::plan::{Broken, Outcome, Plan, event_loop};
use super::report::{Findings, Times};
use super::watched::{Door, Watched};

pub(super) const PROOF: Proof = Proof {
    name: "cancel",
    what: "Running models are cancelled in four ways: how long until the slot runs the next request.",
    pass_line: "p99 <= 20 ms, of Python 250 ms, and every caller hears how its request ended",
    run,
};

const LATEST: Duration = Duration::from_millis(20);

/// Python may have to be killed first, and another be begun.
const LATEST_PYTHON: Duration = Duration::from_millis(250);

/// How long a model runs if nobody stops it.
const RUN: Duration = Duration::from_secs(2);

/// How often the model that works looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(1);

/// Long enough for a deadline not to be refused, had a run ever been cut short so late.
const PATIENCE: Duration = Duration::from_millis(15);

/// The same where a run goes on for the whole grace.
const PATIENCE_NATIVE: Duration = Duration::from_millis(300);

/// Rows that ONNX Runtime works on for some 400 ms.
const SLOW_ROWS: usize = 20;

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

/// One instance of a model, and an input that keeps it busy for long.
struct Subject<I: Send + 'static, O: Send + 'static> {
    model: Handle<I, O>,
    door: Door,
    long: I,
    patience: Duration,
}

type TensorSubject = Subject<Tensors, Tensors>;

impl<I: Clone + Send + 'static, O: Send + 'static> Subject<I, O> {
    fn new(
        engine: &Engine,
        name: &'static str,
        model: SharedModel<I, O>,
        long: I,
        patience: Duration,
    ) -> Result<Self, Broken> {
        let (model, door) = Watched::build(engine, name, PoolOptions::default(), model)?;
        Ok(Self { model, door, long, patience })
    }

    async fn begun(&mut self) -> Result<Instant, Broken> {
        let next = tokio::time::timeout(Duration::from_secs(10), self.door.begun.recv()).await;
        let next = next.map_err(|_| Broken::new("a request was not begun within 10 s"))?;
        next.ok_or_else(|| Broken::new("the model is gone"))
    }

    /// Cancels a request that has run for a while: how long until its slot ran the next, and whether its caller was told.
    async fn cancel(&mut self, way: Way, held: Duration) -> Result<(Duration, Result<(), String>), Broken> {
        let (model, long) = (self.model.clone(), self.long.clone());
        let ask = || model.infer(long.clone());
        let due = Instant::now() + self.patience + held;
        let first = match way {
            Way::Deadline => ask().deadline(due).submit(),
            Way::Superseded => ask().supersede("field").submit(),
            Way::Dropped | Way::Canceller => ask().submit(),
        };
        self.begun().await?;
        if !matches!(way, Way::Deadline) {
            tokio::time::sleep(held).await;
        }
        let now = Instant::now();
        let (cancelled, then, outcome) = match way {
            Way::Dropped => {
                drop(first);
                (now, ask().submit(), None)
            }
            Way::Canceller => {
                first.canceller().cancel();
                (now, ask().submit(), Some(first.await))
            }
            Way::Deadline => {
                let then = ask().submit();
                (due, then, Some(first.await))
            }
            Way::Superseded => {
                let then = ask().supersede("field").submit();
                (now, then, Some(first.await))
            }
        };
        let free = self.begun().await?.saturating_duration_since(cancelled);
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

    /// Cancels it in all ways, so many times each.
    async fn measure(&mut self, plan: &Plan<'_>, rounds: usize) -> Result<Measured, Broken> {
        let (mut random, mut measured) = (plan.random(0), Measured::default());
        for _ in 0..rounds {
            for ((way, ..), times) in WAYS.iter().zip(&mut measured.times) {
                let held = Duration::from_micros(random.u64(0..3_000));
                let (free, ended) = self.cancel(*way, held).await?;
                times.add(free);
                measured.wrong.extend(ended.err());
            }
            plan.step();
        }
        Ok(measured)
    }
}

#[derive(Default)]
struct Measured {
    times: [Times; 4],
    /// How requests ended that ended otherwise than they should.
    wrong: Vec<String>,
}

impl Measured {
    fn extend(&mut self, others: Measured) {
        for (times, others) in self.times.iter_mut().zip(&others.times) {
            times.extend(others);
        }
        self.wrong.extend(others.wrong);
    }

    /// Holds all of them together to a bound.
    fn judge(&self, findings: &mut Findings, key: &'static str, label: &'static str, latest: Duration) {
        let mut all = Times::default();
        self.times.iter().for_each(|times| all.extend(times));
        let all = findings.spread(key, label, &all);
        findings.require(all.p99 <= latest, || {
            format!("{label}: the slot was free after {:.1?}, by p99; {latest:?} are allowed", all.p99)
        });
        findings.require(self.wrong.is_empty(), || {
            format!("{label}: {} ended wrongly: {}", self.wrong.len(), self.wrong[0])
        });
    }
}

fn run(plan: &Plan<'_>) -> Outcome {
    let engine = Engine::new();
    let works = FnModel::interruptible(|(): &(), ctx| work_watching(RUN, LOOK, ctx));
    let waits = FnModel::interruptible(|(): &(), ctx| wait_hooked(RUN, ctx)).with_threads(0);
    let rust = [
        Subject::new(&engine, "works", Arc::new(works), (), PATIENCE)?,
        Subject::new(&engine, "waits", Arc::new(waits), (), PATIENCE)?,
    ];
    let onnxruntime = match kinds::slow(plan) {
        Ok(model) => Ok(Subject::new(&engine, "onnxruntime", model, kinds::slow_rows(SLOW_ROWS), PATIENCE)?),
        Err(why) => Err(why),
    };
    // Both need the folder for as long as they live.
    let (python, _folder) = match kinds::python(plan, Script::Alone) {
        Ok((model, folder)) => {
            let spins = Ask::Spin(RUN.as_secs_f64()).alone();
            let native = Ask::Native(2.0 * RUN.as_secs_f64()).alone();
            let spins = Subject::new(&engine, "python-spins", Arc::clone(&model), spins, PATIENCE)?;
            (
                Ok([spins, Subject::new(&engine, "python-native", model, native, PATIENCE_NATIVE)?]),
                Some(folder),
            )
        }
        Err(why) => (Err(why), None),
    };
    plan.run(event_loop()?, async { measure(plan, rust, onnxruntime, python).await })
}

async fn measure(
    plan: &Plan<'_>,
    rust: [Subject<(), ()>; 2],
    onnxruntime: Result<TensorSubject, String>,
    python: Result<[TensorSubject; 2], String>,
) -> Outcome {
    let (rounds, fewer) = (plan.pick(50, 8), plan.pick(15, 2));
    plan.steps(3 * rounds + rounds + fewer);
    let (mut findings, mut measured) = (Findings::default(), Measured::default());
    for mut subject in rust {
        measured.extend(subject.measure(plan, rounds).await?);
    }
    for ((_, key, label), times) in WAYS.iter().zip(&measured.times) {
        findings.spread(key, label, times);
    }
    measured.judge(&mut findings, "free_after_cancel_ms", "all, of Rust models", LATEST);
    let (key, label) = ("onnxruntime_free_after_cancel_ms", "all, of ONNX Runtime");
    match onnxruntime {
        Err(why) => findings.leave_out(key, label, why),
        Ok(mut subject) => subject.measure(plan, rounds).await?.judge(&mut findings, key, label, LATEST),
    }
    let keys = [
        ("python_free_after_interrupt_ms", "all, of Python code", rounds),
        ("python_free_after_kill_ms", "all, of native code in Python", fewer),
    ];
    match python {
        Err(why) => findings.leave_out(keys[0].0, "Python", why),
        Ok(subjects) => {
            for (mut subject, (key, label, rounds)) in subjects.into_iter().zip(keys) {
                let measured = subject.measure(plan, rounds).await?;
                measured.judge(&mut findings, key, label, LATEST_PYTHON);
            }
        }
    }
    Ok(findings)
}
