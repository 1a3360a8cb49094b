//! The ways to reach another process, and their rounds.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use benches::{histogram, machine, median, quantile, record};
use unruffled_model::{
    Backend, BackendOptions, Batch, CancelToken, LoadContext, Model, ModelSource, RunContext, Tensor,
    TensorModel, Tensors,
};
use unruffled_worker::{PythonBackend, PythonOptions};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(300);

const MODEL: &str = include_str!("model.py");
const SOCKET: &str = include_str!("socket_child.py");
const POOL: &str = include_str!("pool.py");

/// What the child does with the floats that it is sent.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    Echo,
    Sum,
}

impl Task {
    fn name(self) -> &'static str {
        match self {
            Task::Echo => "echo",
            Task::Sum => "sum",
        }
    }
}

/// One way to have a task done in another process: how long one call takes, in seconds.
trait Way {
    fn name(&self) -> &'static str;
    fn round(&mut self, task: Task, floats: usize) -> f64;
}

/// The middle duration of the calls of one round.
fn measure(mut call: impl FnMut()) -> f64 {
    let (begin, mut latency) = (Instant::now(), histogram());
    while begin.elapsed() < ROUND {
        let begin = Instant::now();
        call();
        record(&mut latency, begin.elapsed());
    }
    quantile(&latency, 0.5).as_secs_f64()
}

/// A worker of ours.
struct Worker<'a>(&'a mut dyn Model<Input = Tensors, Output = Tensors>);

impl Worker<'_> {
    fn run(&mut self, inputs: Tensors) -> Tensors {
        let (mut batch, cancel) = (Batch::new([inputs]), CancelToken::new());
        self.0.run(&mut batch, &RunContext::new(&cancel, None, &[])).expect("the worker answers");
        batch.into_rows().remove(0).into_answer().expect("an answer").expect("a good one")
    }
}

impl Way for Worker<'_> {
    fn name(&self) -> &'static str {
        "unruffled worker"
    }

    fn round(&mut self, task: Task, floats: usize) -> f64 {
        let x = Tensor::filled(&[floats], 1_f32).expect("it fits");
        let total = Tensor::scalar(task == Task::Sum);
        measure(|| {
            let answer = self.run(Tensors::new().with("x", x.clone()).with("total", total.clone()));
            let expected = if task == Task::Sum { 1 } else { floats };
            assert_eq!(answer.get("output").map(Tensor::len), Some(expected));
        })
    }
}

/// Bytes over a Unix socket, length first, both sides blocking.
struct Socket {
    child: Child,
    socket: UnixStream,
}

impl Socket {
    fn start(python: &Path) -> Self {
        let (socket, theirs) = UnixStream::pair().expect("a pair of sockets");
        let child = Command::new(python).args(["-c", SOCKET]).stdin(OwnedFd::from(theirs)).spawn();
        Self { child: child.expect("Python starts"), socket }
    }
}

impl Way for Socket {
    fn name(&self) -> &'static str {
        "bare Unix socket"
    }

    fn round(&mut self, task: Task, floats: usize) -> f64 {
        let payload = vec![0_u8; 4 * floats];
        let mut answer = vec![0_u8; if task == Task::Sum { 4 } else { payload.len() }];
        measure(|| {
            let length = u32::try_from(payload.len()).expect("small").to_le_bytes();
            self.socket.write_all(&[task as u8]).expect("sent");
            self.socket.write_all(&length).expect("sent");
            self.socket.write_all(&payload).expect("sent");
            self.socket.read_exact(&mut answer).expect("answered");
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It is our own, and has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Python's own way, measured by Python.
struct Pool {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Pool {
    fn start(python: &Path, folder: &Path) -> Self {
        let script = folder.join("pool.py");
        std::fs::write(&script, POOL).expect("a folder of our own");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let (orders, answers) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child, orders, answers: BufReader::new(answers) }
    }
}

impl Way for Pool {
    fn name(&self) -> &'static str {
        "ProcessPoolExecutor"
    }

    fn round(&mut self, task: Task, floats: usize) -> f64 {
        writeln!(self.orders, "{} {floats} {}", task.name(), ROUND.as_secs_f64()).expect("Python reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("Python answers");
        answer.trim().parse().expect("a number")
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // It is our own, and has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn load(python: &Path, folder: &Path) -> TensorModel {
    let path = folder.join("model.py");
    std::fs::write(&path, MODEL).expect("a folder of our own");
    let mut options = BackendOptions::default();
    options.special = options
        .special
        .with(PythonOptions::default().with_python(python).with_cancel_grace(Duration::ZERO).with_nice(0));
    let cancel = CancelToken::new();
    let loaded =
        PythonBackend::new().load(&ModelSource::File(path), &options, &LoadContext::new(&cancel, &|_| ()));
    loaded.unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn main() {
    let python = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv/bin/python"));
    assert!(python.exists(), "no Python environment: run `cargo xtask test setup`");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = load(&python, folder.path());
    println!(
        "# Round trips to a Python process\n\n{}; medians of {ROUNDS} interleaved rounds of p50.",
        machine()
    );
    model.with_instance(&mut |instance| round_trips(instance, &python, folder.path())).expect("a worker");
    println!("\n## From a cancelled run that has to be killed to the answer of its successor\n");
    replacements(&model);
}

fn round_trips(instance: &mut dyn Model<Input = Tensors, Output = Tensors>, python: &Path, folder: &Path) {
    let mut ways: [Box<dyn Way + '_>; 3] =
        [Box::new(Worker(instance)), Box::new(Socket::start(python)), Box::new(Pool::start(python, folder))];
    for task in [Task::Echo, Task::Sum] {
        println!("\n## {}\n\n| bytes | way | p50 | / worker |\n| ---: | --- | ---: | ---: |", task.name());
        for bytes in [1 << 10, 100 << 10, 4 << 20] {
            let mut figures: Vec<Vec<f64>> = ways.iter().map(|_| Vec::new()).collect();
            for round in 0..=ROUNDS {
                for (way, figures) in ways.iter_mut().zip(&mut figures) {
                    let figure = way.round(task, bytes / 4);
                    // The first round warms up.
                    if round > 0 {
                        figures.push(figure);
                    }
                }
            }
            let figures: Vec<f64> = figures.into_iter().map(median).collect();
            for (way, figure) in ways.iter().zip(&figures) {
                let p50 = Duration::from_secs_f64(*figure);
                println!("| {bytes} | {} | {p50:.1?} | {:.2} |", way.name(), figure / figures[0]);
            }
        }
    }
}

/// The time from the cancel of a run that does not stop until a new instance has answered.
fn replacements(model: &TensorModel) {
    let mut times = histogram();
    let mut begin: Option<Instant> = None;
    for _ in 0..60 {
        let served = model.with_instance(&mut |instance| {
            let inputs = |stuck| {
                let x = Tensor::filled(&[1], if stuck { -1_f32 } else { 1.0 }).expect("it fits");
                Tensors::new().with("x", x).with("total", Tensor::scalar(false))
            };
            Worker(instance).run(inputs(false));
            if let Some(begin) = begin.take() {
                record(&mut times, begin.elapsed());
            }
            let cancel = CancelToken::new();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // Long enough for the run to be in native code.
                    std::thread::park_timeout(Duration::from_millis(300));
                    begin = Some(Instant::now());
                    cancel.cancel();
                });
                let mut batch = Batch::new([inputs(true)]);
                let result = instance.run(&mut batch, &RunContext::new(&cancel, None, &[]));
                assert!(result.is_err(), "the run does not stop by itself");
            });
        });
        served.expect("a worker");
    }
    let at = |part| quantile(&times, part);
    println!("p50 {:.1?}, p99 {:.1?}, at most {:.1?}", at(0.5), at(0.99), at(1.0));
}
