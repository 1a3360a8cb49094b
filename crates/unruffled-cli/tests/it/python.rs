//! Python models behind the program, with the environment that `cargo xtask test setup` makes.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Server, environment, onnxruntime, run, run_in};

const SCORES: &str = "\
import os

import numpy as np
from unruffled_worker import Tensor


class Scores:
    def load(self):
        self.weights = np.array([[1.0, -1.0], [0.5, 2.0]], dtype=np.float32)

    def predict_batch(self, x: Tensor['f32', 'n', 2]) -> {'scores': Tensor['f32', 'n', 2]}:
        if (x == 13).any():
            os._exit(3)
        if (x < 0).any():
            raise ValueError('lengths are not negative')
        return {'scores': x @ self.weights}
";

/// A folder of models with one that is written in Python.
fn models(settings: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("scores")).unwrap();
    fs::write(root.path().join("scores/model.py"), SCORES).unwrap();
    fs::write(root.path().join("scores/model.toml"), settings).unwrap();
    root
}

#[test]
fn a_python_model_is_inspected_and_asked() {
    let root = models("description = 'Scores lengths.'");
    let python = environment();
    let page = run_in(root.path(), &["inspect", "scores", "--models", ".", "--python", &python]).ok();
    for part in ["x: f32 [n, 2]", "scores: f32 [n, 2]", "python", "requests are joined", "Scores lengths."] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let ask = ["infer", "scores/model.py", "-i", "x=2,4", "--json", "--python", &python];
    let answer = run_in(root.path(), &ask).json();
    assert_eq!(answer["outputs"][0]["data"], json!([4.0, 6.0]), "{answer}");

    let refused = run_in(root.path(), &["infer", "scores/model.py", "-i", "x=-1,4", "--python", &python]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("ValueError: lengths are not negative"), "{}", refused.err);
}

#[test]
fn a_worker_that_dies_is_replaced_behind_the_server() {
    let root = models("[run]\nmax_batch = 4\n");
    let server = Server::start(&["--models", &root.path().display().to_string(), "--python", &environment()]);
    let ask = |x: [f64; 2]| {
        let body = json!({ "inputs": [{ "name": "x", "datatype": "FP32", "shape": [1, 2], "data": x }] });
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let url = format!("{}/v2/models/scores/infer", server.url());
        let mut answer = agent.post(url).send_json(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_json::<Value>().unwrap())
    };
    assert_eq!(ask([2.0, 4.0]).1["outputs"][0]["data"], json!([4.0, 6.0]));
    let (code, died) = ask([13.0, 0.0]);
    assert_eq!(code, 500, "{died}");
    assert!(died["error"].as_str().is_some_and(|error| error.contains("exited with status 3")), "{died}");
    assert_eq!(ask([1.0, 0.0]).1["outputs"][0]["data"], json!([1.0, -1.0]));
    server.signal("TERM");
    assert_eq!(server.ended().0, 0);
}

#[test]
fn what_keeps_a_python_model_from_loading_is_told_with_the_remedy() {
    let root = models("[python]\ninterpreter = './no-such-python'");
    let refused = run_in(root.path(), &["infer", "scores", "--models", ".", "-i", "x=1,2"]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(refused.err.contains("no-such-python") && refused.err.contains("interpreter"), "{}", refused.err);

    fs::write(root.path().join("scores/model.toml"), "").unwrap();
    fs::rename(root.path().join("scores/model.py"), root.path().join("scores/model.pkl")).unwrap();
    let refused = run_in(root.path(), &["infer", "scores", "--models", ".", "-i", "x=1,2"]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(refused.err.contains("trust_pickle"), "{}", refused.err);
}

#[test]
fn proofs_try_every_kind_of_model_that_there_is() {
    let (python, library) = (environment(), onnxruntime());
    let names = ["slots", "segv", "orphans", "leak"];
    let options = ["--quick", "--json", "--python", &python, "--onnxruntime", &library];
    let document = run(&[&["prove"], &names[..], &options[..]].concat()).json();
    assert_eq!(document["passed"], true, "{document:#}");
    let proofs = document["proofs"].as_array().unwrap();
    for (proof, name) in proofs.iter().zip(names) {
        assert_eq!((&proof["name"], &proof["passed"]), (&json!(name), &json!(true)), "{proof:#}");
        let figures = proof["figures"].as_object().unwrap();
        let left_out: Vec<_> = figures.iter().filter(|(_, figure)| figure["left_out"].is_string()).collect();
        assert!(left_out.is_empty(), "{left_out:?}");
    }
    assert_eq!(proofs[0]["figures"]["onnxruntime_runs_at_once_max"], 2);
    assert_eq!(proofs[0]["figures"]["python_runs_at_once_max"], 2);
    assert_eq!(proofs[1]["figures"]["right_answers"], 4 * 31);
}

#[test]
fn a_proof_that_nothing_could_be_tried_of_has_not_passed() {
    let nothing = ["prove", "segv", "--json", "--python", "/no/such/python"];
    let document = run(&nothing).json();
    assert_eq!(document["proofs"][0]["passed"], Value::Null);
    assert!(document["proofs"][0]["figures"]["python"]["left_out"].is_string(), "{document:#}");
}
