//! What one tensor can be made of, and read as.

use bytes::Bytes;
use ndarray::{Array, Dimension};

use crate::dtype::Element;
use crate::error::ModelError;
use crate::signature::TensorSpec;
use crate::tensor::Tensor;

/// What can be given for one input: a [`Tensor`], an [`ndarray::Array`], a list of elements, one element, text.
///
/// Lists, elements and text take the shape that the model asks for; see [`TensorSpec::shape_of`].
pub trait IntoTensor {
    /// The tensor for an input of this description.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the number of elements does not fill the input.
    fn into_tensor(self, spec: &TensorSpec) -> Result<Tensor, ModelError>;
}

/// What one output can be read as: a [`Tensor`], an [`ndarray::Array`] of its rank, a `Vec` of all elements, one element,
/// text. Elements are copied, except into a `Tensor`.
pub trait FromTensor: Sized {
    /// Reads the tensor.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that says what it is, and as what it cannot be read.
    fn from_tensor(tensor: Tensor) -> Result<Self, ModelError>;
}

impl IntoTensor for Tensor {
    fn into_tensor(self, _: &TensorSpec) -> Result<Tensor, ModelError> {
        Ok(self)
    }
}

impl FromTensor for Tensor {
    fn from_tensor(tensor: Tensor) -> Result<Self, ModelError> {
        Ok(tensor)
    }
}

impl<T: Element> IntoTensor for Vec<T> {
    fn into_tensor(self, spec: &TensorSpec) -> Result<Tensor, ModelError> {
        Tensor::new(&spec.shape_of(self.len())?, self)
    }
}

impl<T: Element> IntoTensor for &[T] {
    fn into_tensor(self, spec: &TensorSpec) -> Result<Tensor, ModelError> {
        self.to_vec().into_tensor(spec)
    }
}

impl<T: Element, const N: usize> IntoTensor for [T; N] {
    fn into_tensor(self, spec: &TensorSpec) -> Result<Tensor, ModelError> {
        Vec::from(self).into_tensor(spec)
    }
}

impl<T: Element> FromTensor for Vec<T> {
    fn from_tensor(tensor: Tensor) -> Result<Self, ModelError> {
        tensor.elements().map(<[T]>::to_vec)
    }
}

impl<T: Element, D: Dimension> IntoTensor for Array<T, D> {
    fn into_tensor(self, _: &TensorSpec) -> Result<Tensor, ModelError> {
        Ok(self.into_dyn().into())
    }
}

impl<T: Element, D: Dimension> FromTensor for Array<T, D> {
    fn from_tensor(tensor: Tensor) -> Result<Self, ModelError> {
        let view = tensor.view()?;
        let array = view.to_owned().into_dimensionality();
        array.map_err(|_| {
            let (shape, rank) = (tensor.shape(), D::NDIM.unwrap_or_default());
            ModelError::invalid_input(format!("has the shape {shape:?}, not {rank} dimensions"))
        })
    }
}

/// The only element of a tensor.
fn only<T: Element>(tensor: &Tensor) -> Result<&T, ModelError> {
    match tensor.elements()? {
        [one] => Ok(one),
        _ => Err(ModelError::invalid_input(format!("has the shape {:?}, not one element", tensor.shape()))),
    }
}

macro_rules! numbers {
    ($($type:ty),* $(,)?) => {$(
        impl IntoTensor for $type {
            fn into_tensor(self, spec: &TensorSpec) -> Result<Tensor, ModelError> {
                vec![self].into_tensor(spec)
            }
        }

        impl FromTensor for $type {
            fn from_tensor(tensor: Tensor) -> Result<Self, ModelError> {
                only(&tensor).copied()
            }
        }
    )*};
}

numbers!(bool, u8, u16, u32, u64, i8, i16, i32, i64, f32, f64);

impl IntoTensor for &str {
    fn into_tensor(self, spec: &TensorSpec) -> Result<Tensor, ModelError> {
        self.to_owned().into_tensor(spec)
    }
}

impl IntoTensor for String {
    fn into_tensor(self, spec: &TensorSpec) -> Result<Tensor, ModelError> {
        vec![Bytes::from(self)].into_tensor(spec)
    }
}

impl IntoTensor for Vec<String> {
    fn into_tensor(self, spec: &TensorSpec) -> Result<Tensor, ModelError> {
        self.into_iter().map(Bytes::from).collect::<Vec<_>>().into_tensor(spec)
    }
}

impl FromTensor for String {
    fn from_tensor(tensor: Tensor) -> Result<Self, ModelError> {
        text(only(&tensor)?)
    }
}

impl FromTensor for Vec<String> {
    fn from_tensor(tensor: Tensor) -> Result<Self, ModelError> {
        tensor.elements()?.iter().map(text).collect()
    }
}

fn text(bytes: &Bytes) -> Result<String, ModelError> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|error| ModelError::invalid_input(format!("is not text: {error}")))?;
    Ok(text.to_owned())
}
