//! The suite that every backend passes.

use std::path::PathBuf;

use unruffled_model::Backend;
use unruffled_onnx::{OrtBackend, OrtRuntime, OrtSearch, RtenBackend};
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
