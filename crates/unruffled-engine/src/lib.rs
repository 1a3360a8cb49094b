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

mod thread;
mod timer;

mod queue;
mod reply;

mod cost;
mod pool;

mod instance;

mod handle;

mod registry;

mod load;

mod watchdog;

mod engine;

#[cfg(test)]
mod simulation;

pub use engine::{Drained, Engine, ModelStatus, Wrap};
pub use error::{Error, ErrorKind};
pub use handle::{Handle, Infer, Request};
pub use load::{LoadProgress, Loading};
pub use pool::{PoolOptions, PoolStatus};
pub use queue::QueueLimits;
pub use request::{Priority, Response, Timings};
pub use watchdog::{Heartbeat, Lateness, LoopReport, LoopWatch, Section, Site, Stall, WatchOptions, Watched};
