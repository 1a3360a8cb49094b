//! `prove pipeline`: models chained and branched, asked by many at once who change their minds, with a step that fails for some.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use unruffled::engine::{Error, ErrorKind, Pipeline, PipelineStep, Response};
use unruffled::model::{
    Bytes, Footprint, Interrupt, JointModel, LoadedModel, ModelError, ModelInfo, RunContext, Serve,
    TensorRun, admit_tensors,
};
use unruffled::{Batching, DType, Dim, Engine, Signature, Tensor, TensorHandle, TensorSpec, Tensors};

use super::Proof;
use super::models::work_watching;
use super::plan::{Broken, Outcome, Plan, event_loop, left_over};
use super::report::{Findings, Times};
use crate::find;

pub(super) const PROOF: Proof = Proof {
    name: "pipeline",
    what: "Two branches, one of them a loop, asked 64 times at once; some callers leave, some are in a hurry, a step fails for some.",
    pass_line: "each call ends once, with the right answer or its error; calls share runs; nothing is left; at most three times as long as by hand",
    run,
};

const AT_ONCE: usize = 64;

/// Rows of one call at most: as many requests to the step that is a loop.
const ROWS: usize = 8;

/// The step that is a loop fails for this number.
const BAD: f32 = 13.0;

/// What a run of a step costs, and each row of it.
const RUN: Duration = Duration::from_micros(150);
const ROW: Duration = Duration::from_micros(10);

/// A pipeline may take so many times what the same requests take by hand.
const FACTOR_MAX: f64 = 3.0;

/// What a step makes of the numbers of its inputs, if it has two.
type Function = fn(&[f32], &[f32]) -> Result<Vec<f32>, ModelError>;

/// A step whose rows go through it together: numbers in, and as many out.
struct Numbers {
    info: ModelInfo,
    function: Function,
}

impl Numbers {
    fn new(inputs: &[&str], function: Function) -> Self {
        let spec = |name: &str| TensorSpec::new(name, DType::F32, [Dim::Symbolic("n".into())]);
        let signature =
            Signature { inputs: inputs.iter().map(|name| spec(name)).collect(), outputs: vec![spec("y")] };
        let info = ModelInfo::new("numbers", "rust")
            .with_signature(signature)
            .with_batching(Batching::Joint)
            .with_interrupt(Interrupt::Cooperative);
        Self { info, function }
    }
}

impl LoadedModel for Numbers {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &Tensors) -> Result<Footprint, ModelError> {
        admit_tensors(&self.info, input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        serve(&mut JointModel::new(&self.info, self));
        Ok(())
    }
}

impl TensorRun for &Numbers {
    fn run(&mut self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let mut given = inputs.iter().map(|(_, tensor)| tensor.elements::<f32>());
        let a = given.next().unwrap_or(Ok(&[]))?;
        let b = given.next().unwrap_or(Ok(&[]))?;
        work_watching(RUN + ROW * a.len() as u32, Duration::from_micros(50), ctx)?;
        let y = (self.function)(a, b)?;
        Ok(Tensors::new().with("y", Tensor::new(&[y.len()], y)?))
    }
}

/// The steps, and the whole.
struct Models {
    twice: TensorHandle,
    more: TensorHandle,
    sum: TensorHandle,
    whole: TensorHandle,
}

fn models(engine: &Engine) -> Result<Models, Broken> {
    let twice = Numbers::new(&["x"], |x, _| match x.contains(&BAD) {
        true => Err(ModelError::failed("will not have that number")),
        false => Ok(x.iter().map(|x| 2.0 * x).collect()),
    });
    let more = Numbers::new(&["x"], |x, _| Ok(x.iter().map(|x| x + 1.0).collect()));
    let sum = Numbers::new(&["a", "b"], |a, b| Ok(a.iter().zip(b).map(|(a, b)| a + b).collect()));
    let [twice, more, sum] = [("twice", twice), ("more", more), ("sum", sum)]
        .map(|(name, model)| engine.wrap_model(model).name(name).build());
    let (twice, more, sum) = (twice?, more?, sum?);
    let pipeline = Pipeline::new()
        .step(PipelineStep::new("twice", &twice).input("x", "input.x").each(["x"]))
        .step(PipelineStep::new("more", &more).input("x", "input.x"))
        .step(PipelineStep::new("sum", &sum).input("a", "twice.y").input("b", "more.y"))
        .output("y", "sum.y");
    let whole = engine.wrap_pipeline(&pipeline)?.instances(AT_ONCE).name("whole").build()?;
    Ok(Models { twice, more, sum, whole })
}

/// What one caller wants, and whether he stays.
#[derive(Clone)]
struct Call {
    x: Vec<f32>,
    gives_up: Option<Duration>,
    timeout: Option<Duration>,
}

impl Call {
    fn draw(random: &mut fastrand::Rng) -> Self {
        let mut x: Vec<f32> = (0..random.usize(1..=ROWS)).map(|_| random.u32(100..100_000) as f32).collect();
        if random.u32(..10) == 0 {
            let at = random.usize(..x.len());
            x[at] = BAD;
        }
        let gives_up = (random.u32(..5) == 0).then(|| Duration::from_micros(random.u64(..20_000)));
        let timeout = (random.u32(..6) == 0).then(|| Duration::from_micros(random.u64(500..60_000)));
        Self { x, gives_up, timeout }
    }

    /// Whether it may end like this.
    fn is_right(&self, outcome: &Result<Response<Tensors>, Error>) -> Result<End, String> {
        match outcome {
            Ok(answer) => {
                let y = answer.get("y").and_then(|y| y.elements::<f32>().ok());
                let expected: Vec<f32> = self.x.iter().map(|x| 2.0 * x + (x + 1.0)).collect();
                match y == Some(&expected) {
                    true => Ok(End::Answered),
                    false => Err(format!("{:?} gave {y:?}", self.x)),
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::ModelFailed
                    if self.x.contains(&BAD) && error.to_string().contains("step `twice`") =>
                {
                    Ok(End::Failed)
                }
                ErrorKind::DeadlineExceeded | ErrorKind::Overloaded if self.timeout.is_some() => {
                    Ok(End::Late)
                }
                _ => Err(format!("{:?} ended with: {error}", self.x)),
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Answered,
    Failed,
    Late,
    GivenUp,
}

fn run(plan: &Plan<'_>) -> Outcome {
    let engine = Engine::new();
    let models = models(&engine)?;
    plan.run(event_loop()?, async {
        let mut findings = Findings::default();
        storm(plan, &models, &mut findings).await?;
        overhead(plan, &models, &mut findings).await?;
        sentences(plan, &engine, &mut findings).await?;
        Ok(findings)
    })
}

/// Many at once, each with his own idea of how it ends.
async fn storm(plan: &Plan<'_>, models: &Models, findings: &mut Findings) -> Result<(), Broken> {
    let calls = plan.pick(3_000, 400);
    plan.steps(calls);
    let mut random = plan.random(0);
    let mut asking = JoinSet::new();
    let (mut ends, mut wrong, mut begun) = (Vec::new(), Vec::new(), 0);
    while begun < calls || !asking.is_empty() {
        while begun < calls && asking.len() < AT_ONCE {
            asking.spawn(one(models.whole.clone(), Call::draw(&mut random)));
            begun += 1;
        }
        if let Some(ended) = asking.join_next().await {
            match ended? {
                Ok(end) => ends.push(end),
                Err(why) => wrong.push(why),
            }
            plan.step();
        }
    }
    let mut left = 0;
    for model in [&models.whole, &models.twice, &models.more, &models.sum] {
        left += left_over(model).await;
    }
    let count = |end| ends.iter().filter(|known| **known == end).count();
    let (metrics, sum) = (models.twice.metrics(), models.sum.metrics());
    findings.count("calls", "calls", calls);
    findings.count("answered", "answered", count(End::Answered));
    findings.count("failed", "failed, as they had to", count(End::Failed));
    findings.count("late", "late, or refused as hopeless", count(End::Late));
    findings.count("given_up", "given up in the middle", count(End::GivenUp));
    let shared = metrics.answered as f64 / metrics.runs.max(1) as f64;
    findings.factor("shared_loop", "requests to a run of the loop's step", shared);
    findings.factor(
        "shared_sum",
        "and to one of the last step",
        sum.answered as f64 / sum.runs.max(1) as f64,
    );
    findings.require(ends.len() == calls, || format!("{} of {calls} calls ended as they may", ends.len()));
    findings.require(wrong.is_empty(), || wrong[0].clone());
    findings.require(shared > 2.0, || format!("only {shared:.2} requests shared a run"));
    findings.require(left == 0, || format!("{left} requests were left in a queue or running"));
    Ok(())
}

async fn one(whole: TensorHandle, call: Call) -> Result<End, String> {
    let mut request = whole.infer(numbers("x", &call.x));
    if let Some(timeout) = call.timeout {
        request = request.timeout(timeout);
    }
    let mut answer = request.submit();
    match call.gives_up {
        None => call.is_right(&answer.await),
        Some(after) => match tokio::time::timeout(after, &mut answer).await {
            Ok(outcome) => call.is_right(&outcome),
            Err(_) => {
                answer.stop().await;
                Ok(End::GivenUp)
            }
        },
    }
}

/// The same requests, sent by the pipeline and by hand, in turn.
async fn overhead(plan: &Plan<'_>, models: &Models, findings: &mut Findings) -> Result<(), Broken> {
    let rounds = plan.pick(300, 60);
    let engine = Engine::new();
    let x: Vec<f32> = (100..100 + ROWS as u32).map(|x| x as f32).collect();
    let (mut piped, mut by_hand) = (Times::default(), Times::default());
    for _ in 0..rounds {
        let begin = Instant::now();
        models.whole.infer(numbers("x", &x)).await?;
        piped.add(begin.elapsed());

        let begin = Instant::now();
        let rows = x.iter().map(|x| models.twice.infer(numbers("x", &[*x])));
        let more = models.more.infer(numbers("x", &x)).submit();
        let (rows, more) = (engine.group(rows).fail_fast().await?, more.await?);
        let parts: Vec<&Tensor> = rows.iter().filter_map(|row| row.get("y")).collect();
        let a = Tensor::concat(parts.into_iter())?;
        let b = more.get("y").cloned().ok_or_else(|| Broken::new("a step gave nothing"))?;
        models.sum.infer(Tensors::new().with("a", a).with("b", b)).await?;
        by_hand.add(begin.elapsed());
    }
    let piped = findings.spread("pipeline_ms", "one call of the pipeline", &piped);
    let by_hand = findings.spread("by_hand_ms", "the same requests by hand", &by_hand);
    let factor = piped.p50.as_secs_f64() / by_hand.p50.as_secs_f64();
    findings.factor("overhead", "the pipeline beside that, by its median", factor);
    findings.require(factor <= FACTOR_MAX, || format!("it takes {factor:.2} times as long as by hand"));
    Ok(())
}

/// A real one, where it was gathered: sentences of many callers at once, and each as it is alone.
async fn sentences(plan: &Plan<'_>, engine: &Engine, findings: &mut Findings) -> Result<(), Broken> {
    const NAME: &str = "sentence-embedding";
    let found = find::repository(None).ok().and_then(|models| models.find(NAME).ok().cloned());
    let Some(folder) = found else {
        let why = format!("there is no models/{NAME}; cargo xtask models gathers it");
        findings.leave_out("sentences", "sentence embedding", why);
        return Ok(());
    };
    let model = plan.backends().load(engine, &folder)?.await?;
    let asked = |number: usize| {
        let text = format!(
            "Lamp number {} is {} today.",
            number % 7,
            if number.is_multiple_of(2) { "on" } else { "off" }
        );
        Tensors::new().with("text", Tensor::new(&[1], vec![Bytes::from(text)]).expect("one text"))
    };
    let mut alone = Vec::new();
    for number in 0..14 {
        alone.push(embedding(&*model.infer(asked(number)).await?)?);
    }
    let count = plan.pick(112, 28);
    let begin = Instant::now();
    let calls: Vec<_> = (0..count).map(|number| model.infer(asked(number)).submit()).collect();
    let mut apart = 0.0_f32;
    for (number, call) in calls.into_iter().enumerate() {
        let vector = embedding(&*call.await?)?;
        let differences = vector.iter().zip(&alone[number % 14]).map(|(a, b)| (a - b).abs());
        apart = differences.fold(apart, f32::max);
    }
    findings.rate(
        "sentences_per_s",
        "sentences embedded, all at once",
        count as f64 / begin.elapsed().as_secs_f64(),
    );
    findings.require(apart < 1e-5, || format!("a sentence is {apart} apart from what it is alone"));
    Ok(())
}

fn embedding(answer: &Tensors) -> Result<Vec<f32>, Broken> {
    let vector = answer.get("embedding").ok_or_else(|| Broken::new("it gave no embedding"))?;
    Ok(vector.elements::<f32>()?.to_vec())
}

fn numbers(name: &str, x: &[f32]) -> Tensors {
    Tensors::new().with(name, Tensor::new(&[x.len()], x.to_vec()).expect("as many as there are"))
}
