//! The synchronous ground of Unruffled: what a model is, before anything asynchronous is said about it.
//!
//! A [`Model`] takes a [`Batch`] and answers it row by row, on a thread of its own, watching a [`RunContext`]. A
//! [`LoadedModel`] is what its instances share. A [`Backend`] makes one out of a file; an [`FnModel`] out of any function.
//! [`Tensors`] are what most models take and give, described by a [`Signature`]; [`IntoTensors`] and [`FromTensors`] make them of
//! a program's own types.
//!
//! ```
//! use unruffled_model::{Batch, CancelToken, FnModel, LoadedModel, RunContext};
//!
//! let double = FnModel::new(|x: u32| 2 * x);
//! let mut batch = Batch::new([1, 2, 3]);
//! let cancel = CancelToken::new();
//! double.with_instance(&mut |instance| {
//!     instance.run(&mut batch, &RunContext::new(&cancel, None, &[])).unwrap();
//! })?;
//! let answers: Vec<u32> = batch.into_rows().into_iter().map(|row| row.into_answer().unwrap().unwrap()).collect();
//! assert_eq!(answers, [2, 4, 6]);
//! # Ok::<(), unruffled_model::ModelError>(())
//! ```
//!
//! There is no async here, no serialization and no input or output: a crate that runs models needs none of them.

mod sync;

mod buffer;
mod dtype;
mod error;
mod tensor;
mod tensors;

mod axis;

mod signature;

mod rows;
mod sequence;
mod typed;

mod cancel;
mod provenance;
mod trace;

mod context;
mod memo;
mod model;

mod loaded;

mod joint;

mod closure;
mod sampled;

mod carrier;
mod stateful;

mod backend;

pub use backend::{Backend, BackendOptions, LoadContext, ModelSource, SpecialOptions, Support};
pub use buffer::Buffer;
pub use bytes::Bytes;
pub use cancel::{CancelToken, HookGuard};
pub use carrier::{Carried, Carrier, TensorCarrier};
pub use closure::{FnModel, RowFn};
pub use context::{Caller, Priority, RequestContext, RequestId, RunContext};
pub use dtype::{DType, Data, Element};
pub use error::{ModelError, ModelErrorKind};
pub use joint::{JointModel, TensorRun, admit_tensors};
pub use loaded::{
    Batching, Footprint, Interrupt, LoadedModel, ModelInfo, Rerun, Serve, SharedModel, Stateless, TensorModel,
};
pub use memo::{Kept, Memo, MemoKey, TensorMemo};
pub use model::{Batch, Emitter, Model, OutputSink, Row, RowParts};
pub use provenance::{Degraded, Provenance, Step};
pub use rows::RowPlace;
pub use sampled::Sampled;
pub use sequence::{Feedback, Overlap, SequenceSpec};
pub use signature::{Dim, InputDefault, Signature, TensorSpec};
pub use stateful::{Stateful, StatefulCarrier, StatefulInput, StatefulOutput};
pub use tensor::{Tensor, element_count};
pub use tensors::{Name, Tensors};
pub use trace::TraceContext;
pub use typed::{FromTensor, FromTensors, IntoTensor, IntoTensors};
#[doc(hidden)]
pub use typed::{field_from, field_into};
