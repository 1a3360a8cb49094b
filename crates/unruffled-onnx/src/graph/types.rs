//! Inputs and outputs as the file declares them, in our words.

use rten_onnx::onnx::{DataType, Dimension, TypeProto, ValueInfoProto};
use unruffled_model::{DType, Dim, TensorSpec};

/// An input or output as its file declares it.
pub(crate) enum Declared {
    /// A tensor of a type that we know.
    Tensor(TensorSpec),
    /// Something else, in words.
    Other(String),
}

/// Reads a declaration.
pub(crate) fn declared(value: &ValueInfoProto) -> Declared {
    let name = value.name.as_deref().unwrap_or_default();
    let Some(TypeProto { tensor_type: Some(tensor), .. }) = &value.r#type else {
        return Declared::Other("no plain tensor".into());
    };
    let Some(dtype) = tensor.elem_type.and_then(dtype) else {
        let unknown = tensor.elem_type.map_or("no type".into(), |dtype| dtype.to_string());
        return Declared::Other(format!("a tensor of {unknown}"));
    };
    let dims = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(dim).collect());
    Declared::Tensor(TensorSpec { name: name.into(), dtype, dims, default: None })
}

fn dim(dimension: &Dimension) -> Dim {
    let size = dimension.dim_value.and_then(|size| usize::try_from(size).ok());
    match (size, dimension.dim_param.as_deref()) {
        (Some(size), _) => Dim::Fixed(size),
        (None, Some(symbol)) if !symbol.is_empty() => Dim::Symbolic(symbol.into()),
        _ => Dim::Any,
    }
}

/// The element type of this number, if we know it.
pub(super) fn dtype(dtype: DataType) -> Option<DType> {
    Some(match dtype {
        DataType::BOOL => DType::Bool,
        DataType::UINT8 => DType::U8,
        DataType::UINT16 => DType::U16,
        DataType::UINT32 => DType::U32,
        DataType::UINT64 => DType::U64,
        DataType::INT8 => DType::I8,
        DataType::INT16 => DType::I16,
        DataType::INT32 => DType::I32,
        DataType::INT64 => DType::I64,
        DataType::FLOAT16 => DType::F16,
        DataType::BFLOAT16 => DType::BF16,
        DataType::FLOAT => DType::F32,
        DataType::DOUBLE => DType::F64,
        DataType::STRING => DType::Bytes,
        _ => return None,
    })
}
