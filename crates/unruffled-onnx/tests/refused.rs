//! Libraries that are none. Once the right one is loaded no other can be, so this process runs this test and nothing else.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "all of it is test")]

use std::fs;
use std::path::{Path, PathBuf};

use unruffled_onnx::{OrtRuntime, OrtSearch};

/// A library of the installed package that is not ONNX Runtime.
fn other_library(start: &Path) -> PathBuf {
    let environments = start.ancestors().map(|folder| folder.join(".venv/lib"));
    let versions = environments.filter_map(|lib| fs::read_dir(lib).ok()).flatten().flatten();
    let name = "site-packages/onnxruntime/capi/libonnxruntime_providers_shared.so";
    let found = versions.map(|version| version.path().join(name)).find(|path| path.exists());
    found.expect("onnxruntime is installed by `cargo xtask test setup`")
}

#[test]
fn what_is_no_library_is_passed_over_and_refused_when_named() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("libonnxruntime.so"), "no library at all").unwrap();
    fs::write(file("libonnxruntime.so.1.22.1"), "too old to be opened").unwrap();
    fs::copy(other_library(manifest), file("libonnxruntime.so.1.99.0")).unwrap();

    let refused = |path: &Path| OrtRuntime::find(&OrtSearch::default().with_library(path)).unwrap_err();
    let error = refused(&file("libonnxruntime.so"));
    assert!(error.is_named(), "nothing else may be taken");
    let text = format!(
        "cannot load ONNX Runtime from {} (the setting): it cannot be loaded: ",
        error.tried()[0].path.as_ref().unwrap().display()
    );
    assert!(error.to_string().starts_with(&text), "{error}");
    assert_eq!(
        refused(&file("libonnxruntime.so.1.22.1")).tried()[0].reason,
        "its version is 1.22, and 1.23 or newer is needed: update it"
    );
    assert_eq!(refused(&file("gone.so")).tried()[0].reason, "there is no such file");

    let nowhere = OrtSearch::default().with_beside(folder.path()).only_given();
    let missing = OrtRuntime::find(&nowhere).unwrap_err();
    assert!(!missing.is_named());
    let remedy = "install it with `python3 -m venv .venv && .venv/bin/pip install onnxruntime`";
    assert!(missing.to_string().ends_with(remedy), "{missing}");

    let runtime = OrtRuntime::find(&nowhere.with_folder(manifest)).unwrap();
    let reasons: Vec<&str> = runtime.tried().iter().map(|tried| tried.reason.as_str()).collect();
    assert_eq!(reasons[0], "it is a library, but not ONNX Runtime");
    assert_eq!(reasons[1], "its version is 1.22, and 1.23 or newer is needed: update it");
    assert!(reasons[2].starts_with("it cannot be loaded: "), "{reasons:?}");
    assert!(runtime.how().ends_with(".venv"), "{}", runtime.how());
}
