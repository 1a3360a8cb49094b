//! [`InferResponse`] to and from its message.

use bytes::Bytes;
use unruffled_model::{Name, Tensor, Tensors};

use super::contents::{self, Elements};
use super::generated::ModelInferResponse;
use super::generated::model_infer_response::InferOutputTensor;
use crate::datatype;
use crate::error::{Place, ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;
use crate::parameters::Parameters;
use crate::place::Form;
use crate::raw;
use crate::response::InferResponse;

/// The key of `raw_output_contents`: field 6, of a length and bytes.
const RAW_KEY: u8 = 6 << 3 | 2;

/// Raw elements up to this size are copied into the message: a piece of its own would cost more.
const COPIED_BYTES: usize = 16 << 10;

/// Writes a response as pieces to be sent one after the other, so that large elements are not copied.
pub fn encode_response(mut message: ModelInferResponse) -> Vec<Bytes> {
    let raw = std::mem::take(&mut message.raw_output_contents);
    let mut pieces = Vec::new();
    let mut piece = super::encode(&message);
    for bytes in raw {
        piece.push(RAW_KEY);
        prost::encode_length_delimiter(bytes.len(), &mut piece).expect("a Vec takes everything");
        if bytes.len() <= COPIED_BYTES {
            piece.extend_from_slice(&bytes);
        } else {
            pieces.push(std::mem::take(&mut piece).into());
            pieces.push(bytes);
        }
    }
    if !piece.is_empty() {
        pieces.push(piece.into());
    }
    pieces
}

/// The key of the answer within a streamed one: field 2, of a length and bytes.
const STREAMED_KEY: u8 = 2 << 3 | 2;

/// Writes a response of a stream as [`encode_response`] does one that stands alone.
pub fn encode_stream_response(message: ModelInferResponse) -> Vec<Bytes> {
    let mut pieces = encode_response(message);
    let length = pieces.iter().map(Bytes::len).sum();
    let mut first = vec![STREAMED_KEY];
    prost::encode_length_delimiter(length, &mut first).expect("a Vec takes everything");
    match pieces.first_mut() {
        Some(piece) => {
            first.extend_from_slice(piece);
            *piece = first.into();
        }
        None => pieces.push(first.into()),
    }
    pieces
}

impl InferResponse {
    /// Writes a response whose elements are raw and lent by the tensors, however the request sent its own: that is the one
    /// form that all clients read. Only those in shared memory are left out.
    ///
    /// # Errors
    ///
    /// `Unrepresentable` if an element has 4 GiB or more; the output is named.
    pub fn write_grpc<'a>(
        model_name: &str,
        model_version: Option<&str>,
        id: Option<&str>,
        parameters: &Parameters,
        outputs: impl Iterator<Item = (&'a Name, &'a Tensor, &'a Form)>,
    ) -> Result<ModelInferResponse, ProtocolError> {
        let mut message = ModelInferResponse {
            model_name: model_name.to_owned(),
            model_version: model_version.unwrap_or_default().to_owned(),
            id: id.unwrap_or_default().to_owned(),
            parameters: parameters.to_grpc(),
            ..ModelInferResponse::default()
        };
        for (name, tensor, form) in outputs {
            let mut output = InferOutputTensor {
                name: name.to_string(),
                datatype: datatype::name(tensor.dtype()).to_owned(),
                shape: contents::dimensions(tensor.shape()),
                ..InferOutputTensor::default()
            };
            if let Form::Shared(span) = form {
                output.parameters = span.parameters().to_grpc();
                message.outputs.push(output);
                // Clients count outputs and contents alike.
                message.raw_output_contents.push(Bytes::new());
                continue;
            }
            message.outputs.push(output);
            let bytes = raw::lend(tensor).map_err(|error| error.at(Place::output(name)))?;
            message.raw_output_contents.push(bytes);
        }
        Ok(message)
    }

    /// Reads a response, its elements raw or typed.
    ///
    /// # Errors
    ///
    /// What the server got wrong and in which output.
    pub fn from_grpc(message: ModelInferResponse, limits: &Limits) -> Result<Self, ProtocolError> {
        let kind = ProtocolErrorKind::InvalidTensor;
        let (given, wanted) = (message.raw_output_contents.len(), message.outputs.len());
        if given > 0 && given != wanted {
            let message = format!("`raw_output_contents` has {given} entries for {wanted} outputs");
            return Err(ProtocolError::new(kind, message));
        }
        let mut raw = message.raw_output_contents.into_iter();
        let mut outputs = Tensors::new();
        for (index, output) in message.outputs.into_iter().enumerate() {
            contents::name(&output.name, limits).map_err(|error| error.at(Place::OutputAt(index)))?;
            let name = Name::from(output.name);
            let place = |error: ProtocolError| error.at(Place::output(&name));
            if outputs.get(&name).is_some() {
                return Err(place(ProtocolError::new(kind, "is given twice")));
            }
            let elements = raw.next().map_or(Elements::Typed(output.contents), Elements::Raw);
            let tensor =
                contents::tensor(&output.datatype, &output.shape, elements, limits).map_err(place)?;
            outputs.insert(name, tensor);
        }
        Ok(Self {
            model_name: message.model_name,
            model_version: (!message.model_version.is_empty()).then_some(message.model_version),
            id: (!message.id.is_empty()).then_some(message.id),
            parameters: Parameters::from_grpc(message.parameters, limits)?,
            outputs,
        })
    }
}
