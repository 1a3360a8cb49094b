//! Runs the real program, and reads what it says.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

/// How long a test waits for a line before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).canonicalize().unwrap()
}

/// A path of the repository as it is typed.
pub(crate) fn typed(path: &str) -> String {
    repository(path).display().to_string()
}

pub(crate) fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_unruffled"));
    program.stdin(Stdio::null()).env_remove("CLICOLOR_FORCE");
    // What happens to be installed elsewhere is nothing that tests should depend on.
    program.env("UNRUFFLED_ORT_LIB", "none").env_remove("VIRTUAL_ENV").env_remove("UNRUFFLED_PYTHON");
    program
}

/// The Python environment that `cargo xtask test setup` makes.
#[track_caller]
pub(crate) fn environment() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv");
    assert!(folder.is_dir(), "there is no .venv; remedy: cargo xtask test setup");
    folder.canonicalize().unwrap().display().to_string()
}

/// The library of ONNX Runtime in there.
#[track_caller]
pub(crate) fn onnxruntime() -> String {
    let found = std::fs::read_dir(Path::new(&environment()).join("lib")).unwrap().flatten();
    let folder = found
        .map(|python| python.path().join("site-packages/onnxruntime/capi"))
        .find(|folder| folder.is_dir());
    folder.expect("there is no onnxruntime in .venv; remedy: cargo xtask test setup").display().to_string()
}

/// What the program said, having been started in an empty folder.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "it failed: {}", self.err);
        self.out
    }

    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out}"))
    }
}

pub(crate) fn run(arguments: &[&str]) -> Said {
    let empty = tempfile::tempdir().unwrap();
    run_in(empty.path(), arguments)
}

pub(crate) fn run_in(folder: &Path, arguments: &[&str]) -> Said {
    let output = program().args(arguments).current_dir(folder).output().unwrap();
    said(&output)
}

fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A running server on a free port; killed if a test fails before it ends by itself.
pub(crate) struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    errors: Option<JoinHandle<String>>,
    told: Receiver<String>,
    /// All that it has said on standard output until the line to paste, that line included.
    pub(crate) greeting: Vec<String>,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap().path(), arguments)
    }

    pub(crate) fn start_in(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = program()
            .args(["serve", "--http", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = child.stderr.take().unwrap();
        let (tell, told) = channel();
        // Read all along, so that the server never waits for somebody to read its errors.
        let errors = std::thread::Builder::new()
            .name("errors".into())
            .spawn(move || {
                let mut text = String::new();
                for line in BufReader::new(errors).lines() {
                    let line = line.unwrap();
                    text.push_str(&line);
                    text.push('\n');
                    // Most tests wait for the end only.
                    let _ = tell.send(line);
                }
                text
            })
            .unwrap();
        let mut server = Self {
            out: BufReader::new(child.stdout.take().unwrap()),
            child,
            errors: Some(errors),
            told,
            greeting: Vec::new(),
        };
        while !server.greeting.last().is_some_and(|line| line.starts_with("curl ")) {
            let mut line = String::new();
            if server.out.read_line(&mut line).unwrap() == 0 {
                let errors = server.errors.take().unwrap().join().unwrap();
                panic!("the server ended without a line to paste: {errors}");
            }
            server.greeting.push(line.trim_end().to_owned());
        }
        server
    }

    pub(crate) fn url(&self) -> &str {
        let line = self.greeting.iter().find(|line| line.contains(" on http")).unwrap();
        line.split_whitespace().find(|word| word.starts_with("http")).unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// Waits for a line on standard error that holds this.
    #[track_caller]
    pub(crate) fn wait_for(&self, part: &str) {
        while !self.told.recv_timeout(PATIENCE).expect("the server says so").contains(part) {}
    }

    /// Waits for the end: the exit code, and all that was said on standard error.
    pub(crate) fn ended(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap();
        let errors = self.errors.take().unwrap().join().unwrap();
        (status.code().unwrap_or(-1), errors)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
