//! The same messages over gRPC: their protocol buffers, and the conversion to and from the types of this crate.
//!
//! [`read_request`] checks a message before it is decoded, [`InferRequest::from_grpc`](crate::InferRequest::from_grpc) makes of it what a request in JSON
//! makes, and [`InferResponse::write_grpc`](crate::InferResponse::write_grpc) says what a model gave. Elements are shared wherever they can be: a request's
//! stay parts of its message, and an answer lends those of the model.
//!
//! ```
//! use unruffled_model::Tensor;
//! use unruffled_protocol::{Form, InferRequest, InferResponse, Limits, NoRegions, Parameters, grpc};
//!
//! let x = Tensor::new(&[1, 2], vec![1.0_f32, 2.5])?;
//! let asked = InferRequest { inputs: [("x", x.clone())].into_iter().collect(), ..InferRequest::default() };
//! let message = grpc::encode(&asked.to_grpc("echo", "")?);
//!
//! let request = grpc::read_request(message.into(), &Limits::default())?;
//! assert_eq!(request.model_name, "echo");
//! let request = InferRequest::from_grpc(request, &NoRegions, &Limits::default())?;
//! assert_eq!(request.inputs.get("x"), Some(&x));
//!
//! let outputs = request.inputs.iter().map(|(name, tensor)| (name, tensor, &Form::Binary));
//! let answer = InferResponse::write_grpc("echo", None, None, &Parameters::new(), outputs)?;
//! assert_eq!(answer.raw_output_contents[0].len(), 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[rustfmt::skip]
#[allow(clippy::all, missing_docs, unreachable_pub, reason = "made by a program")]
mod generated;

mod contents;
mod parameters;
mod survey;

mod request;
mod response;

mod control;
mod metadata;

use bytes::Bytes;
use prost::Message;

use crate::error::{ProtocolError, ProtocolErrorKind};

pub use generated::*;
pub use request::{FINAL_RESPONSE, WANTS_FINAL_RESPONSE, read_request};
pub use response::{encode_response, encode_stream_response};

/// All messages and services of the protocol, as reflection tells them.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("../../proto/descriptors.bin");

/// The service's name in paths.
pub const SERVICE: &str = "inference.GRPCInferenceService";

/// Reads a message that is small whatever it holds. For requests of inference there is [`read_request`].
///
/// # Errors
///
/// `Malformed` if it is another one.
pub fn decode<M: Message + Default>(message: Bytes) -> Result<M, ProtocolError> {
    M::decode(message).map_err(|error| {
        ProtocolError::new(
            ProtocolErrorKind::Malformed,
            format!("the message is not what it should be: {error}"),
        )
    })
}

/// Writes a message.
pub fn encode(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}
