//! The program as its users meet it: started, talked to, ended.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod browser;
mod program;

mod collector;
mod config;
mod doors;
mod drop_in;
mod gathered;
mod infer;
mod inspect;
mod jobs;
mod live_page;
mod live_page_jobs;
mod live_page_keys;
mod live_page_trials;
mod pipelines;
mod prove;
mod python;
mod serve;
mod traces;
