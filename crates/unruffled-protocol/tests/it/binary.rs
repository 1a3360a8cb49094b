//! The binary tensor data extension, shared memory and classification, as bytes on the wire.

use std::num::NonZeroUsize;

use unruffled_model::{Bytes, DType, Dim, Name, Signature, Tensor, TensorSpec, Tensors};
use unruffled_protocol::{
    Form, InferRequest, InferResponse, Limits, NoRegions, Parameters, ProtocolError, ProtocolErrorKind,
    Regions, Span, outputs,
};

fn read(json: &str, binary: &[u8]) -> Result<InferRequest, ProtocolError> {
    let binary = Bytes::copy_from_slice(binary);
    InferRequest::from_parts(json.as_bytes(), &binary, &NoRegions, &Limits::default())
}

fn forms(request: &InferRequest, count: usize) -> Vec<Form> {
    outputs::forms(&request.parameters, &request.outputs, count).unwrap()
}

#[track_caller]
fn refused(json: &str, binary: &[u8], expected: &str) {
    assert_eq!(read(json, binary).unwrap_err().to_string(), expected);
}

fn input(name: &str, datatype: &str, shape: &str, size: i64) -> String {
    format!(
        r#"{{"name":"{name}","shape":{shape},"datatype":"{datatype}","parameters":{{"binary_data_size":{size}}}}}"#
    )
}

#[test]
fn binary_and_json_inputs_mix() {
    let json = format!(
        r#"{{"inputs":[{},{{"name":"b","shape":[1],"datatype":"INT8","data":[7]}},{}]}}"#,
        input("a", "FP32", "[2]", 8),
        input("c", "BYTES", "[2]", 11),
    );
    let mut binary = Vec::new();
    binary.extend_from_slice(&1.5_f32.to_le_bytes());
    binary.extend_from_slice(&(-2.0_f32).to_le_bytes());
    binary.extend_from_slice(b"\x03\0\0\0\0\xffx\0\0\0\0");
    let request = read(&json, &binary).unwrap();
    let names: Vec<&str> = request.inputs.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(request.inputs.get("a").unwrap().elements::<f32>().unwrap(), [1.5, -2.0]);
    assert_eq!(request.inputs.get("b").unwrap().elements::<i8>().unwrap(), [7]);
    assert_eq!(request.inputs.get("c").unwrap().elements::<Bytes>().unwrap(), [&b"\0\xffx"[..], b""]);
}

#[test]
fn lying_sizes_are_refused() {
    let one = |size| format!(r#"{{"inputs":[{}]}}"#, input("x", "FP32", "[2]", size));
    refused(&one(8), &[0; 4], "input `x`: `binary_data_size` is 8, but only 4 bytes are left of the body");
    refused(&one(4), &[0; 4], "input `x`: has 4 bytes of data; FP32 of shape [2] takes 8");
    refused(&one(8), &[0; 12], "4 bytes follow the last binary tensor; none claims them");
    refused(
        &one(-8),
        &[0; 8],
        "input `x`: parameter `binary_data_size` is `-8`; expected a non-negative integer of 64 bits",
    );
    refused(
        &one(i64::MAX),
        &[0; 8],
        "input `x`: `binary_data_size` is 9223372036854775807, but only 8 bytes are left of the body",
    );
    let huge = format!(r#"{{"inputs":[{}]}}"#, input("x", "FP32", "[1048576,1048576,1048576,1048576]", 0));
    assert_eq!(read(&huge, &[]).unwrap_err().kind(), ProtocolErrorKind::InvalidTensor);
    refused(
        r#"{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1],"parameters":{"binary_data_size":1}}]}"#,
        &[1],
        "input `x`: has `data` and binary data; leave one of them out",
    );
}

fn signature(dtype: DType, dims: Vec<Dim>) -> Signature {
    Signature { inputs: vec![TensorSpec::new("x", dtype, dims)], outputs: vec![] }
}

#[track_caller]
fn check_raw(signature: &Signature, data: &[u8], expected: Result<&[usize], &str>) {
    let request = InferRequest::from_raw(&Bytes::copy_from_slice(data), signature);
    let shape = request.map(|request| {
        assert_eq!(forms(&request, 1), [Form::Binary]);
        request.inputs.get("x").unwrap().shape().to_vec()
    });
    assert_eq!(shape.map_err(|error| error.to_string()), expected.map(<[_]>::to_vec).map_err(str::to_owned));
}

#[test]
fn a_body_may_be_nothing_but_data() {
    let any = || Dim::Any;
    check_raw(&signature(DType::F32, vec![any(), Dim::Fixed(2)]), &[0; 16], Ok(&[2, 2]));
    check_raw(&signature(DType::F32, vec![any(), any()]), &[0; 16], Ok(&[1, 4]));
    check_raw(&signature(DType::U8, vec![Dim::Fixed(3)]), &[0; 3], Ok(&[3]));
    check_raw(&signature(DType::Bytes, vec![any(), Dim::Fixed(1)]), b"whole", Ok(&[1, 1]));
    check_raw(
        &signature(DType::F32, vec![any(), Dim::Fixed(2)]),
        &[0; 12],
        Err("input `x`: has 12 bytes of data; FP32 of shape [1, 2] takes 8"),
    );
    assert!(
        InferRequest::from_raw(&Bytes::new(), &signature(DType::F32, vec![any(), any(), any()])).is_err()
    );
    let named = Dim::Symbolic("n\n".into());
    check_raw(
        &signature(DType::F32, vec![any(), named.clone(), named]),
        &[],
        Err(
            r"input `x`: is x: f32 [?, n\n, n\n], so that its shape does not follow from the data: describe it in JSON",
        ),
    );
    check_raw(
        &Signature::default(),
        &[],
        Err(
            "the model has 0 inputs; a body that is only data is for models of one: describe the inputs in JSON",
        ),
    );
}

#[test]
fn each_output_has_its_form() {
    let json = r#"{"inputs":[],"parameters":{"binary_data_output":true},"outputs":[{"name":"a"},
        {"name":"b","parameters":{"binary_data":false}},
        {"name":"c","parameters":{"shared_memory_region":"r","shared_memory_byte_size":2,"shared_memory_offset":4}}]}"#;
    let forms = forms(&read(json, &[]).unwrap(), 3);
    let span = Span { region: "r".into(), offset: 4, bytes: 2 };
    assert_eq!(forms, [Form::Binary, Form::Json, Form::Shared(span)]);

    let outputs: [(Name, Tensor); 3] = [
        ("a".into(), Tensor::new(&[2], vec![1_i16, -1]).unwrap()),
        ("b".into(), Tensor::new(&[1], vec![true]).unwrap()),
        ("c".into(), Tensor::new(&[2], vec![1_u8, 2]).unwrap()),
    ];
    let given = outputs.iter().zip(&forms).map(|((name, tensor), form)| (name, tensor, form));
    let body = InferResponse::write("m", None, Some("7"), &Parameters::new(), given).unwrap();
    let (text, data) = body.bytes.split_at(body.json_bytes.unwrap());
    assert_eq!(data, [1, 0, 255, 255]);
    assert_eq!(
        str::from_utf8(text).unwrap(),
        concat!(
            r#"{"model_name":"m","id":"7","outputs":["#,
            r#"{"parameters":{"binary_data_size":4},"name":"a","datatype":"INT16","shape":[2]},"#,
            r#"{"name":"b","datatype":"BOOL","shape":[1],"data":[true]},"#,
            r#"{"name":"c","datatype":"UINT8","shape":[2]}]}"#,
        )
    );
}

#[test]
fn a_client_reads_what_was_written() {
    let outputs = Tensors::new()
        .with("a", Tensor::new(&[2], vec![f64::MIN_POSITIVE, f64::NAN]).unwrap())
        .with("b", Tensor::new(&[2], vec![Bytes::from_static(b"\xff\0"), Bytes::new()]).unwrap());
    let written = outputs.iter().map(|(name, tensor)| (name, tensor, &Form::Binary));
    let body = InferResponse::write("m", Some("2"), None, &Parameters::new(), written).unwrap();
    let bytes = Bytes::from(body.bytes);
    let (text, data) = (bytes.slice(..body.json_bytes.unwrap()), bytes.slice(body.json_bytes.unwrap()..));
    let read = InferResponse::from_parts(&text, &data, &Limits::default()).unwrap();
    assert_eq!(read.outputs.get("b"), outputs.get("b"));
    assert!(read.outputs.get("a").unwrap().elements::<f64>().unwrap()[1].is_nan());
    let short = data.slice(..data.len() - 1);
    assert!(InferResponse::from_parts(&text, &short, &Limits::default()).is_err());
    assert!(InferResponse::from_json(&text, &Limits::default()).is_err());
}

#[test]
fn inputs_come_from_shared_memory() {
    struct One;

    impl Regions for One {
        fn read(&self, span: &Span) -> Result<Bytes, ProtocolError> {
            let memory = Bytes::from_static(&[9, 1, 2, 9]);
            assert_eq!((span.region.as_str(), span.offset), ("r", 1));
            Ok(memory.slice(span.offset..span.offset + span.bytes))
        }
    }

    let json = r#"{"inputs":[{"name":"x","shape":[2],"datatype":"UINT8",
        "parameters":{"shared_memory_region":"r","shared_memory_offset":1,"shared_memory_byte_size":2}}]}"#;
    let request = InferRequest::from_parts(json.as_bytes(), &Bytes::new(), &One, &Limits::default()).unwrap();
    assert_eq!(request.inputs.get("x").unwrap().elements::<u8>().unwrap(), [1, 2]);
    refused(
        json,
        &[],
        "input `x`: parameter `shared_memory_region` is `r`; shared memory is not supported here: send `data`",
    );
}

#[test]
fn classes_are_counted() {
    let classes = |value: &str| {
        let json = format!(
            r#"{{"inputs":[],"outputs":[{{"name":"y","parameters":{{"classification":{value}}}}}]}}"#
        );
        read(&json, &[]).map(|request| request.outputs[0].classes().unwrap().map(NonZeroUsize::get))
    };
    assert_eq!(classes("3"), Ok(Some(3)));
    assert_eq!(classes("0"), Ok(None));
    assert!(classes("-1").is_err() && classes("true").is_err());
}
