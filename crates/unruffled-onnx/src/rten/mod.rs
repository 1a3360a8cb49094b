//! ONNX models run by rten: pure Rust, nothing to install.

mod convert;

mod support;

mod loaded;

mod backend;

pub use backend::RtenBackend;
