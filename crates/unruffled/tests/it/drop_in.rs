//! Repositories of other servers, served as they are: the same files, real models, the same answers.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use unruffled::{
    Backends, Batching, Engine, Load, ModelFolder, OrtSearch, Repository, Runtimes, SequenceOptions, Tensor,
    TensorHandle, Tensors, sample,
};

use crate::estimators::{environment, root};

/// The digits of Triton: the settings of the file are complete, as they are where they are not made up by the server.
const DIGITS: &str = r#"
name: "digits"
backend: "onnxruntime"
max_batch_size: 16
input [ { name: "image" data_type: TYPE_FP32 dims: [ 8, 8 ] } ]
output [
  { name: "probabilities" data_type: TYPE_FP32 dims: [ 10 ] label_filename: "labels.txt" },
  { name: "label" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } }
]
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
"#;

/// A model of a repository: its settings, and the gathered or built-in model that its versions are.
fn add(root: &Path, name: &str, settings: &str, model: &str, versions: &[u64]) {
    let folder = root.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.pbtxt"), settings).unwrap();
    for version in versions {
        fs::create_dir_all(folder.join(version.to_string())).unwrap();
        fs::copy(model_file(model), folder.join(format!("{version}/model.onnx"))).unwrap();
    }
}

fn model_file(model: &str) -> std::path::PathBuf {
    let file = match model {
        "digits" => root().join("assets/models/digits/1/model.onnx"),
        gathered => root().join("models").join(gathered).join("1/model.onnx"),
    };
    assert!(file.is_file(), "{model} is not there: run `cargo xtask models` first");
    file
}

/// A repository of the digits with these settings, in these versions.
fn digits(settings: &str, versions: &[u64]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    add(root.path(), "digits", settings, "digits", versions);
    let labels: String = (0..10).map(|digit| format!("{digit}\n")).collect();
    fs::write(root.path().join("digits/labels.txt"), labels).unwrap();
    root
}

fn version(answer: &unruffled::Response<Tensors>) -> Option<String> {
    answer.provenance.as_ref()?.version.as_ref().map(ToString::to_string)
}

fn python(script: &str, argument: &Path) {
    let python = environment().join("bin/python");
    let output = Command::new(python).args(["-c", script]).arg(argument).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_model_of_triton_is_served_as_its_settings_say() {
    let root = digits(DIGITS, &[1]);
    let repository = Repository::open(root.path()).unwrap();
    let warnings: Vec<_> = repository.warnings().map(ToString::to_string).collect();
    let file = root.path().join("digits/config.pbtxt").display().to_string();
    assert_eq!(
        warnings,
        [format!(
            "{file}: line 11: `dynamic_batching.preferred_batch_size` has no effect: nobody waits for a batch to fill: it is \
             formed when an instance is free; line 11: `dynamic_batching.max_queue_delay_microseconds` has no effect: nobody \
             waits for a batch to fill: it is formed when an instance is free"
        )]
    );
    let engine = Engine::new();
    let digits = engine.load_folder(repository.find("digits").unwrap()).unwrap().await.unwrap();
    assert_eq!((digits.options().instances(), digits.options().max_batch()), (2, 16));
    assert_eq!(digits.info().batching, Batching::Joint);
    let told: Vec<_> = digits.info().signature.outputs.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["probabilities: f32 [batch, 10]", "label: i64 [batch, 1]"]);
    let answer = digits.infer(sample::seven()).await.unwrap();
    let label = answer.get("label").unwrap();
    assert_eq!((label.shape(), label.elements::<i64>().unwrap()), (&[1, 1][..], &[7][..]));
    let error = digits.infer(Tensors::new().with("image", Tensor::filled(&[8, 8], 0_f32).unwrap())).await;
    assert!(error.unwrap_err().to_string().contains("`image`"));
}

#[tokio::test]
async fn what_does_not_fit_is_told_with_its_line() {
    let check = async |from: &str, to: &str, expected: &str| {
        let root = digits(&DIGITS.replace(from, to), &[1]);
        let error = Engine::new().load(root.path().join("digits")).await.unwrap_err().to_string();
        let file = root.path().join("digits/config.pbtxt").display().to_string();
        assert!(error.contains(&format!("{file}:{expected}")), "{error} is not {expected}");
    };
    check(
        "[ 8, 8 ]",
        "[ 64 ]",
        "5: `inputs.image`: is image: f32 [?, 64], and the model has image: f32 [batch, 8, 8]; dims leave the batch out, since \
         max_batch_size is not 0",
    )
    .await;
    check("TYPE_INT64", "TYPE_INT32", "8: `outputs.label`: is label: i32 [?]").await;
    check("\"image\"", "\"picture\"", "5: `inputs.picture`: there is no such input; the model has `image`")
        .await;
    check(
        "dims: [ 10 ]",
        "dims: [ 10 ] is_shape_tensor: true",
        "7: `output.is_shape_tensor`: is for TensorRT",
    )
    .await;
    check("\"onnxruntime\"", "\"python\"", "3: `backend`: runs a TritonPythonModel").await;
}

#[tokio::test]
async fn without_a_batch_requests_are_run_one_by_one() {
    let settings = "max_batch_size: 0\ninput { name: 'image' data_type: TYPE_FP32 dims: [ -1, 8, 8 ] }";
    let root = digits(settings, &[1]);
    let engine = Engine::new();
    let digits = engine.load(root.path().join("digits")).await.unwrap();
    assert_eq!(digits.info().batching, Batching::Single);
    let three = Tensors::new().with("image", Tensor::filled(&[3, 8, 8], 0_f32).unwrap());
    let answers =
        futures_util::future::join_all((0..4).map(|_| digits.infer(three.clone()).into_future())).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().get("label").unwrap().len() == 3));
    assert_eq!(digits.metrics().runs, 4);
}

#[tokio::test]
async fn the_policy_says_which_versions_are_served() {
    let check = async |policy: &str, served: &[u64]| {
        let root = digits(&format!("{DIGITS}\n{policy}"), &[1, 2, 10]);
        let folder = ModelFolder::open(root.path().join("digits")).unwrap();
        assert_eq!((&*folder.versions, folder.version), (served, served.last().copied()), "{policy}");
        let engine = Engine::new();
        let handle = Backends::default().register(&engine, &folder).unwrap();
        let answer = handle.infer(sample::seven()).await.unwrap();
        assert_eq!(
            version(&answer),
            if served.len() > 1 { served.last().map(ToString::to_string) } else { None }
        );
        for number in [1, 2, 10] {
            let answer = handle.infer(sample::seven()).version(number.to_string()).await;
            let is_served = answer.as_ref().ok().map(|_| number);
            assert_eq!(
                is_served.is_some(),
                served.contains(&number),
                "version {number} of {policy}: {answer:?}"
            );
        }
    };
    check("", &[10]).await;
    check("version_policy: { all { } }", &[1, 2, 10]).await;
    check("version_policy: { latest { num_versions: 2 } }", &[2, 10]).await;
    check("version_policy: { specific { versions: [ 1, 2 ] } }", &[1, 2]).await;
    let root = digits(&format!("{DIGITS}\nversion_policy: {{ specific {{ versions: [ 4 ] }} }}"), &[1]);
    let error = ModelFolder::open(root.path().join("digits")).unwrap_err();
    let message = "has `model.onnx` in none of the versions that config.pbtxt names (4)";
    assert_eq!(error.message(), message);
}

/// Sixteen times a picture whose pixels are from 0 to 1: what the digits take.
const SCALE: &str = "
import sys
from onnx import TensorProto as T, helper as h
x = h.make_tensor_value_info('x', T.FLOAT, ['n', 8, 8])
y = h.make_tensor_value_info('y', T.FLOAT, ['n', 8, 8])
by = h.make_tensor('by', T.FLOAT, [], [16.0])
graph = h.make_graph([h.make_node('Mul', ['x', 'by'], ['y'])], 'scale', [x], [y], [by])
model = h.make_model(graph, opset_imports=[h.make_opsetid('', 17)], ir_version=8)
open(sys.argv[1], 'wb').write(model.SerializeToString())
";

const READ: &str = r#"
name: "read"
platform: "ensemble"
max_batch_size: 8
input [ { name: "PIXELS" data_type: TYPE_FP32 dims: [ 8, 8 ] } ]
output [ { name: "SCORES" data_type: TYPE_FP32 dims: [ 10 ] } ]
ensemble_scheduling {
  step [
    {
      model_name: "digits" model_version: -1
      input_map { key: "image" value: "scaled" }
      output_map { key: "probabilities" value: "SCORES" }
    },
    {
      model_name: "scale" model_version: -1
      input_map { key: "x" value: "PIXELS" }
      output_map { key: "y" value: "scaled" }
    }
  ]
}
"#;

/// A repository with an ensemble of two models.
fn ensemble(settings: &str) -> TempDir {
    let root = digits(DIGITS, &[1]);
    fs::create_dir_all(root.path().join("scale/1")).unwrap();
    python(SCALE, &root.path().join("scale/1/model.onnx"));
    let scale = "platform: 'onnxruntime_onnx' max_batch_size: 8 input { name: 'x' data_type: TYPE_FP32 dims: [ 8, 8 ] }";
    fs::write(root.path().join("scale/config.pbtxt"), scale).unwrap();
    // Triton wants a version, empty as it is.
    fs::create_dir_all(root.path().join("read/1")).unwrap();
    fs::write(root.path().join("read/config.pbtxt"), settings).unwrap();
    root
}

/// The seven with pixels from 0 to 1.
fn pixels() -> Tensors {
    let seven = sample::seven();
    let image = seven.get("image").unwrap();
    let scaled: Vec<f32> = image.elements::<f32>().unwrap().iter().map(|pixel| pixel / 16.0).collect();
    Tensors::new().with("PIXELS", Tensor::new(image.shape(), scaled).unwrap())
}

#[tokio::test]
async fn an_ensemble_answers_as_its_models_do() {
    let root = ensemble(READ);
    let repository = Repository::open(root.path()).unwrap();
    let order: Vec<_> = repository.in_load_order().iter().map(|model| model.name.to_string()).collect();
    assert_eq!(order, ["digits", "scale", "read"]);
    let engine = Engine::new();
    let read = engine.load(root.path().join("read")).await.unwrap();
    assert_eq!(read.info().signature.outputs[0].to_string(), "SCORES: f32 [n, 10]");
    let answer = read.infer(pixels()).await.unwrap();
    let digits: TensorHandle = engine.get("digits").unwrap();
    let alone = digits.infer(sample::seven()).await.unwrap();
    assert_eq!(answer.get("SCORES"), alone.get("probabilities"));
    assert_eq!(engine.models().len(), 3);
}

#[tokio::test]
async fn an_ensemble_that_does_not_fit_says_where() {
    let check = async |from: &str, to: &str, expected: &str| {
        let root = ensemble(&READ.replace(from, to));
        let error = Engine::new().load(root.path().join("read")).await.unwrap_err().to_string();
        assert!(error.contains(&format!("read/config.pbtxt:{expected}")), "{error} is not {expected}");
    };
    check("\"scale\"", "\"gone\"", "14: `step.gone`: there is no model `gone`").await;
    check("\"x\"", "\"z\"", "16: `step.scale.inputs.z`: model `scale` takes no such input").await;
    check("key: \"y\"", "key: \"z\"", "11: `step.digits.inputs.image`").await;
    check("dims: [ 10 ]", "dims: [ 11 ]", "6: `outputs.SCORES`: is SCORES: f32 [?, 11]").await;
    check("\"scale\"", "\"read\"", "14: `step.read`: asks itself: read -> read; cut the circle").await;
}

const SILERO: &str = r#"
name: "silero-vad"
backend: "onnxruntime"
max_batch_size: 0
input [
  { name: "input" data_type: TYPE_FP32 dims: [ -1, -1 ] },
  { name: "sr" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } }
]
output [ { name: "output" data_type: TYPE_FP32 dims: [ -1, 1 ] } ]
sequence_batching {
  max_sequence_idle_microseconds: 5000000
  oldest { max_candidate_sequences: 4 }
  state [
    {
      input_name: "state" output_name: "stateN" data_type: TYPE_FP32 dims: [ 2, -1, 128 ]
      initial_state { name: "silence" data_type: TYPE_FP32 dims: [ 2, 1, 128 ] zero_data: true }
    }
  ]
}
"#;

#[tokio::test]
async fn a_sequence_of_triton_keeps_its_state() {
    let root = tempfile::tempdir().unwrap();
    add(root.path(), "silero-vad", SILERO, "silero-vad", &[1]);
    let engine = Engine::new();
    let model = engine.load(root.path().join("silero-vad")).await.unwrap();
    let piece = |at: usize| {
        let samples = (0..576).map(|n| (((n + 576 * at) as f32) * 0.01).sin() * 0.3).collect::<Vec<_>>();
        let rate = Tensor::new(&[1], vec![16000_i64]).unwrap();
        Tensors::new().with("input", Tensor::new(&[1, 576], samples).unwrap()).with("sr", rate)
    };
    let session = model.sequences(SequenceOptions::default()).unwrap().begin().unwrap();
    let mut state = Tensor::filled(&[2, 1, 128], 0_f32).unwrap();
    for at in 0..5 {
        let heard = session.infer(piece(at)).await.unwrap();
        assert_eq!(heard.get("stateN"), None, "the state is the session's");
        let by_hand = model.infer(piece(at).with("state", state)).await.unwrap();
        assert_eq!(heard.get("output"), by_hand.get("output"), "piece {at}");
        state = by_hand.get("stateN").unwrap().clone();
    }
}

/// A sum that begins anew where it is told so, whatever its state is.
const SUM: &str = "
import sys
from onnx import TensorProto as T, helper as h
info = lambda name: h.make_tensor_value_info(name, T.FLOAT, ['n', 1])
start, ready = h.make_tensor_value_info('START', T.INT32, ['n', 1]), info('READY')
nodes = [
    h.make_node('Cast', ['START'], ['is_start'], to=T.BOOL),
    h.make_node('Add', ['x', 'state'], ['summed']),
    h.make_node('Where', ['is_start', 'x', 'summed'], ['next']),
    h.make_node('Mul', ['next', 'READY'], ['sum']),
    h.make_node('Neg', ['next'], ['minus']),
]
graph = h.make_graph(nodes, 'sum', [info('x'), info('state'), start, ready], [info('sum'), info('next'), info('minus')])
model = h.make_model(graph, opset_imports=[h.make_opsetid('', 17)], ir_version=8)
open(sys.argv[1], 'wb').write(model.SerializeToString())
";

const SUMMING: &str = r#"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "sum" data_type: TYPE_FP32 dims: [ 1 ] }
sequence_batching {
  state { input_name: "state" output_name: "next" data_type: TYPE_FP32 dims: [ 1 ] }
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
    { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY fp32_false_true: [ 0, 1 ] } ] }
  ]
}
"#;

#[tokio::test]
async fn a_model_is_told_where_a_sequence_begins() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("sum");
    fs::create_dir_all(folder.join("1")).unwrap();
    python(SUM, &folder.join("1/model.onnx"));
    fs::write(folder.join("config.pbtxt"), SUMMING).unwrap();
    let model = Engine::new().load(&folder).await.unwrap();
    let x = |number: f32| Tensors::new().with("x", Tensor::new(&[1, 1], vec![number]).unwrap());
    let sessions = model.sequences(SequenceOptions::default()).unwrap();
    let (one, other) = (sessions.begin().unwrap(), sessions.begin().unwrap());
    for (at, number) in [1.0, 2.0, 3.0, 4.0].into_iter().enumerate() {
        let (a, b) = (one.infer(x(number)).submit(), other.infer(x(10.0 * number)).submit());
        let sum = (1..=at + 1).sum::<usize>() as f32;
        for (answer, expected) in [(a.await.unwrap(), sum), (b.await.unwrap(), 10.0 * sum)] {
            let told: Vec<_> =
                answer.iter().map(|(name, tensor)| (&**name, tensor.elements().unwrap())).collect();
            assert_eq!(told, [("sum", &[expected][..])], "what is not listed is not given");
        }
    }
    // Whoever began with a state would go on: the start is said, and not only a state of zeros.
    let state = Tensor::new(&[1, 1], vec![100.0_f32]).unwrap();
    let first = model.infer(x(5.0).with("state", state.clone())).await.unwrap();
    assert_eq!(first.get("sum").unwrap().elements::<f32>().unwrap(), [5.0]);
    let start = Tensor::new(&[1, 1], vec![0_i32]).unwrap();
    let later = model.infer(x(5.0).with("state", state).with("START", start)).await.unwrap();
    assert_eq!(later.get("sum").unwrap().elements::<f32>().unwrap(), [105.0]);
}

#[test]
fn our_own_settings_count_alone() {
    let root = digits("no settings at all", &[1, 2]);
    fs::write(root.path().join("digits/model.toml"), "[run]\nmax_batch = 4").unwrap();
    let repository = Repository::open(root.path()).unwrap();
    let digits = repository.find("digits").unwrap();
    assert_eq!((digits.config.run.max_batch.map(usize::from), &*digits.versions), (Some(4), &[1, 2][..]));
    let warnings: Vec<_> = repository.warnings().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0]
            .ends_with("model.toml: `config.pbtxt` has no effect: model.toml is there, and counts alone"),
        "{warnings:?}"
    );
}

#[test]
fn one_model_that_is_refused_leaves_the_others_alone() {
    let root = digits(DIGITS, &[1]);
    add(root.path(), "wrong", "name: \"wrong\"\nmax_batch: 8", "digits", &[1]);
    add(root.path(), "scripted", "", "digits", &[]);
    fs::create_dir_all(root.path().join("scripted/1")).unwrap();
    fs::write(root.path().join("scripted/1/model.py"), "class TritonPythonModel: pass").unwrap();
    let repository = Repository::open(root.path()).unwrap();
    assert_eq!(repository.models().iter().map(|model| &*model.name).collect::<Vec<_>>(), ["digits"]);
    let prefix = format!("{}/", root.path().display());
    let told: Vec<_> =
        repository.warnings().map(|warning| warning.to_string().replace(&prefix, "")).collect();
    assert_eq!(
        told[1..],
        [
            "scripted: has no version with `model.onnx`, but a model.py: a TritonPythonModel is not run here; make its \
             `execute` the `predict` of a class `Model`, and take config.pbtxt away",
            "wrong/config.pbtxt:2: `max_batch`: is no field that is known here; correct it, or take it out",
        ]
    );
}

#[tokio::test]
async fn files_may_have_names_of_their_own() {
    let root = digits(&format!("{DIGITS}\ndefault_model_filename: \"seven.onnx\""), &[1]);
    let folder = root.path().join("digits");
    fs::rename(folder.join("1/model.onnx"), folder.join("1/seven.onnx")).unwrap();
    for path in ["", "1", "config.pbtxt"] {
        let found = ModelFolder::open(folder.join(path)).unwrap();
        assert_eq!((&*found.name, found.version), ("digits", Some(1)));
    }
    assert!(Engine::new().load(&folder).await.is_ok());
}

/// What people do before they write a model-settings.json.
const IRIS: &str = "
import sys, joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
x, y = load_iris(return_X_y=True)
joblib.dump(LogisticRegression(max_iter=1000).fit(x, y), sys.argv[1])
";

const SETTINGS: &str = r#"{
  "name": "iris",
  "implementation": "mlserver_sklearn.SKLearnModel",
  "inputs": [{"name": "flowers", "datatype": "FP32", "shape": [-1, 4]}],
  "parameters": {"uri": "./iris.joblib", "version": "2", "extra": {"trust_pickle": true}}
}"#;

#[tokio::test]
async fn an_estimator_of_mlserver_predicts() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("flowers");
    fs::create_dir(&folder).unwrap();
    python(IRIS, &folder.join("iris.joblib"));
    fs::write(folder.join("model-settings.json"), SETTINGS).unwrap();
    fs::write(root.path().join("settings.json"), r#"{"parallel_workers": 2, "debug": true}"#).unwrap();
    let repository = Repository::open(root.path()).unwrap();
    assert_eq!(repository.warnings().len(), 0);
    // Called as the settings say, not as the folder is.
    let found = repository.find("iris").unwrap();
    assert_eq!((found.version, &*found.versions), (Some(2), &[2][..]));
    let search = OrtSearch::default().with_python(environment()).only_given();
    let runtimes = Runtimes::default().with_onnxruntime(search).with_python(environment());
    let engine = Engine::new();
    let iris = Backends::new(&runtimes).load(&engine, found).unwrap().await.unwrap();
    assert_eq!(iris.options().instances(), 2);
    let told: Vec<_> = {
        let signature = &iris.info().signature;
        signature.inputs.iter().chain(&signature.outputs).map(ToString::to_string).collect()
    };
    assert_eq!(told, ["flowers: f32 [n, 4]", "predict: i64 [n]", "predict_proba: f64 [n, 3]"]);
    // A setosa and a virginica: numbers of any type, under any name.
    let flowers = [5.1, 3.5, 1.4, 0.2, 6.7, 3.0, 5.2, 2.3];
    let narrow: Vec<f32> = flowers.iter().map(|x| *x as f32).collect();
    for (name, tensor) in [
        ("flowers", Tensor::new(&[2, 4], narrow).unwrap()),
        ("predict-prob", Tensor::new(&[2, 4], flowers.to_vec()).unwrap()),
        ("x", Tensor::new(&[2, 4], vec![5_i64, 3, 1, 0, 7, 3, 5, 2]).unwrap()),
    ] {
        let answer = iris.infer(Tensors::new().with(name, tensor)).await.unwrap();
        assert_eq!(answer.get("predict").unwrap().elements::<i64>().unwrap(), [0, 2]);
        assert_eq!(answer.get("predict_proba").unwrap().shape(), [2, 3]);
    }
    let wrong = Tensors::new().with("x", Tensor::filled(&[2, 3], 0_f64).unwrap());
    let error = iris.infer(wrong).await.unwrap_err().to_string();
    assert!(error.contains("`x`") && error.contains("[2, 3]"), "{error}");
    let texts = Tensors::new().with("x", Tensor::filled(&[2, 4], unruffled::model::Bytes::new()).unwrap());
    assert!(iris.infer(texts).await.unwrap_err().to_string().contains("an estimator takes numbers"));
    let none = iris.infer(Tensors::new()).await.unwrap_err().to_string();
    assert!(none.contains("takes one input, of any name; 0 are given"), "{none}");
}
