//! The commands of the plugin, as a page calls them, on Tauri's mock runtime.

#![allow(clippy::unwrap_used, reason = "the helpers are test code too")]

mod batches;
mod jobs;
mod models;
mod requests;
mod sessions;
mod streams;
mod support;
