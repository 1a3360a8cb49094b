//! The asynchronous engine of Unruffled: any synchronous [`Model`](unruffled_model::Model) behind a future.
//!
//! A request travels one way: admission, queue, batch, instance, response. Whoever awaits is never blocked; the queue is
//! bounded; deadlines and dropped futures reach the running model; a panic costs one instance; every request is answered
//! exactly once.
//!
//! ```
//! use unruffled_engine::Engine;
//!
//! # async fn example() -> Result<(), unruffled_engine::Error> {
//! let engine = Engine::new();
//! let shout = engine.wrap(|text: String| text.to_uppercase()).instances(2).build()?;
//! let loud = shout.infer("hello".to_owned()).await?;
//! assert_eq!(*loud, "HELLO");
//! println!("waited {:?}, ran {:?}", loud.timings.queue, loud.timings.run);
//! # Ok(())
//! # }
//! ```
//!
//! The engine knows no HTTP, no ONNX, no Python, no files and no processes, and needs no particular runtime. Panics are
//! contained by unwinding: a program built with `panic = "abort"` gives that up.

mod sync;

mod error;

mod request;

mod metrics;
mod recorder;

mod thread;
mod timer;

mod urgency;

mod queue;
mod reply;

mod arbiter;
mod cost;
mod environment;

mod pool;

mod instance;

mod handle;

mod group;
mod outputs;
mod stream;

mod registry;

mod load;

mod watchdog;

mod engine;

#[cfg(test)]
mod simulation;

#[cfg(doctest)]
mod guide;

pub use engine::{Drained, Engine, ModelStatus, Wrap};
pub use environment::EngineOptions;
pub use error::{Error, ErrorKind};
pub use group::{FailedGroup, Group, GroupError, Report};
pub use handle::{Canceller, Handle, Infer, Request, Stopped};
pub use load::{LoadProgress, Loading};
pub use metrics::{Distribution, Metrics, ModelMetrics, SizeDistribution};
pub use outputs::Outputs;
pub use pool::{Inline, PoolOptions, PoolStatus, Preemption, ThreadPriority};
pub use queue::QueueLimits;
pub use recorder::{ExplainedRun, Explanation, RunEnd};
pub use request::{Response, Timings};
pub use stream::{InferStream, StreamItem, StreamOptions};
pub use unruffled_model::{Caller, Priority, RequestContext, RequestId, TraceContext};
pub use watchdog::{Heartbeat, Lateness, LoopReport, LoopWatch, Section, Site, Stall, WatchOptions, Watched};
