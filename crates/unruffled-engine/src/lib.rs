//! The asynchronous engine of Unruffled: any synchronous [`Model`](unruffled_model::Model) behind a future.
//!
//! Whoever awaits is never blocked, and whatever is asked ends exactly once: with its result, or with one typed error. Queues
//! are bounded. What waits becomes one batch when an instance is free; who goes first follows priorities, deadlines and
//! shares. Giving up reaches the running model. A bad row costs itself, a panic costs one instance.
//!
//! ```
//! use std::time::Duration;
//! use unruffled_engine::{Engine, Priority};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), unruffled_engine::Error> {
//! let engine = Engine::new();
//! let shout = engine.wrap(|text: String| text.to_uppercase()).instances(2).build()?;
//! let request = shout.infer("hello".to_owned()).timeout(Duration::from_secs(1)).priority(Priority::Interactive);
//! let loud = request.await?;
//! assert_eq!(*loud, "HELLO");
//! println!("waited {:?}, ran {:?}", loud.timings.queue, loud.timings.run);
//! # Ok(())
//! # }
//! ```
//!
//! Where to look:
//!
//! - Models: [`Engine::wrap`] and its sisters for functions, [`Engine::wrap_async`] for what asks several models,
//!   [`Engine::wrap_model`] for types of your own,
//!   [`Engine::load_with`] for what takes long to load ([`Loading`]). What can be set: [`PoolOptions`], [`EngineOptions`].
//! - One request: [`Handle::infer`], [`Request`], [`Infer`], [`Response`], [`Error`]. Given up from elsewhere: [`Canceller`].
//! - In types of your own, of a model of tensors: [`Handle::typed`](Handle::typed). With tower's middleware in front: a [`Handle`] is a
//!   `tower::Service`.
//! - Several requests to one instance: [`Handle::acquire`], [`Lease`].
//! - Several outputs for one input: [`Request::outputs`]. Many requests under one scope: [`Engine::group`], [`Report`]. A
//!   live source: [`Handle::stream`], [`StreamOptions`].
//! - Models chained and branched by name: [`Pipeline`], [`Engine::wrap_pipeline`].
//! - State that is kept from call to call: [`Handle::sequences`], [`Session`], [`Snapshot`].
//! - Several models of which one answers: [`Engine::fallback`], [`Chain`], [`Link`], [`Breaker`].
//! - What travels with a request: [`RequestContext`], [`Priority`], [`Caller`], [`TraceContext`].
//! - Submitted now, run later, the result kept: [`Engine::jobs`], [`Jobs`], and [`job`] for where they wait.
//! - What happened: [`Engine::metrics`], [`Engine::explain`], [`Engine::watch_loop`].
//! - The end: [`Engine::unload`], [`Engine::shutdown`], [`Drained`].
//!
//! The guide in `docs/guide` has a page on each, with what is guaranteed and what is not.
//!
//! No particular runtime is needed: models run on threads of their own, deadlines fire from one more, and every future and
//! stream here may be polled by any executor. What it does not do: it knows no HTTP, no ONNX, no Python, no files and no
//! processes; it stops no model that cannot be stopped, and waits for it instead; it keeps no results but those of jobs, unless
//! it is told to, and tries nothing again that failed by itself, jobs aside. Panics are contained by unwinding: a program built
//! with `panic = "abort"` gives that up.

mod sync;

mod duration;
mod error;

mod request;

mod asynchronous;

mod metrics;
mod recorder;

mod thread;
mod timer;

mod urgency;

mod queue;
mod reply;

mod arbiter;
mod cost;
mod memory;

mod environment;

mod pool;

mod instance;

mod roster;

mod version;

mod handle;

mod lease;
mod service;
mod typed;

mod group;
mod outputs;
mod sequence;
mod stream;

mod breaker;
mod fallback;
mod pipeline;

mod registry;

mod load;

pub mod job;

mod watchdog;

mod engine;

#[cfg(test)]
mod simulation;

#[cfg(doctest)]
mod guide;

pub use asynchronous::Call;
pub use breaker::{Breaker, BreakerOptions, BreakerState, BreakerStatus};
pub use duration::DurationExt;
pub use engine::{Drained, Engine, ModelStatus, Wrap};
pub use environment::EngineOptions;
pub use error::{Error, ErrorKind};
pub use fallback::{Attempt, Chain, ChainRequest, ChainStatus, Fallback, Link, LinkStatus};
pub use group::{FailedGroup, Group, GroupError, Report};
pub use handle::{Canceller, Handle, Infer, Request, Stopped};
pub use job::{Job, JobState, JobStatus, Jobs, JobsOptions};
pub use lease::{Acquire, Acquiring, Lease, LeaseCall};
pub use load::Loading;
pub use memory::{MemoryBudget, MemoryReport, ModelMemory};
pub use metrics::{BatchMetrics, CacheMetrics, Distribution, Metrics, ModelMetrics, SizeDistribution};
pub use outputs::Outputs;
pub use pipeline::{Feed, Pipeline, PipelineError, PipelineErrorKind, PipelineStep, StepModel};
pub use pool::{CacheOptions, Inline, PoolOptions, PoolStatus, Preemption};
pub use queue::QueueLimits;
pub use recorder::{ExplainedRun, Explanation, RunEnd};
pub use request::{Response, Timings};
pub use sequence::{
    SequenceOptions, SequenceStatus, Sequences, Session, SessionInfer, SessionRequest, Snapshot,
};
pub use stream::{InferStream, StreamItem, StreamOptions};
pub use thread::ThreadPriority;
pub use typed::{Typed, TypedInfer, TypedRequest};
pub use unruffled_model::{
    Caller, Degraded, Priority, Provenance, RequestContext, RequestId, Step, TraceContext,
};
pub use version::{LoadProgress, Recipe, Rollout, VersionState, VersionStatus};
pub use watchdog::{Heartbeat, Lateness, LoopReport, LoopWatch, Section, Site, Stall, WatchOptions, Watched};
