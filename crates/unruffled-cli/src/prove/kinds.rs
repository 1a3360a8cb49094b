//! Models of other kinds for the proofs, where there is a runtime for them: ONNX Runtime, and Python.

use std::path::PathBuf;

use tempfile::TempDir;
use unruffled::config::ModelConfig;
use unruffled::model::{Bytes, CancelToken, LoadContext, TensorModel};
use unruffled::{Backends, ModelFolder, Tensor, Tensors};

use super::plan::{Broken, Plan};

/// Hundreds of short steps, about 20 ms a row on one thread.
const SLOW: &[u8] = include_bytes!("../../../../assets/conformance/models/slow/1/model.onnx");

/// Gives back what it gets.
const IDENTITY: &[u8] = include_bytes!("../../../../assets/conformance/models/identity-f32/1/model.onnx");

/// A Python model of the proofs' own.
#[derive(Clone, Copy)]
pub(super) enum Script {
    /// Its rows are run one by one.
    Alone,
    /// Its rows go through it together.
    Joint,
}

impl Script {
    fn files(self) -> [(&'static str, &'static str); 2] {
        let (code, settings) = match self {
            Script::Alone => (include_str!("python/alone.py"), include_str!("python/alone.toml")),
            Script::Joint => (include_str!("python/joint.py"), include_str!("python/joint.toml")),
        };
        [("model.py", code), ("model.toml", settings)]
    }

    /// Writes it where it can be loaded from.
    pub(super) fn written(self) -> Result<Written, Broken> {
        let written = Written(tempfile::tempdir()?);
        std::fs::create_dir(written.path())?;
        for (name, text) in self.files() {
            std::fs::write(written.path().join(name), text)?;
        }
        Ok(written)
    }
}

/// What Python models of the proofs are called.
pub(super) const MODEL: &str = "proof";

/// A Python model on disk, for as long as this is kept.
pub(super) struct Written(TempDir);

impl Written {
    /// The folder of the model.
    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join(MODEL)
    }
}

/// What the Python models are asked to do.
#[derive(Clone, Copy)]
pub(super) enum Ask {
    /// Twice this number.
    Double(f64),
    /// To keep Python busy for so many seconds.
    Spin(f64),
    /// To stay in a library that hears nothing, for about half a second times this.
    Native(f64),
    /// To die of a bad address.
    Die,
}

impl Ask {
    pub(super) fn numbers(self) -> Vec<f64> {
        match self {
            Ask::Double(number) => vec![0.0, number],
            Ask::Spin(seconds) => vec![1.0, seconds],
            Ask::Native(times) => vec![2.0, times],
            Ask::Die => vec![3.0, 0.0],
        }
    }

    /// For [`Script::Alone`].
    pub(super) fn alone(self) -> Tensors {
        Tensors::new().with("x", Tensor::new(&[2], self.numbers()).expect("there are two"))
    }

    /// For [`Script::Joint`].
    pub(super) fn joint(self) -> Tensors {
        Tensors::new().with("x", Tensor::new(&[1, 2], self.numbers()).expect("there are two"))
    }
}

/// So many rows for [`slow`].
pub(super) fn slow_rows(rows: usize) -> Tensors {
    Tensors::new().with("x", Tensor::filled(&[rows, 64], 0.5_f32).expect("it is small"))
}

/// The model of many short steps in ONNX Runtime, or why there is none.
pub(super) fn slow(plan: &Plan<'_>) -> Result<TensorModel, String> {
    onnxruntime(plan, SLOW)
}

/// A model of one node in ONNX Runtime, or why there is none.
pub(super) fn identity(plan: &Plan<'_>) -> Result<TensorModel, String> {
    onnxruntime(plan, IDENTITY)
}

fn onnxruntime(plan: &Plan<'_>, model: &'static [u8]) -> Result<TensorModel, String> {
    let mut config = ModelConfig::default();
    config.backend = Some("ort".into());
    let folder = ModelFolder::in_memory(MODEL, Bytes::from_static(model), config);
    folder.and_then(|folder| load(plan.backends(), &folder)).map_err(|error| error.to_string())
}

/// A Python model, or why there is none.
pub(super) fn python(plan: &Plan<'_>, script: Script) -> Result<(TensorModel, Written), String> {
    let folder = script.written().map_err(Broken::into_text)?;
    let found = ModelFolder::open(folder.path());
    let model = found.and_then(|found| load(plan.backends(), &found)).map_err(|error| error.to_string())?;
    Ok((model, folder))
}

fn load(backends: &Backends, folder: &ModelFolder) -> Result<TensorModel, unruffled::Error> {
    backends.load_model(folder, &LoadContext::new(&CancelToken::new(), &|_| ()))
}

/// The number that a Python model gave, and the process that it lives in.
pub(super) fn answer(outputs: &Tensors) -> Option<(f64, i64)> {
    let number = outputs.get("y")?.elements::<f64>().ok()?.first().copied()?;
    Some((number, outputs.get("pid")?.elements::<i64>().ok()?.first().copied()?))
}
