//! Workers that die.

use std::process::Command;

use unruffled_model::{CancelToken, ModelErrorKind, Tensor, Tensors};
use unruffled_worker::Spare;

use crate::python::{Instance, load, options, run, run_all, try_load};

fn x(value: i64) -> Tensors {
    Tensors::new().with("x", Tensor::scalar(value))
}

/// A model that dies of any input but 0, for which it gives the number of its process.
fn model(death: &str) -> String {
    format!(
        r#"
import ctypes, os, signal, sys, threading
from unruffled_worker import Tensor

class Model:
    def predict(self, x: Tensor["i64"]) -> Tensor["i64"]:
        if x == 0:
            return os.getpid()
        print("the last words")
        {death}
"#
    )
}

fn pid(instance: &mut Instance<'_>) -> i64 {
    run(instance, x(0)).unwrap().get("output").unwrap().elements::<i64>().unwrap()[0]
}

#[track_caller]
fn check(death: &str, parts: &[&str]) {
    let python = load(&model(death));
    let mut first = 0;
    python.serve(|instance| {
        first = pid(instance);
        let error = run(instance, x(1)).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::Crashed, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
        }
    });
    python.serve(|instance| assert_ne!(pid(instance), first));
}

#[test]
fn every_death_is_told() {
    check("ctypes.string_at(0)", &["SIGSEGV", "Segmentation fault", "model.py\", line 10 in predict"]);
    check("os._exit(3)", &["exited with status 3", "the last words"]);
    check("os.kill(os.getpid(), signal.SIGKILL)", &["SIGKILL", "memory"]);
    check("os.abort()", &["SIGABRT"]);
    // Ended by a thread of its own, while the run goes on.
    check("threading.Thread(target=os._exit, args=[4]).start(); signal.pause()", &["exited with status 4"]);
    check("os.closerange(3, 100); signal.pause()", &["SIGKILL"]);
    check("os.killpg(0, signal.SIGKILL)", &["SIGKILL"]);
}

#[test]
fn a_stack_overflow_is_a_crash() {
    check(
        "import numpy, sys, threading\n        sys.setrecursionlimit(10**9)\n        class Deep:\n            def \
         __getattr__(self, name): return getattr(self, name + 'x')\n            def __repr__(self): return \
         repr(self)\n        repr(Deep())",
        &["SIGSEGV"],
    );
}

#[test]
fn the_rows_around_a_crash_are_not_its_victims() {
    let python = load(&model("os._exit(3)"));
    python.serve(|instance| {
        let answers = run_all(instance, [x(0), x(1), x(0)], &CancelToken::new(), &[]);
        assert!(answers[0].is_ok());
        assert_eq!(answers[1].as_ref().unwrap_err().kind(), ModelErrorKind::Crashed);
    });
}

/// Waits until a process has ended, though its parent has not heard of it yet.
fn wait_for_the_end_of(pid: i64) {
    let state = || Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap().stdout;
    while !matches!(state().first(), None | Some(b'Z')) {}
}

#[test]
fn a_worker_that_dies_while_it_is_idle_costs_nobody() {
    for spare in [Spare::None, Spare::Auto] {
        let python = try_load(&model(""), options().with_spare(spare)).unwrap();
        python.serve(|instance| {
            let first = pid(instance);
            Command::new("kill").args(["-9", &first.to_string()]).status().unwrap();
            wait_for_the_end_of(first);
            assert_ne!(pid(instance), first);
        });
    }
}

#[test]
fn what_a_model_has_started_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("held");
    let source = format!(
        r#"
import os, subprocess
from unruffled_worker import Tensor

class Model:
    def predict(self, x: Tensor["i64"]) -> Tensor["i64"]:
        os.mkfifo({fifo:?})
        held = os.open({fifo:?}, os.O_RDWR)
        subprocess.Popen(["sleep", "1000"], pass_fds=[held])
        return x
"#
    );
    let python = load(&source);
    let mut held = None;
    python.serve(|instance| {
        run(instance, x(0)).unwrap();
        held = Some(std::fs::File::open(&fifo).unwrap());
    });
    // Ends when the last process that holds the other end has ended.
    assert_eq!(std::io::read_to_string(held.unwrap()).unwrap(), "");
}
