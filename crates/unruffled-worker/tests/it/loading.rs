//! Models that cannot be loaded, and what is said of them.

use std::time::Duration;

use unruffled_model::{Backend, Bytes, CancelToken, ModelErrorKind, ModelSource, Support};
use unruffled_worker::{PythonBackend, PythonOptions};

use crate::python::{environment, load_file, load_until, options, try_load};

#[track_caller]
fn check_with(options: PythonOptions, source: &str, parts: &[&str]) {
    let error = match try_load(source, options) {
        Ok(python) => panic!("it loads: {:?}", python.model.info()),
        Err(error) => error.to_string(),
    };
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[track_caller]
fn check(source: &str, parts: &[&str]) {
    check_with(options(), source, parts);
}

#[test]
fn a_file_without_a_model_says_what_it_lacks() {
    check("x = 1", &["model.py", "defines no class with a method `predict`"]);
    check(
        "class A:\n    predict = print\nclass B:\n    predict = print",
        &["several classes with `predict` (A, B)", "name one of them `Model`"],
    );
    check("def f(:", &["SyntaxError", "model.py"]);
    check(
        "import not_there_at_all",
        &["No module named 'not_there_at_all'", "bin/python -m pip install not_there_at_all"],
    );
    check(
        "class Model:\n    def __init__(self, x): pass\n    def predict(self, x): pass",
        &["TypeError", "missing 1 required"],
    );
    check(
        "class Model:\n    def load(self):\n        open('/not/there')\n    def predict(self, x): pass",
        &["FileNotFoundError", "model.py:3 in load"],
    );
    check("raise SystemExit(3)", &["called sys.exit(3)"]);
    check("import os\nprint('last words', flush=True)\nos._exit(5)", &["exited with status 5", "last words"]);
    check("import ctypes\nctypes.string_at(0)", &["SIGSEGV", "model.py"]);
}

#[test]
fn a_signature_that_is_missing_or_wrong_is_told() {
    let three = &["type hints", "`sample`", "a signature in the settings"];
    check("class Model:\n    def predict(self, x):\n        return x", three);
    let hinted = |hint: &str| {
        format!(
            "from unruffled_worker import Tensor, signature\nclass Model:\n    def predict(self, x: {hint}) -> {hint}:\n        return x"
        )
    };
    check(&hinted("Tensor['f33', 4]"), &["`f33` is no element type"]);
    check(&hinted("Tensor['f32', -1]"), &["`-1` is no dimension"]);
    check(&hinted("nothing.there"), &["name 'nothing' is not defined"]);
    check(
        "class Model:\n    sample = {'y': 1}\n    def predict(self, x):\n        return x",
        &["`y`: ", "`predict` takes x", "the inputs are y"].map(|part| part.trim_start_matches("`y`: ")),
    );
    check(
        "class Model:\n    sample = 1\n    def predict(self, x):\n        return x / 0 if 0 else [][0]",
        &["IndexError", "model.py:4 in predict"],
    );
    check(
        "from unruffled_worker import Tensor\nclass Model:\n    def predict_batch(self, x: Tensor['f32', 4]) -> Tensor['f32', 4]:\n        return x",
        &["begins with the same named dimension"],
    );
    check(
        "from unruffled_worker import Tensor\nclass Model:\n    def initial_state(self): return 0.0\n    def predict(self, x: Tensor['f32']) -> Tensor['f32']:\n        return x",
        &["no parameter `state`"],
    );
}

#[test]
fn an_interpreter_that_cannot_be_used_is_told() {
    let source = "class Model:\n    sample = 1\n    def predict(self, x):\n        return x";
    check_with(
        options().with_python("no-python-of-this-name"),
        source,
        &["cannot start the Python interpreter no-python-of-this-name", "set `python`"],
    );
    check_with(options().with_python("/bin/false"), source, &["exited with status 1"]);
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("bare");
    let made = std::process::Command::new(environment().join("bin/python"))
        .args(["-m", "venv", "--without-pip"])
        .arg(&bare)
        .status();
    assert!(made.unwrap().success());
    check_with(
        options().with_python(&bare),
        source,
        &["lacks numpy", "bare/bin/python -m pip install numpy"],
    );
}

#[test]
fn loading_ends_in_time() {
    let source = "import time\ntime.sleep(1000)";
    check_with(
        options().with_load_timeout(Duration::from_millis(600)),
        source,
        &["was not ready within 600ms", "`load_timeout`"],
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.py");
    std::fs::write(&path, "print('loads without end')\nimport time\ntime.sleep(1000)").unwrap();
    crate::logs::begin();
    let cancel = CancelToken::new();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            crate::logs::wait_for("loads without end");
            cancel.cancel();
        });
        load_until(&path, options(), &cancel).map(|_| ()).unwrap_err()
    });
    assert_eq!(error.kind(), ModelErrorKind::Cancelled);
}

#[test]
fn what_is_no_model_of_ours_is_passed_over() {
    let backend = PythonBackend::new();
    let file = |name: &str| ModelSource::File(name.into());
    assert!(matches!(backend.supports(&file("model.onnx")), Ok(Support::No(_))));
    assert!(matches!(backend.supports(&ModelSource::Memory(Bytes::new())), Ok(Support::No(_))));
    assert!(backend.supports(&file("not/there/model.py")).is_err());
    let error = load_file(std::path::Path::new("not/there/model.py"), options()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("there is no file not/there/model.py"));
}
