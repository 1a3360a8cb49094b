//! Python models in worker processes, with the Python of the repository's environment.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod logs;
mod python;

mod cancel;
mod context;
mod crashes;
mod estimators;
mod faults;
mod guide;
mod loading;
mod orphans;
mod protocol;
mod reload;
mod runs;
mod streams;
