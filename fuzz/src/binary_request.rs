//! Requests whose elements are bytes: behind the JSON text, in shared memory, or the whole body.

use bytes::Bytes;
use unruffled_model::{Dim, Signature, TensorSpec};
use unruffled_protocol::{
    Form, InferRequest, InferResponse, Limits, NoRegions, ProtocolError, Regions, Span, raw,
};

use crate::head::Head;
use crate::json_request::{TIMES, keeps};
use crate::memory::within;
use crate::{same, told};

/// A region called `r`, whose bytes are those behind the text.
struct Behind(Bytes);

impl Regions for Behind {
    fn read(&self, span: &Span) -> Result<Bytes, ProtocolError> {
        let end = span.offset.checked_add(span.bytes).filter(|end| *end <= self.0.len());
        match (&*span.region, end) {
            ("r", Some(end)) => Ok(self.0.slice(span.offset..end)),
            _ => NoRegions.read(span),
        }
    }
}

/// A text with bytes behind it is refused in few words, or its tensors have exactly those bytes, sent as bytes they come back
/// bit for bit, and in JSON as what they mean. A body that is only data fits the model. Raw elements are written as they were read.
pub fn binary_request(data: &[u8]) {
    let (mut head, body) = Head::split(data);
    let limits = head.limits();
    let (json, binary) = match head.byte() {
        // As clients do it: the text ends with its line.
        0 => {
            let end = body.iter().position(|byte| *byte == b'\n').map_or(body.len(), |at| at + 1);
            body.split_at(end)
        }
        _ => head.part(body),
    };
    parts(json, &Bytes::copy_from_slice(binary), &limits);
    let body = Bytes::copy_from_slice(body);
    for spec in head.signature().inputs {
        raw_body(&body, spec);
    }
    elements(&body, head);
}

fn parts(json: &[u8], binary: &Bytes, limits: &Limits) {
    let regions = Behind(binary.clone());
    let read =
        within(json.len() + binary.len(), TIMES, || InferRequest::from_parts(json, binary, &regions, limits));
    let request = match read {
        Ok(request) => request,
        Err(error) => return told::short(&error),
    };
    keeps(&request, limits);
    match request.to_json() {
        Ok(written) => {
            let again = InferRequest::from_json(&written, limits).expect("what was written can be read");
            same::requests(&request, &again);
        }
        Err(error) => {
            told::short(&error);
            assert!(!same::is_text(&request.inputs), "JSON carries all but bytes that are no text");
        }
    }
    let outputs = request.inputs.iter().map(|(name, tensor)| (name, tensor, &Form::Binary));
    let id = request.id.as_deref();
    let sent =
        InferResponse::write("m", None, id, &request.parameters, outputs).expect("bytes carry everything");
    let (text, behind) = sent.bytes.split_at(sent.json_bytes.unwrap_or(sent.bytes.len()));
    let limits = Limits { parameters: limits.parameters.max(1), ..Limits::default() };
    let again = InferResponse::from_parts(text, &Bytes::copy_from_slice(behind), &limits)
        .expect("what was written can be read");
    assert_eq!(request.id, again.id);
    assert_eq!(request.inputs.len(), again.outputs.len());
    for ((name, tensor), (other, again)) in request.inputs.iter().zip(again.outputs.iter()) {
        assert_eq!(name, other);
        assert_eq!(raw::lend(tensor), raw::lend(again));
        assert_eq!(tensor.shape(), again.shape());
    }
}

fn raw_body(body: &Bytes, spec: TensorSpec) {
    let signature = Signature { inputs: vec![spec], outputs: vec![] };
    let request = match within(body.len(), TIMES, || InferRequest::from_raw(body, &signature)) {
        Ok(request) => request,
        Err(error) => return told::short(&error),
    };
    let spec = &signature.inputs[0];
    let tensor = request.inputs.get(&spec.name).expect("it was read");
    assert_eq!(tensor.dtype(), spec.dtype);
    let dims = spec.dims.as_ref().expect("otherwise no shape follows");
    assert_eq!(tensor.shape().len(), dims.len());
    for (dim, size) in dims.iter().zip(tensor.shape()) {
        assert!(!matches!(dim, Dim::Fixed(fixed) if fixed != size), "{spec} took {:?}", tensor.shape());
    }
    match tensor.elements::<Bytes>() {
        Ok(texts) => assert_eq!(texts, std::slice::from_ref(body)),
        Err(_) => assert_eq!(raw::lend(tensor).as_ref(), Ok(body)),
    }
}

fn elements(bytes: &Bytes, mut head: Head<'_>) {
    let dtype = head.dtype();
    let shape: Vec<usize> = (0..head.byte() % 5).map(|_| head.size()).collect();
    let tensor = match within(bytes.len(), TIMES, || raw::read(dtype, &shape, bytes)) {
        Ok(tensor) => tensor,
        Err(error) => return told::short(&error),
    };
    let mut written = Vec::new();
    raw::write(&tensor, &mut written).expect("it is as short as what was read");
    assert_eq!((written.len(), &written), (raw::byte_len(&tensor), &bytes.to_vec()));
    assert_eq!(raw::lend(&tensor).as_ref(), Ok(bytes));
}
