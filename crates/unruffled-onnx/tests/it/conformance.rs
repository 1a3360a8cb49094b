//! The suite that every backend passes.

use unruffled_model::Backend;
use unruffled_onnx::{RtenBackend, TreesBackend};
use unruffled_testing::conformance::Suite;

use crate::{ort, path};

fn check(backend: &dyn Backend) {
    let models = ["assets/conformance/models", "assets/models", "models"].map(path);
    let report = Suite::new(path("assets/conformance"), models).check(backend);
    println!("{report}");
    report.assert_passed();
    for name in ["minilm", "silero-vad"] {
        let model = report.models.iter().find(|model| model.model == name);
        let unchecked = report.unchecked.iter().any(|unchecked| unchecked.model == name);
        assert!(model.is_some() || unchecked, "{name} has no recordings");
        if let Some(model) = model {
            assert!(model.recorded.absolute < 1e-4, "{name} is off by {}", model.recorded);
        }
    }
}

/// Estimators of many kinds, as converters write them.
fn check_estimators(backend: &dyn Backend) {
    let estimators = path("models/.cache/estimators");
    let recordings = estimators.join("recordings");
    assert!(recordings.is_dir(), "there are no estimators: `cargo xtask models` makes them");
    let report = Suite::new(recordings, [estimators]).check(backend);
    println!("{report}");
    report.assert_passed();
}

#[test]
fn rten_conforms() {
    check(&RtenBackend);
}

#[test]
fn ort_conforms() {
    check(&ort());
}

#[test]
fn ort_conforms_with_estimators() {
    check_estimators(&ort());
}

#[test]
fn trees_conforms_with_estimators() {
    check_estimators(&TreesBackend);
}
