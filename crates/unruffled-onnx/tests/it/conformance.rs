//! The suite that every backend passes.

use std::path::PathBuf;

use unruffled_model::Backend;
use unruffled_onnx::{OrtBackend, OrtRuntime, OrtSearch, RtenBackend, TreesBackend};
use unruffled_testing::conformance::Suite;

/// A path in the repository.
fn path(relative: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(relative)
}

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

#[test]
fn rten_conforms() {
    check(&RtenBackend);
}

#[test]
fn ort_conforms() {
    let search = OrtSearch::default().with_folder(env!("CARGO_MANIFEST_DIR")).only_given();
    match OrtRuntime::find(&search) {
        Ok(runtime) => check(&OrtBackend::new(runtime)),
        Err(missing) => panic!("{missing}; for the tests: `cargo xtask test setup`"),
    }
}

#[test]
fn trees_conforms() {
    let estimators = path("models/.cache/estimators");
    let recordings = estimators.join("recordings");
    assert!(recordings.is_dir(), "there are no estimators: `cargo xtask models` makes them");
    let report = Suite::new(recordings, [estimators]).check(&TreesBackend);
    println!("{report}");
    report.assert_passed();
}
