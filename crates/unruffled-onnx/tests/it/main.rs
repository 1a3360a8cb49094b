//! Backends against recorded answers, the contract of the traits, and the standard's own tests.

mod conformance;
mod nodes;

use std::path::PathBuf;

use unruffled_onnx::{OrtBackend, OrtRuntime, OrtSearch};

/// A path in the repository.
fn path(relative: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(relative)
}

/// ONNX Runtime as the repository's own environment has it.
fn ort() -> OrtBackend {
    let search = OrtSearch::default().with_folder(env!("CARGO_MANIFEST_DIR")).only_given();
    match OrtRuntime::find(&search) {
        Ok(runtime) => OrtBackend::new(runtime),
        Err(missing) => panic!("{missing}; for the tests: `cargo xtask test setup`"),
    }
}
