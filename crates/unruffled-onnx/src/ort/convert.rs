//! Tensors to ONNX Runtime and back, without copying elements.

use std::fmt::Debug;

use half::{bf16, f16};
use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, TensorRef};
use unruffled_model::{Buffer, Bytes, DType, Data, Element, ModelError, Tensor};

/// An input, whose elements are lent; strings are copied.
///
/// # Errors
///
/// `InvalidInput` if a string is none that ONNX Runtime can hold.
pub(super) fn to_ort(tensor: &Tensor) -> Result<SessionInputValue<'_>, ModelError> {
    let shape = tensor.shape();
    match tensor.data() {
        Data::Bool(elements) => lent(shape, elements),
        Data::U8(elements) => lent(shape, elements),
        Data::U16(elements) => lent(shape, elements),
        Data::U32(elements) => lent(shape, elements),
        Data::U64(elements) => lent(shape, elements),
        Data::I8(elements) => lent(shape, elements),
        Data::I16(elements) => lent(shape, elements),
        Data::I32(elements) => lent(shape, elements),
        Data::I64(elements) => lent(shape, elements),
        Data::F16(elements) => lent(shape, elements),
        Data::BF16(elements) => lent(shape, elements),
        Data::F32(elements) => lent(shape, elements),
        Data::F64(elements) => lent(shape, elements),
        Data::Bytes(strings) => {
            let strings = strings.iter().enumerate().map(|(i, string)| text(string, i));
            let strings = strings.collect::<Result<Vec<String>, _>>()?;
            let value =
                ort::value::Tensor::from_string_array((shape, strings.as_slice())).map_err(refused)?;
            Ok(value.into())
        }
    }
}

fn lent<'a, T>(shape: &[usize], elements: &'a [T]) -> Result<SessionInputValue<'a>, ModelError>
where
    T: PrimitiveTensorElementType + Clone + Debug + 'static,
{
    Ok(TensorRef::from_array_view((shape.to_vec(), elements)).map_err(refused)?.into())
}

/// The `i`th string, if ONNX Runtime can hold it: it takes text, up to the first NUL.
fn text(string: &Bytes, i: usize) -> Result<String, ModelError> {
    let refuse =
        |why| ModelError::invalid_input(format!("string {i} {why}, and ONNX Runtime takes text only"));
    match std::str::from_utf8(string) {
        Err(_) => Err(refuse("is not UTF-8")),
        Ok(text) if text.contains('\0') => Err(refuse("has a NUL character in it")),
        Ok(text) => Ok(text.into()),
    }
}

fn refused(error: ort::Error) -> ModelError {
    ModelError::failed(format!("ONNX Runtime does not take it: {error}")).caused_by(error)
}

/// An output, taken over with its memory; strings are copied.
///
/// # Errors
///
/// `Failed` if it is no tensor of a type that we know, or lies on a device.
pub(super) fn from_ort(value: DynValue) -> Result<Tensor, ModelError> {
    let Some(ty) = value.dtype().tensor_type() else {
        return Err(ModelError::failed(format!("ONNX Runtime gave {} instead of a tensor", value.dtype())));
    };
    match dtype(ty) {
        Some(DType::Bool) => taken::<bool>(value),
        Some(DType::U8) => taken::<u8>(value),
        Some(DType::U16) => taken::<u16>(value),
        Some(DType::U32) => taken::<u32>(value),
        Some(DType::U64) => taken::<u64>(value),
        Some(DType::I8) => taken::<i8>(value),
        Some(DType::I16) => taken::<i16>(value),
        Some(DType::I32) => taken::<i32>(value),
        Some(DType::I64) => taken::<i64>(value),
        Some(DType::F16) => taken::<f16>(value),
        Some(DType::BF16) => taken::<bf16>(value),
        Some(DType::F32) => taken::<f32>(value),
        Some(DType::F64) => taken::<f64>(value),
        Some(DType::Bytes) => {
            let (shape, strings) = value.try_extract_strings().map_err(lost)?;
            let strings: Vec<Bytes> = strings.into_iter().map(Bytes::from).collect();
            Tensor::new(&sizes(shape)?, strings)
        }
        None => Err(ModelError::failed(format!("ONNX Runtime gave a tensor of {ty}"))),
    }
}

/// Outputs of fewer bytes are copied: their owner would take more than they do, and longer to ask.
const TAKEN_BYTES_MIN: usize = 4 << 10;

fn taken<T: Element + PrimitiveTensorElementType>(value: DynValue) -> Result<Tensor, ModelError> {
    let (shape, elements) = value.try_extract_tensor::<T>().map_err(lost)?;
    let shape = sizes(shape)?;
    if size_of_val(elements) < TAKEN_BYTES_MIN {
        return Tensor::new(&shape, elements.to_vec());
    }
    Tensor::new(&shape, Buffer::from_owner(Taken(value, std::marker::PhantomData::<T>)))
}

/// An output that lends its elements for as long as somebody has a use for them.
struct Taken<T>(DynValue, std::marker::PhantomData<T>);

impl<T: PrimitiveTensorElementType> AsRef<[T]> for Taken<T> {
    fn as_ref(&self) -> &[T] {
        self.0.try_extract_tensor().expect("the value was looked into when it was taken over").1
    }
}

fn sizes(shape: &[i64]) -> Result<Vec<usize>, ModelError> {
    let size = |&dim| {
        usize::try_from(dim).map_err(|_| ModelError::failed(format!("ONNX Runtime gave shape {shape:?}")))
    };
    shape.iter().map(size).collect()
}

/// An output that cannot be looked into.
pub(super) fn lost(error: ort::Error) -> ModelError {
    ModelError::failed(format!("what ONNX Runtime gave cannot be read: {error}")).caused_by(error)
}

/// The element type in our words, if we know it.
pub(super) fn dtype(ty: TensorElementType) -> Option<DType> {
    Some(match ty {
        TensorElementType::Bool => DType::Bool,
        TensorElementType::Uint8 => DType::U8,
        TensorElementType::Uint16 => DType::U16,
        TensorElementType::Uint32 => DType::U32,
        TensorElementType::Uint64 => DType::U64,
        TensorElementType::Int8 => DType::I8,
        TensorElementType::Int16 => DType::I16,
        TensorElementType::Int32 => DType::I32,
        TensorElementType::Int64 => DType::I64,
        TensorElementType::Float16 => DType::F16,
        TensorElementType::Bfloat16 => DType::BF16,
        TensorElementType::Float32 => DType::F32,
        TensorElementType::Float64 => DType::F64,
        TensorElementType::String => DType::Bytes,
        _ => return None,
    })
}
