//! Operators that work element by element: sums, comparisons, choices, functions.

use std::borrow::Cow;

use unruffled_model::{DType, Data, Element, ModelError, RunContext, Tensor};

use super::kernel::{Built, Kernel, Site};
use super::shape::{Type, broadcast};
use super::transform::logistic;

/// An operator of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
}

/// A question about two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An operator of two truth values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logic {
    And,
    Or,
    Xor,
}

/// Builds an operator of numbers that takes exactly two.
pub(super) fn binary(site: &Site<'_>, operator: Arithmetic) -> Result<Built, String> {
    site.exactly::<2>()?;
    variadic(site, operator)
}

/// Builds an operator of numbers that takes any number of them.
pub(super) fn variadic(site: &Site<'_>, operator: Arithmetic) -> Result<Built, String> {
    let first = site.inputs.first().ok_or("takes no inputs")?;
    let dtype = first.r#type.dtype;
    let floats = matches!(dtype, DType::F32 | DType::F64);
    let whole = matches!(dtype, DType::I32 | DType::I64);
    // Whole numbers are divided and raised in ways that are better refused than guessed.
    if !(floats || whole && !matches!(operator, Arithmetic::Div | Arithmetic::Pow)) {
        return Err(format!("takes {dtype}, which is not computed with here"));
    }
    let mut dims = first.r#type.dims.clone();
    for input in &site.inputs[1..] {
        if input.r#type.dtype != dtype {
            return Err(format!("mixes {dtype} and {}", input.r#type.dtype));
        }
        dims = broadcast(&dims, &input.r#type.dims)?;
    }
    Ok(Built::new(operator, [Type::new(dtype, dims)]))
}

impl Kernel for Arithmetic {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (first, rest) = inputs.split_first().expect("checked when it was built");
        let mut result = Tensor::clone(first);
        for other in rest {
            result = match (result.data(), other.data()) {
                (Data::F32(a), Data::F32(b)) => together(&result, a, other, b, self.of_f32())?,
                (Data::F64(a), Data::F64(b)) => together(&result, a, other, b, self.of_f64())?,
                (Data::I32(a), Data::I32(b)) => together(&result, a, other, b, self.of_i32())?,
                (Data::I64(a), Data::I64(b)) => together(&result, a, other, b, self.of_i64())?,
                _ => return Err(ModelError::failed("types were checked when the plan was made")),
            };
        }
        outputs.push(result);
        Ok(())
    }
}

macro_rules! of_floats {
    ($name:ident, $type:ty) => {
        fn $name(self) -> fn($type, $type) -> $type {
            match self {
                Self::Add => |a, b| a + b,
                Self::Sub => |a, b| a - b,
                Self::Mul => |a, b| a * b,
                Self::Div => |a, b| a / b,
                Self::Pow => <$type>::powf,
                // What is not a number stays so.
                Self::Max => |a, b| if a > b || a.is_nan() { a } else { b },
                Self::Min => |a, b| if a < b || a.is_nan() { a } else { b },
            }
        }
    };
}

macro_rules! of_integers {
    ($name:ident, $type:ty) => {
        fn $name(self) -> fn($type, $type) -> $type {
            match self {
                Self::Add => <$type>::wrapping_add,
                Self::Sub => <$type>::wrapping_sub,
                Self::Mul => <$type>::wrapping_mul,
                Self::Max => Ord::max,
                Self::Min => Ord::min,
                Self::Div | Self::Pow => unreachable!("refused when it was built"),
            }
        }
    };
}

impl Arithmetic {
    of_floats!(of_f32, f32);
    of_floats!(of_f64, f64);
    of_integers!(of_i32, i32);
    of_integers!(of_i64, i64);
}

/// Builds a comparison.
pub(super) fn comparison(site: &Site<'_>, operator: Comparison) -> Result<Built, String> {
    let [a, b] = site.exactly()?;
    let dtype = a.r#type.dtype;
    let ordered = matches!(dtype, DType::F32 | DType::F64 | DType::I32 | DType::I64);
    let equal = operator == Comparison::Equal && matches!(dtype, DType::Bool | DType::Bytes);
    if dtype != b.r#type.dtype || !(ordered || equal) {
        return Err(format!("compares {dtype} with {}", b.r#type.dtype));
    }
    let dims = broadcast(&a.r#type.dims, &b.r#type.dims)?;
    Ok(Built::new(operator, [Type::new(DType::Bool, dims)]))
}

impl Kernel for Comparison {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        fn compare<T: Clone + PartialOrd>(
            operator: Comparison,
            (a, x): (&Tensor, &[T]),
            (b, y): (&Tensor, &[T]),
        ) -> Result<Tensor, ModelError> {
            together(a, x, b, y, |x, y| match operator {
                Comparison::Equal => x == y,
                Comparison::Less => x < y,
                Comparison::LessOrEqual => x <= y,
                Comparison::Greater => x > y,
                Comparison::GreaterOrEqual => x >= y,
            })
        }
        let [a, b] = [inputs[0], inputs[1]];
        outputs.push(match (a.data(), b.data()) {
            (Data::F32(x), Data::F32(y)) => compare(*self, (a, x), (b, y))?,
            (Data::F64(x), Data::F64(y)) => compare(*self, (a, x), (b, y))?,
            (Data::I32(x), Data::I32(y)) => compare(*self, (a, x), (b, y))?,
            (Data::I64(x), Data::I64(y)) => compare(*self, (a, x), (b, y))?,
            (Data::Bool(x), Data::Bool(y)) => compare(*self, (a, x), (b, y))?,
            (Data::Bytes(x), Data::Bytes(y)) => compare(*self, (a, x), (b, y))?,
            _ => return Err(ModelError::failed("types were checked when the plan was made")),
        });
        Ok(())
    }
}

/// Builds an operator of truth values.
pub(super) fn logic(site: &Site<'_>, operator: Logic) -> Result<Built, String> {
    let [a, b] = site.exactly()?;
    if [a.r#type.dtype, b.r#type.dtype] != [DType::Bool; 2] {
        return Err("takes truth values only".into());
    }
    let dims = broadcast(&a.r#type.dims, &b.r#type.dims)?;
    Ok(Built::new(operator, [Type::new(DType::Bool, dims)]))
}

impl Kernel for Logic {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let [a, b] = [inputs[0], inputs[1]];
        let (x, y) = (a.elements::<bool>()?, b.elements::<bool>()?);
        outputs.push(together(a, x, b, y, |x, y| match self {
            Logic::And => x & y,
            Logic::Or => x | y,
            Logic::Xor => x ^ y,
        })?);
        Ok(())
    }
}

/// Builds a `Where`.
pub(super) fn choose(site: &Site<'_>) -> Result<Built, String> {
    let [condition, yes, no] = site.exactly()?;
    let dtype = yes.r#type.dtype;
    if condition.r#type.dtype != DType::Bool || no.r#type.dtype != dtype {
        return Err(format!("chooses between {dtype} and {}", no.r#type.dtype));
    }
    let dims = broadcast(&condition.r#type.dims, &yes.r#type.dims)?;
    let dims = broadcast(&dims, &no.r#type.dims)?;
    Ok(Built::new(Choose, [Type::new(dtype, dims)]))
}

struct Choose;

impl Kernel for Choose {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        fn choose<T: Element>(
            yes: &[T],
            condition: &Tensor,
            rest: [&Tensor; 2],
        ) -> Result<Tensor, ModelError> {
            let [given, no] = rest;
            let shape = joint_shape(condition.shape(), given.shape())?;
            let shape = joint_shape(&shape, no.shape())?;
            let condition = spread(condition.elements::<bool>()?, condition.shape(), &shape);
            let yes = spread(yes, given.shape(), &shape);
            let no = spread(no.elements::<T>()?, no.shape(), &shape);
            let pairs = yes.iter().zip(no.iter());
            let chosen = condition.iter().zip(pairs).map(|(&c, (yes, no))| if c { yes } else { no }.clone());
            Tensor::new(&shape, chosen.collect::<Vec<_>>())
        }
        let rest = [inputs[1], inputs[2]];
        let chosen = unruffled_model::for_each_dtype!(inputs[1].data(), yes => choose(yes, inputs[0], rest));
        outputs.push(chosen?);
        Ok(())
    }
}

/// A function of one number, in both precisions.
#[derive(Clone, Copy)]
pub(super) struct Function {
    single: fn(f32) -> f32,
    double: fn(f64) -> f64,
}

/// The function of a name.
pub(super) fn function(name: &str) -> Option<Function> {
    type Pair = (fn(f32) -> f32, fn(f64) -> f64);
    let (single, double): Pair = match name {
        "Abs" => (f32::abs, f64::abs),
        "Ceil" => (f32::ceil, f64::ceil),
        "Exp" => (f32::exp, f64::exp),
        "Floor" => (f32::floor, f64::floor),
        "Log" => (f32::ln, f64::ln),
        "Neg" => (|x| -x, |x| -x),
        "Reciprocal" => (f32::recip, f64::recip),
        "Relu" => (|x| if x < 0.0 { 0.0 } else { x }, |x| if x < 0.0 { 0.0 } else { x }),
        "Sigmoid" => (logistic, |x| 1.0 / (1.0 + (-x).exp())),
        "Sqrt" => (f32::sqrt, f64::sqrt),
        "Tanh" => (f32::tanh, f64::tanh),
        _ => return None,
    };
    Some(Function { single, double })
}

/// Builds a function of floats.
pub(super) fn unary(site: &Site<'_>, function: Function) -> Result<Built, String> {
    let [input] = site.exactly()?;
    match input.r#type.dtype {
        DType::F32 | DType::F64 => Ok(Built::new(function, [input.r#type.clone()])),
        other => Err(format!("takes {other}, which is not computed with here")),
    }
}

impl Kernel for Function {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let shape = inputs[0].shape();
        outputs.push(match inputs[0].data() {
            Data::F64(x) => Tensor::new(shape, x.iter().map(|&x| (self.double)(x)).collect::<Vec<_>>())?,
            _ => {
                let x = inputs[0].elements::<f32>()?;
                Tensor::new(shape, x.iter().map(|&x| (self.single)(x)).collect::<Vec<_>>())?
            }
        });
        Ok(())
    }
}

/// Builds a `Not`.
pub(super) fn not(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    match input.r#type.dtype {
        DType::Bool => Ok(Built::new(Not, [input.r#type.clone()])),
        other => Err(format!("takes {other}")),
    }
}

struct Not;

impl Kernel for Not {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let turned: Vec<bool> = inputs[0].elements::<bool>()?.iter().map(|x| !x).collect();
        outputs.push(Tensor::new(inputs[0].shape(), turned)?);
        Ok(())
    }
}

/// Applies `f` to two tensors that are brought to one shape.
fn together<T: Clone, O: Element>(
    a: &Tensor,
    x: &[T],
    b: &Tensor,
    y: &[T],
    f: impl Fn(T, T) -> O,
) -> Result<Tensor, ModelError> {
    let shape = joint_shape(a.shape(), b.shape())?;
    let (x, y) = (spread(x, a.shape(), &shape), spread(y, b.shape(), &shape));
    let result = x.iter().zip(y.iter()).map(|(x, y)| f(x.clone(), y.clone()));
    Tensor::new(&shape, result.collect::<Vec<_>>())
}

/// The shape that two shapes are brought to.
fn joint_shape(a: &[usize], b: &[usize]) -> Result<Vec<usize>, ModelError> {
    let rank = a.len().max(b.len());
    let size =
        |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |own| shape[own]);
    (0..rank)
        .map(|axis| match (size(a, axis), size(b, axis)) {
            (x, y) if x == y => Ok(x),
            (1, x) | (x, 1) => Ok(x),
            _ => Err(ModelError::invalid_input(format!("shapes {a:?} and {b:?} do not fit"))),
        })
        .collect()
}

/// The elements repeated as a larger shape asks for.
fn spread<'a, T: Clone>(elements: &'a [T], from: &[usize], to: &[usize]) -> Cow<'a, [T]> {
    if from == to {
        return Cow::Borrowed(elements);
    }
    let count = to.iter().product();
    let leading = from.iter().position(|&size| size != 1).unwrap_or(from.len());
    if to.ends_with(&from[leading..]) {
        return elements.iter().cycle().take(count).cloned().collect();
    }
    // How far apart neighbours along each axis of `to` are in `elements`: nothing where they are repeated.
    let mut strides = vec![0; to.len()];
    let mut stride = 1;
    for (&size, place) in from.iter().rev().zip(strides.iter_mut().rev()) {
        *place = if size == 1 { 0 } else { stride };
        stride *= size;
    }
    let mut index = vec![0; to.len()];
    let mut spread = Vec::with_capacity(count);
    for _ in 0..count {
        let at: usize = index.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        spread.push(elements[at].clone());
        for (i, &size) in index.iter_mut().zip(to).rev() {
            *i += 1;
            if *i < size {
                break;
            }
            *i = 0;
        }
    }
    Cow::Owned(spread)
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn elements_are_repeated_along_axes_of_size_one() {
        assert_eq!(*spread(&[1, 2], &[2], &[2, 2]), [1, 2, 1, 2]);
        assert_eq!(*spread(&[1, 2], &[2, 1], &[2, 3]), [1, 1, 1, 2, 2, 2]);
        assert_eq!(*spread(&[7], &[], &[2, 2]), [7, 7, 7, 7]);
        assert_eq!(*spread(&[1, 2, 3, 4], &[2, 1, 2], &[2, 2, 2]), [1, 2, 1, 2, 3, 4, 3, 4]);
        assert_eq!(*spread(&[1, 2], &[1, 2], &[0, 2]), [0; 0]);
    }
}
