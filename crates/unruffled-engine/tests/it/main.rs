//! What a caller of the engine can see, with real threads and scripted models.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod batches;
mod cancellation;
mod crashes;
mod groups;
mod lifecycle;
mod limits;
mod storm;
mod support;
mod threads;
