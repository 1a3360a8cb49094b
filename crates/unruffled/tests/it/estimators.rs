//! Estimators of scikit-learn, each as an ONNX file and as the Python object that it was made of: the same answers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use unruffled::model::{
    BackendOptions, Batch, CancelToken, Data, LoadContext, Model, RunContext, SpecialOptions, TensorModel,
};
use unruffled::{
    Backend, Backends, DType, ModelFolder, ModelSource, OrtSearch, PythonBackend, PythonOptions, Runtimes,
    Tensor, Tensors,
};
use unruffled_testing::npy;
use unruffled_worker::Spare;

/// What skops does not know to be harmless, and we do.
const TRUSTED: [&str; 6] = [
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
];

/// Estimators that were saved in both forms, in `manifest.json`.
#[derive(Deserialize)]
struct Estimator {
    name: String,
    kind: String,
    files: Vec<String>,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn environment() -> PathBuf {
    let folder = root().join(".venv");
    assert!(folder.is_dir(), "there is no .venv; remedy: cargo xtask test setup");
    folder
}

fn made() -> PathBuf {
    root().join("models/.cache/estimators")
}

/// One estimator of each kind that scikit-learn has saved, by kind.
fn kinds() -> Vec<Estimator> {
    let manifest = fs::read(made().join("manifest.json")).expect("no estimators; remedy: cargo xtask models");
    let all: Vec<Estimator> = serde_json::from_slice(&manifest).unwrap();
    let mut kinds = BTreeMap::new();
    for estimator in all {
        if estimator.files.iter().any(|file| file == "model.skops") {
            kinds.entry(estimator.kind.clone()).or_insert(estimator);
        }
    }
    kinds.into_values().collect()
}

fn run(model: &TensorModel, requests: &[Tensors]) -> Vec<Tensors> {
    let (mut answers, cancel) = (Vec::new(), CancelToken::new());
    let serve = &mut |instance: &mut dyn Model<Input = Tensors, Output = Tensors>| {
        for inputs in requests {
            let mut batch = Batch::new([inputs.clone()]);
            instance.run(&mut batch, &RunContext::new(&cancel, None, &[])).unwrap();
            answers.extend(batch.into_rows().into_iter().map(|row| row.into_answer().unwrap().unwrap()));
        }
    };
    model.with_instance(serve).unwrap();
    answers
}

fn in_python(file: PathBuf) -> TensorModel {
    let python = PythonOptions::default()
        .with_python(environment())
        .with_trusted_types(TRUSTED)
        .with_spare(Spare::None);
    let options =
        BackendOptions { special: SpecialOptions::default().with(python), ..BackendOptions::default() };
    let cancel = CancelToken::new();
    PythonBackend::new()
        .load(&ModelSource::File(file), &options, &LoadContext::new(&cancel, &|_| ()))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Text stays as it is; numbers of every type become comparable.
#[derive(Debug, PartialEq)]
enum Values {
    Texts(Vec<Vec<u8>>),
    Numbers(Vec<f64>),
}

fn values(tensor: &Tensor) -> Values {
    match tensor.data() {
        Data::Bytes(texts) => Values::Texts(texts.iter().map(|text| text.to_vec()).collect()),
        Data::F32(numbers) => Values::Numbers(numbers.iter().map(|&x| f64::from(x)).collect()),
        Data::F64(numbers) => Values::Numbers(numbers.to_vec()),
        Data::I32(numbers) => Values::Numbers(numbers.iter().map(|&x| f64::from(x)).collect()),
        Data::I64(numbers) => Values::Numbers(numbers.iter().map(|&x| x as f64).collect()),
        other => panic!("no estimator gives {other:?}"),
    }
}

/// The same numbers as an estimator in Python takes them.
fn in_type(tensor: &Tensor, dtype: DType) -> Tensor {
    match (values(tensor), dtype) {
        (Values::Numbers(numbers), DType::F64) => Tensor::new(tensor.shape(), numbers).unwrap(),
        (Values::Numbers(_), dtype) if dtype == tensor.dtype() => tensor.clone(),
        (values, dtype) => panic!("no estimator here takes {values:?} as {dtype}"),
    }
}

/// Classes exactly, scores within 1e-5 and 1e-4 of their size: one computes in 32 bits, the other in 64.
fn is_same(a: &Tensor, b: &Tensor, is_class: bool) -> bool {
    let close = |a: &f64, b: &f64| a == b || (!is_class && (a - b).abs() <= 1e-5 + 1e-4 * b.abs());
    match (values(a), values(b)) {
        (Values::Numbers(a), Values::Numbers(b)) => {
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| close(a, b))
        }
        (a, b) => a == b,
    }
}

/// Runs the recorded inputs of an estimator through both forms, and tells what ran the ONNX file.
fn compare(backends: &Backends, estimator: &Estimator) -> Result<&'static str, String> {
    let folder = made().join(&estimator.name).join("1");
    let onnx = ModelFolder::open(folder.join("model.onnx")).unwrap();
    let chosen = backends.choose(&onnx).unwrap().backend.name();
    let loaded = backends.load_model(&onnx, &LoadContext::new(&CancelToken::new(), &|_| ())).unwrap();
    let [input] = loaded.info().signature.inputs.as_slice() else {
        return Err("has not one input".into());
    };
    let cases = fs::read_dir(made().join("recordings").join(&estimator.name)).unwrap();
    let given: Vec<Tensor> = cases
        .map(|case| npy::read_file(&case.unwrap().path().join(format!("in.{}.npy", input.name))).unwrap())
        .collect();
    let to_onnx: Vec<_> = given.iter().map(|x| Tensors::new().with(input.name.clone(), x.clone())).collect();
    let python = in_python(folder.join("model.skops"));
    let spec = &python.info().signature.inputs[0];
    let to_python: Vec<_> =
        given.iter().map(|x| Tensors::new().with(spec.name.clone(), in_type(x, spec.dtype))).collect();
    for (ours, theirs) in run(&loaded, &to_onnx).iter().zip(run(&python, &to_python)) {
        // The class or number comes first in both, and then the probabilities, if there are any.
        for ((name, theirs), (_, ours)) in theirs.iter().zip(ours.iter()) {
            if !is_same(ours, theirs, &**name == "label") {
                return Err(format!("`{name}` of {:?}: {ours:?} instead of {theirs:?}", theirs.shape()));
            }
        }
    }
    Ok(chosen)
}

/// Compares every second kind: two tests share the cores.
#[track_caller]
fn check(which: usize) {
    let search = OrtSearch::default().with_python(environment()).only_given();
    let backends = Backends::new(&Runtimes::default().with_onnxruntime(search));
    let (mut failures, mut same) = (Vec::new(), 0);
    for estimator in kinds().iter().skip(which).step_by(2) {
        match compare(&backends, estimator) {
            Ok(backend) => {
                same += 1;
                println!("{}: the same with {backend} and in Python", estimator.kind);
            }
            Err(error) => failures.push(format!("{}: {error}", estimator.kind)),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(same >= 10, "only {same} kinds were compared");
}

#[test]
fn estimators_answer_the_same_in_both_forms() {
    check(0);
}

#[test]
fn other_estimators_answer_the_same_in_both_forms() {
    check(1);
}
