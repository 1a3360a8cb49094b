//! Jobs: submitted now, run later, their results kept for whoever comes back.
//!
//! - To submit and to wait: [`Jobs`], [`JobRequest`], [`Job`], [`JobStatus`]. What can go in and come out: [`JobInput`],
//!   [`JobData`], [`Payload`].
//! - What runs them: [`JobModel`], [`JobCall`]; how: [`JobsOptions`].
//! - Where they wait: [`JobQueue`], and in memory [`MemoryJobs`]; how much: [`JobLimits`]. Whoever keeps them elsewhere asks a
//!   [`JobTable`] what to do and posts it on a [`JobBoard`]; with the feature `job-conformance` there is a suite that every
//!   queue passes.
//!
//! Runs happen at least once, results are stored once: a process may die between the end of a run and the storing of what
//! came of it.

mod id;
mod payload;

mod tensors;
mod terms;

mod status;

mod limits;
mod queue;

mod record;

mod table;

mod board;

mod memory;

mod retry;

mod clock;
mod model;
mod models;
mod options;

mod drive;
mod runner;

mod handle;
mod jobs;

#[cfg(any(test, feature = "job-conformance"))]
pub mod conformance;

pub use board::{JobBoard, Posted};
pub use handle::Job;
pub use id::JobId;
pub use jobs::{JobRequest, Jobs, Submit};
pub use limits::JobLimits;
pub use memory::MemoryJobs;
pub use model::{JobCall, JobModel, JobReporter, JobRun};
pub use options::JobsOptions;
pub use payload::{JobData, JobInput, Payload, PayloadInfo};
pub use queue::{
    CancelAnswer, Claim, ClaimCall, ClaimKey, Claimed, JobEvents, JobFilter, JobQueue, QueueFuture, Release,
    Stored, Submitted, Want,
};
pub use record::JobRecord;
pub use status::{JobFailure, JobOutcome, JobProgress, JobState, JobStatus};
pub use table::{Ending, Granted, JobChange, JobChanges, JobTable};
pub use tensors::TENSORS;
pub use terms::{JobKey, JobTerms, NewJob};
