//! Messages of the Open Inference Protocol V2, in JSON and for [gRPC](grpc), and their conversion to and from the types of
//! [`unruffled_model`].
//!
//! [`InferRequest`] is read from a body and [`InferResponse`] written to one, each by way of the other in a client.
//! [`Parameters`] travel with both, [`outputs`] picks what was asked for, and the metadata and health bodies are the
//! rest of the conversation. Whatever the other side got wrong comes back as a [`ProtocolError`] that says where.
//!
//! ```
//! use unruffled_protocol::{InferRequest, InferResponse, Limits, Parameters};
//!
//! let body = br#"{"id":"7","inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[[1,2],[3,4.5]]}]}"#;
//! let request = InferRequest::from_json(body, &Limits::default())?;
//! let x = request.inputs.get("x").expect("it was sent");
//! assert_eq!(x.elements::<f32>()?, [1.0, 2.0, 3.0, 4.5]);
//!
//! let answer = InferResponse::write_json("echo", None, request.id.as_deref(), &Parameters::new(), request.inputs.iter())?;
//! let read = InferResponse::from_json(&answer, &Limits::default())?;
//! assert_eq!((read.id.as_deref(), read.outputs.get("x")), (Some("7"), Some(x)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Numbers survive as they are: integers never pass through doubles, and floats are printed as the shortest text that
//! reads back to the same value. JSON has no text for NaN and the infinities, so the bare words `NaN`, `Infinity` and
//! `-Infinity` are written and read, as Triton and Python's `json` do; a strict JSON parser refuses them.
//!
//! Tensors may also be bytes behind the JSON text ([`InferRequest::from_parts`], [`InferResponse::write`]), or in shared
//! memory, which the caller lends as [`Regions`]. There are no sockets here, no runtime and no engine.

mod brief;
mod limits;

mod error;

pub mod datatype;
mod document;
mod elements;
mod encode;
pub mod raw;

mod envelope;
mod parameters;
mod place;

mod decode;

pub mod classify;
pub mod outputs;
mod request;
mod response;

mod plain;

pub mod example;
mod metadata;

mod configuration;
mod region;
mod repository;
mod statistics;

pub mod grpc;

pub use configuration::{
    DynamicBatching, InstanceGroup, ModelConfiguration, SequenceBatching, TensorConfiguration, data_type,
};
pub use error::{Place, ProtocolError, ProtocolErrorKind};
pub use limits::Limits;
pub use metadata::{ErrorBody, Health, ModelMetadata, ModelReady, ServerMetadata, TensorMetadata};
pub use outputs::RequestedOutput;
pub use parameters::{ParameterValue, Parameters};
pub use place::{Form, NoRegions, Regions, Span};
pub use plain::PlainRequest;
pub use region::Region;
pub use repository::{ControlRequest, IndexEntry, IndexRequest, IndexState};
pub use request::InferRequest;
pub use response::{Body, InferResponse};
pub use statistics::{
    BatchStatistics, InferStatistics, MemoryUsage, ModelStatistics, StatisticDuration, Statistics,
};
