//! Responses, byte for byte, and reading those of others.

use half::{bf16, f16};
use unruffled_model::{Bytes, Element, Tensor, Tensors};
use unruffled_protocol::{InferResponse, Limits, Parameters, Place, ProtocolErrorKind};

#[track_caller]
fn check<T: Element>(elements: &[T], datatype: &str, data: &str) {
    let outputs = Tensors::new().with("y", Tensor::new(&[elements.len()], elements.to_vec()).unwrap());
    let body = InferResponse::write_json("m", None, None, &Parameters::new(), outputs.iter()).unwrap();
    let expected = format!(
        r#"{{"model_name":"m","outputs":[{{"name":"y","datatype":"{datatype}","shape":[{}],"data":[{data}]}}]}}"#,
        elements.len()
    );
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn elements_are_written_shortest() {
    check(&[0.1_f32, 1.0, f32::MAX, 1e-45, -0.0], "FP32", "0.1,1.0,3.4028235e+38,1e-45,-0.0");
    check(&[0.1_f64, 1e300, 5e-324], "FP64", "0.1,1e+300,5e-324");
    check(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], "FP32", "NaN,Infinity,-Infinity");
    check(&[f16::from_f32(0.5), f16::NAN], "FP16", "0.5,NaN");
    check(&[bf16::from_f32(3.0), bf16::NEG_INFINITY], "BF16", "3.0,-Infinity");
    check(&[u64::MAX], "UINT64", "18446744073709551615");
    check(&[i64::MIN], "INT64", "-9223372036854775808");
    check(&[true, false], "BOOL", "true,false");
    check(&[Bytes::from_static("a\"\nü".as_bytes())], "BYTES", r#""a\"\nü""#);
    check(&[] as &[u8], "UINT8", "");
}

#[test]
fn every_member_has_its_place() {
    let outputs =
        Tensors::new().with("b", Tensor::filled(&[0, 4], 0_i8).unwrap()).with("a", Tensor::scalar(7_u16));
    let parameters = Parameters::new().with("degraded", true).with("by", "small");
    let body = InferResponse::write_json("m\"", Some("3"), Some(""), &parameters, outputs.iter()).unwrap();
    assert_eq!(
        String::from_utf8(body.clone()).unwrap(),
        concat!(
            r#"{"model_name":"m\"","model_version":"3","id":"","parameters":{"degraded":true,"by":"small"},"outputs":["#,
            r#"{"name":"b","datatype":"INT8","shape":[0,4],"data":[]},"#,
            r#"{"name":"a","datatype":"UINT16","shape":[],"data":[7]}]}"#
        )
    );
    let read = InferResponse::from_json(&body, &Limits::default()).unwrap();
    let expected = InferResponse {
        model_name: "m\"".into(),
        model_version: Some("3".into()),
        id: Some(String::new()),
        parameters,
        outputs,
    };
    assert_eq!(read, expected);
}

#[test]
fn what_is_no_text_is_not_written_as_json() {
    let texts = vec![Bytes::from_static(b"ok"), Bytes::from_static(b"\xff")];
    let outputs = Tensors::new().with("y", Tensor::new(&[2], texts).unwrap());
    let error = InferResponse::write_json("m", None, None, &Parameters::new(), outputs.iter()).unwrap_err();
    assert_eq!(error.kind(), ProtocolErrorKind::Unrepresentable);
    assert_eq!(error.place(), Some(&Place::Output("y".into())));
    assert_eq!(
        error.to_string(),
        "output `y`: element 1 is not UTF-8 text, which is all that JSON can carry"
    );
}

#[track_caller]
fn refused(body: &str, message: &str) {
    let error = InferResponse::from_json(body.as_bytes(), &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn responses_of_others_are_read() {
    let body = r#"{"outputs":[{"name":"y","shape":[1,2],"datatype":"FP32","data":[[null,1]]}],"id":null,"model_name":"m"}"#;
    let read = InferResponse::from_json(body.as_bytes(), &Limits::default()).unwrap();
    let elements = read.outputs.get("y").unwrap().elements::<f32>().unwrap();
    assert!(elements[0].is_nan(), "null is what some servers write for NaN");
    assert_eq!((elements[1], read.id), (1.0, None));

    refused(r#"{"outputs":[]}"#, "`model_name` is missing");
    refused(r#"{"model_name":"m"}"#, "`outputs` is missing");
    refused(
        r#"{"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":"INT8","data":[null]}]}"#,
        "output `y`: element 0 is `null`; INT8 takes whole numbers",
    );
    refused(
        r#"{"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":"INT8","parameters":{"binary_data_size":1}}]}"#,
        "output `y`: `binary_data_size` is 1, but only 0 bytes are left of the body",
    );
    let y = r#"{"name":"y","shape":[],"datatype":"INT8","data":[1]}"#;
    refused(&format!(r#"{{"model_name":"m","outputs":[{y},{y}]}}"#), "output `y`: is given twice");
    refused(r#"{"error":"no"}"#, "`outputs` is missing");
}
