//! [`Signature`]: what a model takes and gives, and the check of a request against it.

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::ModelError;
use crate::tensor::{Tensor, element_count};
use crate::tensors::{Name, Tensors};

/// The most bytes that an input of a sample has.
const SAMPLE_MAX: usize = 256 << 20;

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
    /// What stands in for an input that the caller leaves out; `None` makes it required. A scalar fills whatever shape
    /// the other inputs of the request ask for; anything else is used as it is.
    pub default: Option<Tensor>,
}

impl TensorSpec {
    /// A required input, or an output, of these dimensions.
    pub fn new(name: impl Into<Name>, dtype: DType, dims: impl Into<Vec<Dim>>) -> Self {
        Self { name: name.into(), dtype, dims: Some(dims.into()), default: None }
    }

    /// The shape that the symbols of a request give the default; `None` if it has its own.
    fn default_shape(
        &self,
        default: &Tensor,
        symbols: &Symbols<'_>,
    ) -> Result<Option<Vec<usize>>, ModelError> {
        let Some(dims) = self.dims.as_deref().filter(|_| default.shape().is_empty()) else {
            return Ok(None);
        };
        let size = |dim: &Dim| {
            let known = match dim {
                Dim::Fixed(size) => Some(*size),
                Dim::Symbolic(symbol) => symbols.get(symbol),
                Dim::Any => None,
            };
            known.ok_or_else(|| {
                let message =
                    format!("input is missing, and nothing given says what `{dim}` is; expected {self}");
                ModelError::invalid_input(message).at(&self.name)
            })
        };
        dims.iter().map(size).collect::<Result<_, _>>().map(Some)
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
    fn get(&self, symbol: &str) -> Option<usize> {
        self.0.iter().find(|(known, ..)| *known == symbol).map(|(_, size, _)| *size)
    }

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

/// A number that stands in for an input which callers may leave out.
#[derive(Clone, Debug, PartialEq)]
pub struct InputDefault {
    /// The input.
    pub input: Name,
    /// What each of its elements is.
    pub value: f64,
    /// Its shape; `None` lets the other inputs of a request decide.
    pub shape: Option<Vec<usize>>,
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
        self.weigh(inputs).map(drop)
    }

    /// Checks the inputs of one request, and gives the bytes that they take together with the defaults of those that were
    /// left out. Allocates nothing for these.
    ///
    /// # Errors
    ///
    /// `InvalidInput` as [`check`](Self::check).
    pub fn weigh(&self, inputs: &Tensors) -> Result<usize, ModelError> {
        let symbols = self.bind(inputs)?;
        let mut bytes = inputs.byte_len();
        for (spec, default) in self.defaults(inputs) {
            let count = match spec.default_shape(default, &symbols)? {
                Some(shape) => element_count(&shape).map_err(|error| error.at(&spec.name))?,
                None => default.len(),
            };
            bytes =
                bytes.saturating_add(count.saturating_mul(spec.dtype.size().unwrap_or(size_of::<Bytes>())));
        }
        Ok(bytes)
    }

    /// The least that a request may bring: every input that has no default, of zeros or empty byte strings, dimensions that
    /// are not fixed being 1. Fit to warm a model up, unless it wants more of its inputs than it says.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if an input would have more than 256 MiB.
    pub fn sample(&self) -> Result<Tensors, ModelError> {
        let mut sample = Tensors::new();
        for spec in self.inputs.iter().filter(|spec| spec.default.is_none()) {
            let size = |dim: &Dim| if let Dim::Fixed(size) = dim { *size } else { 1 };
            let shape: Vec<usize> = spec.dims.iter().flatten().map(size).collect();
            let count = element_count(&shape).map_err(|error| error.at(&spec.name))?;
            if count.saturating_mul(spec.dtype.size().unwrap_or(size_of::<Bytes>())) > SAMPLE_MAX {
                let message = format!("a sample of shape {shape:?} would be too large; give one of your own");
                return Err(ModelError::invalid_input(message).at(&spec.name));
            }
            let zeros = match spec.dtype {
                DType::Bytes => Tensor::filled(&shape, Bytes::new()),
                dtype => Tensor::from_number(dtype, 0.0).and_then(|zero| zero.repeated(&shape)),
            };
            sample.insert(spec.name.clone(), zeros.map_err(|error| error.at(&spec.name))?);
        }
        Ok(sample)
    }

    /// The inputs with the defaults of those that were left out; `None` if none was.
    ///
    /// # Errors
    ///
    /// `InvalidInput` as [`check`](Self::check).
    pub fn fill(&self, inputs: &Tensors) -> Result<Option<Tensors>, ModelError> {
        if self.defaults(inputs).next().is_none() {
            return Ok(None);
        }
        let symbols = self.bind(inputs)?;
        let mut filled = inputs.clone();
        for (spec, default) in self.defaults(inputs) {
            let whole = match spec.default_shape(default, &symbols)? {
                Some(shape) => default.repeated(&shape).map_err(|error| error.at(&spec.name))?,
                None => default.clone(),
            };
            filled.insert(spec.name.clone(), whole);
        }
        Ok(Some(filled))
    }

    /// Checks what was given, and finds the sizes that its symbols take.
    fn bind(&self, inputs: &Tensors) -> Result<Symbols<'_>, ModelError> {
        for (name, _) in inputs.iter() {
            if !self.inputs.iter().any(|spec| spec.name == *name) {
                let known: Vec<_> = self.inputs.iter().map(ToString::to_string).collect();
                let message = format!("no such input; the model takes {}", known.join(", "));
                return Err(ModelError::invalid_input(message).at(name));
            }
        }
        let mut symbols = Symbols::default();
        for spec in &self.inputs {
            match (inputs.get(&spec.name), &spec.default) {
                (Some(tensor), _) => spec.check(tensor, &mut symbols)?,
                (None, Some(default)) if default.shape().is_empty() => {}
                (None, Some(default)) => spec.check(default, &mut symbols)?,
                (None, None) => {
                    let message = format!("input is missing; expected {spec}");
                    return Err(ModelError::invalid_input(message).at(&spec.name));
                }
            }
        }
        Ok(symbols)
    }

    /// The inputs that were left out and have a default.
    fn defaults<'a>(&'a self, inputs: &'a Tensors) -> impl Iterator<Item = (&'a TensorSpec, &'a Tensor)> {
        let missing = self.inputs.iter().filter(|spec| inputs.get(&spec.name).is_none());
        missing.filter_map(|spec| Some((spec, spec.default.as_ref()?)))
    }

    /// Makes an input optional.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no such input, if the number does not fit its type, or if the shape does not fit its
    /// dimensions.
    pub fn set_default(&mut self, default: &InputDefault) -> Result<(), ModelError> {
        let name = &default.input;
        let Some(spec) = self.inputs.iter_mut().find(|spec| spec.name == *name) else {
            let known: Vec<_> = self.inputs.iter().map(ToString::to_string).collect();
            let message =
                format!("a default for an input that does not exist; the model takes {}", known.join(", "));
            return Err(ModelError::invalid_input(message).at(name));
        };
        let scalar = Tensor::from_number(spec.dtype, default.value).map_err(|error| error.at(name))?;
        let tensor = match &default.shape {
            Some(shape) => {
                let tensor = scalar.repeated(shape).map_err(|error| error.at(name))?;
                spec.check(&tensor, &mut Symbols::default())?;
                tensor
            }
            None => scalar,
        };
        spec.default = Some(tensor);
        Ok(())
    }

    /// Whether rows of different requests may be joined along the first dimension, as far as names tell: every input and every
    /// output begins with the same symbol, which occurs nowhere else.
    pub fn is_batchable(&self) -> bool {
        let leading = |spec: &TensorSpec| match spec.dims.as_deref() {
            Some([Dim::Symbolic(symbol), ..]) => Some(symbol.clone()),
            _ => None,
        };
        let Some(first) = self.inputs.first().and_then(leading) else {
            return false;
        };
        let is_elsewhere = |spec: &TensorSpec| {
            let behind = spec.dims.as_deref().and_then(|dims| dims.get(1..)).unwrap_or_default();
            behind.iter().any(|dim| matches!(dim, Dim::Symbolic(symbol) if *symbol == first))
        };
        let mut specs = self.inputs.iter().chain(&self.outputs);
        specs.all(|spec| leading(spec).as_ref() == Some(&first) && !is_elsewhere(spec))
    }
}

#[cfg(test)]
mod tests {
    use super::{Dim, InputDefault, Signature, TensorSpec};
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
                TensorSpec::new("mask", DType::F32, [symbol("batch"), symbol("sequence"), Dim::Fixed(2)]),
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

    #[test]
    fn a_sample_is_the_least_that_may_be_asked() {
        let mut signature = two_inputs();
        signature.inputs.push(TensorSpec::new("text", DType::Bytes, [Dim::Any]));
        signature
            .inputs
            .push(TensorSpec { default: Some(Tensor::scalar(1_f32)), ..signature.inputs[1].clone() });
        let sample = signature.sample().unwrap();
        assert_eq!(sample.len(), 3, "what has a default is left out");
        assert_eq!(sample.get("ids").unwrap().elements::<i64>().unwrap(), [0]);
        assert_eq!(sample.get("mask").unwrap().shape(), [1, 1, 2]);
        assert_eq!(sample.get("text").unwrap().shape(), [1]);
        let huge = TensorSpec::new("x", DType::F32, [Dim::Fixed(1 << 20), Dim::Fixed(1 << 20)]);
        let error = Signature { inputs: vec![huge], outputs: Vec::new() }.sample().unwrap_err();
        assert!(error.to_string().contains("would be too large"), "{error}");
    }

    #[track_caller]
    fn check(inputs: &Tensors, expected: Result<(), &str>) {
        let outcome = two_inputs().check(inputs).map_err(|error| error.to_string());
        assert_eq!(outcome.as_ref().map_err(String::as_str).copied(), expected);
    }

    #[test]
    fn names_what_is_wrong_and_what_was_expected() {
        let good = Tensors::new().with("ids", ids([1, 3])).with("mask", mask([1, 3, 2]));
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
        let given = Tensors::new().with("ids", ids([1, 3]));
        signature.inputs[1].default = Some(mask([1, 3, 2]));
        assert!(signature.check(&given).is_ok());
        assert_eq!(signature.fill(&given).unwrap(), Some(given.clone().with("mask", mask([1, 3, 2]))));
        assert!(signature.check(&Tensors::new().with("ids", ids([1, 4]))).is_err(), "the default has 3");
    }

    #[test]
    fn a_scalar_default_takes_the_shape_that_the_others_give() {
        let mut signature = two_inputs();
        signature.inputs[1].default = Some(Tensor::scalar(1_f32));
        let given = Tensors::new().with("ids", ids([2, 5]));
        assert_eq!(signature.fill(&given).unwrap(), Some(given.clone().with("mask", mask([2, 5, 2]))));
        let whole = given.with("mask", mask([2, 5, 2]));
        assert_eq!(signature.fill(&whole).unwrap(), None);
        signature.inputs[0].default = Some(Tensor::scalar(0_i64));
        let nothing = signature.check(&Tensors::new()).unwrap_err().to_string();
        assert_eq!(
            nothing,
            "`ids`: input is missing, and nothing given says what `batch` is; expected ids: i64 [batch, sequence]"
        );
    }

    #[test]
    fn defaults_weigh_what_they_will_take() {
        let mut signature = two_inputs();
        signature.inputs[1].default = Some(Tensor::scalar(1_f32));
        let given = Tensors::new().with("ids", ids([1000, 1000]));
        // 8 bytes for each given element, and 2 times 4 for what is filled in; nothing of it is made.
        assert_eq!(signature.weigh(&given).unwrap(), 1000 * 1000 * (8 + 2 * 4));
    }

    #[test]
    fn a_default_is_cast_to_the_inputs_type() {
        let mut signature = two_inputs();
        let mut set = |input: &str, value, shape: Option<&[usize]>| {
            let default = InputDefault { input: input.into(), value, shape: shape.map(<[usize]>::to_vec) };
            signature.set_default(&default).map_err(|error| error.to_string())
        };
        assert_eq!(set("ids", 7.0, None), Ok(()));
        assert_eq!(set("ids", 0.5, None), Err("`ids`: 0.5 is not a value of type i64".into()));
        assert_eq!(set("mask", 1.0, Some(&[1, 2, 2])), Ok(()));
        assert_eq!(
            set("mask", 1.0, Some(&[1, 2])),
            Err("`mask`: expected shape [batch, sequence, 2], got [1, 2]".into())
        );
        assert!(set("nothing", 1.0, None).is_err());
        assert_eq!(signature.inputs[0].default, Some(Tensor::scalar(7_i64)));
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
