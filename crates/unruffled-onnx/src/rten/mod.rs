//! ONNX models run by rten: pure Rust, nothing to install.

mod convert;

mod limits;

mod rewrite;

mod support;

mod loaded;

mod backend;

pub use backend::RtenBackend;
