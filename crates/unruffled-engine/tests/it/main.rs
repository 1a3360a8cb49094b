//! What a caller of the engine can see, with real threads and scripted models.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod arbiter;
mod asynchronous;
mod batches;
mod cancellation;
mod contained;
mod context;
mod crashes;
mod deadlines;
mod elastic;
mod fair;
mod groups;
mod inline;
mod jobs;
mod jobs_slow;
mod leases;
mod lifecycle;
mod limits;
mod memory;
mod monitoring;
mod outputs;
mod pipelines;
mod poison;
mod preempt;
mod sequences;
mod service;
mod storm;
mod streams;
mod supersede;
mod support;
mod threads;
mod traps;
mod typed;
mod versions;
mod watchdog;
