//! Tensors joined and cut along any of their dimensions.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::dtype::{DType, Element};
use crate::error::ModelError;
use crate::for_each_dtype;
use crate::tensor::Tensor;

impl Tensor {
    /// A tensor of `shape` whose elements are all 0, `false` or empty.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the product of `shape` overflows.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Result<Self, ModelError> {
        match dtype {
            DType::Bytes => Self::filled(shape, bytes::Bytes::new()),
            number => Self::from_number(number, 0.0)?.repeated(shape),
        }
    }

    /// Joins tensors along dimension `axis`; see [`concat`](Self::concat).
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is none, if one of them has no such dimension, or if they differ in element type or in any
    /// other dimension.
    pub fn concat_along<'a>(
        axis: usize,
        parts: impl Iterator<Item = &'a Tensor> + Clone,
    ) -> Result<Self, ModelError> {
        if axis == 0 {
            return Self::concat(parts);
        }
        let first = parts.clone().next();
        let first = first.ok_or_else(|| ModelError::invalid_input("no tensors to join"))?;
        let others = |shape: &[usize]| Some([shape.get(..axis)?, shape.get(axis + 1..)?].concat());
        for part in parts.clone() {
            let fits = part.dtype() == first.dtype() && others(part.shape()) == others(first.shape());
            if !fits || others(part.shape()).is_none() {
                return Err(ModelError::invalid_input(format!(
                    "cannot join {} {:?} to {} {:?} along dimension {axis}",
                    part.dtype(),
                    part.shape(),
                    first.dtype(),
                    first.shape(),
                )));
            }
        }
        let mut shape = first.shape().to_vec();
        shape[axis] = parts.clone().map(|part| part.shape()[axis]).sum();

        fn join<'a, T: Element>(
            _: &Buffer<T>,
            shape: &[usize],
            axis: usize,
            parts: impl Iterator<Item = &'a Tensor>,
        ) -> Result<Tensor, ModelError> {
            let stride: usize = shape[axis + 1..].iter().product();
            let mut blocks = Vec::new();
            for part in parts {
                blocks.push((part.elements::<T>()?, part.shape()[axis] * stride));
            }
            let mut joined = Vec::with_capacity(blocks.iter().map(|(elements, _)| elements.len()).sum());
            for outer in 0..shape[..axis].iter().product() {
                for (elements, width) in &blocks {
                    joined.extend_from_slice(&elements[outer * width..(outer + 1) * width]);
                }
            }
            Tensor::new(shape, joined)
        }
        for_each_dtype!(first.data(), buffer => join(buffer, &shape, axis, parts))
    }

    /// A range along dimension `axis`: as [`rows`](Self::rows), but copied unless that is the first.
    ///
    /// # Panics
    ///
    /// If there is no such dimension, or `range` lies outside it.
    pub fn part(&self, axis: usize, range: Range<usize>) -> Self {
        if axis == 0 {
            return self.rows(range);
        }
        let shape = self.shape();
        assert!(
            range.start <= range.end && range.end <= shape[axis],
            "part {range:?} of {shape:?} at {axis}"
        );
        let mut own = shape.to_vec();
        own[axis] = range.len();

        fn cut<T: Element>(
            elements: &Buffer<T>,
            shape: &[usize],
            own: &[usize],
            axis: usize,
            start: usize,
        ) -> Tensor {
            let stride: usize = shape[axis + 1..].iter().product();
            let (width, length) = (shape[axis] * stride, own[axis] * stride);
            let begins =
                (0..shape[..axis].iter().product()).map(|outer: usize| outer * width + start * stride);
            let cut: Vec<T> =
                begins.flat_map(|begin| elements[begin..begin + length].iter().cloned()).collect();
            Tensor::new(own, cut).expect("a part has no more elements than the whole")
        }
        for_each_dtype!(self.data(), buffer => cut(buffer, shape, &own, axis, range.start))
    }

    /// The same tensor in memory of its own if it is a part of something larger, which it would keep alive.
    #[must_use]
    pub fn compacted(self) -> Self {
        fn compact<T: Element>(buffer: &Buffer<T>, shape: &[usize]) -> Option<Tensor> {
            let own = || Tensor::new(shape, buffer.to_vec()).expect("it has the elements that it had");
            (!buffer.is_whole()).then(own)
        }
        for_each_dtype!(self.data(), buffer => compact(buffer, self.shape())).unwrap_or(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Tensor;
    use crate::dtype::DType;

    fn numbers(shape: &[usize], first: i32) -> Tensor {
        let count: usize = shape.iter().product();
        Tensor::new(shape, (first..first + count as i32).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_is_joined_along_a_dimension_comes_apart_again() {
        for axis in 0..3 {
            let shape = |size| {
                let mut shape = [2, 3, 2];
                shape[axis] = size;
                shape
            };
            let parts = [numbers(&shape(1), 0), numbers(&shape(3), 100), numbers(&shape(0), 0)];
            let whole = Tensor::concat_along(axis, parts.iter()).unwrap();
            assert_eq!(whole.shape(), shape(4));
            assert_eq!([whole.part(axis, 0..1), whole.part(axis, 1..4), whole.part(axis, 4..4)], parts);
        }
    }

    #[test]
    fn joined_in_the_middle() {
        let parts = [numbers(&[2, 1, 2], 0), numbers(&[2, 2, 2], 10)];
        let whole = Tensor::concat_along(1, parts.iter()).unwrap();
        assert_eq!(whole.elements::<i32>().unwrap(), [0, 1, 10, 11, 12, 13, 2, 3, 14, 15, 16, 17]);
    }

    #[test]
    fn what_does_not_fit_is_not_joined() {
        let refused = |parts: [Tensor; 2]| Tensor::concat_along(1, parts.iter()).unwrap_err().to_string();
        assert_eq!(
            refused([numbers(&[2, 1], 0), numbers(&[3, 1], 0)]),
            "cannot join i32 [3, 1] to i32 [2, 1] along dimension 1"
        );
        assert_eq!(
            refused([Tensor::scalar(1_i32), Tensor::scalar(2_i32)]),
            "cannot join i32 [] to i32 [] along dimension 1"
        );
        assert!(Tensor::concat_along(1, [].iter()).is_err());
    }

    #[test]
    fn a_compacted_part_lets_go_of_the_whole() {
        let owner = std::sync::Arc::new(vec![1_u8, 2, 3, 4]);
        struct Shared(std::sync::Arc<Vec<u8>>);
        impl AsRef<[u8]> for Shared {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let buffer = crate::Buffer::from_owner(Shared(std::sync::Arc::clone(&owner)));
        let whole = Tensor::new(&[4], buffer).unwrap();
        let part = whole.rows(1..3);
        assert_eq!(std::sync::Arc::strong_count(&owner), 2);
        drop(whole.compacted());
        assert_eq!(std::sync::Arc::strong_count(&owner), 2, "the part keeps the whole");
        let part = part.compacted();
        assert_eq!((std::sync::Arc::strong_count(&owner), part.elements::<u8>().unwrap()), (1, &[2, 3][..]));
    }

    #[test]
    fn zeros_are_of_any_type() {
        for &dtype in &DType::ALL {
            let zeros = Tensor::zeros(dtype, &[2, 1]).unwrap();
            assert_eq!((zeros.dtype(), zeros.shape()), (dtype, &[2, 1][..]));
        }
    }
}
