//! Requests in JSON, described or in plain values.

use serde::de::IgnoredAny;
use unruffled_model::{Signature, Tensor};
use unruffled_protocol::{InferRequest, InferResponse, Limits, Parameters, PlainRequest};

use crate::head::Head;
use crate::memory::within;
use crate::{same, told};

/// The most bytes for each byte of JSON: `"",` is an element of 32 with an end of 8, in vectors that grow.
pub(crate) const TIMES: u64 = 32;

/// A body is refused in few words, or read as a request that keeps the limits, is JSON for others too, and is the same when
/// it is written and read again; and the same in plain values. No request is both.
pub fn json_request(data: &[u8]) {
    let (mut head, body) = Head::split(data);
    let (limits, signature) = (head.limits(), head.signature());
    let read = within(body.len(), TIMES, || InferRequest::from_json(body, &limits));
    match &read {
        Ok(request) => {
            keeps(request, &limits);
            if !body.contains(&b'N') && !body.contains(&b'I') {
                assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok(), "others do not take it for JSON");
            }
            let written = request.to_json().expect("what JSON brought, JSON carries");
            let again = InferRequest::from_json(&written, &limits).expect("what was written can be read");
            same::requests(request, &again);
            assert_eq!(again.to_json().as_ref(), Ok(&written));
        }
        Err(error) => told::short(error),
    }
    plain(body, &signature, &limits, read.is_ok());
}

/// A request holds no more than it may.
pub(crate) fn keeps(request: &InferRequest, limits: &Limits) {
    assert!(request.inputs.len() <= limits.tensors);
    assert!(request.outputs.len() <= limits.requested_outputs);
    assert!(request.id.as_ref().is_none_or(|id| id.len() <= limits.name_bytes));
    for parameters in request.outputs.iter().map(|output| &output.parameters).chain([&request.parameters]) {
        assert!(parameters.len() <= limits.parameters);
        assert!(parameters.iter().all(|(name, _)| name.len() <= limits.name_bytes));
    }
    for (name, tensor) in request.inputs.iter() {
        assert!(name.len() <= limits.name_bytes && tensor.shape().len() <= limits.rank);
    }
}

fn plain(body: &[u8], signature: &Signature, limits: &Limits, is_described: bool) {
    let is_plain = PlainRequest::is_plain(body, signature, limits);
    let has_inputs = signature.inputs.iter().any(|spec| &*spec.name == "inputs");
    assert!(!is_described || has_inputs || !is_plain, "an inference is taken for plain");
    let plain = match within(body.len(), TIMES, || PlainRequest::from_json(body, signature, limits)) {
        Ok(plain) => plain,
        Err(error) => return told::short(&error),
    };
    for (name, tensor) in plain.request.inputs.iter() {
        let specs = signature.inputs.iter().filter(|spec| spec.name == *name);
        assert!(specs.map(|spec| spec.dtype).any(|dtype| dtype == tensor.dtype()));
    }
    if is_written_as_read(&plain, signature) {
        writes_again(&plain, signature);
    }
}

/// Whether the shapes show in nested values, and no input has the name of something else.
fn is_written_as_read(plain: &PlainRequest, signature: &Signature) -> bool {
    let names: Vec<_> = signature.inputs.iter().map(|spec| &*spec.name).collect();
    let is_own = |name: &&str| {
        ["id", "parameters", "model_name"].contains(name)
            || names.iter().filter(|other| *other == name).count() > 1
    };
    let shows = |name: &str, tensor: &Tensor| {
        let spec = signature.inputs.iter().find(|spec| &*spec.name == name);
        let rank = spec.and_then(|spec| spec.dims.as_ref()).map(Vec::len);
        !tensor.is_empty() && rank == Some(tensor.shape().len())
    };
    !names.iter().any(is_own) && plain.request.inputs.iter().all(|(name, tensor)| shows(name, tensor))
}

fn writes_again(plain: &PlainRequest, signature: &Signature) {
    let PlainRequest { request, is_row } = plain;
    let (id, parameters) = (request.id.as_deref(), &request.parameters);
    let written = InferResponse::write_plain("m", None, id, parameters, request.inputs.iter(), *is_row)
        .expect("it is text");
    // The name of the model is one more, and members that were parameters are among those of `parameters`.
    let again =
        PlainRequest::from_json(&written, signature, &Limits::default()).expect("it is plain").request;
    assert!(same::tensors(&request.inputs, &again.inputs), "{request:?}\n  became\n{again:?}");
    let rest = |parameters: &Parameters| {
        let mut rest = Parameters::new();
        for (name, value) in parameters.iter().filter(|(name, _)| *name != "model_name") {
            rest.insert(name, value.clone());
        }
        rest
    };
    assert!(
        same::parameters(&rest(parameters), &rest(&again.parameters)),
        "{request:?}\n  became\n{again:?}"
    );
    assert_eq!(request.id, again.id);
}
