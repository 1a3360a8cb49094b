//! The library as a whole, with real files and real runtimes.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod drop_in;
mod estimators;
mod jobs;
mod pipelines;
mod sequences;
mod short;
mod steps;
mod typed;
