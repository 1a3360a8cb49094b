//! Responses, which a client reads of a server that it does not trust either.

use bytes::Bytes;
use unruffled_model::{Dim, Signature, TensorSpec};
use unruffled_protocol::{Form, InferResponse, Limits, PlainRequest, ProtocolError};

use crate::head::Head;
use crate::json_request::TIMES;
use crate::memory::within;
use crate::{same, told};

/// A response is refused in few words, or what it holds comes back the same in every form in which it can be written.
pub fn response(data: &[u8]) {
    let (mut head, body) = Head::split(data);
    let limits = head.limits();
    let (json, binary) = match head.byte() {
        0 => (body, &[][..]),
        1 => {
            let end = body.iter().position(|byte| *byte == b'\n').map_or(body.len(), |at| at + 1);
            body.split_at(end)
        }
        _ => head.part(body),
    };
    let binary = Bytes::copy_from_slice(binary);
    let read = within(body.len(), TIMES, || InferResponse::from_parts(json, &binary, &limits));
    let read = match read {
        Ok(read) => read,
        Err(error) => return told::short(&error),
    };
    keeps(&read, &limits);
    let forms = [Form::Json, Form::Binary];
    for (first, second) in [(0, 0), (1, 1), (0, 1), (1, 0)] {
        let forms = [&forms[first], &forms[second]].into_iter().cycle();
        let outputs = read.outputs.iter().zip(forms).map(|((name, tensor), form)| (name, tensor, form));
        let written = InferResponse::write(
            &read.model_name,
            read.model_version.as_deref(),
            read.id.as_deref(),
            &read.parameters,
            outputs,
        );
        let Some(written) = carried(written, &read) else { continue };
        let (text, behind) = written.bytes.split_at(written.json_bytes.unwrap_or(written.bytes.len()));
        let limits = Limits { parameters: 64, ..Limits::default() };
        let again = InferResponse::from_parts(text, &Bytes::copy_from_slice(behind), &limits)
            .expect("what was written can be read");
        same::responses(&read, &again);
    }
    for is_row in [false, true] {
        plain(&read, is_row);
    }
}

fn keeps(read: &InferResponse, limits: &Limits) {
    assert!(read.outputs.len() <= limits.tensors && read.parameters.len() <= limits.parameters);
    let texts = [Some(&read.model_name), read.model_version.as_ref(), read.id.as_ref()];
    assert!(texts.into_iter().flatten().all(|text| text.len() <= limits.name_bytes));
    for (name, tensor) in read.outputs.iter() {
        assert!(name.len() <= limits.name_bytes && tensor.shape().len() <= limits.rank);
    }
}

/// What was written, unless an output is bytes that no JSON can carry.
fn carried<T>(written: Result<T, ProtocolError>, read: &InferResponse) -> Option<T> {
    match written {
        Ok(written) => Some(written),
        Err(error) => {
            told::short(&error);
            assert!(!same::is_text(&read.outputs), "{error}");
            None
        }
    }
}

/// Plain values are read by a model of these outputs, where their names and shapes show.
fn plain(read: &InferResponse, is_row: bool) {
    let written = InferResponse::write_plain(
        &read.model_name,
        read.model_version.as_deref(),
        read.id.as_deref(),
        &read.parameters,
        read.outputs.iter(),
        is_row,
    );
    let Some(written) = carried(written, read) else { return };
    let own = ["id", "model_name", "model_version", "parameters"];
    let shows = |(name, tensor): (&unruffled_model::Name, &unruffled_model::Tensor)| {
        !tensor.is_empty() && !own.contains(&&**name)
    };
    if read.outputs.is_empty() || !read.outputs.iter().all(shows) {
        return;
    }
    let spec = |(name, tensor): (&unruffled_model::Name, &unruffled_model::Tensor)| {
        TensorSpec::new(name.clone(), tensor.dtype(), vec![Dim::Any; tensor.shape().len()])
    };
    let signature = Signature { inputs: read.outputs.iter().map(spec).collect(), outputs: vec![] };
    let again = PlainRequest::from_json(&written, &signature, &Limits::default()).expect("it is plain");
    assert!(same::tensors(&read.outputs, &again.request.inputs), "{read:?}\n  became\n{again:?}");
}
