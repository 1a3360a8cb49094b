//! Whether what was written and read again is the same. NaN is like NaN: JSON has one word for all of them.

use half::{bf16, f16};
use unruffled_model::{DType, Element, Tensor, Tensors};
use unruffled_protocol::{InferRequest, InferResponse, ParameterValue, Parameters};

/// Requests are the same.
#[track_caller]
pub fn requests(one: &InferRequest, other: &InferRequest) {
    let same = one.id == other.id
        && parameters(&one.parameters, &other.parameters)
        && tensors(&one.inputs, &other.inputs)
        && one.outputs.len() == other.outputs.len()
        && one
            .outputs
            .iter()
            .zip(&other.outputs)
            .all(|(one, other)| one.name == other.name && parameters(&one.parameters, &other.parameters));
    assert!(same, "{one:?}\n  became\n{other:?}");
}

/// Responses are the same.
#[track_caller]
pub fn responses(one: &InferResponse, other: &InferResponse) {
    let same = (&one.model_name, &one.model_version, &one.id)
        == (&other.model_name, &other.model_version, &other.id)
        && parameters(&one.parameters, &other.parameters)
        && tensors(&one.outputs, &other.outputs);
    assert!(same, "{one:?}\n  became\n{other:?}");
}

/// Whether parameters are the same, and in the same order.
pub fn parameters(one: &Parameters, other: &Parameters) -> bool {
    let value = |one: &ParameterValue, other: &ParameterValue| match (one, other) {
        (ParameterValue::F64(one), ParameterValue::F64(other)) => {
            one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan())
        }
        _ => one == other,
    };
    one.len() == other.len()
        && one.iter().zip(other.iter()).all(|(one, other)| one.0 == other.0 && value(one.1, other.1))
}

/// Whether tensors are the same, and in the same order.
pub fn tensors(one: &Tensors, other: &Tensors) -> bool {
    one.len() == other.len()
        && one.iter().zip(other.iter()).all(|(one, other)| one.0 == other.0 && tensor(one.1, other.1))
}

/// Whether a tensor is the same, negative zeros included.
pub fn tensor(one: &Tensor, other: &Tensor) -> bool {
    if one.dtype() != other.dtype() || one.shape() != other.shape() {
        return false;
    }
    match one.dtype() {
        DType::F16 => floats(one, other, |value: f16| (!value.is_nan()).then(|| value.to_bits().into())),
        DType::BF16 => floats(one, other, |value: bf16| (!value.is_nan()).then(|| value.to_bits().into())),
        DType::F32 => floats(one, other, |value: f32| (!value.is_nan()).then(|| value.to_bits().into())),
        DType::F64 => floats(one, other, |value: f64| (!value.is_nan()).then(|| value.to_bits())),
        _ => one == other,
    }
}

fn floats<T: Element + Copy>(one: &Tensor, other: &Tensor, bits: impl Fn(T) -> Option<u64>) -> bool {
    let elements = |tensor: &Tensor| -> Vec<Option<u64>> {
        tensor.elements::<T>().expect("its type was asked").iter().map(|value| bits(*value)).collect()
    };
    elements(one) == elements(other)
}

/// Whether all elements of texts can be carried by JSON.
pub fn is_text(tensors: &Tensors) -> bool {
    tensors.iter().all(|(_, tensor)| {
        let texts = tensor.elements::<unruffled_model::Bytes>();
        texts.is_ok_and(|texts| texts.iter().all(|text| std::str::from_utf8(text).is_ok()))
            || tensor.dtype() != DType::Bytes
    })
}

#[cfg(test)]
mod tests {
    use unruffled_model::Tensor;

    use super::tensor;

    #[test]
    fn nan_is_like_nan_and_no_zero_like_the_other() {
        let one = |value: f32| Tensor::scalar(value);
        assert!(tensor(&one(f32::NAN), &one(-f32::NAN)) && tensor(&one(0.5), &one(0.5)));
        assert!(!tensor(&one(0.0), &one(-0.0)) && !tensor(&one(f32::NAN), &one(1.0)));
        assert!(!tensor(&one(1.0), &Tensor::scalar(1.0_f64)));
    }
}
