//! [`DurableJobs`]: jobs that survive the process that took them in.

mod record;

mod blobs;

mod disk;

mod inbox;

mod writer;

mod durable;

pub use durable::DurableJobs;
