//! [`InferRequest`]: what a client asks of a model.

use unruffled_model::Tensors;

use crate::brief::Brief;
use crate::decode::{self, Null};
use crate::document::Document;
use crate::encode;
use crate::envelope::{EnvelopeSeed, Item};
use crate::error::{Place, ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;
use crate::outputs::RequestedOutput;
use crate::parameters::{ParameterValue, Parameters};

/// What Triton keeps for itself among the names of request parameters.
const RESERVED_PREFIX: &str = "triton_";

/// Parameters of an input that put its data elsewhere, and what that is.
const ELSEWHERE: [(&str, &str); 4] = [
    ("binary_data_size", "binary tensor data"),
    ("shared_memory_region", "shared memory"),
    ("shared_memory_byte_size", "shared memory"),
    ("shared_memory_offset", "shared memory"),
];

/// An inference request of the Open Inference Protocol V2.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InferRequest {
    /// What the client calls this request; the response repeats it, also when empty.
    pub id: Option<String>,
    /// Settings of the whole request.
    pub parameters: Parameters,
    /// The inputs by name.
    pub inputs: Tensors,
    /// The outputs wanted, in this order; all of them if empty.
    pub outputs: Vec<RequestedOutput>,
}

impl InferRequest {
    /// Reads a request.
    ///
    /// Members may come in any order; unknown members and parameters are ignored, and a member that is `null` counts as
    /// left out. `data` may be flat, or nested as deep as `shape`. Integers are taken for floating-point types, never
    /// the reverse. `NaN`, `Infinity` and `-Infinity` are taken as bare words, as Triton does.
    ///
    /// # Errors
    ///
    /// What the client got wrong and in which input, see [`ProtocolErrorKind`].
    pub fn from_json(body: &[u8], limits: &Limits) -> Result<Self, ProtocolError> {
        let document = Document::new(body, limits)?;
        let envelope = document.parse(EnvelopeSeed { document: &document, limits })?;

        let id = decode::text(envelope.id, "id", limits)?;
        let parameters = Parameters::from_json(envelope.parameters, limits)?;
        if let Some((name, _)) = parameters.iter().find(|(name, _)| name.starts_with(RESERVED_PREFIX)) {
            let name = Brief(name);
            let message = format!("parameter `{name}` is reserved, as every name that begins with `triton_`");
            return Err(ProtocolError::new(ProtocolErrorKind::InvalidParameter, message));
        }

        let mut inputs = Tensors::new();
        let items = decode::required(envelope.inputs, "inputs")?;
        for (index, item) in decode::at_most(items, limits.tensors, "inputs")?.into_iter().enumerate() {
            let name = decode::name(&item, limits, Place::InputAt(index))?;
            let place = |error: ProtocolError| error.at(Place::input(&name));
            if inputs.get(&name).is_some() {
                let message = "is given twice";
                return Err(place(ProtocolError::new(ProtocolErrorKind::InvalidTensor, message)));
            }
            refuse_data_elsewhere(&item, limits).map_err(place)?;
            let tensor = decode::tensor(&item, limits, Null::Refused).map_err(place)?;
            inputs.insert(name, tensor);
        }

        let mut outputs = Vec::new();
        let items = envelope.outputs.unwrap_or_default();
        for (index, item) in
            decode::at_most(items, limits.requested_outputs, "outputs")?.into_iter().enumerate()
        {
            let name = decode::name(&item, limits, Place::OutputAt(index))?;
            let place = |error: ProtocolError| error.at(Place::output(&name));
            let parameters = Parameters::from_json(item.parameters, limits).map_err(place)?;
            refuse_other_forms(&parameters).map_err(place)?;
            outputs.push(RequestedOutput { name, parameters });
        }
        Ok(Self { id, parameters, inputs, outputs })
    }

    /// Writes the request, data flat.
    ///
    /// # Errors
    ///
    /// `Unrepresentable` if an element is not UTF-8 text.
    pub fn to_json(&self) -> Result<Vec<u8>, ProtocolError> {
        let mut out = Vec::new();
        out.push(b'{');
        if let Some(id) = &self.id {
            out.extend_from_slice(br#""id":"#);
            encode::write(&mut out, id);
            out.push(b',');
        }
        self.parameters.write_member(&mut out);
        if !self.outputs.is_empty() {
            out.extend_from_slice(br#""outputs":["#);
            for (index, output) in self.outputs.iter().enumerate() {
                out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
                output.parameters.write_member(&mut out);
                out.extend_from_slice(br#""name":"#);
                encode::write(&mut out, &*output.name);
                out.push(b'}');
            }
            out.extend_from_slice(b"],");
        }
        out.extend_from_slice(br#""inputs":["#);
        for (index, (name, tensor)) in self.inputs.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            encode::write_tensor(&mut out, name, tensor).map_err(|error| error.at(Place::input(name)))?;
        }
        out.extend_from_slice(b"]}");
        Ok(out)
    }
}

fn refuse_data_elsewhere(item: &Item<'_>, limits: &Limits) -> Result<(), ProtocolError> {
    refuse_elsewhere(&Parameters::from_json(item.parameters, limits)?)
}

/// Refuses an input whose data are somewhere else than in the message.
pub(crate) fn refuse_elsewhere(parameters: &Parameters) -> Result<(), ProtocolError> {
    match ELSEWHERE.iter().find(|(name, _)| parameters.get(name).is_some()) {
        Some((name, what)) => Err(unsupported(name, what, "send `data`")),
        None => Ok(()),
    }
}

/// Refuses what would make the client misread a plain answer; a wish for binary data is only a wish.
pub(crate) fn refuse_other_forms(parameters: &Parameters) -> Result<(), ProtocolError> {
    let leave_out = "leave it out";
    if let Some((name, what)) = ELSEWHERE[1..].iter().find(|(name, _)| parameters.get(name).is_some()) {
        return Err(unsupported(name, what, leave_out));
    }
    match parameters.get("classification") {
        None | Some(ParameterValue::I64(0)) => Ok(()),
        Some(_) => Err(unsupported("classification", "classification", leave_out)),
    }
}

fn unsupported(parameter: &str, what: &str, remedy: &str) -> ProtocolError {
    let message = format!("parameter `{parameter}`: {what} is not supported here yet; {remedy}");
    ProtocolError::new(ProtocolErrorKind::Unsupported, message)
}
