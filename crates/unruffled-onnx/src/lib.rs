//! ONNX models behind the `Model` trait.
//!
//! [`RtenBackend`] runs them with rten, in pure Rust: nothing to install, one copy of the weights for all instances.
//! [`TreesBackend`] runs classical models in the same way: trees, linear models, support vectors.
//! [`OrtBackend`] runs them with ONNX Runtime, which must be installed and is [looked for](OrtSearch) at run time: faster on
//! most models, and there is no model that it does not know; a run can be cancelled.
//! [`OnnxSummary`] says what is in a file without loading it.
//!
//! ```no_run
//! use unruffled_model::{Backend, BackendOptions, CancelToken, LoadContext, ModelSource};
//! use unruffled_onnx::RtenBackend;
//!
//! let source = ModelSource::File("models/digits/1/model.onnx".into());
//! let cancel = CancelToken::new();
//! let model = RtenBackend.load(&source, &BackendOptions::default(), &LoadContext::new(&cancel, &|_| ()))?;
//! for input in &model.info().signature.inputs {
//!     println!("{input}");
//! }
//! # Ok::<(), unruffled_model::ModelError>(())
//! ```
//!
//! There is no async here, and no queue: an instance runs one batch at a time, on the thread that asked for it.

mod source;

#[cfg(test)]
mod sample;

mod graph;

mod rows;

mod rten;

mod trees;

mod ort;

pub use self::graph::OnnxSummary;
pub use self::ort::{OrtBackend, OrtMissing, OrtOptimization, OrtOptions, OrtRuntime, OrtSearch, OrtTried};
pub use self::rten::RtenBackend;
pub use self::trees::TreesBackend;
