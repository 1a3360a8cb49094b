//! What must hold of the readers of other people's bytes, whatever the bytes are: a function for each target, which panics
//! where it does not.
//!
//! The fuzzer calls them with what it makes up, `tests/replay.rs` with the inputs that are kept in `seeds` and `regressions`.
//! An input begins with a [`Head`](head::Head), from which a target takes what it varies besides the bytes that it reads.

pub mod head;
pub mod memory;
pub mod same;
pub mod told;

mod binary_request;
mod grpc_messages;
mod json_request;
mod response;

pub use binary_request::binary_request;
pub use grpc_messages::grpc_messages;
pub use json_request::json_request;
pub use response::response;

/// Takes an input, and panics if something does not hold.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("binary_request", binary_request),
    ("grpc_messages", grpc_messages),
    ("json_request", json_request),
    ("response", response),
];
