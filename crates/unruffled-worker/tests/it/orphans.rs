//! No worker outlives its parent.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use unruffled_model::{Tensor, Tensors};

use crate::python::load;

/// Where the test, run once more as the process that is killed, finds the folder of its first self.
const FOLDER: &str = "UNRUFFLED_TEST_ORPHANS";

/// Holds a pipe open, as does a process that it starts, and then never comes back from native code, with the interpreter's lock.
fn model(fifo: &str) -> String {
    format!(
        r#"
import ctypes, os, subprocess
from unruffled_worker import Tensor

class Model:
    def predict(self, x: Tensor["i64"]) -> Tensor["i64"]:
        if x == 0:
            return x
        held = os.open("{fifo}", os.O_WRONLY)
        subprocess.Popen(["sleep", "1000"], pass_fds=[held])
        os.write(held, b"x")
        ctypes.PyDLL(None).sleep(1000)
"#
    )
}

#[test]
fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let fifo = PathBuf::from(folder).join("held");
    let python = load(&model(fifo.to_str().unwrap()));
    python.serve(|instance| {
        let _ = crate::python::run(instance, Tensors::new().with("x", Tensor::scalar(1_i64)));
    });
}

#[test]
fn a_worker_ends_with_a_parent_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("held");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "orphans::the_process_that_is_killed", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = File::open(&fifo).unwrap();
    let mut byte = [0];
    held.read_exact(&mut byte).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    // Ends when neither the worker nor what it has started holds the other end any more.
    assert_eq!(held.read_to_end(&mut Vec::new()).unwrap(), 0);
    let left = BufReader::new(parent.stdout.take().unwrap()).lines().count();
    assert!(left > 0, "the process was a test that ran");
}
