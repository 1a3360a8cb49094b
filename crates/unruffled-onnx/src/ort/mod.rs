//! ONNX models run by ONNX Runtime, whose library is found at run time.

mod log;

mod provider;

mod search;

mod runtime;

mod options;

mod convert;

mod compound;

mod signature;

mod session;

mod loaded;

mod backend;

#[cfg(test)]
mod tests;

pub use backend::OrtBackend;
pub use options::{OrtOptimization, OrtOptions};
pub use runtime::{OrtMissing, OrtRuntime};
pub use search::{OrtSearch, OrtTried};
