//! `prove neighbours`: whoever leaves a batch harms nobody who stays.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use unruffled::engine::{ErrorKind, Handle, PoolOptions};
use unruffled::model::RunContext;
use unruffled::{Backends, Engine, Tensor, Tensors, sample};

use super::Proof;
use super::models::{Joint, mixed, work};
use super::plan::{Broken, Outcome, Plan, left_over, runtime};
use super::report::Findings;

pub(super) const PROOF: Proof = Proof {
    name: "neighbours",
    what: "Requests that share batches are dropped, cancelled and timed out at random moments.",
    pass_line: "everybody who stays gets the right answer: 0 wrong, 0 lost, 0 hung",
    run,
};

const CALLERS: usize = 8;

/// How many requests a caller has under way at once.
const TOGETHER: usize = 64;

/// In how many parts it is done, for the bar.
const PARTS: u64 = 10;

/// A caller that waits longer than this for one answer waits for ever.
const HUNG: Duration = Duration::from_secs(20);

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Dropped,
    Cancelled,
    TimedOut,
}

/// How the requests have ended.
#[derive(Default)]
struct Ends {
    left: u64,
    stayed: u64,
    right: u64,
    /// Those who stayed; who left and heard nothing of it counts as wrong.
    hung: u64,
    wrong: Vec<String>,
}

impl AddAssign for Ends {
    fn add_assign(&mut self, other: Self) {
        self.left += other.left;
        self.stayed += other.stayed;
        self.right += other.right;
        self.hung += other.hung;
        self.wrong.extend(other.wrong);
    }
}

/// Questions of a kind: made from a number, and their answers known.
trait Questions: Clone + Send + Sync + 'static {
    type Input: Send + 'static;
    type Output: Send + 'static;

    fn ask(&self, number: u64) -> Self::Input;
    fn is_right(&self, number: u64, answer: &Self::Output) -> bool;
}

#[derive(Clone)]
struct Numbers;

impl Questions for Numbers {
    type Input = u64;
    type Output = u64;

    fn ask(&self, number: u64) -> u64 {
        number
    }

    fn is_right(&self, number: u64, answer: &u64) -> bool {
        *answer == mixed(number)
    }
}

/// Pictures, and what the model says of each alone.
#[derive(Clone)]
struct Pictures(Arc<Vec<(Tensors, Tensors)>>);

impl Questions for Pictures {
    type Input = Tensors;
    type Output = Tensors;

    fn ask(&self, number: u64) -> Tensors {
        self.0[number as usize % self.0.len()].0.clone()
    }

    fn is_right(&self, number: u64, answer: &Tensors) -> bool {
        let alone = &self.0[number as usize % self.0.len()].1;
        alone.iter().all(|(name, alone)| answer.get(name).is_some_and(|answer| is_close(alone, answer)))
    }
}

/// Sums in another order differ in their last digits.
fn is_close(one: &Tensor, other: &Tensor) -> bool {
    match (one.elements::<f32>(), other.elements::<f32>()) {
        (Ok(one), Ok(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-3)
        }
        _ => one == other,
    }
}

fn run(plan: &Plan<'_>) -> Outcome {
    let engine = Engine::new();
    let numbers = Joint::new(|rows: &[&u64], _: &RunContext<'_>| {
        work(Duration::from_micros(150));
        Ok(rows.iter().map(|number| mixed(**number)).collect())
    });
    let options = PoolOptions::default().with_instances(2);
    let numbers = engine.wrap_model(numbers).options(options).name("neighbours").build()?;
    let (cancels, on_digits) = plan.pick((100_000, 10_000), (5_000, 1_000));
    plan.run(runtime()?, async {
        let digits = Backends::default().load(&engine, &sample::digits())?.await?;
        let pictures = pictures(&digits, plan).await?;
        plan.steps(2 * PARTS as usize);
        let mut findings = Findings::default();
        let on_numbers = measure(plan, &numbers, Numbers, cancels - on_digits).await?;
        let on_digits = measure(plan, &digits, pictures, on_digits).await?;
        let left = left_over(&numbers).await + left_over(&digits).await;
        tell(&mut findings, &numbers, &on_numbers, &NUMBERS);
        tell(&mut findings, &digits, &on_digits, &DIGITS);
        findings.require(left == 0, || format!("{left} were left in the queue or running"));
        findings.count("runs", "runs", numbers.metrics().runs + digits.metrics().runs);
        Ok(findings)
    })
}

/// A picture of noise for every number, and the model's answer to each alone.
async fn pictures(digits: &Handle<Tensors, Tensors>, plan: &Plan<'_>) -> Result<Pictures, Broken> {
    let mut random = plan.random(1);
    let mut pictures = Vec::new();
    for _ in 0..64 {
        let ink: Vec<f32> = (0..64).map(|_| random.f32() * 16.0).collect();
        let picture = Tensors::new().with("image", Tensor::new(&[1, 8, 8], ink)?);
        let alone = digits.infer(picture.clone()).await?;
        pictures.push((picture, alone.output));
    }
    Ok(Pictures(Arc::new(pictures)))
}

type Keys = [(&'static str, &'static str); 5];

const NUMBERS: Keys = [
    ("cancelled", "cancelled waiting or running"),
    ("left_late", "left when they were answered"),
    ("right", "stayed and got the right answer"),
    ("lost", "lost or wrong"),
    ("hung", "hung"),
];

const DIGITS: Keys = [
    ("digits_cancelled", "the same with an ONNX model"),
    ("digits_left_late", "left when they were answered"),
    ("digits_right", "stayed and got the right answer"),
    ("digits_lost", "lost or wrong"),
    ("digits_hung", "hung"),
];

fn tell<I: Send + 'static, O: Send + 'static>(
    findings: &mut Findings,
    model: &Handle<I, O>,
    ends: &Ends,
    keys: &Keys,
) {
    let metrics = model.metrics();
    let failed = cancelled(model);
    let lost = ends.stayed - ends.right - ends.hung;
    let counts = [failed, ends.left.saturating_sub(failed), ends.right, lost, ends.hung];
    for ((key, label), count) in keys.iter().zip(counts) {
        findings.count(key, label, count);
    }
    findings.require(ends.wrong.is_empty(), || format!("{} wrong: {}", ends.wrong.len(), ends.wrong[0]));
    findings.require(ends.hung == 0, || format!("{} hung", ends.hung));
    findings.require(ends.right == ends.stayed, || format!("{} of {} answered", ends.right, ends.stayed));
    let ended = metrics.answered + failed;
    findings.require(metrics.accepted == ended, || {
        format!("of {} requests that were let in {ended} ended", metrics.accepted)
    });
}

/// Requests that the engine has seen come to no answer: none of them for another reason than its caller.
fn cancelled<I: Send + 'static, O: Send + 'static>(model: &Handle<I, O>) -> u64 {
    model.metrics().failed.iter().map(|(_, count)| count).sum()
}

/// Has several callers leave so many requests, among many that they stay with.
async fn measure<Q: Questions>(
    plan: &Plan<'_>,
    model: &Handle<Q::Input, Q::Output>,
    questions: Q,
    cancels: u64,
) -> Result<Ends, Broken> {
    let mut ends = Ends::default();
    for part in 0..PARTS {
        let target = cancels * (part + 1) / PARTS;
        let tasks: Vec<_> = (0..CALLERS as u64)
            .map(|caller| {
                let random = plan.random(part * CALLERS as u64 + caller + 2);
                tokio::spawn(call(model.clone(), questions.clone(), random, target))
            })
            .collect();
        for task in tasks {
            ends += task.await?;
        }
        plan.step();
    }
    Ok(ends)
}

/// Asks and leaves until so many were cancelled, by whomever.
async fn call<Q: Questions>(
    model: Handle<Q::Input, Q::Output>,
    questions: Q,
    mut random: fastrand::Rng,
    target: u64,
) -> Ends {
    let mut ends = Ends::default();
    while cancelled(&model) < target && ends.hung == 0 && ends.wrong.is_empty() {
        together(&model, &questions, &mut random, &mut ends).await;
    }
    ends
}

/// A handful of requests at once: some are left, one by one and each at a moment of its own; the others are awaited.
async fn together<Q: Questions>(
    model: &Handle<Q::Input, Q::Output>,
    questions: &Q,
    random: &mut fastrand::Rng,
    ends: &mut Ends,
) {
    let (mut leaving, mut staying) = (Vec::new(), Vec::new());
    for _ in 0..TOGETHER {
        let number = random.u64(..);
        let fate = match random.u32(0..8) {
            0..4 => Fate::Stays,
            4 | 5 => Fate::Dropped,
            6 => Fate::Cancelled,
            _ => Fate::TimedOut,
        };
        let request = model.infer(questions.ask(number));
        let request = match fate {
            Fate::TimedOut => request.timeout(Duration::from_micros(random.u64(50..2_000))),
            _ => request,
        };
        match fate {
            Fate::Dropped | Fate::Cancelled => leaving.push((number, fate, request.submit())),
            Fate::Stays | Fate::TimedOut => staying.push((number, fate, request.submit())),
        }
    }
    random.shuffle(&mut leaving);
    for (number, fate, request) in leaving {
        ends.left += 1;
        match random.u32(0..4) {
            0 => tokio::task::yield_now().await,
            _ => work(Duration::from_micros(random.u64(0..20))),
        }
        if fate == Fate::Cancelled {
            request.canceller().cancel();
            staying.push((number, fate, request));
        }
    }
    random.shuffle(&mut staying);
    for (number, fate, request) in staying {
        match fate {
            Fate::Stays => ends.stayed += 1,
            Fate::TimedOut => ends.left += 1,
            // Counted as it left.
            Fate::Dropped | Fate::Cancelled => {}
        }
        let Ok(outcome) = tokio::time::timeout(HUNG, request).await else {
            match fate {
                Fate::Stays => ends.hung += 1,
                _ => ends.wrong.push("a request that was left came to no end".into()),
            }
            continue;
        };
        match (outcome, fate) {
            (Ok(answer), _) if !questions.is_right(number, &answer) => {
                ends.wrong.push("an answer that belongs to another question".into());
            }
            (Ok(_), Fate::Stays) => ends.right += 1,
            // It was left so late that the answer was there.
            (Ok(_), _) => {}
            (Err(error), Fate::Cancelled) if error.kind() == ErrorKind::Cancelled => {}
            (Err(error), Fate::TimedOut)
                if [ErrorKind::DeadlineExceeded, ErrorKind::Overloaded].contains(&error.kind()) => {}
            (Err(error), _) => ends.wrong.push(error.to_string()),
        }
    }
}
