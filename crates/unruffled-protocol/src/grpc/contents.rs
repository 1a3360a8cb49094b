//! Elements to and from their messages: raw, or typed in the field of their datatype.

use bytes::Bytes;
use unruffled_model::{DType, Element, Tensor};

use super::generated::InferTensorContents;
use crate::brief::Brief;
use crate::datatype;
use crate::decode::Integer;
use crate::error::{ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;
use crate::raw;

/// Where the elements of a tensor are.
pub(super) enum Elements {
    Raw(Bytes),
    Typed(Option<InferTensorContents>),
}

/// The tensor of this description.
pub(super) fn tensor(
    datatype: &str,
    shape: &[i64],
    elements: Elements,
    limits: &Limits,
) -> Result<Tensor, ProtocolError> {
    if datatype.is_empty() {
        return Err(ProtocolError::new(ProtocolErrorKind::Malformed, "`datatype` is missing"));
    }
    let (dtype, shape) = (datatype::parse(datatype)?, sizes(shape, limits)?);
    match elements {
        Elements::Raw(bytes) => raw::read(dtype, &shape, &bytes),
        Elements::Typed(contents) => typed(dtype, &shape, contents.unwrap_or_default()),
    }
}

/// A shape as messages carry it.
pub(super) fn dimensions(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|size| i64::try_from(*size).unwrap_or(i64::MAX)).collect()
}

/// The name of a tensor.
pub(super) fn name(name: &str, limits: &Limits) -> Result<(), ProtocolError> {
    let (given, most) = (name.len(), limits.name_bytes);
    if name.is_empty() {
        return Err(ProtocolError::new(ProtocolErrorKind::Malformed, "`name` is missing"));
    }
    if given > most {
        let message = format!("`name` has {given} bytes; at most {most} are allowed");
        return Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
    }
    Ok(())
}

/// Whether no field has an element.
pub(super) fn are_empty(contents: Option<&InferTensorContents>) -> bool {
    contents.is_none_or(|contents| fields(contents).iter().all(|(_, count)| *count == 0))
}

fn invalid(message: impl Into<String>) -> ProtocolError {
    ProtocolError::new(ProtocolErrorKind::InvalidTensor, message)
}

fn sizes(shape: &[i64], limits: &Limits) -> Result<Vec<usize>, ProtocolError> {
    let (rank, most) = (shape.len(), limits.rank);
    if rank > most {
        let message = format!("`shape` has {rank} dimensions; at most {most} are allowed");
        return Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
    }
    let size = |size: &i64| {
        usize::try_from(*size)
            .map_err(|_| invalid(format!("`shape` has the dimension {size}; a dimension is not negative")))
    };
    shape.iter().map(size).collect()
}

/// The fields of typed elements, and how many each has.
fn fields(contents: &InferTensorContents) -> [(&'static str, usize); 8] {
    [
        ("bool_contents", contents.bool_contents.len()),
        ("int_contents", contents.int_contents.len()),
        ("int64_contents", contents.int64_contents.len()),
        ("uint_contents", contents.uint_contents.len()),
        ("uint64_contents", contents.uint64_contents.len()),
        ("fp32_contents", contents.fp32_contents.len()),
        ("fp64_contents", contents.fp64_contents.len()),
        ("bytes_contents", contents.bytes_contents.len()),
    ]
}

/// The field that has the elements of this type, if there is one.
fn field_of(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::Bool => "bool_contents",
        DType::I8 | DType::I16 | DType::I32 => "int_contents",
        DType::I64 => "int64_contents",
        DType::U8 | DType::U16 | DType::U32 => "uint_contents",
        DType::U64 => "uint64_contents",
        DType::F32 => "fp32_contents",
        DType::F64 => "fp64_contents",
        DType::Bytes => "bytes_contents",
        DType::F16 | DType::BF16 => return None,
    })
}

fn typed(dtype: DType, shape: &[usize], contents: InferTensorContents) -> Result<Tensor, ProtocolError> {
    let (datatype, own) = (datatype::name(dtype), field_of(dtype));
    let stray = fields(&contents).into_iter().find(|(field, count)| *count > 0 && Some(*field) != own);
    if let Some((field, count)) = stray {
        let remedy = match own {
            Some(own) => format!("{datatype} is sent in `{own}`, or raw"),
            None => format!("{datatype} is sent raw, in `raw_input_contents`"),
        };
        return Err(invalid(format!("has {count} elements in `{field}`; {remedy}")));
    }
    match dtype {
        DType::Bool => tensor_of(shape, contents.bool_contents),
        DType::U8 => tensor_of(shape, narrow::<_, u8>(&contents.uint_contents)?),
        DType::U16 => tensor_of(shape, narrow::<_, u16>(&contents.uint_contents)?),
        DType::U32 => tensor_of(shape, contents.uint_contents),
        DType::U64 => tensor_of(shape, contents.uint64_contents),
        DType::I8 => tensor_of(shape, narrow::<_, i8>(&contents.int_contents)?),
        DType::I16 => tensor_of(shape, narrow::<_, i16>(&contents.int_contents)?),
        DType::I32 => tensor_of(shape, contents.int_contents),
        DType::I64 => tensor_of(shape, contents.int64_contents),
        DType::F32 => tensor_of(shape, contents.fp32_contents),
        DType::F64 => tensor_of(shape, contents.fp64_contents),
        DType::Bytes => tensor_of(shape, contents.bytes_contents),
        // No field has them: what is not raw is empty.
        DType::F16 => tensor_of(shape, Vec::<half::f16>::new()),
        DType::BF16 => tensor_of(shape, Vec::<half::bf16>::new()),
    }
}

fn tensor_of<T: Element>(shape: &[usize], elements: Vec<T>) -> Result<Tensor, ProtocolError> {
    Tensor::new(shape, elements).map_err(|error| invalid(error.to_string()))
}

fn narrow<W, T>(elements: &[W]) -> Result<Vec<T>, ProtocolError>
where
    W: Copy + std::fmt::Display,
    T: TryFrom<W> + Integer,
{
    let read = |(index, element): (usize, &W)| {
        T::try_from(*element).map_err(|_| {
            let element = element.to_string();
            invalid(format!("element {index} is `{}`; {}", Brief(&element), T::HOLDS))
        })
    };
    elements.iter().enumerate().map(read).collect()
}
