//! Messages of gRPC: requests, responses and what controls a server.

use bytes::Bytes;
use prost::Message;
use unruffled_protocol::grpc::{
    ModelConfig, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse, RepositoryIndexRequest,
    RepositoryModelLoadRequest, RepositoryModelUnloadRequest, SystemSharedMemoryRegisterRequest, decode,
    encode, encode_response, encode_stream_response, read_request,
};
use unruffled_protocol::{
    ControlRequest, Form, InferRequest, InferResponse, Limits, NoRegions, ProtocolErrorKind, Region,
};

use crate::head::Head;
use crate::json_request::keeps;
use crate::memory::within;
use crate::{same, told};

/// The most bytes for each byte of a message: two are an empty element of 32, in a vector that grows.
const TIMES: u64 = 64;

/// A message is refused in few words, or is the same when it is written and read again; a request is looked through as
/// `prost` decodes it, and means the same in JSON.
pub fn grpc_messages(data: &[u8]) {
    let (mut head, body) = Head::split(data);
    let (limits, kind) = (head.limits(), head.byte());
    let message = Bytes::copy_from_slice(body);
    match kind % 8 {
        0 => request(&message, &limits),
        1 => response(&message, &limits),
        2 => {
            if let Some(load) = any::<RepositoryModelLoadRequest>(&message) {
                let names = load.parameters.len();
                assert_eq!(ControlRequest::from_grpc(load.parameters).parameters.len(), names);
            }
        }
        3 => {
            if let Some(unload) = any::<RepositoryModelUnloadRequest>(&message) {
                let names = unload.parameters.len();
                assert_eq!(ControlRequest::from_grpc(unload.parameters).parameters.len(), names);
            }
        }
        4 => {
            if let Some(region) = any::<SystemSharedMemoryRegisterRequest>(&message) {
                let (offset, bytes) = (region.offset, region.byte_size);
                match Region::from_grpc(region) {
                    Ok(region) => {
                        assert_eq!((region.offset as u64, region.byte_size as u64), (offset, bytes))
                    }
                    Err(error) => told::short(&error),
                }
            }
        }
        5 => drop(any::<RepositoryIndexRequest>(&message)),
        6 => drop(any::<ModelConfig>(&message)),
        _ => drop(any::<ModelStreamInferResponse>(&message)),
    }
}

/// A message that is the same when it is written and read again, as its bytes tell: NaN does not equal itself.
fn any<M: Message + Default>(message: &Bytes) -> Option<M> {
    let read = within(message.len(), TIMES, || decode::<M>(message.clone()));
    match read {
        Ok(read) => {
            let written = encode(&read);
            let again = decode::<M>(written.clone().into()).expect("what was written can be read");
            assert_eq!(encode(&again), written);
            Some(read)
        }
        Err(error) => {
            told::short(&error);
            None
        }
    }
}

fn request(message: &Bytes, limits: &Limits) {
    let decoded = ModelInferRequest::decode(message.clone());
    let read = match within(message.len(), TIMES, || read_request(message.clone(), limits)) {
        Ok(read) => read,
        Err(error) => {
            told::short(&error);
            // Groups are the one thing that `prost` passes over and a survey does not: their keys end in 3 or 4.
            let has_groups = || message.iter().any(|byte| matches!(byte & 7, 3 | 4));
            let is_malformed = error.kind() == ProtocolErrorKind::Malformed;
            assert!(!is_malformed || decoded.is_err() || has_groups(), "{error}, but it can be decoded");
            return;
        }
    };
    assert_eq!(encode(&decoded.expect("it was decoded")), encode(&read));
    assert!(read.inputs.len() <= limits.tensors && read.raw_input_contents.len() <= limits.tensors);
    let (model, version) = (read.model_name.clone(), read.model_version.clone());
    let asked = within(message.len(), TIMES, || InferRequest::from_grpc(read, &NoRegions, limits));
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return told::short(&error),
    };
    keeps(&asked, limits);

    let written = encode(&asked.to_grpc(&model, &version).expect("no element has 4 GiB"));
    let again = read_request(written.into(), limits).expect("what was written can be read");
    assert_eq!((&again.model_name, &again.model_version), (&model, &version));
    let again = InferRequest::from_grpc(again, &NoRegions, limits).expect("what was written can be read");
    same::requests(&asked, &again);

    match asked.to_json() {
        // What a stream may ask for besides is reserved in JSON.
        Ok(_) if asked.parameters.iter().any(|(name, _)| name.starts_with("triton_")) => {}
        Ok(json) => {
            let again =
                InferRequest::from_json(&json, &Limits::default()).expect("it means the same in JSON");
            same::requests(&asked, &again);
        }
        Err(error) => {
            told::short(&error);
            assert!(!same::is_text(&asked.inputs), "{error}");
        }
    }
    answer(&asked);
}

/// An answer with what was asked, in pieces, is the message that it is in one.
fn answer(asked: &InferRequest) {
    let write = || {
        let outputs = asked.inputs.iter().map(|(name, tensor)| (name, tensor, &Form::Binary));
        InferResponse::write_grpc("m", None, asked.id.as_deref(), &asked.parameters, outputs)
            .expect("no element has 4 GiB")
    };
    let whole = encode(&write());
    let pieces = encode_response(write()).concat();
    let sent = decode::<ModelInferResponse>(pieces.into()).expect("pieces make a message");
    assert_eq!(encode(&sent), whole);
    let pieces = encode_stream_response(write()).concat();
    let streamed = decode::<ModelStreamInferResponse>(pieces.into()).expect("pieces make a message");
    assert_eq!(streamed.infer_response.map(|answer| encode(&answer)), Some(whole));
    let read = InferResponse::from_grpc(sent, &Limits::default()).expect("an answer can be read");
    assert!(same::tensors(&asked.inputs, &read.outputs));
}

fn response(message: &Bytes, limits: &Limits) {
    let Some(message) = any::<ModelInferResponse>(message) else { return };
    let read = match InferResponse::from_grpc(message, limits) {
        Ok(read) => read,
        Err(error) => return told::short(&error),
    };
    let outputs = read.outputs.iter().map(|(name, tensor)| (name, tensor, &Form::Binary));
    let (version, id) = (read.model_version.as_deref(), read.id.as_deref());
    let written = InferResponse::write_grpc(&read.model_name, version, id, &read.parameters, outputs)
        .expect("no element has 4 GiB");
    let again = InferResponse::from_grpc(written, &Limits::default()).expect("what was written can be read");
    same::responses(&read, &again);
}
