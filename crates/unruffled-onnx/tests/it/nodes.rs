//! The ONNX standard's own tests of operators, on every backend.

use std::sync::Arc;

use unruffled_model::Backend;
use unruffled_onnx::{RtenBackend, TreesBackend};
use unruffled_testing::nodes::{Expected, Tally, Trial, cases};

use crate::{ort, path};

#[track_caller]
fn check(backend: Arc<dyn Backend>) {
    let folder = path("models/.cache/nodes");
    if !folder.exists() {
        println!("not checked: {} is not there; `cargo xtask models` makes it", folder.display());
        return;
    }
    let expected =
        Expected::read(&path("assets/nodes/expected.toml")).unwrap_or_else(|error| panic!("{error}"));
    let name = backend.name();
    let trial = Trial::new(backend).with_random(expected.random());
    let mut tally = Tally::default();
    for case in cases(&folder).unwrap_or_else(|error| panic!("{error}")) {
        tally.add(&case, trial.judge(&case));
    }
    println!("{name}\n{tally}");
    expected.assert_met(name, &tally);
}

#[test]
fn rten_runs_the_standards_tests() {
    check(Arc::new(RtenBackend));
}

#[test]
fn ort_runs_the_standards_tests() {
    check(Arc::new(ort()));
}

#[test]
fn trees_run_the_standards_tests() {
    check(Arc::new(TreesBackend));
}
