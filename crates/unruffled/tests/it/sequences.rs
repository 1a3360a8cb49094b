//! Sessions of real models: each gives in company what it gives alone.

use std::path::PathBuf;

use tokio::runtime::Runtime;
use unruffled::engine::SessionInfer;
use unruffled::model::{CancelToken, LoadContext, TensorCarrier};
use unruffled::{
    Backends, Batching, Engine, ModelFolder, OrtSearch, PoolOptions, Runtimes, SequenceOptions, Sequences,
    Tensor, TensorHandle, Tensors,
};

use crate::estimators::{environment, root};

const PIECE: usize = 512;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// silero-vad as it was gathered, run by this backend, with so many instances.
fn silero_vad(engine: &Engine, backend: &str, instances: usize) -> TensorHandle {
    let folder = root().join("models/silero-vad");
    assert!(
        folder.join("1/model.onnx").is_file(),
        "models/silero-vad is not there: run `cargo xtask models` first"
    );
    let mut found = ModelFolder::open(folder).unwrap();
    // The settings of the sources, which may be newer than those that were gathered.
    found.config = unruffled::ModelConfig::read(&root().join("xtask/models/silero-vad")).unwrap();
    found.config.backend = Some(backend.into());
    let search = OrtSearch::default().with_python(environment()).only_given();
    let backends = Backends::new(&Runtimes::default().with_onnxruntime(search));
    let model = backends.load_model(&found, &LoadContext::new(&CancelToken::new(), &|_| ())).unwrap();
    assert_eq!(model.info().batching, Batching::Joint, "sessions of {backend} share runs");
    let options = PoolOptions::default().with_instances(instances);
    engine.wrap_model(model).options(options).name("silero-vad").build().unwrap()
}

/// A piece of sound, another for each session.
fn piece(session: usize, at: usize) -> Vec<f32> {
    let sample = |n: usize| ((n + PIECE * at) as f32 * (0.01 + 0.003 * session as f32)).sin() * 0.3;
    (0..PIECE).map(sample).collect()
}

fn input(samples: Vec<f32>) -> Tensors {
    Tensors::new().with("input", Tensor::new(&[1, samples.len()], samples).unwrap())
}

fn speech(answer: &Tensors) -> f32 {
    answer.get("output").unwrap().elements::<f32>().unwrap()[0]
}

/// What silero-vad says of a session when state and context are carried by hand, and nobody else asks.
fn by_hand(runtime: &Runtime, model: &TensorHandle, session: usize, pieces: usize) -> Vec<f32> {
    let (mut context, mut state) = (vec![0.0; 64], Tensor::filled(&[2, 1, 128], 0_f32).unwrap());
    let answers = (0..pieces).map(|at| {
        let samples = [context.clone(), piece(session, at)].concat();
        context = samples[samples.len() - 64..].to_vec();
        let answer = runtime.block_on(model.infer(input(samples).with("state", state.clone())).into_future());
        let answer = answer.unwrap();
        state = answer.get("stateN").unwrap().clone();
        speech(&answer)
    });
    answers.collect()
}

fn check_silero_vad(backend: &str) {
    const SESSIONS: usize = 12;
    const PIECES: usize = 8;
    let (runtime, engine) = (runtime(), Engine::new());
    let (model, alone) = (silero_vad(&engine, backend, 2), silero_vad(&engine, backend, 1));
    let sequences: Sequences<TensorCarrier> = model.sequences(SequenceOptions::default()).unwrap();
    let sessions: Vec<_> = (0..SESSIONS).map(|_| sequences.begin().unwrap()).collect();
    // All that they have to say, at once: each session keeps its order.
    let calls: Vec<Vec<SessionInfer<TensorCarrier>>> = sessions
        .iter()
        .enumerate()
        .map(|(at, session)| (0..PIECES).map(|n| session.infer(input(piece(at, n))).submit()).collect())
        .collect();
    for (at, calls) in calls.into_iter().enumerate() {
        let heard: Vec<f32> = calls
            .into_iter()
            .map(|call| {
                let answer = runtime.block_on(call).unwrap();
                assert_eq!(answer.get("stateN"), None, "the state is the session's");
                speech(&answer)
            })
            .collect();
        let expected = by_hand(&runtime, &alone, at, PIECES);
        let apart = heard.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart <= 1e-5, "session {at} of {backend}: {heard:?} is not {expected:?}");
    }
}

#[test]
fn silero_vad_hears_each_session_as_if_alone() {
    check_silero_vad("rten");
}

#[test]
fn silero_vad_does_so_in_onnx_runtime() {
    check_silero_vad("ort");
}

#[test]
fn a_call_of_silero_vad_with_its_own_state_is_refused() {
    let engine = Engine::new();
    let model = silero_vad(&engine, "rten", 1);
    let session = model.sequences(SequenceOptions::default()).unwrap().begin().unwrap();
    let state = Tensor::filled(&[2, 1, 128], 0_f32).unwrap();
    let error = runtime().block_on(session.infer(input(piece(0, 0)).with("state", state)).into_future());
    assert!(error.unwrap_err().to_string().contains("`state`: is what the session keeps; leave it out"));
}

const MEAN: &str = r#"
import numpy as np

from unruffled_worker import Tensor


class Model:
    def initial_state(self):
        return {"sum": np.zeros((), "f8"), "count": np.zeros((), "i8")}

    def predict(self, x: Tensor["f64"], state) -> Tensor["f64"]:
        if x < 0:
            raise ValueError("too cold")
        total, count = state["sum"] + x, state["count"] + 1
        return total / count, {"sum": total, "count": count}
"#;

#[test]
fn a_python_model_with_state_has_sessions() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mean")).unwrap();
    std::fs::write(folder.path().join("mean/model.py"), MEAN).unwrap();
    let found = ModelFolder::open(PathBuf::from(folder.path()).join("mean")).unwrap();
    let backends = Backends::new(&Runtimes::default().with_python(environment()));
    let engine = Engine::new();
    let x = |number: f64| Tensors::new().with("x", Tensor::scalar(number));
    let mean = |answer: &Tensors| answer.get("output").unwrap().elements::<f64>().unwrap()[0];
    runtime().block_on(async {
        let model: TensorHandle = backends.load(&engine, &found).unwrap().await.unwrap();
        let sequences = model.sequences(SequenceOptions::default()).unwrap();
        let (a, b) = (sequences.begin().unwrap(), sequences.begin().unwrap());
        assert_eq!(mean(&a.infer(x(1.0)).await.unwrap()), 1.0);
        assert_eq!(mean(&b.infer(x(10.0)).await.unwrap()), 10.0);
        assert_eq!(mean(&a.infer(x(3.0)).await.unwrap()), 2.0);
        assert!(a.infer(x(-1.0)).await.unwrap_err().to_string().contains("too cold"));
        assert_eq!(mean(&a.infer(x(5.0)).await.unwrap()), 3.0, "the cold one did not count");
        let moved = sequences.restore(&b.snapshot().unwrap()).unwrap();
        assert_eq!(mean(&moved.infer(x(20.0)).await.unwrap()), 15.0);
        assert_eq!(mean(&b.infer(x(30.0)).await.unwrap()), 20.0);
    });
}
