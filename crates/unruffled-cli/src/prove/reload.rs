//! `prove reload`: a model is exchanged under load, and nobody notices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use unruffled::engine::EngineOptions;
use unruffled::{Engine, ModelFolder, Rollout, Tensor, TensorHandle, Tensors, memory};

use super::Proof;
use super::plan::{Broken, Outcome, Plan, runtime};
use super::report::{Findings, Times};
use super::weights::{INPUTS, product};

pub(super) const PROOF: Proof = Proof {
    name: "reload",
    what: "A model that is asked 250 times a second is replaced again and again by another version of it.",
    pass_line: "no error, the p99 meanwhile at most 1.2 times the one before, the old versions gone afterwards",
    run,
};

const FILE_BYTES: usize = 8 << 20;

/// Between two requests.
const GAP: Duration = Duration::from_millis(4);

/// Between the end of one reload and the begin of the next.
const PAUSE: Duration = Duration::from_millis(400);

const FACTOR_MAX: f64 = 1.2;

/// How long the old versions may take to go.
const GONE: Duration = Duration::from_secs(5);

fn run(plan: &Plan<'_>) -> Outcome {
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("model");
    std::fs::create_dir(&place)?;
    std::fs::write(place.join("model.onnx"), product(FILE_BYTES, 1.0))?;
    let model = ModelFolder::open(&place)?;
    // A budget that everything fits in, so that it is told who takes memory.
    let engine = Engine::with_options(EngineOptions::default().with_memory(memory::budget(1 << 40)));
    plan.run(runtime()?, async { measure(plan, &engine, &model).await })
}

async fn measure(plan: &Plan<'_>, engine: &Engine, model: &ModelFolder) -> Outcome {
    let reloads = plan.pick(8, 3);
    plan.steps(2 * reloads);
    let handle = plan.backends().load(engine, model)?.await?;
    // What is learned and built in the first second is no part of either.
    ask_for(&handle, Duration::from_secs(1)).await?;

    let length = PAUSE * u32::try_from(reloads).unwrap_or(u32::MAX);
    let before = ask_for(&handle, length).await?;
    (0..reloads).for_each(|_| plan.step());

    let asked = handle.clone();
    let stop = Arc::new(tokio::sync::Notify::new());
    let stopped = Arc::clone(&stop);
    let load = tokio::spawn(async move { ask_until(&asked, stopped.notified()).await });
    let mut times = Times::default();
    for _ in 0..reloads {
        let begin = Instant::now();
        plan.backends().reload(engine, model, Rollout::Replace)?.await?;
        times.add(begin.elapsed());
        tokio::time::sleep(PAUSE).await;
        plan.step();
    }
    stop.notify_one();
    let during = load.await??;

    let begin = Instant::now();
    let memory = || engine.memory().map_or(0, |memory| memory.models.len());
    while memory() > 1 && begin.elapsed() < GONE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut findings = Findings::default();
    findings.count("requests", "requests", before.times.len() + during.times.len());
    findings.count("errors", "errors", before.errors.len() + during.errors.len());
    findings.count("reloads", "reloads", reloads);
    findings.spread("reload_ms", "a reload took", &times);
    let usual = findings.spread("before_ms", "answered before", &before.times);
    let meanwhile = findings.spread("during_ms", "answered meanwhile", &during.times);
    let factor = meanwhile.p99.as_secs_f64() / usual.p99.as_secs_f64();
    findings.factor("p99_factor", "p99 meanwhile, times the one before", factor);
    findings.count("versions_left", "versions left in memory", memory());
    let errors = before.errors.iter().chain(&during.errors).next();
    findings.require(errors.is_none(), || errors.cloned().unwrap_or_default());
    findings.require(factor <= FACTOR_MAX, || format!("the p99 was {factor:.2} times the one before"));
    findings.require(memory() == 1, || format!("{} versions are left in memory", memory()));
    Ok(findings)
}

/// What came of the requests of a while.
#[derive(Default)]
struct Asked {
    times: Times,
    errors: Vec<String>,
}

async fn ask_for(model: &TensorHandle, length: Duration) -> Result<Asked, Broken> {
    ask_until(model, tokio::time::sleep(length)).await
}

/// Asks at a steady pace, whether or not there was an answer, until `end`.
async fn ask_until(model: &TensorHandle, end: impl Future<Output = ()>) -> Result<Asked, Broken> {
    let mut end = std::pin::pin!(end);
    let mut pace = tokio::time::interval(GAP);
    let mut answers = JoinSet::new();
    let mut asked = Asked::default();
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = pace.tick() => {
                let input = Tensors::new().with("x", Tensor::filled(&[1, INPUTS], 1.0_f32)?);
                let begin = Instant::now();
                let answer = model.infer(input).submit();
                answers.spawn(async move { (answer.await.map(drop), begin.elapsed()) });
            }
            Some(answered) = answers.join_next() => asked.add(answered?),
        }
    }
    while let Some(answered) = answers.join_next().await {
        asked.add(answered?);
    }
    Ok(asked)
}

impl Asked {
    fn add(&mut self, (outcome, took): (Result<(), unruffled::engine::Error>, Duration)) {
        match outcome {
            Ok(()) => self.times.add(took),
            Err(error) => self.errors.push(error.to_string()),
        }
    }
}
