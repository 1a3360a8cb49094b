//! [`InferResponse`]: what a model answers.

use unruffled_model::{Bytes, Name, Tensor, Tensors};

use crate::decode::{self, Null};
use crate::document::Document;
use crate::encode;
use crate::envelope::EnvelopeSeed;
use crate::error::{Place, ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;
use crate::parameters::Parameters;
use crate::place::{Behind, Form, NoRegions, Regions as _, Source, binary_parameters};
use crate::raw;

/// A message of the protocol as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The JSON text, and behind it the binary data, if there are any.
    pub bytes: Vec<u8>,
    /// How many bytes the text has, if there are binary data: the header `Inference-Header-Content-Length` tells it.
    pub json_bytes: Option<usize>,
}

/// An inference response of the Open Inference Protocol V2, as a client reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct InferResponse {
    /// Which model answered.
    pub model_name: String,
    /// Which version of it, if it has any.
    pub model_version: Option<String>,
    /// The id of the request, if it had one.
    pub id: Option<String>,
    /// What the server says about the whole response.
    pub parameters: Parameters,
    /// The outputs, in the server's order.
    pub outputs: Tensors,
}

impl InferResponse {
    /// Writes a response straight from the tensors, data flat.
    ///
    /// Floats are the shortest text that reads back to the same value of their type; NaN and the infinities are the bare
    /// words `NaN`, `Infinity` and `-Infinity`. FP16 and BF16 are numbers.
    ///
    /// # Errors
    ///
    /// `Unrepresentable` if an element is not UTF-8 text; the output and the element are named.
    pub fn write_json<'a>(
        model_name: &str,
        model_version: Option<&str>,
        id: Option<&str>,
        parameters: &Parameters,
        outputs: impl Iterator<Item = (&'a Name, &'a Tensor)>,
    ) -> Result<Vec<u8>, ProtocolError> {
        let outputs = outputs.map(|(name, tensor)| (name, tensor, &Form::Json));
        Ok(Self::write(model_name, model_version, id, parameters, outputs)?.bytes)
    }

    /// Writes a response straight from the tensors, each in its form.
    ///
    /// # Errors
    ///
    /// As [`write_json`](Self::write_json); also if an element of BYTES is too long for its binary form.
    pub fn write<'a>(
        model_name: &str,
        model_version: Option<&str>,
        id: Option<&str>,
        parameters: &Parameters,
        outputs: impl Iterator<Item = (&'a Name, &'a Tensor, &'a Form)>,
    ) -> Result<Body, ProtocolError> {
        let mut out = head(model_name, model_version, id, parameters);
        out.extend_from_slice(br#""outputs":["#);
        let mut behind = Vec::new();
        for (index, (name, tensor, form)) in outputs.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let written = match form {
                Form::Json => encode::write_tensor(&mut out, name, tensor),
                Form::Binary => {
                    write_elsewhere(&mut out, name, tensor, &binary_parameters(raw::byte_len(tensor)));
                    behind.push((name, tensor));
                    Ok(())
                }
                // Where it is was said by who asked. Triton repeats nothing of it, and its client in C++ takes parameters of an
                // output for the size of binary data.
                Form::Shared(_) => {
                    write_elsewhere(&mut out, name, tensor, &Parameters::new());
                    Ok(())
                }
            };
            written.map_err(|error| error.at(Place::output(name)))?;
        }
        out.extend_from_slice(b"]}");
        let json_bytes = (!behind.is_empty()).then_some(out.len());
        out.reserve_exact(behind.iter().map(|(_, tensor)| raw::byte_len(tensor)).sum());
        for (name, tensor) in behind {
            raw::write(tensor, &mut out).map_err(|error| error.at(Place::output(name)))?;
        }
        Ok(Body { bytes: out, json_bytes })
    }

    /// Reads a response.
    ///
    /// As lenient as [`InferRequest::from_json`](crate::InferRequest::from_json); besides, `null` among floating-point
    /// elements is NaN, since some servers write it so.
    ///
    /// # Errors
    ///
    /// What the server got wrong and in which output.
    pub fn from_json(body: &[u8], limits: &Limits) -> Result<Self, ProtocolError> {
        Self::from_parts(body, &Bytes::new(), limits)
    }

    /// Reads a response whose outputs may be in binary: `json` describes them, `binary` holds them one behind the other.
    ///
    /// # Errors
    ///
    /// What the server got wrong and in which output; `Unsupported` if an output is in shared memory.
    pub fn from_parts(json: &[u8], binary: &Bytes, limits: &Limits) -> Result<Self, ProtocolError> {
        let document = Document::new(json, limits)?;
        let envelope = document.parse(EnvelopeSeed { document: &document, limits })?;
        let mut outputs = Tensors::new();
        let mut behind = Behind::new(binary);
        let items = decode::required(envelope.outputs, "outputs")?;
        for (index, item) in decode::at_most(items, limits.tensors, "outputs")?.into_iter().enumerate() {
            let name = decode::name(&item, limits, Place::OutputAt(index))?;
            let place = |error: ProtocolError| error.at(Place::output(&name));
            let kind = ProtocolErrorKind::InvalidTensor;
            if outputs.get(&name).is_some() {
                return Err(place(ProtocolError::new(kind, "is given twice")));
            }
            let parameters = Parameters::from_json(item.parameters, limits).map_err(place)?;
            let tensor = match Source::of(&parameters).map_err(place)? {
                Source::Here => decode::tensor(&item, limits, Null::Nan),
                Source::Behind(bytes) => behind
                    .take(bytes)
                    .and_then(|data| decode::raw_tensor(&item, limits, &data, "binary data")),
                Source::Shared(span) => NoRegions
                    .read(&span)
                    .and_then(|data| decode::raw_tensor(&item, limits, &data, "shared memory")),
            };
            let tensor = tensor.map_err(place)?;
            outputs.insert(name, tensor);
        }
        behind.end()?;
        Ok(Self {
            model_name: decode::required(
                decode::text(envelope.model_name, "model_name", limits)?,
                "model_name",
            )?,
            model_version: decode::text(envelope.model_version, "model_version", limits)?,
            id: decode::text(envelope.id, "id", limits)?,
            parameters: Parameters::from_json(envelope.parameters, limits)?,
            outputs,
        })
    }
}

/// The beginning of a response: what comes before its outputs.
pub(crate) fn head(
    model_name: &str,
    model_version: Option<&str>,
    id: Option<&str>,
    parameters: &Parameters,
) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(br#"{"model_name":"#);
    encode::write(&mut out, model_name);
    out.push(b',');
    for (member, text) in [("model_version", model_version), ("id", id)] {
        if let Some(text) = text {
            encode::write(&mut out, member);
            out.push(b':');
            encode::write(&mut out, text);
            out.push(b',');
        }
    }
    parameters.write_member(&mut out);
    out
}

/// Describes a tensor whose data are where the parameters say.
fn write_elsewhere(out: &mut Vec<u8>, name: &str, tensor: &Tensor, parameters: &Parameters) {
    out.push(b'{');
    parameters.write_member(out);
    encode::write_description(out, name, tensor);
    out.push(b'}');
}
