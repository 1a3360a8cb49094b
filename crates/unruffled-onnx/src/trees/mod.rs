//! Classical models in pure Rust: a graph of `ai.onnx.ml` operators, and of the plain ones around them, is planned once and
//! run by any thread.

mod shape;

mod settings;

mod kernel;

mod labels;
mod transform;

mod ensemble;

mod matrix;

mod linear;
mod svm;

mod arithmetic;
mod cast;
mod encode;
mod rearrange;
mod scale;
mod zipmap;

mod features;
mod reduce;

mod operators;

mod plan;

mod draft;

mod loaded;

mod backend;

#[cfg(test)]
mod tests;

pub use backend::TreesBackend;
