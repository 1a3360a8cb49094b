//! `prove reload`: a model is exchanged under load, and nobody notices.

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

/// How long it is asked without a reload, and then with one.
const WINDOW: Duration = Duration::from_millis(400);

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
    let reloads = plan.pick(16, 3);
    plan.steps(reloads);
    let handle = plan.backends().load(engine, model)?.await?;
    // What is learned and built in the first second is no part of either.
    ask_for(&handle, Duration::from_secs(1)).await?;

    // By turns, so that whatever else the machine does meets both alike.
    let (mut before, mut during) = (Asked::default(), Asked::default());
    let mut times = Times::default();
    for _ in 0..reloads {
        before.extend(ask_for(&handle, WINDOW).await?);
        let reload = async {
            let begin = Instant::now();
            plan.backends().reload(engine, model, Rollout::Replace)?.await?;
            Ok::<_, Broken>(begin.elapsed())
        };
        let (asked, took) = tokio::try_join!(ask_for(&handle, WINDOW), reload)?;
        during.extend(asked);
        times.add(took);
        plan.step();
    }

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

/// Asks at a steady pace, whether or not there was an answer, for so long.
async fn ask_for(model: &TensorHandle, length: Duration) -> Result<Asked, Broken> {
    let end = Instant::now() + length;
    let mut pace = tokio::time::interval(GAP);
    let mut answers = JoinSet::new();
    let mut asked = Asked::default();
    while Instant::now() < end {
        tokio::select! {
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
    fn extend(&mut self, other: Asked) {
        self.times.extend(&other.times);
        self.errors.extend(other.errors);
    }

    fn add(&mut self, (outcome, took): (Result<(), unruffled::engine::Error>, Duration)) {
        match outcome {
            Ok(()) => self.times.add(took),
            Err(error) => self.errors.push(error.to_string()),
        }
    }
}
