//! The bodies around inference.

use unruffled_model::{DType, Dim, Signature, TensorSpec};
use unruffled_protocol::{ErrorBody, Health, ModelMetadata, ModelReady, ServerMetadata};

#[track_caller]
fn check(body: Vec<u8>, expected: &str) {
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn server() {
    let metadata = ServerMetadata {
        name: "unruffled".into(),
        version: "0.1.0".into(),
        extensions: vec!["schedule_policy".into()],
    };
    let body = metadata.to_json();
    assert_eq!(ServerMetadata::from_json(&body), Ok(metadata));
    check(body, r#"{"name":"unruffled","version":"0.1.0","extensions":["schedule_policy"]}"#);
    let error = ServerMetadata::from_json(b"{\"name\":1}").unwrap_err();
    assert_eq!(error.to_string(), "invalid type: integer `1`, expected a string, at line 1, column 9");
}

#[test]
fn model() {
    let batch = Dim::Symbolic("batch".into());
    let signature = Signature {
        inputs: vec![TensorSpec::new("x", DType::F32, [batch, Dim::Any, Dim::Fixed(3)])],
        outputs: vec![
            TensorSpec { dims: None, ..TensorSpec::new("y", DType::Bytes, []) },
            TensorSpec::new("scalar", DType::BF16, []),
        ],
    };
    let metadata = ModelMetadata::new("m", vec!["1".into()], "onnx_rten", &signature);
    let body = metadata.to_json();
    assert_eq!(ModelMetadata::from_json(&body), Ok(metadata));
    check(
        body,
        concat!(
            r#"{"name":"m","versions":["1"],"platform":"onnx_rten","#,
            r#""inputs":[{"name":"x","datatype":"FP32","shape":[-1,-1,3]}],"#,
            r#""outputs":[{"name":"y","datatype":"BYTES","shape":[-1]},{"name":"scalar","datatype":"BF16","shape":[]}]}"#
        ),
    );
}

#[test]
fn model_of_others() {
    let metadata = ModelMetadata::from_json(br#"{"name":"m","parameters":{}}"#).unwrap();
    assert_eq!((metadata.platform.as_str(), metadata.inputs.len()), ("", 0));
    let refused = |body: &str| ModelMetadata::from_json(body.as_bytes()).unwrap_err().to_string();
    let datatype = r#"{"name":"m","outputs":[{"name":"y","datatype":"STRING","shape":[1]}]}"#;
    assert!(
        refused(datatype).starts_with("output `y`: unknown datatype `STRING`; expected one of BOOL, UINT8,")
    );
    let shape = r#"{"name":"m","inputs":[{"name":"x","datatype":"BOOL","shape":[-2]}]}"#;
    assert_eq!(refused(shape), "input `x`: dimension `-2` is neither a size nor -1");
}

#[test]
fn health_and_errors() {
    check(Health { live: true, ready: false }.to_json(), r#"{"live":true,"ready":false}"#);
    check(ModelReady { name: "a\"b", ready: true }.to_json(), r#"{"name":"a\"b","ready":true}"#);
    check(ErrorBody::new("no `x`").to_json(), r#"{"error":"no `x`"}"#);
    check(ErrorBody::new("").to_json(), r#"{"error":"unknown error"}"#);
    assert_eq!(ErrorBody::from_json(br#"{"error":"no","more":1}"#), Ok(ErrorBody::new("no")));
    assert!(ErrorBody::from_json(br#"{"detail":"no"}"#).is_err());
}
