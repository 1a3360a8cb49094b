//! [`Pipeline`]: models chained and branched by name, asked like one.
//!
//! What is written becomes a [`Graph`](graph::Graph), checked once; each call makes its [`Passage`](passage::Passage) through it.

mod error;

mod draft;

mod ask;
mod sizes;

mod graph;

mod names;

mod check;

mod values;

mod turn;

pub(crate) mod passage;

mod model;

pub use draft::{Feed, Pipeline, PipelineStep, StepModel};
pub use error::{PipelineError, PipelineErrorKind};
pub(crate) use model::model;

#[cfg(test)]
pub(crate) use {ask::Ask, ask::Asked, ask::Told, check::check};
