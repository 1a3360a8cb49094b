//! What must hold of the readers of other people's bytes, whatever the bytes are: a function for each target, which panics
//! where it does not.
//!
//! The fuzzer calls them with what it makes up, `tests/replay.rs` with the inputs that are kept in `seeds` and `regressions`.
//! An input begins with a [`Head`](head::Head), from which a target takes what it varies besides the bytes that it reads.

pub mod head;
pub mod memory;
pub mod same;
pub mod told;

mod json_request;

mod binary_request;
mod grpc_messages;
mod response;

mod config;
mod files;
mod onnx;

mod http;

pub use binary_request::binary_request;
pub use config::config;
pub use files::files;
pub use grpc_messages::grpc_messages;
pub use http::http;
pub use json_request::json_request;
pub use onnx::onnx;
pub use response::response;

/// Takes an input, and panics if something does not hold.
pub type Target = fn(&[u8]);

/// All targets by name. What reads the settings of other servers belongs here too, as `drop_in`.
pub const TARGETS: &[(&str, Target)] = &[
    ("binary_request", binary_request),
    ("config", config),
    ("files", files),
    ("grpc_messages", grpc_messages),
    ("http", http),
    ("json_request", json_request),
    ("onnx", onnx),
    ("response", response),
];
