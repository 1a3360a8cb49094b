//! The demo in its real window: the page, the plugin and the models behind it, on a display that nobody sees.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "the helpers are test code too")]

mod support;

mod calls;
mod ending;
mod panels;
