//! How a proof is to run: how long, with which random numbers, and how far it is.

use std::future::Future;
use std::io::IsTerminal as _;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::{Builder, Runtime};
use unruffled::engine::Handle;
use unruffled::{Backends, Runtimes};

use super::report::Findings;
use super::target::Target;

/// No proof takes as long as this: one that does hangs, and has failed.
const BOUND: Duration = Duration::from_secs(60);

/// What a proof found out, or why it came to no end.
pub(super) type Outcome = Result<Findings, Broken>;

/// A proof that could not be carried through: it counts as failed.
#[derive(Debug)]
pub(super) struct Broken(String);

impl Broken {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// It is no `Error` itself, so that every error becomes one.
impl<E: std::error::Error> From<E> for Broken {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// How a proof is to run.
pub(super) struct Plan<'a> {
    runtimes: &'a Runtimes,
    backends: Backends,
    quick: bool,
    seed: u64,
    target: Option<Target>,
    bar: ProgressBar,
}

impl<'a> Plan<'a> {
    pub(super) fn new(runtimes: &'a Runtimes, quick: bool, seed: u64, target: Option<Target>) -> Self {
        Self { runtimes, backends: Backends::new(runtimes), quick, seed, target, bar: ProgressBar::hidden() }
    }

    /// The server that is to be tried, if one was named.
    pub(super) fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// Draws a bar for the proof of this name, on standard error and only where somebody looks.
    pub(super) fn begin(&mut self, name: &str) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let style = ProgressStyle::with_template("  {msg:12} [{bar:30}] {elapsed}")
            .expect("the template is a constant")
            .progress_chars("=> ");
        self.bar = ProgressBar::new(0).with_style(style).with_message(name.to_owned());
    }

    /// Takes the bar away again.
    pub(super) fn end(&mut self) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::hidden();
    }

    /// What runs models that come as files.
    pub(super) fn backends(&self) -> &Backends {
        &self.backends
    }

    /// Where the runtimes for them are.
    pub(super) fn runtimes(&self) -> &'a Runtimes {
        self.runtimes
    }

    /// How much is to be done, short or in full.
    pub(super) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Random numbers, the same for the same seed; `stream` keeps those of one task apart from another's.
    pub(super) fn random(&self, stream: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(stream))
    }

    /// There will be so many steps.
    pub(super) fn steps(&self, count: usize) {
        self.bar.set_length(count as u64);
        self.bar.tick();
    }

    /// One of them is done.
    pub(super) fn step(&self) {
        self.bar.inc(1);
    }

    /// Runs the body of a proof on an event loop, and gives it up when it hangs.
    pub(super) fn run(&self, runtime: Runtime, body: impl Future<Output = Outcome>) -> Outcome {
        let bounded = runtime.block_on(async { tokio::time::timeout(BOUND, body).await });
        // Whatever blocks in there would keep the event loop's end waiting.
        runtime.shutdown_background();
        bounded.unwrap_or_else(|_| Err(Broken::new(format!("it hangs: no end within {} s", BOUND.as_secs()))))
    }
}

/// An event loop on the calling thread, as a desktop application has it.
pub(super) fn event_loop() -> Result<Runtime, Broken> {
    Ok(Builder::new_current_thread().enable_time().build()?)
}

/// Two threads for tasks, as a service has them.
pub(super) fn runtime() -> Result<Runtime, Broken> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_time().build()?)
}

/// How many requests are queued or running once those that end by themselves have had the time to.
pub(super) async fn left_over<I: Send + 'static, O: Send + 'static>(model: &Handle<I, O>) -> usize {
    let begin = Instant::now();
    loop {
        let status = model.status();
        let left = status.queued + status.running;
        if left == 0 || begin.elapsed() > Duration::from_secs(5) {
            return left;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Starts a thread that stands outside of every event loop.
pub(super) fn thread<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Broken> {
    Ok(std::thread::Builder::new().name(name.to_owned()).spawn(body)?)
}

/// Waits for what a thread has to say.
pub(super) fn join<T>(thread: JoinHandle<T>) -> Result<T, Broken> {
    thread.join().map_err(|_| Broken::new("a thread of the proof panicked"))
}

/// How many cores there are.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
