//! Floats of any width as one type, for comparing.

use unruffled_model::{Data, Tensor};

/// The elements as 64-bit floats; `None` if they are no floats.
pub(crate) fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    match tensor.data() {
        Data::F16(buffer) => Some(buffer.iter().map(|x| x.to_f64()).collect()),
        Data::BF16(buffer) => Some(buffer.iter().map(|x| x.to_f64()).collect()),
        Data::F32(buffer) => Some(buffer.iter().map(|&x| x.into()).collect()),
        Data::F64(buffer) => Some(buffer.to_vec()),
        _ => None,
    }
}
