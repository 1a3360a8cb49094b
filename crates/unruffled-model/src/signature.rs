//! [`Signature`]: what a model takes and gives, and the check of a request against it.

use std::fmt;

use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::ModelError;
use crate::tensor::Tensor;
use crate::tensors::{Name, Tensors};

/// One dimension of a model's input or output.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Always this size.
    Fixed(usize),
    /// Any size, but the same wherever the symbol occurs in one request.
    Symbolic(Name),
    /// Any size.
    Any,
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(size) => write!(f, "{size}"),
            Dim::Symbolic(symbol) => f.write_str(symbol),
            Dim::Any => f.write_str("?"),
        }
    }
}

/// One input or output of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorSpec {
    /// What the model calls it.
    pub name: Name,
    /// The element type.
    pub dtype: DType,
    /// The dimensions, outermost first; `None` if the model does not say even their number.
    pub dims: Option<Vec<Dim>>,
    /// What an input is filled with when the caller leaves it out; `None` makes it required.
    pub default: Option<Tensor>,
}

impl TensorSpec {
    /// A required input, or an output, of these dimensions.
    pub fn new(name: impl Into<Name>, dtype: DType, dims: impl Into<Vec<Dim>>) -> Self {
        Self {
            name: name.into(),
            dtype,
            dims: Some(dims.into()),
            default: None,
        }
    }

    fn check<'a>(&'a self, tensor: &Tensor, symbols: &mut Symbols<'a>) -> Result<(), ModelError> {
        if tensor.dtype() != self.dtype {
            let (expected, given) = (self.dtype, tensor.dtype());
            let message = format!("expected elements of type {expected}, got {given}");
            return Err(ModelError::invalid_input(message).at(&self.name));
        }
        let Some(dims) = &self.dims else { return Ok(()) };
        let shape = tensor.shape();
        let fits = dims.len() == shape.len()
            && dims.iter().zip(shape).all(|(dim, &size)| match dim {
                Dim::Fixed(expected) => *expected == size,
                Dim::Symbolic(_) | Dim::Any => true,
            });
        if !fits {
            let message = format!("expected shape {}, got {shape:?}", Dims(dims));
            return Err(ModelError::invalid_input(message).at(&self.name));
        }
        for (dim, &size) in dims.iter().zip(shape) {
            if let Dim::Symbolic(symbol) = dim {
                symbols.bind(symbol, size, &self.name)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.dtype)?;
        match &self.dims {
            Some(dims) => write!(f, " {}", Dims(dims)),
            None => Ok(()),
        }
    }
}

/// Dimensions as people write them: `[batch, 8, 8]`.
struct Dims<'a>(&'a [Dim]);

impl fmt::Display for Dims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, dim) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{dim}")?;
        }
        f.write_str("]")
    }
}

/// The sizes that symbols have taken in one request, and the input that set each.
#[derive(Default)]
struct Symbols<'a>(SmallVec<[(&'a str, usize, &'a str); 4]>);

impl<'a> Symbols<'a> {
    fn bind(&mut self, symbol: &'a str, size: usize, input: &'a str) -> Result<(), ModelError> {
        match self.0.iter().find(|(known, ..)| *known == symbol) {
            Some((_, bound, first)) if *bound != size => Err(ModelError::invalid_input(format!(
                "dimension `{symbol}` is {size} here but {bound} in `{first}`; it must be the same in both"
            ))
            .at(input)),
            Some(_) => Ok(()),
            None => {
                self.0.push((symbol, size, input));
                Ok(())
            }
        }
    }
}

/// What a model takes and gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signature {
    /// The inputs, in the model's order.
    pub inputs: Vec<TensorSpec>,
    /// The outputs, in the model's order.
    pub outputs: Vec<TensorSpec>,
}

impl Signature {
    /// Checks the inputs of one request: all there, none unknown, types and shapes as declared, symbols consistent.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that names the first input at fault and what was expected of it.
    pub fn check(&self, inputs: &Tensors) -> Result<(), ModelError> {
        for (name, _) in inputs.iter() {
            if !self.inputs.iter().any(|spec| spec.name == *name) {
                let known: Vec<_> = self.inputs.iter().map(ToString::to_string).collect();
                let message = format!("no such input; the model takes {}", known.join(", "));
                return Err(ModelError::invalid_input(message).at(name));
            }
        }
        let mut symbols = Symbols::default();
        for spec in &self.inputs {
            match inputs.get(&spec.name).or(spec.default.as_ref()) {
                Some(tensor) => spec.check(tensor, &mut symbols)?,
                None => {
                    let message = format!("input is missing; expected {spec}");
                    return Err(ModelError::invalid_input(message).at(&spec.name));
                }
            }
        }
        Ok(())
    }

    /// Whether rows of different requests may be joined along the first dimension: every input and every output begins
    /// with the same symbol.
    pub fn is_batchable(&self) -> bool {
        let leading = |spec: &TensorSpec| match spec.dims.as_deref() {
            Some([Dim::Symbolic(symbol), ..]) => Some(symbol.clone()),
            _ => None,
        };
        let Some(first) = self.inputs.first().and_then(leading) else {
            return false;
        };
        self.inputs
            .iter()
            .chain(&self.outputs)
            .all(|spec| leading(spec).as_ref() == Some(&first))
    }
}

#[cfg(test)]
mod tests {
    use super::{Dim, Signature, TensorSpec};
    use crate::dtype::DType;
    use crate::tensor::Tensor;
    use crate::tensors::Tensors;

    fn symbol(name: &str) -> Dim {
        Dim::Symbolic(name.into())
    }

    fn two_inputs() -> Signature {
        Signature {
            inputs: vec![
                TensorSpec::new("ids", DType::I64, [symbol("batch"), symbol("sequence")]),
                TensorSpec::new(
                    "mask",
                    DType::F32,
                    [symbol("batch"), symbol("sequence"), Dim::Fixed(2)],
                ),
            ],
            outputs: vec![TensorSpec::new("y", DType::F32, [symbol("batch")])],
        }
    }

    fn ids(shape: [usize; 2]) -> Tensor {
        Tensor::filled(&shape, 1_i64).unwrap()
    }

    fn mask(shape: [usize; 3]) -> Tensor {
        Tensor::filled(&shape, 1_f32).unwrap()
    }

    #[track_caller]
    fn check(inputs: &Tensors, expected: Result<(), &str>) {
        let outcome = two_inputs().check(inputs).map_err(|error| error.to_string());
        assert_eq!(outcome.as_ref().map_err(String::as_str).copied(), expected);
    }

    #[test]
    fn names_what_is_wrong_and_what_was_expected() {
        let good = Tensors::new()
            .with("ids", ids([1, 3]))
            .with("mask", mask([1, 3, 2]));
        check(&good, Ok(()));
        check(
            &good.clone().with("idz", ids([1, 3])),
            Err(
                "`idz`: no such input; the model takes ids: i64 [batch, sequence], mask: f32 [batch, sequence, 2]",
            ),
        );
        check(
            &Tensors::new().with("ids", ids([1, 3])),
            Err("`mask`: input is missing; expected mask: f32 [batch, sequence, 2]"),
        );
        check(
            &good.clone().with("ids", mask([1, 3, 2])),
            Err("`ids`: expected elements of type i64, got f32"),
        );
        check(
            &good.clone().with("mask", mask([1, 3, 9])),
            Err("`mask`: expected shape [batch, sequence, 2], got [1, 3, 9]"),
        );
        check(
            &good.with("mask", mask([1, 4, 2])),
            Err("`mask`: dimension `sequence` is 4 here but 3 in `ids`; it must be the same in both"),
        );
    }

    #[test]
    fn an_input_with_a_default_may_be_left_out() {
        let mut signature = two_inputs();
        signature.inputs[1].default = Some(mask([1, 3, 2]));
        assert!(signature.check(&Tensors::new().with("ids", ids([1, 3]))).is_ok());
    }

    #[test]
    fn batchable_needs_one_symbol_in_front_of_everything() {
        assert!(two_inputs().is_batchable());
        let mut other = two_inputs();
        other.outputs[0].dims = Some(vec![symbol("other")]);
        assert!(!other.is_batchable());
        other.outputs[0].dims = Some(vec![]);
        assert!(!other.is_batchable());
        assert!(!Signature::default().is_batchable());
    }
}
