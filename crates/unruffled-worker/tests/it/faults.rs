//! What a model gets wrong without harm to its process.

use unruffled_model::{CancelToken, ModelErrorKind, Tensor, Tensors};

use crate::python::{load, options, run, run_all, try_load};

fn x(value: f32) -> Tensors {
    Tensors::new().with("x", Tensor::scalar(value))
}

/// A model that does `body` with its input `x`, 0 excepted.
fn model(body: &str) -> String {
    format!(
        r#"
import sys
from unruffled_worker import InvalidInput, Tensor

def deep(n):
    return deep(n + 1)

class Model:
    def predict(self, x: Tensor["f32"]) -> Tensor["f32"]:
        if x != 0:
            return self.work(x)
        return x

    def work(self, x):
        {body}
"#
    )
}

#[track_caller]
fn check(body: &str, kind: ModelErrorKind, parts: &[&str]) {
    let python = load(&model(body));
    python.serve(|instance| {
        let error = run(instance, x(1.0)).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
        }
        assert_eq!(run(instance, x(0.0)).unwrap().get("output"), Some(&Tensor::scalar(0_f32)));
    });
}

#[test]
fn exceptions_are_told_with_their_place() {
    use ModelErrorKind::{Failed, InvalidInput};
    let place = &["ZeroDivisionError", "model.py:15 in work: return 1 // 0"];
    check("return 1 // 0", Failed, place);
    check("raise InvalidInput('must be 0', 'x')", InvalidInput, &["`x`: must be 0"]);
    check("return deep(0)", Failed, &["RecursionError"]);
    check("raise MemoryError()", Failed, &["MemoryError"]);
    check("raise KeyboardInterrupt", Failed, &["raised KeyboardInterrupt"]);
    check("sys.exit(3)", Failed, &["called sys.exit(3)"]);
    check("return 'text'", Failed, &["`output`: has elements of type bytes, but f32 was declared"]);
}

#[test]
fn only_the_row_that_fails_fails() {
    let python = load(&model("raise ValueError(float(x))"));
    python.serve(|instance| {
        let answers = run_all(instance, [x(0.0), x(5.0), x(0.0)], &CancelToken::new(), &[]);
        assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        assert!(answers[1].as_ref().unwrap_err().to_string().contains("ValueError: 5.0"));
    });
}

#[test]
fn a_batch_without_the_rows_is_the_models_fault() {
    let python = load(
        r#"
from unruffled_worker import Tensor

class Model:
    def predict_batch(self, x: Tensor["f32", "n"]) -> Tensor["f32", "n"]:
        return x[:1]
"#,
    );
    python.serve(|instance| {
        let inputs = || Tensors::new().with("x", Tensor::filled(&[2], 0_f32).unwrap());
        let answers = run_all(instance, [inputs(), inputs()], &CancelToken::new(), &[]);
        let error = answers[0].as_ref().unwrap_err().to_string();
        assert_eq!(error, "`output`: gave shape [1] for 4 rows");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_limited() {
    let source = model("import numpy; return numpy.ones(1 << 30)[0].astype('f4')");
    let python = try_load(&source, options().with_memory_max(1 << 30)).unwrap();
    python.serve(|instance| {
        let error = run(instance, x(1.0)).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Failed, "{error}");
        assert!(error.to_string().contains("Unable to allocate 8.00 GiB"), "{error}");
        assert!(run(instance, x(0.0)).is_ok());
    });
}

#[test]
fn odd_texts_and_muted_streams_do_not_cost_the_worker() {
    let python = load(
        r#"
import os, sys
from unruffled_worker import InvalidInput, Tensor

class Model:
    def predict(self, x: Tensor["i64"]) -> Tensor["i64"]:
        if x == 0:
            raise ValueError("bad " + chr(0xDC80))
        if x == 1:
            raise InvalidInput("no such column", input=3)
        if x == 2:
            raise ValueError("long " * (1 << 22))
        sys.stdout = None
        return os.getpid()
"#,
    );
    python.serve(|instance| {
        let mut ask = |number: i64| run(instance, Tensors::new().with("x", Tensor::scalar(number)));
        let process = ask(3).unwrap();
        for (number, kind, text) in [
            (0, ModelErrorKind::Failed, "ValueError: bad ?"),
            (1, ModelErrorKind::InvalidInput, "`3`: no such column"),
            (2, ModelErrorKind::Failed, "ValueError: long long"),
        ] {
            let error = ask(number).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().starts_with(text), "{error}");
        }
        assert_eq!(ask(3).unwrap(), process, "it is the same process");
    });
}
