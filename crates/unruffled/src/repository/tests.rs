//! Which layouts are accepted, and what is said about the rest.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{ModelFolder, Repository};
use crate::config::ModelConfig;
use crate::error::ErrorKind;

/// A folder with these files; a name that ends with a slash is an empty folder.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
    root
}

#[track_caller]
fn check(files: &[(&str, &str)], models: &[&str], warnings: &[&str]) {
    let root = folder(files);
    let repository = Repository::open(root.path()).unwrap();
    let found: Vec<_> = repository
        .models()
        .iter()
        .map(|model| match model.version {
            Some(version) => format!("{} {version} of {:?}", model.name, model.versions),
            None => model.name.to_string(),
        })
        .collect();
    assert_eq!(found, models);
    let prefix = format!("{}/", root.path().display());
    let told: Vec<_> =
        repository.warnings().map(|warning| warning.to_string().replace(&prefix, "")).collect();
    assert_eq!(told, warnings);
}

#[test]
fn all_layouts_side_by_side() {
    check(
        &[
            ("plain/model.onnx", ""),
            ("numbered/9/model.onnx", ""),
            ("numbered/10/model.onnx", ""),
            ("numbered/01/model.onnx", ""),
            ("single.onnx", ""),
            (".cache/model.onnx", ""),
            ("README.md", ""),
            ("script.py", ""),
            ("pickled.joblib", ""),
            ("written/1/model.py", ""),
            ("estimator/model.skops", ""),
            ("saved.skops", ""),
        ],
        &["estimator", "numbered 10 of [9, 10]", "plain", "saved", "single", "written 1 of [1]"],
        &[],
    );
}

#[test]
fn a_step_needs_no_file_but_its_settings() {
    let step = "[step]\nkind = 'top-k'";
    check(
        &[
            ("best/model.toml", step),
            ("plain/model.onnx", ""),
            ("both/model.toml", step),
            ("both/model.onnx", ""),
        ],
        &["best", "plain"],
        &["both/model.toml: `step`: is a step, but there is `model.onnx` too; take one of them away"],
    );
    let root = folder(&[("best/model.toml", step)]);
    for path in ["best", "best/model.toml"] {
        let model = ModelFolder::open(root.path().join(path)).unwrap();
        assert_eq!((&*model.name, &*model.format(), model.is_onnx()), ("best", "toml", false));
        assert_eq!(model.file(), Some(&*root.path().join("best/model.toml")));
    }
    assert_eq!(Repository::open(root.path().join("best")).unwrap().models().len(), 1);
}

#[test]
fn broken_folders_are_told_and_passed_over() {
    check(
        &[
            ("good/model.onnx", ""),
            ("empty/", ""),
            ("other/best.onnx", ""),
            ("caffe/model.caffemodel", ""),
            ("settings/model.onnx", ""),
            ("settings/model.toml", "[run]\nthreads = -1"),
            ("half/1/model.onnx", ""),
            ("half/2/", ""),
            ("good.onnx", ""),
        ],
        &["good", "half 1 of [1]"],
        &[
            "caffe: `model.caffemodel` is of a kind that cannot be run here; expected model.onnx, .py, .skops, .joblib or \
             .pkl",
            "empty: has neither model.onnx, .py, .skops, .joblib or .pkl nor a folder 1 with one; put one there, or take \
             the folder away",
            "good.onnx: the name `good` is taken by another model; rename one",
            "half: version 2 has no model file; version 1 is used",
            "other: has no model.onnx; rename `best.onnx` to model.onnx, or name that file itself",
            "settings/model.toml:2: `run.threads`: invalid value: integer `-1`, expected a nonzero usize",
        ],
    );
}

#[test]
fn a_folder_without_models_is_an_error_that_shows_the_layouts() {
    let root = folder(&[("broken/", "")]);
    for (path, what) in [
        (root.path().join("gone"), "there is no such folder"),
        (root.path().join("broken"), "there is no model in it that can be used"),
        (root.path().to_owned(), "broken: has neither"),
    ] {
        let error = Repository::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelNotFound);
        let text = error.to_string();
        assert!(text.contains(what) && text.contains("NAME/1/model.onnx"), "{text}");
    }
}

#[test]
fn a_model_is_found_by_folder_version_and_file() {
    let root = folder(&[
        ("digits/1/model.onnx", ""),
        ("digits/2/model.onnx", ""),
        ("digits/model.toml", "license = 'MIT'"),
        ("plain.onnx", ""),
    ]);
    #[track_caller]
    fn check(root: &Path, path: &str, name: &str, version: Option<u64>, licence: Option<&str>) {
        let model = ModelFolder::open(root.join(path)).unwrap();
        assert_eq!((&*model.name, model.version), (name, version));
        assert_eq!(model.config.license.as_deref(), licence);
    }
    check(root.path(), "digits", "digits", Some(2), Some("MIT"));
    check(root.path(), "digits/1", "digits", Some(1), Some("MIT"));
    check(root.path(), "digits/1/model.onnx", "digits", Some(1), Some("MIT"));
    check(root.path(), "plain.onnx", "plain", None, None);
    let one = Repository::open(root.path().join("digits")).unwrap();
    assert_eq!(one.models().len(), 1, "a model's own folder is a repository of it");
    let gone = ModelFolder::open(root.path().join("gone")).unwrap_err();
    assert_eq!(gone.message(), "there is no such file or folder");
}

#[test]
fn of_several_files_the_settings_or_the_caller_choose() {
    let root = folder(&[
        ("a/model.onnx", ""),
        ("a/model.py", ""),
        ("b/model.onnx", ""),
        ("b/model.joblib", ""),
        ("b/model.toml", "backend = 'python'"),
        ("c/model.py", ""),
        ("c/model.pkl", ""),
        ("single.py", ""),
    ]);
    #[track_caller]
    fn check(root: &Path, path: &str, file: &str) {
        let model = ModelFolder::open(root.join(path)).unwrap();
        assert_eq!(model.file(), Some(&*root.join(file)));
    }
    check(root.path(), "a", "a/model.onnx");
    check(root.path(), "a/model.py", "a/model.py");
    check(root.path(), "b", "b/model.joblib");
    check(root.path(), "c", "c/model.py");
    check(root.path(), "single.py", "single.py");
}

#[test]
fn names_are_compared_and_never_looked_up() {
    let root = folder(&[("a/model.onnx", ""), ("b/model.onnx", "")]);
    let repository =
        Repository::open(root.path().join("../").join(root.path().file_name().unwrap())).unwrap();
    assert!(repository.find("a").is_ok());
    for name in ["../a", "a/", "./a", "/etc", "a\0"] {
        let error = repository.find(name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelNotFound);
        assert!(error.message().ends_with("there is a, b"), "{error}");
    }
}

/// Each asks all after it: there are more ways through them than could be walked one by one.
#[test]
fn chains_are_looked_through_once_however_many_ways_there_are() {
    let names: Vec<_> = (0..64).map(|at| format!("m{at:02}")).collect();
    let chain = |at: usize| match &names[at + 1..] {
        [] => String::new(),
        after => format!("[fallback]\nchain = {after:?}\n"),
    };
    let models = (0..names.len()).map(|at| {
        let config = ModelConfig::parse(&chain(at), Path::new("model.toml"), &|_| unreachable!()).unwrap();
        ModelFolder::in_memory(&names[at], unruffled_model::Bytes::new(), config).unwrap()
    });
    let repository = Repository::of(models);
    assert_eq!((repository.models().len(), repository.warnings().len()), (64, 0));
    assert_eq!(&*repository.in_load_order()[0].name, "m63");
}
