//! `prove sequence`: sessions keep their states apart, though their calls share runs and their instances die.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;
use unruffled::engine::{ErrorKind, PoolOptions, SequenceOptions, Sequences, Session};
use unruffled::model::{
    Batch, Batching, CancelToken, Footprint, JointModel, LoadContext, LoadedModel, Model, ModelError,
    ModelInfo, RunContext, SequenceSpec, Serve, TensorCarrier, TensorModel, TensorRun, admit_tensors,
};
use unruffled::{DType, Dim, Engine, Signature, Tensor, TensorSpec, Tensors};

use super::Proof;
use super::plan::{Broken, Outcome, Plan, left_over, runtime};
use super::report::Findings;
use crate::find;

pub(super) const PROOF: Proof = Proof {
    name: "sequence",
    what: "200 sessions of a recurrent model call at once, each in its own time, while instances are killed.",
    pass_line: "every session gives what it gives alone, within 1e-5; its calls shared runs, and no state was lost",
    run,
};

const SESSIONS: usize = 200;

/// Samples of a call: 32 ms of speech.
const PIECE: usize = 512;

const APART_MAX: f32 = 1e-5;

/// How many rows may share a run.
const ROWS: usize = 32;

fn run(plan: &Plan<'_>) -> Outcome {
    let mut findings = Findings::default();
    let model = match silero_vad(plan) {
        Ok(model) => model,
        Err(why) => {
            findings.leave_out("silero_vad", "silero-vad (a small recurrent model instead)", why);
            Arc::new(Recurrent::new())
        }
    };
    let alone = begin(Arc::clone(&model), 1, &Engine::new())?;
    let fragile = Fragile::new(model);
    let deaths = fragile.deaths.clone();
    let together = begin(Arc::new(fragile), 2, &Engine::new())?;
    plan.run(runtime()?, async {
        measure(plan, &alone, &together, &deaths, &mut findings).await?;
        Ok(findings)
    })
}

fn silero_vad(plan: &Plan<'_>) -> Result<TensorModel, String> {
    let gathered = find::repository(None).map_err(|_| "the folder of models cannot be read".to_owned())?;
    let found = gathered.find("silero-vad").map_err(|error| error.to_string())?;
    let model = plan.backends().load_model(found, &LoadContext::new(&CancelToken::new(), &|_| ()));
    model.map_err(|error| error.to_string())
}

fn begin(model: TensorModel, instances: usize, engine: &Engine) -> Result<Sequences<TensorCarrier>, Broken> {
    let options = PoolOptions::default().with_instances(instances).with_max_batch(ROWS);
    let handle = engine.wrap_model(model).options(options).name("sequence").build()?;
    Ok(handle.sequences(SequenceOptions::default())?)
}

async fn measure(
    plan: &Plan<'_>,
    alone: &Sequences<TensorCarrier>,
    together: &Sequences<TensorCarrier>,
    deaths: &Deaths,
    findings: &mut Findings,
) -> Result<(), Broken> {
    let calls = plan.pick(20, 6);
    plan.steps(2 * SESSIONS);
    let begin = Instant::now();
    let mut expected = Vec::new();
    for number in 0..SESSIONS {
        let session = alone.begin()?;
        let mut heard = Vec::new();
        for piece in 0..calls {
            let answer = session.infer(sound(plan, number, piece)).await?;
            heard.push(read(&answer)?);
        }
        expected.push(heard);
        plan.step();
    }
    let took_alone = begin.elapsed();

    let begin = Instant::now();
    let mut asking = JoinSet::new();
    for number in 0..SESSIONS {
        let pieces: Vec<_> = (0..calls).map(|piece| sound(plan, number, piece)).collect();
        // Some move in the middle: what a session is, its snapshot says.
        let moves = number % 10 == 0;
        asking.spawn(one(together.clone(), number, pieces, moves, deaths.clone()));
    }
    let (mut heard, mut again) = (vec![Vec::new(); SESSIONS], 0);
    while let Some(one) = asking.join_next().await {
        let Asked { number, answers, failed } = one??;
        (heard[number], again) = (answers, again + failed);
        plan.step();
    }
    let took_together = begin.elapsed();
    let handle = together.handle();
    let left = left_over(handle).await + together.status().sessions;

    let apart = |(a, b): (&f32, &f32)| (a - b).abs();
    let pairs = || heard.iter().flatten().zip(expected.iter().flatten());
    let most_apart = pairs().map(apart).fold(0.0, f32::max);
    let same = pairs().filter(|(a, b)| a.to_bits() == b.to_bits()).count();
    let (metrics, total) = (handle.metrics(), SESSIONS * calls);
    let shared = (total + again) as f64 / metrics.runs as f64;
    findings.count("sessions", "sessions at once", SESSIONS);
    findings.count("calls", "calls, each after the one before", total);
    findings.count("runs", "runs", metrics.runs);
    findings.factor("shared", "as many calls as runs", shared);
    findings.count("instances_killed", "instances killed meanwhile", deaths.count());
    findings.count("repeated", "calls that failed for it, and were made again", again);
    findings.share("same", "answers that are the same to the bit", same as f64 / total as f64);
    let billionths = (f64::from(most_apart) * 1e9) as u64;
    findings.count("apart_max_billionths", "largest difference, in billionths", billionths);
    findings.time("alone_ms", "one after the other", took_alone);
    findings.time("together_ms", "together", took_together);
    findings.require(pairs().count() == total, || format!("{} answers for {total} calls", pairs().count()));
    findings
        .require(most_apart <= APART_MAX, || format!("an answer is {most_apart:e} apart from that alone"));
    findings.require(shared >= 2.0, || format!("only {shared:.1} calls shared a run"));
    findings.require(deaths.count() > 0, || "no instance was killed".into());
    findings.require(left == 0, || format!("{left} sessions or calls were left"));
    Ok(())
}

/// What one session was told.
struct Asked {
    number: usize,
    answers: Vec<f32>,
    /// Calls that were made again.
    failed: usize,
}

/// One session from its beginning to its end; every call from the state that the one before has left.
async fn one(
    sequences: Sequences<TensorCarrier>,
    number: usize,
    pieces: Vec<Tensors>,
    moves: bool,
    deaths: Deaths,
) -> Result<Asked, Broken> {
    let mut session: Session<TensorCarrier> = sequences.begin()?;
    let (mut answers, mut failed) = (Vec::new(), 0);
    let half = pieces.len() / 2;
    for (at, piece) in pieces.into_iter().enumerate() {
        if at == half && number == SESSIONS / 2 {
            deaths.order(DEATHS);
        }
        if at == half && moves {
            session = sequences.restore(&session.snapshot()?)?;
        }
        let answer = loop {
            match session.infer(piece.clone()).await {
                Ok(answer) => break answer,
                Err(error) if error.kind() == ErrorKind::ModelCrashed => failed += 1,
                Err(error) => return Err(error.into()),
            }
        };
        answers.push(read(&answer)?);
    }
    let steps = session.snapshot()?.steps();
    if steps != answers.len() as u64 {
        return Err(Broken::new(format!("session {number} has counted {steps} of {} calls", answers.len())));
    }
    Ok(Asked { number, answers, failed })
}

/// Something to listen to: noise that swells and fades, another for each session.
fn sound(plan: &Plan<'_>, session: usize, piece: usize) -> Tensors {
    let mut random = plan.random((session * 1_000 + piece) as u64);
    let loud = ((session + piece) as f32 * 0.7).sin().abs() * 0.5;
    let samples: Vec<f32> = (0..PIECE).map(|_| (random.f32() - 0.5) * loud).collect();
    Tensors::new().with("input", Tensor::new(&[1, PIECE], samples).expect("there are as many"))
}

fn read(answer: &Tensors) -> Result<f32, Broken> {
    let number = answer.get("output").and_then(|output| output.elements::<f32>().ok()?.first().copied());
    number.ok_or_else(|| Broken::new("the model gave no number"))
}

/// How many instances are killed.
const DEATHS: usize = 3;

/// Instances that are to be killed, and those that were.
#[derive(Clone, Default)]
struct Deaths(Arc<(AtomicUsize, AtomicUsize)>);

impl Deaths {
    fn order(&self, deaths: usize) {
        self.0.0.fetch_add(deaths, Ordering::SeqCst);
    }

    fn count(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }

    /// Whether it is now that an instance dies.
    fn due(&self) -> bool {
        let due =
            self.0.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if due {
            self.0.1.fetch_add(1, Ordering::SeqCst);
        }
        due
    }
}

/// Another model whose instances die when they are told to, in the middle of a run.
struct Fragile {
    inner: TensorModel,
    deaths: Deaths,
}

impl Fragile {
    fn new(inner: TensorModel) -> Self {
        Self { inner, deaths: Deaths::default() }
    }
}

impl LoadedModel for Fragile {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        self.inner.info()
    }

    fn admit(&self, input: &Tensors) -> Result<Footprint, ModelError> {
        self.inner.admit(input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        self.inner.with_instance(&mut |inner| serve(&mut FragileInstance { inner, deaths: &self.deaths }))
    }
}

struct FragileInstance<'a> {
    inner: &'a mut dyn Model<Input = Tensors, Output = Tensors>,
    deaths: &'a Deaths,
}

impl Model for FragileInstance<'_> {
    type Input = Tensors;
    type Output = Tensors;

    fn run(&mut self, batch: &mut Batch<Tensors, Tensors>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        // What it has computed by then is lost with it.
        if self.deaths.due() {
            std::panic::resume_unwind(Box::new("killed by the proof"));
        }
        self.inner.run(batch, ctx)
    }
}

/// A recurrent model of the proof's own, with the inputs and outputs of silero-vad: an echo of what it has heard.
struct Recurrent(ModelInfo);

impl Recurrent {
    fn new() -> Self {
        let rows = || Dim::Symbolic("batch".into());
        let state = [Dim::Fixed(2), rows(), Dim::Fixed(1)];
        let signature = Signature {
            inputs: vec![
                TensorSpec::new("input", DType::F32, [rows(), Dim::Symbolic("samples".into())]),
                TensorSpec::new("state", DType::F32, state.clone()),
            ],
            outputs: vec![
                TensorSpec::new("output", DType::F32, [rows(), Dim::Fixed(1)]),
                TensorSpec::new("stateN", DType::F32, state),
            ],
        };
        let info = ModelInfo::new("recurrent", "rust")
            .with_signature(signature)
            .with_batching(Batching::Joint)
            .with_sequence(SequenceSpec::new().with_state("stateN", "state").with_overlap("input", 64));
        Self(info)
    }
}

impl LoadedModel for Recurrent {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn admit(&self, input: &Tensors) -> Result<Footprint, ModelError> {
        admit_tensors(&self.0, input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        serve(&mut JointModel::new(&self.0, Echo));
        Ok(())
    }
}

struct Echo;

impl TensorRun for Echo {
    fn run(&mut self, inputs: &Tensors, _: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let get = |name: &str| inputs.get(name).ok_or_else(|| ModelError::failed("was not given").at(name));
        let (sound, state) = (get("input")?, get("state")?.elements::<f32>()?);
        let rows = sound.shape()[0];
        let (mut short, mut long) = (state[..rows].to_vec(), state[rows..].to_vec());
        for (row, samples) in sound.elements::<f32>()?.chunks(sound.shape()[1].max(1)).enumerate() {
            for sample in samples {
                short[row] = 0.99 * short[row] + sample.abs();
                long[row] = (0.9 * long[row] + 0.1 * short[row]).tanh();
            }
        }
        Ok(Tensors::new()
            .with("output", Tensor::new(&[rows, 1], long.clone())?)
            .with("stateN", Tensor::new(&[2, rows, 1], [short, long].concat())?))
    }
}
