//! What it takes to write a request down for people: an example of one, and names as steps of a path.

use std::fmt::Write as _;

use unruffled_model::{Bytes, DType, Dim, Signature, Tensor, TensorSpec, Tensors};

use crate::request::InferRequest;

/// A request of zeros that a model of this signature takes, one row of it, with the inputs that it requires.
///
/// `None` if it requires none, does not say their rank, or if one has more than `elements` elements.
pub fn request(signature: &Signature, elements: usize) -> Option<InferRequest> {
    let required = signature.inputs.iter().filter(|spec| spec.default.is_none());
    let inputs: Tensors =
        required.map(|spec| Some((spec.name.clone(), zeros(spec, elements)?))).collect::<Option<_>>()?;
    (!inputs.is_empty()).then(|| InferRequest { inputs, ..InferRequest::default() })
}

fn zeros(spec: &TensorSpec, elements: usize) -> Option<Tensor> {
    let size = |dim: &Dim| if let Dim::Fixed(size) = dim { *size } else { 1 };
    let shape: Vec<usize> = spec.dims.as_ref()?.iter().map(size).collect();
    let count = unruffled_model::element_count(&shape).ok()?;
    let element = match spec.dtype {
        DType::Bytes => Tensor::scalar(Bytes::from_static(b"text")),
        dtype => Tensor::from_number(dtype, 0.0).ok()?,
    };
    if count > elements { None } else { element.repeated(&shape).ok() }
}

/// A name as one step of a URL's path (RFC 3986): what is not unreserved is percent-encoded.
pub fn path_step(name: &str) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use unruffled_model::{DType, Dim, Signature, TensorSpec};

    use super::{path_step, request};

    fn signature(dtype: DType, dims: &[Dim]) -> Signature {
        Signature { inputs: vec![TensorSpec::new("x", dtype, dims)], outputs: Vec::new() }
    }

    #[track_caller]
    fn check(signature: &Signature, expected: Option<&str>) {
        let json =
            request(signature, 4).map(|request| String::from_utf8(request.to_json().unwrap()).unwrap());
        assert_eq!(json.as_deref(), expected);
    }

    #[test]
    fn an_example_is_one_row_of_zeros() {
        let batch = Dim::Symbolic("batch".into());
        check(
            &signature(DType::F32, &[batch.clone(), Dim::Fixed(2)]),
            Some(r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[0.0,0.0]}]}"#),
        );
        check(
            &signature(DType::Bytes, std::slice::from_ref(&batch)),
            Some(r#"{"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"data":["text"]}]}"#),
        );
        check(&signature(DType::F32, &[batch, Dim::Fixed(5)]), None);
        check(&Signature::default(), None);
    }

    #[test]
    fn a_name_is_one_step_of_a_path() {
        assert_eq!(path_step("a b/c-1.0~ü"), "a%20b%2Fc-1.0~%C3%BC");
    }
}
