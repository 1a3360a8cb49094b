//! What the tests share: small models, and errors by kind.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use unruffled_engine::{Engine, EngineOptions, Error, ErrorKind, Handle, Response};
use unruffled_model::{RequestId, RunContext};
use unruffled_testing::scripted::ScriptedModel;

/// A model that adds one.
pub(crate) fn adding() -> ScriptedModel<u32, u32> {
    ScriptedModel::new(|x: &u32, _: &RunContext<'_>| Ok(x + 1))
}

/// Checks how a request ended, and that its message holds `text`.
#[track_caller]
pub(crate) fn check_error<O: std::fmt::Debug>(
    outcome: Result<Response<O>, Error>,
    kind: ErrorKind,
    text: &str,
) -> Error {
    let error = outcome.expect_err("the request should have failed");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "`{error}` does not mention `{text}`");
    error
}

/// Checks that a model answers.
#[track_caller]
pub(crate) fn check_alive(runtime: &tokio::runtime::Runtime, model: &Handle<u32, u32>) {
    let answer = runtime.block_on(async { model.infer(41).await });
    assert_eq!(answer.map(|response| response.output).map_err(|error| error.to_string()), Ok(42));
}

pub(crate) fn ids(names: &[&str]) -> Vec<RequestId> {
    names.iter().map(|name| RequestId::Text((*name).into())).collect()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// How long a test waits for what other threads do before it fails: longer than any test should take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lets other threads work until `what` has come about.
#[track_caller]
pub(crate) fn wait_until(mut what: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < PATIENCE, "it has not come about within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// Waits for what must come about, and fails if it does not.
pub(crate) async fn patiently<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes about")
}

/// Polls once, for nobody.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future that is not to complete before `what` has come about.
#[track_caller]
pub(crate) fn pending_until<F: Future>(mut future: Pin<&mut F>, mut what: impl FnMut() -> bool) {
    wait_until(|| {
        assert!(poll_once(future.as_mut()).is_pending(), "it must not complete yet");
        what()
    });
}

/// An engine with so many cores, whatever the machine has.
pub(crate) fn engine_of(cores: usize) -> Engine {
    Engine::with_options(EngineOptions::default().with_cores(cores))
}

/// How many requests to a model were let in and ended with an error of this kind.
pub(crate) fn failed<I: Send + 'static, O: Send + 'static>(model: &Handle<I, O>, kind: ErrorKind) -> u64 {
    let failed = model.metrics().failed;
    failed.iter().find(|(known, _)| *known == kind).map_or(0, |(_, count)| *count)
}
