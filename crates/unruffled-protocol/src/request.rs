//! [`InferRequest`]: what a client asks of a model.

use unruffled_model::{Bytes, DType, Dim, Signature, Tensor, TensorSpec, Tensors};

use crate::brief::Brief;
use crate::decode::{self, Null};
use crate::document::Document;
use crate::encode;
use crate::envelope::{EnvelopeSeed, Item};
use crate::error::{Place, ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;
use crate::outputs::{self, RequestedOutput};
use crate::parameters::Parameters;
use crate::place::{Behind, NoRegions, Regions, Source};
use crate::raw;

/// What Triton keeps for itself among the names of request parameters.
const RESERVED_PREFIX: &str = "triton_";

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
        Self::from_parts(body, &Bytes::new(), &NoRegions, limits)
    }

    /// Reads a request whose inputs may be in binary: `json` describes them, `binary` holds them one behind the other, in
    /// their order, as the binary tensor data extension has it; or they are in shared memory.
    ///
    /// # Errors
    ///
    /// What the client got wrong and in which input; also if `binary` is longer or shorter than the inputs say.
    pub fn from_parts(
        json: &[u8],
        binary: &Bytes,
        regions: &dyn Regions,
        limits: &Limits,
    ) -> Result<Self, ProtocolError> {
        let document = Document::new(json, limits)?;
        let envelope = document.parse(EnvelopeSeed { document: &document, limits })?;

        let id = decode::text(envelope.id, "id", limits)?;
        let parameters = Parameters::from_json(envelope.parameters, limits)?;
        if let Some((name, _)) = parameters.iter().find(|(name, _)| name.starts_with(RESERVED_PREFIX)) {
            let name = Brief(name);
            let message = format!("parameter `{name}` is reserved, as every name that begins with `triton_`");
            return Err(ProtocolError::new(ProtocolErrorKind::InvalidParameter, message));
        }

        let mut inputs = Tensors::new();
        let mut behind = Behind::new(binary);
        let items = decode::required(envelope.inputs, "inputs")?;
        for (index, item) in decode::at_most(items, limits.tensors, "inputs")?.into_iter().enumerate() {
            let name = decode::name(&item, limits, Place::InputAt(index))?;
            let place = |error: ProtocolError| error.at(Place::input(&name));
            if inputs.get(&name).is_some() {
                let message = "is given twice";
                return Err(place(ProtocolError::new(ProtocolErrorKind::InvalidTensor, message)));
            }
            let tensor = input(&item, &mut behind, regions, limits).map_err(place)?;
            inputs.insert(name, tensor);
        }
        behind.end()?;

        let mut outputs = Vec::new();
        let items = envelope.outputs.unwrap_or_default();
        for (index, item) in
            decode::at_most(items, limits.requested_outputs, "outputs")?.into_iter().enumerate()
        {
            let name = decode::name(&item, limits, Place::OutputAt(index))?;
            let place = |error: ProtocolError| error.at(Place::output(&name));
            let parameters = Parameters::from_json(item.parameters, limits).map_err(place)?;
            outputs.push(RequestedOutput { name, parameters });
        }
        let request = Self { id, parameters, inputs, outputs };
        request.check_outputs()?;
        Ok(request)
    }

    /// What is asked for wrongly is told before the model has run for it.
    pub(crate) fn check_outputs(&self) -> Result<(), ProtocolError> {
        outputs::forms(&self.parameters, &self.outputs, 0)?;
        self.outputs.iter().try_for_each(|output| output.classes().map(drop))
    }

    /// A request for a model of one input, of which the message is nothing but the data.
    ///
    /// At most one dimension besides the batch may be variable: it is what the data make of it. A model of texts is given
    /// the whole as one. All outputs are sent in binary.
    ///
    /// # Errors
    ///
    /// `InvalidTensor` if the model has another signature or the data do not fit it.
    pub fn from_raw(data: &Bytes, signature: &Signature) -> Result<Self, ProtocolError> {
        let [spec] = &*signature.inputs else {
            let message = format!(
                "the model has {} inputs; a body that is only data is for models of one: describe the inputs in JSON",
                signature.inputs.len()
            );
            return Err(ProtocolError::new(ProtocolErrorKind::InvalidTensor, message));
        };
        let tensor = raw_tensor(data, spec).map_err(|error| error.at(Place::input(&spec.name)))?;
        Ok(Self {
            parameters: Parameters::new().with(outputs::ALL_BINARY, true),
            inputs: Tensors::new().with(spec.name.clone(), tensor),
            ..Self::default()
        })
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

/// The tensor of one input, wherever its data are.
fn input(
    item: &Item<'_>,
    behind: &mut Behind<'_>,
    regions: &dyn Regions,
    limits: &Limits,
) -> Result<Tensor, ProtocolError> {
    let parameters = Parameters::from_json(item.parameters, limits)?;
    match Source::of(&parameters)? {
        Source::Here => decode::tensor(item, limits, Null::Refused),
        Source::Behind(bytes) => decode::raw_tensor(item, limits, &behind.take(bytes)?, "binary data"),
        Source::Shared(span) => decode::raw_tensor(item, limits, &regions.read(&span)?, "shared memory"),
    }
}

fn raw_tensor(data: &Bytes, spec: &TensorSpec) -> Result<Tensor, ProtocolError> {
    let kind = ProtocolErrorKind::InvalidTensor;
    let unclear = || {
        let spec = spec.to_string();
        let spec = Brief(&spec);
        let message =
            format!("is {spec}, so that its shape does not follow from the data: describe it in JSON");
        ProtocolError::new(kind, message)
    };
    let dims = spec.dims.as_ref().ok_or_else(unclear)?;
    let mut shape: Vec<Option<usize>> = dims
        .iter()
        .map(|dim| match dim {
            Dim::Fixed(size) => Some(*size),
            Dim::Symbolic(_) | Dim::Any => None,
        })
        .collect();
    if spec.dtype == DType::Bytes {
        let shape: Vec<usize> = shape.into_iter().map(|size| size.unwrap_or(1)).collect();
        return Tensor::new(&shape, vec![data.clone()])
            .map_err(|error| ProtocolError::new(kind, error.to_string()));
    }
    if shape.iter().filter(|size| size.is_none()).count() > 1 && shape[0].is_none() {
        shape[0] = Some(1);
    }
    let width = spec.dtype.size().ok_or_else(unclear)?;
    let fixed = shape.iter().flatten().try_fold(width, |bytes, size| bytes.checked_mul(*size));
    let mut open = shape.iter_mut().filter(|size| size.is_none());
    if let Some(size) = open.next() {
        // What is left over is told by who reads it.
        *size = Some(fixed.filter(|bytes| *bytes > 0).map_or(0, |bytes| data.len() / bytes));
    }
    if open.next().is_some() {
        return Err(unclear());
    }
    let shape: Vec<usize> = shape.into_iter().flatten().collect();
    raw::read(spec.dtype, &shape, data)
}
