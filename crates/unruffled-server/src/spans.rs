//! [`Tracing`]: where the server tells what became of each request, for traces that go beyond it.

use std::time::{Duration, SystemTime};

use unruffled_engine::{Priority, Timings};
use unruffled_model::{Name, TraceContext};

/// Takes the spans of requests: to an exporter, into a test, to wherever traces are looked at.
///
/// All of it is called for requests under way, on the event loop: nothing here may block.
pub trait Tracing: Send + Sync + 'static {
    /// Whether a request of this trace is told. `parent` is what its caller has decided, if it came with a trace.
    fn samples(&self, trace_id: u128, parent: Option<bool>) -> bool;

    /// Takes what became of a request that is told.
    fn tell(&self, span: RequestSpan);

    /// How many spans were taken further, and how many were lost.
    fn report(&self) -> TracingReport {
        TracingReport::default()
    }

    /// Which part of the traces that begin here is told, from 0 to 1.
    fn ratio(&self) -> f64 {
        1.0
    }

    /// Changes that part.
    ///
    /// # Errors
    ///
    /// Why it cannot be changed.
    fn set_ratio(&self, _ratio: f64) -> Result<(), String> {
        Err("how many requests are traced is fixed here".to_owned())
    }
}

/// What [`Tracing`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TracingReport {
    /// Spans that arrived where they were sent.
    pub exported: u64,
    /// Spans that were lost: there was no room, or nobody who took them.
    pub dropped: u64,
}

/// What became of one request, from its arrival to its answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestSpan {
    /// The trace and, as its parent, this very span: what the model is given.
    pub context: TraceContext,
    /// The span of the caller, if it came with one.
    pub parent_id: Option<u64>,
    /// What was asked.
    pub operation: Operation,
    /// How it was asked.
    pub transport: Transport,
    /// When it came.
    pub started: SystemTime,
    /// How long after that it was read, decoded, and given to the engine; `None` if it did not come so far.
    pub asked: Option<Duration>,
    /// How long it took from its arrival.
    pub took: Duration,
    /// Where the engine's time went, if there was a run that answered.
    pub timings: Option<Timings>,
    /// The model, if there is one of the name.
    pub model: Option<Name>,
    /// The version that is told in the answer, if the model has versions.
    pub version: Option<Name>,
    /// What the client called the request.
    pub id: Option<String>,
    /// How many rows the request had, where the model takes rows.
    pub rows: Option<usize>,
    /// How urgent it was.
    pub priority: Priority,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a request wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// An answer now.
    Infer,
    /// A job, to be run whenever there is time.
    Submit,
}

/// By which protocol a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// HTTP.
    Http,
    /// gRPC.
    Grpc,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// With an answer.
    Answered,
    /// With an error.
    Refused {
        /// The status of HTTP that stands for it.
        status: u16,
        /// What the client was told.
        message: String,
    },
    /// Nobody waited for it any more.
    Abandoned,
}
