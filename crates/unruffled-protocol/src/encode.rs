//! Writes tensors as JSON: always flat, in row-major order.

use std::io::Write as _;

use half::{bf16, f16};
use serde::Serialize;
use unruffled_model::{Bytes, DType, Tensor, for_each_dtype};

use crate::datatype;
use crate::error::{ProtocolError, ProtocolErrorKind};

/// Room for the members of a tensor besides its name and data.
const HEAD_BYTES: usize = 128;

/// Appends a value of which `serde_json` knows the text.
pub(crate) fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a Vec takes everything, and the values are plain");
}

/// A body that is one such value.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

/// Appends a number; what is not finite becomes `NaN`, `Infinity` or `-Infinity`.
pub(crate) fn write_f64(out: &mut Vec<u8>, value: f64) {
    value.append(out).expect("numbers can be written");
}

/// Appends `{"name", "datatype", "shape", "data"}`.
///
/// # Errors
///
/// `Unrepresentable` if an element is not UTF-8.
pub(crate) fn write_tensor(out: &mut Vec<u8>, name: &str, tensor: &Tensor) -> Result<(), ProtocolError> {
    out.reserve(HEAD_BYTES + name.len() + data_capacity(tensor));
    out.push(b'{');
    write_description(out, name, tensor);
    out.extend_from_slice(br#","data":["#);
    for_each_dtype!(tensor.data(), elements => write_elements(out, elements))?;
    out.extend_from_slice(b"]}");
    Ok(())
}

/// Appends `"name", "datatype", "shape"`.
pub(crate) fn write_description(out: &mut Vec<u8>, name: &str, tensor: &Tensor) {
    out.extend_from_slice(br#""name":"#);
    write(out, name);
    write!(out, r#","datatype":"{}","shape":"#, datatype::name(tensor.dtype()))
        .expect("a Vec takes everything");
    write(out, tensor.shape());
}

/// Appends the elements of a tensor as nested arrays; a single one without any.
///
/// # Errors
///
/// `Unrepresentable` if an element is not UTF-8.
pub(crate) fn write_nested(out: &mut Vec<u8>, shape: &[usize], tensor: &Tensor) -> Result<(), ProtocolError> {
    out.reserve(data_capacity(tensor));
    match tensor.len() {
        1 => for_each_dtype!(tensor.data(), elements => write_elements(out, elements)),
        _ => for_each_dtype!(tensor.data(), elements => write_rows(out, shape, elements)),
    }
}

fn write_rows<T: Append>(out: &mut Vec<u8>, shape: &[usize], elements: &[T]) -> Result<(), ProtocolError> {
    out.push(b'[');
    match shape {
        [rows, inner @ ..] if !inner.is_empty() => {
            let size = elements.len().checked_div(*rows).unwrap_or(0);
            for row in 0..*rows {
                if row > 0 {
                    out.push(b',');
                }
                write_rows(out, inner, &elements[row * size..(row + 1) * size])?;
            }
        }
        _ => write_elements(out, elements)?,
    }
    out.push(b']');
    Ok(())
}

/// A guess at the bytes that the elements take, seldom too small.
fn data_capacity(tensor: &Tensor) -> usize {
    let width = match tensor.dtype() {
        DType::U8 | DType::I8 => 5,
        DType::Bool | DType::U16 | DType::I16 => 7,
        DType::F16 | DType::BF16 | DType::U32 | DType::I32 => 10,
        DType::F32 => 13,
        DType::U64 | DType::I64 => 16,
        DType::F64 => 21,
        DType::Bytes => 3,
    };
    let texts = tensor.elements::<Bytes>().map_or(0, |texts| texts.iter().map(Bytes::len).sum());
    width * tensor.len() + texts
}

fn write_elements<T: Append>(out: &mut Vec<u8>, elements: &[T]) -> Result<(), ProtocolError> {
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        element.append(out).map_err(|NotText| {
            let message = format!("element {index} is not UTF-8 text, which is all that JSON can carry");
            ProtocolError::new(ProtocolErrorKind::Unrepresentable, message)
        })?;
    }
    Ok(())
}

#[derive(Debug)]
struct NotText;

/// An element that can be appended as JSON.
trait Append {
    fn append(&self, out: &mut Vec<u8>) -> Result<(), NotText>;
}

macro_rules! append_as_is {
    ($($type:ty),*) => {$(
        impl Append for $type {
            fn append(&self, out: &mut Vec<u8>) -> Result<(), NotText> {
                write(out, self);
                Ok(())
            }
        }
    )*};
}

macro_rules! append_float {
    ($($type:ty as $wide:ty),*) => {$(
        impl Append for $type {
            fn append(&self, out: &mut Vec<u8>) -> Result<(), NotText> {
                let value = <$wide>::from(*self);
                if value.is_finite() {
                    write(out, &value);
                } else if value.is_nan() {
                    out.extend_from_slice(b"NaN");
                } else {
                    out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
                }
                Ok(())
            }
        }
    )*};
}

append_as_is!(bool, u8, u16, u32, u64, i8, i16, i32, i64);
// Each in the narrowest type that holds it exactly: the shortest text depends on it.
append_float!(f16 as f32, bf16 as f32, f32 as f32, f64 as f64);

impl Append for Bytes {
    fn append(&self, out: &mut Vec<u8>) -> Result<(), NotText> {
        write(out, std::str::from_utf8(self).map_err(|_| NotText)?);
        Ok(())
    }
}
