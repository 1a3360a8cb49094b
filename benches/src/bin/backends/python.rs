//! Python's `onnxruntime`, in a process that runs a round when it is told to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::way::{Round, Way};

/// A process of `loop.py`.
#[derive(Clone)]
pub(crate) struct Python(Rc<RefCell<Process>>);

struct Process {
    child: Child,
    rounds: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Runs a script of this crate to its end.
pub(crate) fn run(root: &Path, script: &str, arguments: &[&Path]) -> Result<()> {
    let status = command(root, script).args(arguments).status().context(SETUP)?;
    ensure!(status.success(), "{script} failed ({status})");
    Ok(())
}

const SETUP: &str = "failed to start the Python in .venv; remedy: cargo xtask test setup";

fn command(root: &Path, script: &str) -> Command {
    let program = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let mut command = Command::new(root.join(".venv").join(program));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script));
    command
}

impl Python {
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let mut command = command(root, "loop.py");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context(SETUP)?;
        let rounds = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("its output is piped")?);
        Ok(Self(Rc::new(RefCell::new(Process { child, rounds, answers }))))
    }

    /// All rows at once, again and again.
    pub(crate) fn looped(&self, model: &Path, inputs: &BTreeMap<String, PathBuf>, rows: usize) -> Rounds {
        let task = json!({ "way": "loop", "model": model, "inputs": inputs, "rows": rows });
        Rounds { python: self.clone(), task }
    }

    /// Callers that await one row after another.
    pub(crate) fn awaited(
        &self,
        model: &Path,
        inputs: &BTreeMap<String, PathBuf>,
        rows: usize,
        callers: usize,
    ) -> Rounds {
        let task = json!({
            "way": "asyncio", "model": model, "inputs": inputs, "rows": rows, "callers": callers,
        });
        Rounds { python: self.clone(), task }
    }
}

impl Process {
    fn ask(&mut self, task: &Value) -> Result<Value> {
        let rounds = self.rounds.as_mut().context("the process has ended")?;
        writeln!(rounds, "{task}").context("the process has ended")?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("loop.py ended; what it said is above");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends when there are no more rounds to come.
        drop(self.rounds.take());
        let _ = self.child.wait();
    }
}

/// Rounds of one kind.
pub(crate) struct Rounds {
    python: Python,
    task: Value,
}

impl Way for Rounds {
    fn round(&mut self, length: Duration) -> Result<Round> {
        self.task["seconds"] = json!(length.as_secs_f64());
        let answer = self.python.0.borrow_mut().ask(&self.task)?;
        let figure = |name: &str| answer[name].as_f64().with_context(|| format!("no {name} in {answer}"));
        Ok(Round {
            rows_per_second: figure("rows_per_second")?,
            p50: Duration::from_secs_f64(figure("p50")?),
        })
    }
}
