//! Runs that nobody waits for any more.

use std::time::Duration;

use unruffled_model::{CancelToken, ModelError, ModelErrorKind, Tensor, Tensors};

use crate::logs;
use crate::python::{Instance, Python, load, options, run, run_until, try_load};

fn x(value: i64) -> Tensors {
    Tensors::new().with("x", Tensor::scalar(value))
}

/// A model that does `body` for any input but 0, for which it gives the number of its process. It says when it begins.
fn model(name: &str, body: &str) -> String {
    format!(
        r#"
import asyncio, ctypes, os, time
from unruffled_worker import Tensor

class Model:
    def predict(self, x: Tensor["i64"]) -> Tensor["i64"]:
        if x == 0:
            return os.getpid()
        print("begins to {name}")
        return self.work()

    {body}
"#
    )
}

fn pid(instance: &mut Instance<'_>) -> i64 {
    run(instance, x(0)).unwrap().get("output").unwrap().elements::<i64>().unwrap()[0]
}

/// Runs, and cancels once the model says that it has begun.
fn cancelled(instance: &mut Instance<'_>, name: &str) -> ModelError {
    let cancel = CancelToken::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            logs::wait_for(&format!("begins to {name}"));
            cancel.cancel();
        });
        run_until(instance, x(1), &cancel).unwrap_err()
    })
}

#[track_caller]
fn load_model(name: &str, body: &str, grace: Duration) -> Python {
    logs::begin();
    try_load(&model(name, body), options().with_cancel_grace(grace)).unwrap()
}

#[track_caller]
fn check_stops(name: &str, body: &str) {
    let python = load_model(name, body, Duration::from_secs(60));
    python.serve(|instance| {
        let first = pid(instance);
        assert_eq!(cancelled(instance, name).kind(), ModelErrorKind::Cancelled);
        assert_eq!(pid(instance), first, "the process lives on");
    });
}

#[track_caller]
fn check_is_killed(name: &str, body: &str) {
    let python = load_model(name, body, Duration::from_millis(50));
    let mut first = 0;
    python.serve(|instance| {
        first = pid(instance);
        let error = cancelled(instance, name);
        assert_eq!(error.kind(), ModelErrorKind::Crashed, "{name}");
        assert!(error.to_string().contains("did not stop within 50ms of being asked to"), "{error}");
    });
    python.serve(|instance| assert_ne!(pid(instance), first));
}

#[test]
fn python_code_is_interrupted_and_its_process_lives_on() {
    check_stops("loop", "def work(self):\n        while True: pass");
    check_stops("wait", "def work(self):\n        time.sleep(1000)");
    check_stops(
        "clean up",
        "def work(self):\n        try:\n            time.sleep(1000)\n        finally:\n            self.x = 1",
    );
    check_stops("await", "async def work(self):\n        await asyncio.sleep(1000)");
    check_stops("loop in a task", "async def work(self):\n        while True: pass");
    check_stops("yield", "def work(self):\n        while True:\n            pass\n            if 0: yield");
}

#[test]
fn what_does_not_stop_is_killed() {
    // Native code that does not look for signals.
    check_is_killed("block", "def work(self):\n        return sum(range(10**13))");
    check_is_killed(
        "resist",
        "def work(self):\n        while True:\n            try:\n                while True: pass\n            except BaseException: pass",
    );
    check_is_killed(
        "raise in vain",
        "async def work(self):\n        try:\n            while True: pass\n        finally:\n            while True: pass",
    );
}

#[test]
fn what_was_cancelled_before_does_not_begin() {
    let python = load(&model("be too late", "def work(self):\n        os._exit(1)"));
    python.serve(|instance| {
        let cancel = CancelToken::new();
        cancel.cancel();
        assert_eq!(run_until(instance, x(1), &cancel).unwrap_err().kind(), ModelErrorKind::Cancelled);
        pid(instance);
    });
}

/// A cancel that comes at any moment of a short run, or just after it, hits that run or nobody.
#[test]
fn no_other_run_is_hit() {
    let python = try_load(
        &model("be quick", "def work(self):\n        return sum(range(1000))"),
        options().with_cancel_grace(Duration::from_secs(60)),
    )
    .unwrap();
    python.serve(|instance| {
        let first = pid(instance);
        let (send, tokens) = std::sync::mpsc::sync_channel::<CancelToken>(0);
        let canceller = std::thread::spawn(move || {
            let mut random = 1_u32;
            for token in tokens {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                for _ in 0..random >> 18 {
                    std::hint::spin_loop();
                }
                token.cancel();
            }
        });
        let (mut stopped, mut finished) = (0, 0);
        for _ in 0..2000 {
            let cancel = CancelToken::new();
            send.send(cancel.clone()).unwrap();
            match run_until(instance, x(1), &cancel) {
                Ok(_) => finished += 1,
                Err(error) if error.kind() == ModelErrorKind::Cancelled => stopped += 1,
                Err(error) => panic!("{error}"),
            }
            assert_eq!(pid(instance), first);
        }
        drop(send);
        canceller.join().unwrap();
        println!("{stopped} were stopped, {finished} were quicker");
    });
}

#[test]
fn a_signal_from_outside_harms_nobody() {
    let python =
        load(&model("be signalled", "def work(self):\n        os.kill(os.getpid(), 2)\n        return 1"));
    python.serve(|instance| {
        let first = pid(instance);
        assert!(run(instance, x(1)).is_ok());
        for _ in 0..10 {
            let sent = std::process::Command::new("/bin/kill").args(["-INT", &first.to_string()]).status();
            assert!(sent.unwrap().success());
            assert_eq!(pid(instance), first);
        }
    });
}
