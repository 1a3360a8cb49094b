//! `ModelInfer`: what is asked, what comes back, and what goes wrong.

use half::{bf16, f16};
use tonic::Code;
use tonic::codec::CompressionEncoding;
use unruffled_engine::{PoolOptions, QueueLimits};
use unruffled_model::{Batching, Bytes, DType, ModelError, RequestId, Tensor, Tensors};
use unruffled_protocol::grpc::infer_parameter::ParameterChoice;
use unruffled_protocol::grpc::model_infer_request::InferRequestedOutputTensor;
use unruffled_protocol::grpc::{InferParameter, InferTensorContents, ModelInferRequest};
use unruffled_server::ServerOptions;
use unruffled_testing::scripted::{Gate, ScriptedModel, doubling};

use super::client::{Grpc, assert_doubled, assert_status, one_row, with_x};
use crate::support::{ONE_ROW, TestServer, wait_until};

const CODINGS: [CompressionEncoding; 3] =
    [CompressionEncoding::Gzip, CompressionEncoding::Deflate, CompressionEncoding::Zstd];

/// A model that gives what it takes.
fn echo() -> ScriptedModel<Tensors, Tensors> {
    ScriptedModel::new(|inputs: &Tensors, _| Ok(inputs.clone()))
}

fn parameter(request: &mut ModelInferRequest, name: &str, choice: ParameterChoice) {
    let parameter = InferParameter { parameter_choice: Some(choice) };
    request.parameters.insert(name.to_owned(), parameter);
}

#[test]
fn raw_and_typed_elements_and_rest_beside_them() {
    let (server, _) = TestServer::with_model(doubling());
    let client = Grpc::connect(&server);
    let raw = client.infer(one_row("7")).unwrap();
    assert_doubled(&raw);
    assert_eq!((&*raw.model_name, raw.model_version, raw.id.as_deref()), ("m", None, Some("7")));
    let mut typed = one_row("");
    typed.raw_input_contents.clear();
    let fp32_contents = vec![1.0, 2.5];
    typed.inputs[0].contents = Some(InferTensorContents { fp32_contents, ..InferTensorContents::default() });
    let typed = client.infer(typed).unwrap();
    assert_doubled(&typed);
    assert_eq!(typed.id, None);
    server.client().infer(ONE_ROW).assert_doubled();
}

#[test]
fn every_datatype_comes_back() {
    let (server, _) = TestServer::with_model(echo());
    let client = Grpc::connect(&server);
    let strings: Vec<Bytes> = (0..=255).map(|byte| Bytes::from(vec![byte; 3])).collect();
    let tensors = [
        Tensor::new(&[2], vec![true, false]).unwrap(),
        Tensor::scalar(u8::MAX),
        Tensor::scalar(u16::MAX),
        Tensor::scalar(u32::MAX),
        Tensor::scalar(u64::MAX),
        Tensor::scalar(i8::MIN),
        Tensor::scalar(i16::MIN),
        Tensor::scalar(i32::MIN),
        Tensor::scalar(i64::MIN),
        Tensor::scalar(f16::from_f32(0.1)),
        Tensor::scalar(bf16::from_f32(0.1)),
        Tensor::new(&[3], vec![0.1_f32, f32::INFINITY, f32::MIN_POSITIVE]).unwrap(),
        Tensor::scalar(0.1_f64),
        Tensor::new(&[16, 16], strings).unwrap(),
    ];
    for (tensor, dtype) in tensors.into_iter().zip(DType::ALL) {
        assert_eq!(tensor.dtype(), dtype);
        let answer = client.infer(with_x("", tensor.clone())).unwrap();
        assert_eq!(answer.outputs.get("x"), Some(&tensor));
    }
    let empty = Tensor::new::<f32>(&[0, 4], vec![]).unwrap();
    assert_eq!(client.infer(with_x("", empty.clone())).unwrap().outputs.get("x"), Some(&empty));
}

#[test]
fn outputs_are_picked() {
    let (server, _) = TestServer::with_model(doubling());
    let client = Grpc::connect(&server);
    let pick = |name: &str| {
        let mut request = one_row("");
        let output = InferRequestedOutputTensor { name: name.to_owned(), ..Default::default() };
        request.outputs.push(output);
        client.infer(request)
    };
    assert_doubled(&pick("y").unwrap());
    assert_status(pick("z"), Code::InvalidArgument, &["`z`", "`y`"]);
}

#[test]
fn the_best_classes_of_an_output() {
    let (server, _) = TestServer::with_model(doubling());
    let client = Grpc::connect(&server);
    let mut request = one_row("");
    let classes = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(1)) };
    let parameters = [("classification".to_owned(), classes)].into();
    request.outputs.push(InferRequestedOutputTensor { name: "y".to_owned(), parameters });
    let answer = client.infer(request).unwrap();
    assert_eq!(answer.outputs.get("y").unwrap().elements::<Bytes>().unwrap(), ["5:1"]);
}

#[test]
fn mistakes_are_invalid_arguments_that_name_the_tensor() {
    let (server, _) = TestServer::with_model(doubling());
    let client = Grpc::connect(&server);
    let refused = |change: &dyn Fn(&mut ModelInferRequest), code, parts: &[&str]| {
        let mut request = one_row("");
        change(&mut request);
        assert_status(client.infer(request), code, parts);
    };
    let invalid = Code::InvalidArgument;
    refused(&|request| request.inputs[0].datatype = "FP64".into(), invalid, &["input `x`", "8 bytes"]);
    refused(&|request| request.inputs[0].datatype = "FLOAT".into(), invalid, &["input `x`", "`FLOAT`"]);
    refused(&|request| request.inputs[0].shape = vec![2, 1], invalid, &["`x`", "[batch, 2]", "[2, 1]"]);
    refused(
        &|request| request.inputs[0].shape = vec![1 << 40, 1 << 40],
        invalid,
        &["input `x`", "too large"],
    );
    refused(&|request| request.inputs[0].shape = vec![-1, 2], invalid, &["input `x`", "-1"]);
    refused(&|request| request.inputs[0].name = "y".into(), invalid, &["`y`"]);
    refused(&|request| request.raw_input_contents.clear(), invalid, &["input `x`", "0 elements"]);
    refused(&|request| request.raw_input_contents.push(Bytes::new()), invalid, &["2 entries"]);
    let wrong = ParameterChoice::StringParam("soon".into());
    refused(&|request| parameter(request, "timeout", wrong.clone()), invalid, &["`timeout`", "\"soon\""]);
    refused(&|request| request.model_version = "v1".into(), invalid, &["`v1`"]);
    refused(&|request| request.model_version = "1".into(), Code::NotFound, &["`m`"]);
    refused(&|request| request.model_name = "n".into(), Code::NotFound, &["`n`"]);
    refused(&|request| request.model_name = "n".repeat(5000), Code::NotFound, &["5000"]);
    assert_doubled(&client.infer(one_row("")).unwrap());
}

#[test]
fn models_that_fail() {
    let model = doubling();
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    let client = Grpc::connect(&server);
    script.fail_next(ModelError::failed("out of luck"));
    assert_status(client.infer(one_row("")), Code::Internal, &["`m`", "out of luck"]);
    script.panic_next(1);
    assert_status(client.infer(one_row("")), Code::Internal, &["`m`"]);
    assert_doubled(&client.infer(one_row("")).unwrap());
}

#[test]
fn large_messages_and_too_large_ones() {
    let (server, _) = TestServer::with_model(echo());
    let client = Grpc::connect(&server);
    let large = Tensor::new(&[12_000_000], (0..12_000_000).map(|i| i as f32).collect::<Vec<_>>()).unwrap();
    assert_eq!(client.infer(with_x("", large.clone())).unwrap().outputs.get("x"), Some(&large));
    let larger = Tensor::new(&[70 << 20], vec![0_u8; 70 << 20]).unwrap();
    assert_status(client.infer(with_x("", larger)), Code::ResourceExhausted, &["67108864"]);
    assert!(client.infer(with_x("", Tensor::scalar(1_u8))).is_ok());
}

#[test]
fn compressed_messages() {
    let options = ServerOptions::default().with_body_bytes(1 << 20).with_in_flight_bytes(2 << 20);
    let (server, _) = TestServer::with(echo(), PoolOptions::default(), options);
    for coding in CODINGS {
        let client = Grpc::connect(&server).compressing(coding);
        for bytes in [0, 1, 1_000_000] {
            let x = Tensor::new(&[bytes], vec![7_u8; bytes]).unwrap();
            let answer = client.infer(with_x("", x.clone())).unwrap();
            assert_eq!(answer.outputs.get("x"), Some(&x), "{coding:?}");
        }
        let bomb = Tensor::new(&[50 << 20], vec![0_u8; 50 << 20]).unwrap();
        assert_status(client.infer(with_x("", bomb)), Code::ResourceExhausted, &["1048576"]);
    }
    // What the refused ones held is free again.
    let all = Tensor::new(&[(1 << 20) - 100], vec![0_u8; (1 << 20) - 100]).unwrap();
    assert!(Grpc::connect(&server).infer(with_x("", all)).is_ok());
}

#[test]
fn a_full_queue() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate).batching(Batching::Single);
    let pool = PoolOptions::default().with_queue(QueueLimits { items: 1, bytes: 1 << 20 });
    let (server, handle) = TestServer::with(model, pool, ServerOptions::default());
    let client = Grpc::connect(&server);
    let running = client.start(one_row("running"));
    gate.entered();
    let queued = client.start(one_row("queued"));
    wait_until("a place in the queue", || handle.status().queued == 1);
    let full = assert_status(client.infer(one_row("")), Code::Unavailable, &["`m`", "queue is full"]);
    assert!(full.metadata().contains_key("retry-after"), "{full:?}");
    gate.open();
    for started in [running, queued] {
        assert!(client.ended(started).is_ok());
    }
}

#[test]
fn too_many_requests_in_flight() {
    let gate = Gate::closed();
    let options = ServerOptions::default().with_in_flight_requests(1);
    let (server, _) = TestServer::with(doubling().gated(&gate), PoolOptions::default(), options);
    let client = Grpc::connect(&server);
    let running = client.start(one_row("running"));
    gate.entered();
    let full = assert_status(client.infer(one_row("")), Code::Unavailable, &["server is full", "1 requests"]);
    assert!(full.metadata().contains_key("retry-after"), "{full:?}");
    server.client().infer(ONE_ROW).assert_error(503, &["server is full"]);
    gate.open();
    assert!(client.ended(running).is_ok());
    assert_doubled(&client.infer(one_row("")).unwrap());
}

#[test]
fn too_many_bytes_in_flight() {
    let gate = Gate::closed();
    let options = ServerOptions::default().with_in_flight_bytes(100);
    let (server, _) = TestServer::with(doubling().gated(&gate), PoolOptions::default(), options);
    let client = Grpc::connect(&server);
    let running = client.start(one_row("running"));
    gate.entered();
    let long_id = "i".repeat(50);
    assert_status(client.infer(one_row(&long_id)), Code::Unavailable, &["of 100 bytes"]);
    gate.open();
    assert!(client.ended(running).is_ok());
    assert_doubled(&client.infer(one_row(&long_id)).unwrap());
}

#[test]
fn the_timeout_of_a_request() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    let client = Grpc::connect(&server);
    let mut request = one_row("late");
    // Long enough for the run to begin on a busy machine.
    parameter(&mut request, "timeout", ParameterChoice::Int64Param(300_000));
    assert_status(client.infer(request), Code::DeadlineExceeded, &["`m`", "deadline"]);
    // There is one instance: another run begins only if the first was stopped.
    let next = client.start(one_row("next"));
    assert_eq!(gate.entered(), [RequestId::Text("late".into())]);
    assert_eq!(gate.entered(), [RequestId::Text("next".into())]);
    assert!(script.batches()[0].cancelled);
    gate.open();
    assert!(client.ended(next).is_ok());
}

#[test]
fn a_call_that_is_cancelled_stops_the_model() {
    let gate = Gate::closed();
    let model = doubling().gated(&gate);
    let script = model.script();
    let (server, _) = TestServer::with_model(model);
    let client = Grpc::connect(&server);
    let goes = client.start(one_row("goes"));
    assert_eq!(gate.entered(), [RequestId::Text("goes".into())]);
    goes.abort();
    assert_eq!(server.dropped(), "/inference.GRPCInferenceService/ModelInfer");
    let stays = client.start(one_row("stays"));
    assert_eq!(gate.entered(), [RequestId::Text("stays".into())]);
    assert!(script.batches()[0].cancelled);
    gate.open();
    assert!(client.ended(stays).is_ok());
}
