//! What travels with a request and with a run: [`RequestId`], [`RequestContext`], [`RunContext`].

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::cancel::{CancelToken, HookGuard};

/// Names one request in logs, replies and errors; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// Given by the engine, unique within it.
    Number(u64),
    /// Given by the caller.
    Text(Arc<str>),
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestId::Number(number) => write!(f, "{number}"),
            RequestId::Text(text) => f.write_str(text),
        }
    }
}

/// What a caller sends along with an input: immutable, and never mixed with that of a neighbour in the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestContext {
    /// The name of the request.
    pub id: RequestId,
}

impl RequestContext {
    /// The context of a request of this name.
    pub fn new(id: RequestId) -> Self {
        Self { id }
    }
}

/// What a model may ask about the run that it is in.
#[derive(Clone, Copy, Debug)]
pub struct RunContext<'a> {
    cancel: &'a CancelToken,
    deadline: Option<Instant>,
    requests: &'a [RequestContext],
}

impl<'a> RunContext<'a> {
    /// The context of a run over these requests, one per row of the batch.
    pub fn new(cancel: &'a CancelToken, deadline: Option<Instant>, requests: &'a [RequestContext]) -> Self {
        Self { cancel, deadline, requests }
    }

    /// Whether nobody waits for this run any more. Ask it between steps, and return
    /// [`ModelError::cancelled`](crate::ModelError::cancelled) when it says so.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Has `hook` run, once, when nobody waits any more: the way to stop a library that is running. It runs on the thread
    /// that gives up last, or at once on this one if that has happened already. The hook neither runs nor is running once
    /// the guard is dropped.
    #[must_use = "dropping the guard takes the hook away"]
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> HookGuard<'a> {
        self.cancel.on_cancel(hook)
    }

    /// When the last of the requests gives up; `None` if one of them waits for ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The requests of this run; the index is that of the row in the batch.
    pub fn requests(&self) -> &'a [RequestContext] {
        self.requests
    }
}
