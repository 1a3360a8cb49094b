//! The backends against recorded answers, the contract of the traits, and the standard's own tests.

mod conformance;
mod nodes;

use std::path::PathBuf;

/// A path in the repository.
fn path(relative: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(relative)
}
