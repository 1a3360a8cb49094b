//! [`Tensor`]: a typed, shaped, immutable array that is cheap to clone and to slice by rows.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use smallvec::SmallVec;

use crate::buffer::Buffer;
use crate::dtype::{DType, Data, Element};
use crate::error::ModelError;
use crate::for_each_dtype;

type Shape = SmallVec<[usize; 4]>;

/// A typed, shaped, immutable array in row-major order.
///
/// Cloning, reshaping and taking rows share the memory; nothing is copied.
///
/// ```
/// use unruffled_model::Tensor;
///
/// let x = Tensor::new(&[2, 3], vec![1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(x.rows(1..2).elements::<f32>()?, [4.0, 5.0, 6.0]);
/// assert_eq!(x.view::<f32>()?[[1, 2]], 6.0);
/// # Ok::<(), unruffled_model::ModelError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Tensor {
    shape: Shape,
    data: Data,
}

impl Tensor {
    /// A tensor of `shape` over `elements`, which it takes over without a copy when given a `Vec` or a [`Buffer`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the product of `shape` overflows or is not the number of elements.
    pub fn new<T: Element>(shape: &[usize], elements: impl Into<Buffer<T>>) -> Result<Self, ModelError> {
        let elements = elements.into();
        if element_count(shape)? == elements.len() {
            Ok(Self { shape: shape.into(), data: T::wrap(elements) })
        } else {
            let count = elements.len();
            Err(ModelError::invalid_input(format!("shape {shape:?} does not hold {count} elements")))
        }
    }

    /// A tensor without dimensions that holds one element.
    pub fn scalar<T: Element>(element: T) -> Self {
        Self { shape: Shape::new(), data: T::wrap(Buffer::new(vec![element])) }
    }

    /// A scalar of an element type that is known at run time only.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the type cannot hold `number`: a fraction or a number out of range for an integer, anything
    /// but 0 and 1 for a truth value, anything at all for byte strings.
    pub fn from_number(dtype: DType, number: f64) -> Result<Self, ModelError> {
        macro_rules! integer {
            ($type:ty) => {{
                let cast = number as $type;
                // The cast saturates: what does not come back as it was did not fit.
                (cast as f64 == number).then(|| Self::scalar(cast))
            }};
        }
        let scalar = match dtype {
            DType::Bool => (number == 0.0 || number == 1.0).then(|| Self::scalar(number == 1.0)),
            DType::U8 => integer!(u8),
            DType::U16 => integer!(u16),
            DType::U32 => integer!(u32),
            DType::U64 => integer!(u64),
            DType::I8 => integer!(i8),
            DType::I16 => integer!(i16),
            DType::I32 => integer!(i32),
            DType::I64 => integer!(i64),
            DType::F16 => Some(Self::scalar(f16::from_f64(number))),
            DType::BF16 => Some(Self::scalar(bf16::from_f64(number))),
            DType::F32 => Some(Self::scalar(number as f32)),
            DType::F64 => Some(Self::scalar(number)),
            DType::Bytes => None,
        };
        scalar.ok_or_else(|| ModelError::invalid_input(format!("{number} is not a value of type {dtype}")))
    }

    /// A tensor of `shape` whose elements are all `element`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the product of `shape` overflows.
    pub fn filled<T: Element>(shape: &[usize], element: T) -> Result<Self, ModelError> {
        let count = element_count(shape)?;
        Ok(Self { shape: shape.into(), data: T::wrap(Buffer::new(vec![element; count])) })
    }

    /// A tensor of `shape` whose elements are all this one's first.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the product of `shape` overflows, or this tensor is empty.
    pub fn repeated(&self, shape: &[usize]) -> Result<Self, ModelError> {
        fn repeat<T: Element>(buffer: &Buffer<T>, shape: &[usize]) -> Result<Tensor, ModelError> {
            let first =
                buffer.first().ok_or_else(|| ModelError::invalid_input("there is no element to repeat"))?;
            Tensor::filled(shape, first.clone())
        }
        for_each_dtype!(&self.data, buffer => repeat(buffer, shape))
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        fn dtype<T: Element>(_: &Buffer<T>) -> DType {
            T::DTYPE
        }
        for_each_dtype!(&self.data, buffer => dtype(buffer))
    }

    /// The size of each dimension; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many elements there are: the product of the shape.
    pub fn len(&self) -> usize {
        for_each_dtype!(&self.data, buffer => buffer.len())
    }

    /// Whether some dimension is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that the elements take, contents of byte strings included.
    pub fn byte_len(&self) -> usize {
        match (&self.data, self.dtype().size()) {
            (_, Some(size)) => self.len() * size,
            (Data::Bytes(strings), None) => strings.iter().map(|s| size_of_val(s) + s.len()).sum(),
            (_, None) => unreachable!("only byte strings vary in size"),
        }
    }

    /// The elements, typed at run time.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the elements are of another type.
    pub fn elements<T: Element>(&self) -> Result<&[T], ModelError> {
        match T::unwrap_ref(&self.data) {
            Some(buffer) => Ok(buffer),
            None => Err(ModelError::invalid_input(format!("is {}, not {}", self.dtype(), T::DTYPE))),
        }
    }

    /// A borrowed `ndarray` view; nothing is copied.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the elements are of another type.
    pub fn view<T: Element>(&self) -> Result<ArrayViewD<'_, T>, ModelError> {
        let elements = self.elements()?;
        Ok(ArrayViewD::from_shape(IxDyn(&self.shape), elements).expect("the shape was checked when made"))
    }

    /// The same elements under another shape; nothing is copied.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `shape` does not hold as many elements.
    pub fn reshaped(&self, shape: &[usize]) -> Result<Self, ModelError> {
        if element_count(shape)? == self.len() {
            Ok(Self { shape: shape.into(), data: self.data.clone() })
        } else {
            let from = self.shape();
            Err(ModelError::invalid_input(format!("cannot reshape {from:?} to {shape:?}")))
        }
    }

    /// A range along the first dimension; nothing is copied, and the whole tensor's memory stays alive.
    ///
    /// # Panics
    ///
    /// If the tensor is a scalar or `range` lies outside the first dimension.
    pub fn rows(&self, range: Range<usize>) -> Self {
        let stride: usize = self.shape[1..].iter().product();
        let mut shape = self.shape.clone();
        shape[0] = range.len();
        assert!(range.end <= self.shape[0], "rows {range:?} of a tensor of {} rows", self.shape[0]);
        let elements = range.start * stride..range.end * stride;
        fn slice<T: Element>(buffer: &Buffer<T>, range: Range<usize>) -> Data {
            T::wrap(buffer.slice(range))
        }
        Self { shape, data: for_each_dtype!(&self.data, buffer => slice(buffer, elements)) }
    }

    /// A copy that shares no memory, and keeps none alive.
    pub fn detached(&self) -> Self {
        fn copy<T: Element>(buffer: &Buffer<T>) -> Data {
            T::wrap(Buffer::new(buffer.to_vec()))
        }
        let data = match &self.data {
            // The contents of byte strings may be parts of something larger, too.
            Data::Bytes(strings) => Data::Bytes(
                strings.iter().map(|string| Bytes::copy_from_slice(string)).collect::<Vec<_>>().into(),
            ),
            data => for_each_dtype!(data, buffer => copy(buffer)),
        };
        Self { shape: self.shape.clone(), data }
    }

    /// Joins tensors along their first dimension: the one copy that gathering a batch makes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is none, or if they differ in element type or in any dimension but the first.
    pub fn concat<'a>(parts: impl Iterator<Item = &'a Tensor> + Clone) -> Result<Self, ModelError> {
        let mut rest = parts.clone();
        let first = rest.next().ok_or_else(|| ModelError::invalid_input("no tensors to join"))?;
        if first.shape.is_empty() {
            return Err(ModelError::invalid_input("a scalar has no rows to join"));
        }
        for part in rest {
            if part.dtype() != first.dtype() || part.shape.get(1..) != first.shape.get(1..) {
                return Err(ModelError::invalid_input(format!(
                    "cannot join {} {:?} to {} {:?}",
                    part.dtype(),
                    part.shape(),
                    first.dtype(),
                    first.shape(),
                )));
            }
        }
        let mut shape = first.shape.clone();
        shape[0] = parts.clone().map(|part| part.shape[0]).sum();

        fn join<'a, T: Element>(_: &Buffer<T>, parts: impl Iterator<Item = &'a Tensor>, len: usize) -> Data {
            let mut joined = Vec::with_capacity(len);
            for part in parts {
                joined.extend_from_slice(T::unwrap_ref(&part.data).expect("the types were compared"));
            }
            T::wrap(Buffer::new(joined))
        }
        let len = parts.clone().map(Tensor::len).sum();
        Ok(Self { shape, data: for_each_dtype!(&first.data, buffer => join(buffer, parts, len)) })
    }
}

/// The product of a shape.
///
/// # Errors
///
/// `InvalidInput` if it overflows.
pub fn element_count(shape: &[usize]) -> Result<usize, ModelError> {
    // A zero anywhere makes the product 0, but the other dimensions must still be sane.
    shape
        .iter()
        .try_fold(1_usize, |count, &dim| count.checked_mul(dim.max(1)))
        .map(|count| if shape.contains(&0) { 0 } else { count })
        .ok_or_else(|| ModelError::invalid_input(format!("shape {shape:?} is too large")))
}

impl<T: Element> From<ArrayD<T>> for Tensor {
    fn from(array: ArrayD<T>) -> Self {
        let shape = Shape::from_slice(array.shape());
        let elements = if array.is_standard_layout() {
            // A standard layout may still begin after the start of its allocation.
            let (elements, offset) = array.into_raw_vec_and_offset();
            let offset = offset.unwrap_or(0);
            let count = element_count(&shape).expect("the array exists");
            Buffer::new(elements).slice(offset..offset + count)
        } else {
            Buffer::new(array.iter().cloned().collect())
        };
        Self { shape, data: T::wrap(elements) }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} ", self.dtype(), self.shape())?;
        for_each_dtype!(&self.data, buffer => buffer.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use half::f16;
    use ndarray::{Array, ArrayD, Axis};
    use proptest::prelude::*;

    use super::Tensor;
    use crate::dtype::DType;

    fn ramp(shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>();
        Tensor::new(shape, (0..count).map(|i| i as f32).collect::<Vec<_>>()).unwrap()
    }

    #[track_caller]
    fn check_refused(shape: &[usize], elements: Vec<u8>, message: &str) {
        assert_eq!(Tensor::new(shape, elements).unwrap_err().to_string(), message);
    }

    #[test]
    fn shape_must_hold_the_elements() {
        check_refused(&[2, 3], vec![0; 5], "shape [2, 3] does not hold 5 elements");
        check_refused(&[usize::MAX, 2], vec![], "shape [18446744073709551615, 2] is too large");
        check_refused(&[0, usize::MAX, 2], vec![], "shape [0, 18446744073709551615, 2] is too large");
        assert_eq!(Tensor::new::<u8>(&[0, 4], vec![]).unwrap().shape(), [0, 4]);
    }

    #[test]
    fn every_dtype_knows_itself() {
        let tensor = Tensor::scalar(f16::from_f32(1.5));
        assert_eq!((tensor.dtype(), tensor.byte_len(), tensor.shape()), (DType::F16, 2, &[][..]));
        let strings = Tensor::new(&[2], vec![Bytes::from_static(b"ab"), Bytes::new()]).unwrap();
        assert_eq!((strings.dtype(), strings.byte_len()), (DType::Bytes, 2 * size_of::<Bytes>() + 2));
        assert_eq!(strings.elements::<f32>().unwrap_err().to_string(), "is bytes, not f32");
    }

    #[test]
    fn rows_share_memory() {
        let whole = ramp(&[4, 3]);
        let part = whole.rows(1..3);
        assert_eq!(part.shape(), [2, 3]);
        let (whole, part) = (whole.elements::<f32>().unwrap(), part.elements::<f32>().unwrap());
        assert!(std::ptr::eq(&whole[3], &part[0]), "rows must not copy");
    }

    #[test]
    fn joining_refuses_what_does_not_fit() {
        let (a, b) = (ramp(&[1, 3]), ramp(&[1, 4]));
        let refused = Tensor::concat([&a, &b].into_iter()).unwrap_err();
        assert_eq!(refused.to_string(), "cannot join f32 [1, 4] to f32 [1, 3]");
        assert!(Tensor::concat(std::iter::empty()).is_err());
        let scalar = Tensor::scalar(1_i32);
        assert!(Tensor::concat([&scalar].into_iter()).is_err());
    }

    #[test]
    fn arrays_of_any_layout_become_tensors() {
        let array: ArrayD<f32> = Array::from_shape_fn((2, 3), |(i, j)| (10 * i + j) as f32).into_dyn();
        assert_eq!(Tensor::from(array.clone()).elements::<f32>().unwrap(), [0., 1., 2., 10., 11., 12.]);
        let turned = array.clone().reversed_axes();
        assert_eq!(Tensor::from(turned).elements::<f32>().unwrap(), [0., 10., 1., 11., 2., 12.]);
        let mut tail = array;
        tail.slice_axis_inplace(Axis(0), (1..).into());
        assert_eq!(Tensor::from(tail).elements::<f32>().unwrap(), [10., 11., 12.]);
    }

    proptest! {
        #[test]
        fn joined_rows_come_apart_again(rows in prop::collection::vec(0_usize..5, 1..6), width in 0_usize..4) {
            let parts: Vec<_> = rows.iter().map(|&rows| ramp(&[rows, width])).collect();
            let joined = Tensor::concat(parts.iter()).unwrap();
            let mut start = 0;
            for part in &parts {
                let end = start + part.shape()[0];
                prop_assert_eq!(&joined.rows(start..end), part);
                start = end;
            }
        }
    }
}
