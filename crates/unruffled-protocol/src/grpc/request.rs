//! [`InferRequest`] to and from its message.

use bytes::Bytes;
use unruffled_model::{Name, Tensors};

use super::contents::{self, Elements};
use super::generated::ModelInferRequest;
use super::generated::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use super::survey::survey;
use crate::brief::Brief;
use crate::datatype;
use crate::error::{Place, ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;
use crate::outputs::RequestedOutput;
use crate::parameters::Parameters;
use crate::place::{Regions, Source};
use crate::raw;
use crate::request::InferRequest;

/// What Triton keeps for itself among the names of parameters.
const RESERVED_PREFIX: &str = "triton_";

/// The parameter of a streamed request that asks for an answer without outputs, if there is no other by which the client
/// could tell that there are no more.
pub const WANTS_FINAL_RESPONSE: &str = "triton_enable_empty_final_response";

/// The parameter of a streamed answer that says whether it is the last of its request.
pub const FINAL_RESPONSE: &str = "triton_final_response";

/// Decodes a request of inference, once it is known not to hold more of anything than it may. Raw elements stay parts of
/// `message`.
///
/// # Errors
///
/// `Malformed` if it is another message, `LimitExceeded` if there are too many inputs, outputs or parameters.
pub fn read_request(message: Bytes, limits: &Limits) -> Result<ModelInferRequest, ProtocolError> {
    survey(&message, limits)?;
    super::decode(message)
}

impl InferRequest {
    /// Reads a request as [`from_json`](Self::from_json) does; which model it is for stays in `message` alone.
    ///
    /// Elements come raw, one entry for each input that is not in shared memory, or typed in the field of their datatype.
    /// FP16 and BF16 are always raw.
    ///
    /// # Errors
    ///
    /// What the client got wrong and in which input, see [`ProtocolErrorKind`].
    pub fn from_grpc(
        message: ModelInferRequest,
        regions: &dyn Regions,
        limits: &Limits,
    ) -> Result<Self, ProtocolError> {
        let ModelInferRequest { id, parameters, inputs, outputs, raw_input_contents: raw, .. } = message;
        if id.len() > limits.name_bytes {
            let (given, most) = (id.len(), limits.name_bytes);
            let message = format!("`id` has {given} bytes; at most {most} are allowed");
            return Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
        }
        let parameters = Parameters::from_grpc(parameters, limits)?;
        check_reserved(&parameters)?;
        let request = Self {
            id: (!id.is_empty()).then_some(id),
            parameters,
            inputs: read_inputs(inputs, raw, regions, limits)?,
            outputs: read_outputs(outputs, limits)?,
        };
        request.check_outputs()?;
        Ok(request)
    }

    /// Writes the request for a model, its elements raw; `version` is empty for the one that the server picks.
    ///
    /// # Errors
    ///
    /// `Unrepresentable` if an element has 4 GiB or more.
    pub fn to_grpc(&self, model: &str, version: &str) -> Result<ModelInferRequest, ProtocolError> {
        let mut message = ModelInferRequest {
            model_name: model.to_owned(),
            model_version: version.to_owned(),
            id: self.id.clone().unwrap_or_default(),
            parameters: self.parameters.to_grpc(),
            ..ModelInferRequest::default()
        };
        for (name, tensor) in self.inputs.iter() {
            message.inputs.push(InferInputTensor {
                name: name.to_string(),
                datatype: datatype::name(tensor.dtype()).to_owned(),
                shape: contents::dimensions(tensor.shape()),
                ..InferInputTensor::default()
            });
            let bytes = raw::lend(tensor).map_err(|error| error.at(Place::input(name)))?;
            message.raw_input_contents.push(bytes);
        }
        for RequestedOutput { name, parameters } in &self.outputs {
            let (name, parameters) = (name.to_string(), parameters.to_grpc());
            message.outputs.push(InferRequestedOutputTensor { name, parameters });
        }
        Ok(message)
    }
}

fn check_reserved(parameters: &Parameters) -> Result<(), ProtocolError> {
    parameters.bool(WANTS_FINAL_RESPONSE)?;
    let reserved = |name: &&str| name.starts_with(RESERVED_PREFIX) && *name != WANTS_FINAL_RESPONSE;
    match parameters.iter().map(|(name, _)| name).find(reserved) {
        Some(name) => {
            let name = Brief(name);
            let message = format!(
                "parameter `{name}` is reserved, as every name that begins with `{RESERVED_PREFIX}` but \
                 `{WANTS_FINAL_RESPONSE}`"
            );
            Err(ProtocolError::new(ProtocolErrorKind::InvalidParameter, message))
        }
        None => Ok(()),
    }
}

fn read_inputs(
    inputs: Vec<InferInputTensor>,
    raw: Vec<Bytes>,
    regions: &dyn Regions,
    limits: &Limits,
) -> Result<Tensors, ProtocolError> {
    let (given, is_raw) = (raw.len(), !raw.is_empty());
    let mut raw = raw.into_iter();
    let mut tensors = Tensors::new();
    for (index, input) in inputs.into_iter().enumerate() {
        contents::name(&input.name, limits).map_err(|error| error.at(Place::InputAt(index)))?;
        let name = Name::from(input.name);
        let place = |error: ProtocolError| error.at(Place::input(&name));
        let invalid = |message: String| place(ProtocolError::new(ProtocolErrorKind::InvalidTensor, message));
        if tensors.get(&name).is_some() {
            return Err(invalid("is given twice".to_owned()));
        }
        let parameters = Parameters::from_grpc(input.parameters, limits).map_err(place)?;
        let source = Source::of(&parameters).map_err(place)?;
        let elements = match source {
            Source::Shared(span) => Elements::Raw(regions.read(&span).map_err(place)?),
            // A size says nothing here: every entry has its own.
            Source::Here | Source::Behind(_) if !is_raw => Elements::Typed(input.contents),
            Source::Here | Source::Behind(_) if !contents::are_empty(input.contents.as_ref()) => {
                let message = "has typed `contents` beside `raw_input_contents`; send one of them";
                return Err(invalid(message.to_owned()));
            }
            Source::Here | Source::Behind(_) => Elements::Raw(raw.next().ok_or_else(|| {
                invalid(format!(
                    "has no entry in `raw_input_contents`, which has {given}; it takes one for each input, in their order"
                ))
            })?),
        };
        let tensor = contents::tensor(&input.datatype, &input.shape, elements, limits).map_err(place)?;
        tensors.insert(name, tensor);
    }
    match raw.len() {
        0 => Ok(tensors),
        surplus => {
            let message = format!(
                "`raw_input_contents` has {given} entries, {surplus} more than there are inputs to take them"
            );
            Err(ProtocolError::new(ProtocolErrorKind::InvalidTensor, message))
        }
    }
}

fn read_outputs(
    outputs: Vec<InferRequestedOutputTensor>,
    limits: &Limits,
) -> Result<Vec<RequestedOutput>, ProtocolError> {
    let read = |(index, output): (usize, InferRequestedOutputTensor)| {
        contents::name(&output.name, limits).map_err(|error| error.at(Place::OutputAt(index)))?;
        let name = Name::from(output.name);
        let place = |error: ProtocolError| error.at(Place::output(&name));
        let parameters = Parameters::from_grpc(output.parameters, limits).map_err(place)?;
        Ok(RequestedOutput { name, parameters })
    };
    outputs.into_iter().enumerate().map(read).collect()
}
