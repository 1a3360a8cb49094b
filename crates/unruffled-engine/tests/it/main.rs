//! What a caller of the engine can see, with real threads and scripted models.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod arbiter;
mod asynchronous;
mod batches;
mod cache;
mod cancellation;
mod contained;
mod context;
mod crashes;
mod deadlines;
mod fair;
mod fallback;
mod groups;
mod inline;
mod lifecycle;
mod limits;
mod monitoring;
mod outputs;
mod poison;
mod preempt;
mod storm;
mod streams;
mod supersede;
mod support;
mod threads;
mod traps;
mod watchdog;
