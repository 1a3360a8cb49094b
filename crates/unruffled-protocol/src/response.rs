//! [`InferResponse`]: what a model answers.

use unruffled_model::{Name, Tensor, Tensors};

use crate::decode::{self, Null};
use crate::document::Document;
use crate::encode;
use crate::envelope::EnvelopeSeed;
use crate::error::{Place, ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;
use crate::parameters::Parameters;

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
        out.extend_from_slice(br#""outputs":["#);
        for (index, (name, tensor)) in outputs.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            encode::write_tensor(&mut out, name, tensor).map_err(|error| error.at(Place::output(name)))?;
        }
        out.extend_from_slice(b"]}");
        Ok(out)
    }

    /// Reads a response.
    ///
    /// As lenient as [`InferRequest::from_json`](crate::InferRequest::from_json); besides, `null` among floating-point
    /// elements is NaN, since some servers write it so.
    ///
    /// # Errors
    ///
    /// What the server got wrong and in which output; `Unsupported` if an output is not in JSON.
    pub fn from_json(body: &[u8], limits: &Limits) -> Result<Self, ProtocolError> {
        let document = Document::new(body, limits)?;
        let envelope = document.parse(EnvelopeSeed { document: &document, limits })?;
        let mut outputs = Tensors::new();
        let items = decode::required(envelope.outputs, "outputs")?;
        for (index, item) in decode::at_most(items, limits.tensors, "outputs")?.into_iter().enumerate() {
            let name = decode::name(&item, limits, Place::OutputAt(index))?;
            let place = |error: ProtocolError| error.at(Place::output(&name));
            let kind = ProtocolErrorKind::InvalidTensor;
            if outputs.get(&name).is_some() {
                return Err(place(ProtocolError::new(kind, "is given twice")));
            }
            let parameters = Parameters::from_json(item.parameters, limits).map_err(place)?;
            if parameters.get("binary_data_size").is_some() {
                let message = "binary tensor data are not supported here yet; ask for JSON";
                return Err(place(ProtocolError::new(ProtocolErrorKind::Unsupported, message)));
            }
            let tensor = decode::tensor(&item, limits, Null::Nan).map_err(place)?;
            outputs.insert(name, tensor);
        }
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
