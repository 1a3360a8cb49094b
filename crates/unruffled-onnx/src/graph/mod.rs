//! What an ONNX file says about itself, read without its weights.

mod wire;

mod weight;

mod file;

mod whole;

mod types;

mod summary;

mod skeleton;

pub(crate) use file::{OnnxFile, for_each_node};
pub(crate) use skeleton::{Skeleton, TakenWeight};
pub use summary::OnnxSummary;
pub(crate) use types::{Declared, declared};
pub(crate) use weight::Weight;
pub(crate) use whole::{Attribute, Node, WholeGraph};
