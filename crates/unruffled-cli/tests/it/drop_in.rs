//! A Triton repository and an MLServer folder behind `unruffled serve`, asked by the clients that people have.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::program::{Server, environment, run, typed};

const DIGITS: &str = r#"
name: "digits"
platform: "onnxruntime_onnx"
max_batch_size: 16
input [ { name: "image" data_type: TYPE_FP32 dims: [ 8, 8 ] } ]
output [
  { name: "probabilities" data_type: TYPE_FP32 dims: [ 10 ] label_filename: "labels.txt" },
  { name: "label" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } }
]
instance_group [ { count: 2 kind: KIND_GPU } ]
version_policy: { all { } }
model_warmup [ { name: "zeros" batch_size: 1 } ]
response_cache { enable: true }
"#;

const WHOLE: &str = "max_batch_size: 0 input { name: 'image' data_type: TYPE_FP32 dims: [ -1, 8, 8 ] }";

const BEST: &str = r#"
platform: "ensemble"
max_batch_size: 16
input [ { name: "PICTURE" data_type: TYPE_FP32 dims: [ 8, 8 ] } ]
output [ { name: "SCORES" data_type: TYPE_FP32 dims: [ 10 ] }, { name: "AGAIN" data_type: TYPE_INT64 dims: [ -1 ] } ]
ensemble_scheduling { step [
  {
    model_name: "digits" model_version: -1
    input_map { key: "image" value: "PICTURE" }
    output_map { key: "probabilities" value: "SCORES" }
    output_map { key: "label" value: "AGAIN" }
  }
] }
"#;

const SILERO: &str = r#"
max_batch_size: 0
input [
  { name: "input" data_type: TYPE_FP32 dims: [ -1, -1 ] },
  { name: "sr" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } }
]
sequence_batching {
  max_sequence_idle_microseconds: 5000000
  state [ {
    input_name: "state" output_name: "stateN" data_type: TYPE_FP32 dims: [ 2, -1, 128 ]
    initial_state { data_type: TYPE_FP32 dims: [ 2, 1, 128 ] zero_data: true }
  } ]
}
"#;

fn add(root: &Path, name: &str, settings: &str, model: &str, versions: &[u64]) {
    let folder = root.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.pbtxt"), settings).unwrap();
    for version in versions {
        fs::create_dir_all(folder.join(version.to_string())).unwrap();
        fs::copy(typed(model), folder.join(format!("{version}/model.onnx"))).unwrap();
    }
}

fn triton() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let digits = "assets/models/digits/1/model.onnx";
    add(root.path(), "digits", DIGITS, digits, &[1, 2]);
    fs::copy(typed("assets/models/digits/labels.txt"), root.path().join("digits/labels.txt")).unwrap();
    add(root.path(), "whole", WHOLE, digits, &[1, 2]);
    add(root.path(), "best", BEST, digits, &[]);
    fs::create_dir(root.path().join("best/1")).unwrap();
    add(root.path(), "silero-vad", SILERO, "models/silero-vad/1/model.onnx", &[1]);
    add(root.path(), "tensorrt", "name: \"tensorrt\"\nplatform: \"tensorrt_plan\"", digits, &[]);
    root
}

/// Runs a script that ends well.
#[track_caller]
fn drive(script: &str, server: &Server) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script);
    let python = Path::new(&environment()).join("bin/python");
    let address = server.url().trim_start_matches("http://");
    let output = Command::new(python).arg(script).arg(address).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.ends_with("all is well\n"), "{said}\n{errors}");
}

#[test]
fn tritons_client_finds_a_repository_as_it_is() {
    let root = triton();
    let server = Server::start(&["--models", &root.path().display().to_string()]);
    drive("triton_repository.py", &server);
    server.signal("INT");
    let (code, errors) = server.ended();
    assert_eq!(code, 0, "{errors}");
    for part in [
        "tensorrt/config.pbtxt:2: `platform`: \"tensorrt_plan\" does not run models here",
        "digits/config.pbtxt: line 10: `instance_group.kind` has no effect: the model runs on the processor",
        "silero-vad/config.pbtxt: line 8: `sequence_batching.max_sequence_idle_microseconds` has no effect",
    ] {
        assert_eq!(errors.matches(part).count(), 1, "{part} is not once in {errors}");
    }
}

#[test]
fn inspect_shows_the_settings_that_were_taken() {
    let root = triton();
    let path = root.path().join("digits").display().to_string();
    let page = run(&["inspect", &path]).ok();
    for part in [
        "version 2, also there: [1]",
        "config.pbtxt, as Triton has them",
        "up to 16 rows",
        "1 of each instance",
        "answers are remembered",
        "instances  2, of 1 thread",
        "line 10    instance_group.kind has no effect: the model runs on the processor",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let document = run(&["inspect", &path, "--json"]).json();
    let settings = &document["settings"];
    assert_eq!(
        [&settings["instances"], &settings["max_batch"], &settings["warm_up"], &settings["cache"]],
        [&json!(2), &json!(16), &json!(1), &json!(true)]
    );
    assert_eq!(settings["without_effect"][0]["line"], 10);
    let whole = run(&["inspect", &root.path().join("whole").display().to_string()]).ok();
    assert!(whole.contains("one request a run, as its settings say"), "{whole}");
}

#[test]
fn clients_of_mlserver_find_its_folder_as_it_is() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("flowers");
    fs::create_dir(&folder).unwrap();
    let script = "import sys, joblib\nfrom sklearn.datasets import load_iris\nfrom sklearn.svm import SVC\n\
                  joblib.dump(SVC().fit(*load_iris(return_X_y=True)), sys.argv[1])";
    let python = Path::new(&environment()).join("bin/python");
    let saved = Command::new(python).args(["-c", script]).arg(folder.join("model.joblib")).status().unwrap();
    assert!(saved.success());
    let settings = |extra: &str| {
        let text = format!(
            "{{\n\"name\": \"iris\",\n\"implementation\": \"mlserver_sklearn.SKLearnModel\",\n\"parameters\": {{{extra}}}\n}}"
        );
        fs::write(folder.join("model-settings.json"), text).unwrap();
    };
    settings("");
    let refused = run(&["serve", "--models", &root.path().display().to_string(), "--http", "127.0.0.1:0"]);
    let expected =
        "model-settings.json:3: `implementation`: reading `model.joblib` runs whatever code is in it";
    assert!(refused.code != 0 && refused.err.contains(expected), "{}", refused.err);

    settings("\"extra\": {\"trust_pickle\": true}");
    let models = root.path().display().to_string();
    let server = Server::start(&["--models", &models, "--python", &environment()]);
    let body = json!({ "inputs": [{ "name": "predict-prob", "shape": [2, 4], "datatype": "FP32",
        "data": [5.1, 3.5, 1.4, 0.2, 6.7, 3.0, 5.2, 2.3] }] });
    let url = format!("{}/v2/models/iris/infer", server.url());
    let mut answer = ureq::post(url).send(body.to_string()).unwrap();
    let answer: serde_json::Value = answer.body_mut().read_json().unwrap();
    assert_eq!(answer["outputs"][0]["name"], "predict", "{answer}");
    assert_eq!(answer["outputs"][0]["data"], json!([0, 2]), "{answer}");
}
