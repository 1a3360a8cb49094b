//! [`Summary`]: a tensor in a line or two, however large it is.

use std::fmt;

use unruffled_model::{DType, Tensor};

use super::numbers::{floats, short, texts};

/// Tensors of so many elements are shown in full.
const FULL: usize = 16;

/// Of larger ones, so many elements are shown.
const FIRST: usize = 6;

/// A tensor for people: in full if it is short, else its range, its mean and its first elements.
#[derive(Clone, Debug)]
pub struct Summary<'a>(&'a Tensor);

impl<'a> Summary<'a> {
    /// The summary of a tensor.
    pub fn of(tensor: &'a Tensor) -> Self {
        Self(tensor)
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tensor = self.0;
        if tensor.shape().is_empty() {
            return f.write_str(&texts(tensor, 1).concat());
        }
        if tensor.len() <= FULL {
            return write!(f, "[{}]", texts(tensor, FULL).join(", "));
        }
        if tensor.dtype() != DType::Bytes
            && let Some(values) = floats(tensor)
        {
            let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
            if !finite.is_empty() {
                let min = finite.iter().copied().fold(f64::INFINITY, f64::min);
                let max = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let mean = finite.iter().sum::<f64>() / finite.len() as f64;
                write!(f, "min {}, max {}, mean {}, ", short(min), short(max), short(mean))?;
            }
            if finite.len() < values.len() {
                write!(f, "{} not finite, ", values.len() - finite.len())?;
            }
        }
        write!(f, "begins [{}, ...]", texts(tensor, FIRST).join(", "))
    }
}
