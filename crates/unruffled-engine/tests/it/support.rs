//! What the tests share: small models, and errors by kind.

use unruffled_engine::{Error, ErrorKind, Handle, Response};
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
