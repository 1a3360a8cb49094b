//! Requests that are understood.

use std::num::NonZeroU64;
use std::time::Duration;

use unruffled_model::{Bytes, Element, Tensor};
use unruffled_protocol::{InferRequest, Limits, ParameterValue, Parameters};

#[track_caller]
fn read(body: &str) -> InferRequest {
    InferRequest::from_json(body.as_bytes(), &Limits::default()).unwrap()
}

#[track_caller]
fn check<T: Element>(datatype: &str, shape: &str, data: &str, expected: &[T]) {
    for body in [
        format!(r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#),
        format!(
            r#" {{ "inputs" : [ {{ "data" : {data} , "datatype" : "{datatype}" , "shape" : {shape} , "name" : "x" }} ] }} "#
        ),
    ] {
        let request = read(&body);
        assert_eq!(request.inputs.get("x").unwrap().elements::<T>().unwrap(), expected, "{body}");
    }
}

#[test]
fn integers_are_exact_to_their_limits() {
    check("UINT8", "[3]", "[0, 255, -0]", &[0_u8, 255, 0]);
    check("UINT16", "[1]", "[65535]", &[u16::MAX]);
    check("UINT32", "[1]", "[4294967295]", &[u32::MAX]);
    check("UINT64", "[2]", "[18446744073709551615,9007199254740993]", &[u64::MAX, 9007199254740993]);
    check("INT8", "[3]", "[-128,127,-0]", &[-128_i8, 127, 0]);
    check("INT16", "[2]", "[-32768,32767]", &[i16::MIN, i16::MAX]);
    check("INT32", "[2]", "[-2147483648,2147483647]", &[i32::MIN, i32::MAX]);
    check("INT64", "[2]", "[-9223372036854775808,9223372036854775807]", &[i64::MIN, i64::MAX]);
}

#[test]
fn floats_take_integers_and_the_words_that_json_lacks() {
    check("FP32", "[4]", "[1, -2.5, 1e-45, 3.4028235e38]", &[1.0_f32, -2.5, 1e-45, f32::MAX]);
    // Halfway between two singles as a double, above it as written: a detour over doubles would round down.
    check("FP32", "[1]", "[1.00000005960464477540]", &[1.000_000_1_f32]);
    check("FP64", "[3]", "[0.1, 5e-324, 1.7976931348623157E+308]", &[0.1, 5e-324, f64::MAX]);
    check(
        "FP64",
        "[2]",
        "[2.2250738585072011e-308, 9007199254740993]",
        &[2.225_073_858_507_201e-308, 9007199254740992.0],
    );
    check("FP32", "[2]", "[Infinity,-Infinity]", &[f32::INFINITY, f32::NEG_INFINITY]);
    check("FP16", "[2]", "[0.1, 65504]", &[half::f16::from_f32(0.1), half::f16::MAX]);
    check("BF16", "[2]", "[0.1, Infinity]", &[half::bf16::from_f32(0.1), half::bf16::INFINITY]);
    let request = read(r#"{"inputs":[{"name":"NaN","shape":[],"datatype":"FP64","data":NaN}]}"#);
    assert!(request.inputs.get("NaN").unwrap().elements::<f64>().unwrap()[0].is_nan());
}

#[test]
fn texts_are_bytes() {
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    check(
        "BYTES",
        "[2]",
        r#"["a]b,[\"c\\", "ü\n\u00fc\ud83d\ude00"]"#,
        &[text("a]b,[\"c\\"), text("ü\nü😀")],
    );
    check("BYTES", "[3]", r#"["","NaN","\u0000"]"#, &[text(""), text("NaN"), text("\0")]);
    check("BOOL", "[2]", "[true,false]", &[true, false]);
}

#[test]
fn data_are_flat_or_nested() {
    for data in ["[1,2,3,4,5,6]", "[[1,2,3],[4,5,6]]", "[ [ 1 , 2 , 3 ] ,\n\t[ 4 , 5 , 6 ] ]"] {
        check("INT32", "[2,3]", data, &[1, 2, 3, 4, 5, 6]);
    }
    check("INT32", "[2,1,2]", "[[[1,2]],[[3,4]]]", &[1, 2, 3, 4]);
    check("INT32", "[]", "5", &[5]);
    check("INT32", "[]", "[5]", &[5]);
}

#[test]
fn empty_tensors_are_tensors() {
    for (shape, data) in
        [("[0]", "[]"), ("[0,4]", "[]"), ("[2,0]", "[]"), ("[2,0]", "[[],[]]"), ("[1,0,3]", "[ [ ] ]")]
    {
        check::<f32>("FP32", shape, data, &[]);
        check::<Bytes>("BYTES", shape, data, &[]);
    }
}

#[test]
fn null_and_unknown_members_do_not_matter() {
    let request = read(
        r#"{"id":null,"parameters":null,"outputs":null,"model_version":[[{}]],"extra":{"a":[1,{"b":NaN}]},
        "inputs":[{"name":"x","what":["ever",null],"parameters":null,"shape":[1],"datatype":"BOOL","data":[true]}]}"#,
    );
    assert_eq!((request.id, request.parameters.len(), request.outputs.len()), (None, 0, 0));
    assert_eq!(request.inputs.get("x"), Some(&Tensor::new(&[1], vec![true]).unwrap()));
}

#[test]
fn parameters_keep_their_types() {
    let request = read(
        r#"{"id":"","inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":true,"classification":0}},{"name":"a"}],
        "parameters":{"b":true,"i":-1,"u":18446744073709551615,"f":0.5,"t":"x\ty","n":null,"priority":2,"timeout":1500,"w":-Infinity}}"#,
    );
    assert_eq!(request.id.as_deref(), Some(""));
    let expected = Parameters::new()
        .with("b", true)
        .with("i", -1_i64)
        .with("u", u64::MAX)
        .with("f", 0.5)
        .with("t", "x\ty")
        .with("priority", 2_i64)
        .with("timeout", 1500_i64)
        .with("w", f64::NEG_INFINITY);
    assert_eq!(request.parameters, expected);
    assert_eq!(request.parameters.priority().unwrap(), NonZeroU64::new(2));
    assert_eq!(request.parameters.timeout().unwrap(), Some(Duration::from_micros(1500)));
    assert_eq!((expected.u64("u").unwrap(), expected.f64("i").unwrap()), (Some(u64::MAX), Some(-1.0)));
    let outputs: Vec<_> = request.outputs.iter().map(|output| &*output.name).collect();
    assert_eq!(outputs, ["y", "a"]);
    assert_eq!(request.outputs[0].parameters.get("binary_data"), Some(&ParameterValue::Bool(true)));
}

#[test]
fn zero_priority_and_timeout_are_none() {
    let parameters = Parameters::new().with("priority", 0_u64).with("timeout", 0_i64);
    assert_eq!((parameters.priority().unwrap(), parameters.timeout().unwrap()), (None, None));
    let refused = |parameters: Parameters| parameters.timeout().unwrap_err().to_string();
    let message =
        |value| format!("parameter `timeout` is `{value}`; expected a non-negative integer, in microseconds");
    assert_eq!(refused(parameters.clone().with("timeout", -5_i64)), message("-5"));
    assert_eq!(refused(parameters.clone().with("timeout", "soon")), message("\"soon\""));
    assert_eq!(
        parameters.with("priority", 1.5).priority().unwrap_err().to_string(),
        "parameter `priority` is `1.5`; expected a non-negative integer of 64 bits"
    );
}

#[test]
fn writing_a_request_reads_back() {
    let request = read(
        r#"{"id":"a\"b","parameters":{"timeout":5,"f":NaN},"outputs":[{"name":"y","parameters":{"k":false}},{"name":"z"}],
        "inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[0.1,-Infinity]},
                  {"name":"\u00e4","shape":[1,1],"datatype":"BYTES","data":[["\n"]]}]}"#,
    );
    let written = request.to_json().unwrap();
    let read = InferRequest::from_json(&written, &Limits::default()).unwrap();
    assert_eq!(format!("{read:?}"), format!("{request:?}"));
    let minimal = InferRequest::default().to_json().unwrap();
    assert_eq!(minimal, br#"{"inputs":[]}"#);
}
