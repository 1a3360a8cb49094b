//! Requests and answers as protocol buffers.

use std::time::Duration;

use half::{bf16, f16};
use proptest::prelude::*;
use unruffled_model::{Bytes, DType, Element, Tensor, Tensors};
use unruffled_protocol::grpc::infer_parameter::ParameterChoice;
use unruffled_protocol::grpc::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use unruffled_protocol::grpc::{
    self, InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse,
};
use unruffled_protocol::{
    Form, InferRequest, InferResponse, Limits, ModelMetadata, NoRegions, ParameterValue, Parameters,
    ProtocolError, ProtocolErrorKind, Regions, ServerMetadata, Span, TensorMetadata,
};

fn input(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    let (name, datatype, shape) = (name.to_owned(), datatype.to_owned(), shape.to_vec());
    InferInputTensor { name, datatype, shape, ..InferInputTensor::default() }
}

fn typed(datatype: &str, shape: &[i64], contents: InferTensorContents) -> ModelInferRequest {
    let input = InferInputTensor { contents: Some(contents), ..input("x", datatype, shape) };
    ModelInferRequest { inputs: vec![input], ..ModelInferRequest::default() }
}

fn raw(inputs: Vec<InferInputTensor>, raw: &[&'static [u8]]) -> ModelInferRequest {
    let raw_input_contents = raw.iter().map(|bytes| Bytes::from_static(bytes)).collect();
    ModelInferRequest { inputs, raw_input_contents, ..ModelInferRequest::default() }
}

fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}

/// By way of bytes, as a server gets it.
fn read(message: &ModelInferRequest) -> Result<InferRequest, ProtocolError> {
    let limits = Limits::default();
    let message = grpc::read_request(grpc::encode(message).into(), &limits)?;
    InferRequest::from_grpc(message, &NoRegions, &limits)
}

#[track_caller]
fn check<T: Element>(message: &ModelInferRequest, expected: &[T]) {
    let request = read(message).unwrap();
    assert_eq!(request.inputs.get("x").unwrap().elements::<T>().unwrap(), expected);
}

#[track_caller]
fn refused(message: &ModelInferRequest, kind: ProtocolErrorKind, text: &str) {
    let error = read(message).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
}

/// The contents with one field filled.
macro_rules! contents {
    ($field:ident: $elements:expr) => {
        InferTensorContents { $field: $elements.into(), ..InferTensorContents::default() }
    };
}

#[test]
fn typed_elements_of_every_datatype() {
    check(&typed("BOOL", &[2], contents!(bool_contents: [true, false])), &[true, false]);
    check(&typed("UINT8", &[2], contents!(uint_contents: [0_u32, 255])), &[0_u8, 255]);
    check(&typed("UINT16", &[1], contents!(uint_contents: [65_535_u32])), &[u16::MAX]);
    check(&typed("UINT32", &[1], contents!(uint_contents: [u32::MAX])), &[u32::MAX]);
    check(&typed("UINT64", &[1], contents!(uint64_contents: [u64::MAX])), &[u64::MAX]);
    check(&typed("INT8", &[2], contents!(int_contents: [-128, 127])), &[-128_i8, 127]);
    check(&typed("INT16", &[1], contents!(int_contents: [-32_768])), &[i16::MIN]);
    check(&typed("INT32", &[1], contents!(int_contents: [i32::MIN])), &[i32::MIN]);
    check(&typed("INT64", &[1, 1], contents!(int64_contents: [i64::MIN])), &[i64::MIN]);
    check(&typed("FP32", &[2], contents!(fp32_contents: [1.5_f32, -0.1])), &[1.5_f32, -0.1]);
    check(&typed("FP64", &[1], contents!(fp64_contents: [0.1_f64])), &[0.1_f64]);
    let strings = [Bytes::from_static(b"a\0\xff"), Bytes::new()];
    check(&typed("BYTES", &[2], contents!(bytes_contents: strings.clone())), &strings);
}

#[test]
fn raw_elements_of_every_datatype() {
    let one = |datatype: &str, bytes: &'static [u8]| raw(vec![input("x", datatype, &[1])], &[bytes]);
    check(&one("BOOL", &[1]), &[true]);
    check(&one("UINT8", &[255]), &[255_u8]);
    check(&one("UINT16", &[1, 2]), &[0x0201_u16]);
    check(&one("UINT32", &[1, 0, 0, 0]), &[1_u32]);
    check(&one("UINT64", &[255; 8]), &[u64::MAX]);
    check(&one("INT8", &[255]), &[-1_i8]);
    check(&one("INT16", &[255; 2]), &[-1_i16]);
    check(&one("INT32", &[255; 4]), &[-1_i32]);
    check(&one("INT64", &[255; 8]), &[-1_i64]);
    check(&one("FP16", &[0, 0x3c]), &[f16::ONE]);
    check(&one("BF16", &[0x80, 0x3f]), &[bf16::ONE]);
    check(&one("FP32", &[0, 0, 0x80, 0x3f]), &[1.0_f32]);
    check(&one("FP64", &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]), &[1.0_f64]);
    check(&one("BYTES", b"\x02\0\0\0\xff\0"), &[Bytes::from_static(b"\xff\0")]);
}

#[test]
fn empty_tensors_in_every_form() {
    for dtype in DType::ALL {
        let datatype = unruffled_protocol::datatype::name(dtype);
        let untyped =
            ModelInferRequest { inputs: vec![input("x", datatype, &[0, 4])], ..ModelInferRequest::default() };
        let empty = typed(datatype, &[0, 4], InferTensorContents::default());
        for message in [untyped, empty, raw(vec![input("x", datatype, &[0, 4])], &[b""])] {
            let request = read(&message).unwrap();
            let x = request.inputs.get("x").unwrap();
            assert_eq!((x.dtype(), x.shape()), (dtype, &[0, 4][..]));
        }
    }
}

#[test]
fn elements_stay_parts_of_the_message() {
    let long = Tensor::new(&[1000], vec![7_u8; 1000]).unwrap();
    let asked = InferRequest { inputs: Tensors::new().with("x", long), ..InferRequest::default() };
    let message = Bytes::from(grpc::encode(&asked.to_grpc("m", "").unwrap()));
    let range = message.as_ptr_range();
    let request = grpc::read_request(message, &Limits::default()).unwrap();
    let request = InferRequest::from_grpc(request, &NoRegions, &Limits::default()).unwrap();
    let x = request.inputs.get("x").unwrap().elements::<u8>().unwrap();
    assert!(range.contains(&x.as_ptr()));
}

#[test]
fn what_surrounds_the_inputs() {
    let mut message = raw(vec![input("b", "UINT8", &[1]), input("a", "UINT8", &[])], &[&[1], &[2]]);
    message.id = "7".to_owned();
    message.parameters = [
        ("timeout", ParameterChoice::Int64Param(250)),
        ("priority", ParameterChoice::Uint64Param(1)),
        ("large", ParameterChoice::Uint64Param(u64::MAX)),
        ("text", ParameterChoice::StringParam("t".to_owned())),
        ("number", ParameterChoice::DoubleParam(0.5)),
        (grpc::WANTS_FINAL_RESPONSE, ParameterChoice::BoolParam(true)),
    ]
    .map(|(name, choice)| (name.to_owned(), parameter(choice)))
    .into();
    message.parameters.insert("nothing".to_owned(), InferParameter::default());
    message.outputs =
        vec![InferRequestedOutputTensor { name: "y".to_owned(), ..InferRequestedOutputTensor::default() }];
    let request = read(&message).unwrap();
    assert_eq!(request.id.as_deref(), Some("7"));
    assert_eq!(request.inputs.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(request.outputs.iter().map(|output| &*output.name).collect::<Vec<_>>(), ["y"]);
    let parameters = request.parameters;
    assert_eq!(parameters.timeout(), Ok(Some(Duration::from_micros(250))));
    assert_eq!(parameters.priority().map(|priority| priority.map(u64::from)), Ok(Some(1)));
    assert_eq!(parameters.get("large"), Some(&ParameterValue::U64(u64::MAX)));
    assert_eq!(parameters.text("text"), Ok(Some("t")));
    assert_eq!(parameters.f64("number"), Ok(Some(0.5)));
    assert_eq!(parameters.bool(grpc::WANTS_FINAL_RESPONSE), Ok(Some(true)));
    assert_eq!(parameters.len(), 6);
    assert_eq!(read(&ModelInferRequest::default()), Ok(InferRequest::default()));
}

#[test]
fn mistakes_name_the_input() {
    use ProtocolErrorKind::{InvalidTensor, LimitExceeded, Malformed, Unsupported};
    let fp32 = |shape: &[i64]| typed("FP32", shape, contents!(fp32_contents: [1.0_f32, 2.0]));
    for (message, kind, text) in [
        (fp32(&[3]), InvalidTensor, "input `x`: shape [3] does not hold 2 elements"),
        (
            fp32(&[2, -1]),
            InvalidTensor,
            "input `x`: `shape` has the dimension -1; a dimension is not negative",
        ),
        (fp32(&[i64::MAX, 4]), InvalidTensor, "input `x`: shape [9223372036854775807, 4] is too large"),
        (fp32(&[1; 33]), LimitExceeded, "input `x`: `shape` has 33 dimensions; at most 32 are allowed"),
        (
            typed("FP32", &[1], contents!(int_contents: [1])),
            InvalidTensor,
            "input `x`: has 1 elements in `int_contents`; FP32 is sent in `fp32_contents`, or raw",
        ),
        (
            typed("BF16", &[1], contents!(fp32_contents: [1.0_f32])),
            InvalidTensor,
            "input `x`: has 1 elements in `fp32_contents`; BF16 is sent raw, in `raw_input_contents`",
        ),
        (
            typed("INT8", &[2], contents!(int_contents: [1, 300])),
            InvalidTensor,
            "input `x`: element 1 is `300`; INT8 holds -128 to 127",
        ),
        (
            typed("UINT16", &[1], contents!(uint_contents: [70_000_u32])),
            InvalidTensor,
            "input `x`: element 0 is `70000`; UINT16 holds 0 to 65535",
        ),
        (typed("", &[1], InferTensorContents::default()), Malformed, "input `x`: `datatype` is missing"),
        (
            typed("fp32", &[1], InferTensorContents::default()),
            InvalidTensor,
            "input `x`: unknown datatype `fp32`; write `FP32`",
        ),
        (raw(vec![input("", "FP32", &[1])], &[]), Malformed, "input 0: `name` is missing"),
        (
            raw(vec![input("x", "UINT8", &[1]), input("x", "UINT8", &[1])], &[&[1], &[1]]),
            InvalidTensor,
            "input `x`: is given twice",
        ),
        (
            raw(vec![input("x", "UINT8", &[1])], &[&[1], &[1]]),
            InvalidTensor,
            "`raw_input_contents` has 2 entries, 1 more than there are inputs to take them",
        ),
        (
            raw(vec![input("y", "UINT8", &[1]), input("x", "UINT8", &[1])], &[&[1]]),
            InvalidTensor,
            "input `x`: has no entry in `raw_input_contents`, which has 1; it takes one for each input, in their order",
        ),
        (
            raw(vec![input("x", "FP32", &[1])], &[&[1, 2, 3]]),
            InvalidTensor,
            "input `x`: has 3 bytes of data; FP32 of shape [1] takes 4",
        ),
    ] {
        refused(&message, kind, text);
    }
    let mut both = fp32(&[2]);
    both.raw_input_contents.push(Bytes::from_static(&[0; 8]));
    let text = "input `x`: has typed `contents` beside `raw_input_contents`; send one of them";
    refused(&both, InvalidTensor, text);
    let unknown = read(&in_shared_memory(fp32(&[2]))).unwrap_err();
    assert_eq!((unknown.kind(), unknown.to_string().contains("input `x`")), (Unsupported, true));
}

fn in_shared_memory(mut message: ModelInferRequest) -> ModelInferRequest {
    let x = &mut message.inputs[0];
    x.contents = None;
    x.parameters = [
        ("shared_memory_region", ParameterChoice::StringParam("r".to_owned())),
        ("shared_memory_byte_size", ParameterChoice::Int64Param(1)),
    ]
    .map(|(name, choice)| (name.to_owned(), parameter(choice)))
    .into();
    message
}

#[test]
fn what_is_in_shared_memory_has_an_empty_entry() {
    struct Sevens;

    impl Regions for Sevens {
        fn read(&self, span: &Span) -> Result<Bytes, ProtocolError> {
            Ok(vec![7; span.bytes].into())
        }
    }

    let message = raw(vec![input("x", "UINT8", &[1]), input("y", "UINT8", &[1])], &[&[1]]);
    let request = InferRequest::from_grpc(in_shared_memory(message), &Sevens, &Limits::default()).unwrap();
    let element = |name: &str| request.inputs.get(name).unwrap().elements::<u8>().unwrap()[0];
    assert_eq!((element("x"), element("y")), (7, 1));

    let shared = Form::Shared(Span { region: "r".to_owned(), offset: 0, bytes: 1 });
    let outputs =
        request.inputs.iter().zip([&shared, &Form::Binary]).map(|((name, y), form)| (name, y, form));
    let answer = InferResponse::write_grpc("m", None, None, &Parameters::new(), outputs).unwrap();
    assert_eq!(answer.raw_output_contents, [Bytes::new(), Bytes::from_static(&[1])]);
    let region = &answer.outputs[0].parameters["shared_memory_region"];
    assert_eq!(region, &parameter(ParameterChoice::StringParam("r".to_owned())));
}

#[test]
fn large_elements_are_sent_where_they_lie() {
    let large = Tensor::new(&[100_000], vec![7_u8; 100_000]).unwrap();
    let at = large.elements::<u8>().unwrap().as_ptr();
    let outputs =
        Tensors::new().with("a", Tensor::scalar(1_u8)).with("b", large).with("c", Tensor::scalar(2_u8));
    let outputs = outputs.iter().map(|(name, tensor)| (name, tensor, &Form::Binary));
    let answer = InferResponse::write_grpc("m", None, None, &Parameters::new(), outputs).unwrap();
    let pieces = grpc::encode_response(answer.clone());
    assert_eq!((pieces.len(), pieces[1].as_ptr()), (3, at));
    let message = Bytes::from(pieces.concat());
    assert_eq!(grpc::decode::<ModelInferResponse>(message).as_ref(), Ok(&answer));
    let streamed = Bytes::from(grpc::encode_stream_response(answer.clone()).concat());
    let streamed: grpc::ModelStreamInferResponse = grpc::decode(streamed).unwrap();
    assert_eq!((streamed.error_message.as_str(), streamed.infer_response), ("", Some(answer)));
}

#[test]
fn mistakes_around_the_inputs() {
    let with = |name: &str, choice| {
        let mut message = ModelInferRequest::default();
        message.parameters.insert(name.to_owned(), parameter(choice));
        message
    };
    let reserved = read(&with("triton_x", ParameterChoice::BoolParam(true))).unwrap_err();
    assert_eq!(reserved.kind(), ProtocolErrorKind::InvalidParameter);
    assert!(reserved.to_string().starts_with("parameter `triton_x` is reserved"), "{reserved}");
    let wrong = with(grpc::WANTS_FINAL_RESPONSE, ParameterChoice::Int64Param(1));
    assert_eq!(read(&wrong).unwrap_err().kind(), ProtocolErrorKind::InvalidParameter);
    let long = ModelInferRequest { id: "i".repeat(1025), ..ModelInferRequest::default() };
    refused(&long, ProtocolErrorKind::LimitExceeded, "`id` has 1025 bytes; at most 1024 are allowed");
    let many =
        ModelInferRequest { inputs: vec![input("x", "FP32", &[]); 1025], ..ModelInferRequest::default() };
    refused(&many, ProtocolErrorKind::LimitExceeded, "`inputs` has 1025 items; at most 1024 are allowed");
}

#[test]
fn what_is_no_message_is_refused() {
    for bytes in [&[0xff][..], b"{}", &[0x0a, 0x02, 0xff, 0xff], &[0x2a, 0x02, 0x1a, 0x05]] {
        let error = grpc::read_request(Bytes::copy_from_slice(bytes), &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ProtocolErrorKind::Malformed, "{error}");
    }
}

fn any_tensor() -> impl Strategy<Value = Tensor> {
    let dtypes = prop::sample::select(&DType::ALL[..]);
    (dtypes, prop::collection::vec(any::<u8>(), 0..96)).prop_map(|(dtype, mut bytes)| match dtype {
        DType::Bytes => Tensor::new(&[2], vec![Bytes::from(bytes), Bytes::new()]).unwrap(),
        dtype => {
            let size = dtype.size().unwrap();
            let count = bytes.len() / size;
            bytes.truncate(count * size);
            if dtype == DType::Bool {
                bytes.iter_mut().for_each(|byte| *byte &= 1);
            }
            unruffled_protocol::raw::read(dtype, &[count], &bytes.into()).unwrap()
        }
    })
}

/// The bytes: NaN is not equal to itself.
fn bytes_of(tensors: &Tensors) -> Vec<(String, DType, Vec<usize>, Bytes)> {
    let bytes = |tensor: &Tensor| unruffled_protocol::raw::lend(tensor).unwrap();
    tensors
        .iter()
        .map(|(name, tensor)| (name.to_string(), tensor.dtype(), tensor.shape().to_vec(), bytes(tensor)))
        .collect()
}

proptest! {
    #[test]
    fn what_is_asked_arrives(tensors in prop::collection::vec(any_tensor(), 0..5), id in "[a-z]{0,3}") {
        let inputs: Tensors = tensors.into_iter().enumerate().map(|(i, tensor)| (i.to_string(), tensor)).collect();
        let id = (!id.is_empty()).then_some(id);
        let asked = InferRequest { id: id.clone(), inputs, ..InferRequest::default() };
        let request = read(&asked.to_grpc("m", "3").unwrap()).unwrap();
        prop_assert_eq!(&request.id, &asked.id);
        prop_assert_eq!(bytes_of(&request.inputs), bytes_of(&asked.inputs));

        let parameters = Parameters::new().with("k", 1_i64);
        let outputs = asked.inputs.iter().map(|(name, tensor)| (name, tensor, &Form::Binary));
        let answer = InferResponse::write_grpc("m", Some("3"), id.as_deref(), &parameters, outputs);
        let message = grpc::encode(&answer.unwrap());
        let answer: ModelInferResponse = grpc::decode(message.into()).unwrap();
        prop_assert_eq!(answer.raw_output_contents.len(), answer.outputs.len());
        let response = InferResponse::from_grpc(answer, &Limits::default()).unwrap();
        prop_assert_eq!(bytes_of(&response.outputs), bytes_of(&asked.inputs));
        prop_assert_eq!((response.model_name.as_str(), response.model_version.as_deref()), ("m", Some("3")));
        prop_assert_eq!((response.id, response.parameters), (asked.id, parameters));
    }

    #[test]
    fn garbage_is_refused_or_understood(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let limits = Limits::default();
        if let Ok(message) = grpc::read_request(bytes.into(), &limits) {
            let _ = InferRequest::from_grpc(message, &NoRegions, &limits);
        }
    }
}

#[test]
fn metadata_say_the_same_as_in_json() {
    let server = ServerMetadata {
        name: "s".to_owned(),
        version: "1".to_owned(),
        extensions: vec!["schedule_policy".to_owned()],
    };
    let message = grpc::ServerMetadataResponse::from(server);
    assert_eq!((&*message.name, &*message.version, message.extensions.len()), ("s", "1", 1));
    let x = TensorMetadata { name: "x".to_owned(), dtype: DType::F32, shape: vec![-1, 4] };
    let model = ModelMetadata {
        name: "m".to_owned(),
        versions: vec!["2".to_owned()],
        platform: "onnx_rten".to_owned(),
        inputs: vec![x],
        outputs: Vec::new(),
    };
    let message = grpc::ModelMetadataResponse::from(model);
    assert_eq!((&*message.name, &*message.platform, &*message.versions[0]), ("m", "onnx_rten", "2"));
    assert_eq!((&*message.inputs[0].datatype, &*message.inputs[0].shape), ("FP32", &[-1, 4][..]));
}
