//! Operators that make one value of many along an axis: sums, means, the place of the largest, softmax.

use unruffled_model::{DType, Data, Element, ModelError, RunContext, Tensor};

use super::kernel::{Built, Kernel, Site};
use super::rearrange::axes;
use super::shape::{Dim, Type, axis};

/// What becomes of the values along the axes. Sums of 32-bit floats are added up in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reduction {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    SumSquare,
    L1,
    L2,
    LogSumExp,
}

/// Builds a reduction.
pub(super) fn reduction(site: &Site<'_>, operator: Reduction) -> Result<Built, String> {
    let from = &site.inputs.first().ok_or("takes no inputs")?.r#type;
    if !matches!(from.dtype, DType::F32 | DType::F64) {
        return Err(format!("takes {}, which is not computed with here", from.dtype));
    }
    let rank = from.dims.len();
    let keeps = site.settings.integer("keepdims").unwrap_or(1) != 0;
    let passes_none = site.settings.integer("noop_with_empty_axes").unwrap_or(0) != 0;
    let mut axes = match axes(site)?.unwrap_or_default() {
        axes if axes.is_empty() && passes_none => return Err("does nothing".into()),
        axes if axes.is_empty() => (0..rank).collect(),
        axes => axes.iter().map(|&at| axis(at, rank)).collect::<Result<Vec<_>, _>>()?,
    };
    // One may be named twice, from either end.
    axes.sort_unstable();
    axes.dedup();
    if axes.iter().any(|&axis| from.dims[axis] == Dim::Rows) {
        return Err("mixes the rows".into());
    }
    let dims = from.dims.iter().enumerate().filter_map(|(i, dim)| match (axes.contains(&i), keeps) {
        (false, _) => Some(*dim),
        (true, true) => Some(Dim::Size(1)),
        (true, false) => None,
    });
    let r#type = Type::new(from.dtype, dims.collect::<Vec<_>>());
    Ok(Built::new(Reduce { operator, axes, keeps }, [r#type]))
}

struct Reduce {
    operator: Reduction,
    axes: Vec<usize>,
    keeps: bool,
}

impl Kernel for Reduce {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        outputs.push(match inputs[0].data() {
            Data::F64(_) => self.reduce::<f64>(inputs[0], |x| x, |x| x)?,
            _ => self.reduce::<f32>(inputs[0], f64::from, |x| x as f32)?,
        });
        Ok(())
    }
}

impl Reduce {
    fn reduce<T: Element + Copy>(
        &self,
        input: &Tensor,
        widen: impl Fn(T) -> f64,
        narrow: impl Fn(f64) -> T,
    ) -> Result<Tensor, ModelError> {
        let rank = input.shape().len();
        // The axes that go are brought to the end.
        let kept = || (0..rank).filter(|axis| !self.axes.contains(axis));
        let gone = (0..rank).filter(|axis| self.axes.contains(axis));
        let order: Vec<usize> = kept().chain(gone).collect();
        let length: usize = self.axes.iter().map(|&axis| input.shape()[axis]).product();
        let count: usize = kept().map(|axis| input.shape()[axis]).product();
        let turned = Tensor::from(input.view::<T>()?.permuted_axes(&order[..]).to_owned());
        let elements = turned.elements::<T>()?;
        let mut reduced = Vec::with_capacity(count);
        for i in 0..count {
            let values = elements[i * length..(i + 1) * length].iter().map(|&x| widen(x));
            reduced.push(narrow(self.operator.of(values)));
        }
        let sizes = input.shape().iter().enumerate();
        let shape = sizes.filter_map(|(i, &size)| match (self.axes.contains(&i), self.keeps) {
            (false, _) => Some(size),
            (true, true) => Some(1),
            (true, false) => None,
        });
        Tensor::new(&shape.collect::<Vec<_>>(), reduced)
    }
}

impl Reduction {
    fn of(self, values: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
        fn largest(values: impl Iterator<Item = f64>) -> f64 {
            values.fold(f64::NEG_INFINITY, |max, x| if x > max || x.is_nan() { x } else { max })
        }
        match self {
            Reduction::Sum => values.sum(),
            Reduction::Mean => {
                let count = values.len() as f64;
                values.sum::<f64>() / count
            }
            Reduction::Max => largest(values),
            Reduction::Min => -largest(values.map(|x| -x)),
            Reduction::Prod => values.product(),
            Reduction::SumSquare => values.map(|x| x * x).sum(),
            Reduction::L1 => values.map(f64::abs).sum(),
            Reduction::L2 => values.map(|x| x * x).sum::<f64>().sqrt(),
            Reduction::LogSumExp => {
                let max = largest(values.clone());
                let shift = if max.is_finite() { max } else { 0.0 };
                values.map(|x| (x - shift).exp()).sum::<f64>().ln() + shift
            }
        }
    }
}

/// Builds an `ArgMax` or, where `sign` is -1, an `ArgMin`.
pub(super) fn arg(site: &Site<'_>, sign: f64) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let from = &input.r#type;
    if !matches!(from.dtype, DType::F32 | DType::F64) {
        return Err(format!("takes {}, which is not computed with here", from.dtype));
    }
    let at = axis(site.settings.integer("axis").unwrap_or(0), from.dims.len())?;
    let keeps = site.settings.integer("keepdims").unwrap_or(1) != 0;
    let last = site.settings.integer("select_last_index").unwrap_or(0) != 0;
    if from.dims[at] == Dim::Rows || from.dims[at] == Dim::Size(0) {
        return Err("mixes the rows, or has no columns".into());
    }
    let mut dims = from.dims.clone();
    if keeps {
        dims[at] = Dim::Size(1);
    } else {
        dims.remove(at);
    }
    Ok(Built::new(Arg { axis: at, keeps, last, sign }, [Type::new(DType::I64, dims)]))
}

struct Arg {
    axis: usize,
    keeps: bool,
    last: bool,
    sign: f64,
}

impl Kernel for Arg {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        outputs.push(match inputs[0].data() {
            Data::F64(x) => self.places(x, inputs[0].shape(), |x| x)?,
            _ => self.places(inputs[0].elements::<f32>()?, inputs[0].shape(), f64::from)?,
        });
        Ok(())
    }
}

impl Arg {
    fn places<T: Copy>(
        &self,
        x: &[T],
        from: &[usize],
        widen: impl Fn(T) -> f64,
    ) -> Result<Tensor, ModelError> {
        let (length, inner) = (from[self.axis], from[self.axis + 1..].iter().product::<usize>());
        if length == 0 {
            return Err(ModelError::invalid_input("there is nothing to choose from"));
        }
        let mut places = Vec::with_capacity(x.len() / length);
        for outer in x.chunks_exact((length * inner).max(1)) {
            for offset in 0..inner {
                let (mut best, mut place) = (self.sign * widen(outer[offset]), 0);
                for i in 1..length {
                    let value = self.sign * widen(outer[i * inner + offset]);
                    if value > best || (self.last && value == best) {
                        (best, place) = (value, i);
                    }
                }
                places.push(place as i64);
            }
        }
        let mut shape = from.to_vec();
        if self.keeps {
            shape[self.axis] = 1;
        } else {
            shape.remove(self.axis);
        }
        Tensor::new(&shape, places)
    }
}

/// Builds a `Softmax` over columns.
pub(super) fn softmax(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let from = &input.r#type;
    from.columns()?;
    // Old operator sets count from the first axis, and flatten what comes behind it: the same for rows of columns.
    let at = axis(site.settings.integer("axis").unwrap_or(if site.version < 13 { 1 } else { -1 }), 2)?;
    if at != 1 || from.dtype != DType::F32 {
        return Err(format!("goes along axis {at} of {from}"));
    }
    Ok(Built::new(Softmax, [from.clone()]))
}

struct Softmax;

impl Kernel for Softmax {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let shape = inputs[0].shape();
        let mut scores = inputs[0].elements::<f32>()?.to_vec();
        for row in scores.chunks_exact_mut(shape[1].max(1)) {
            super::transform::PostTransform::Softmax.apply(row);
        }
        outputs.push(Tensor::new(shape, scores)?);
        Ok(())
    }
}
