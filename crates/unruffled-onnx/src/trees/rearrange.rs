//! Operators that move elements and compute nothing.

use unruffled_model::{Element, ModelError, RunContext, Tensor, for_each_dtype};

use super::kernel::{Built, Kernel, Site};
use super::settings::Settings;
use super::shape::{Dim, Type, axis, known_size};

/// Builds an `Identity`, or anything else that passes its input on.
pub(super) fn identity(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    Ok(Built::new(Reshape(input.r#type.dims.clone()), [input.r#type.clone()]))
}

/// The same elements under other dimensions, of which the rows and at most one more are known when it runs.
struct Reshape(Vec<Dim>);

impl Kernel for Reshape {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let open = self.0.iter().filter(|dim| matches!(dim, Dim::Rows | Dim::Any)).count();
        // More than one open dimension is only ever passed on as it is.
        if open > 1 {
            outputs.push(inputs[0].clone());
            return Ok(());
        }
        let known = known_size(&self.0);
        let shape = self.0.iter().map(|dim| match dim {
            Dim::Size(size) => *size,
            Dim::Rows | Dim::Any => inputs[0].len() / known.max(1),
        });
        outputs.push(inputs[0].reshaped(&shape.collect::<Vec<_>>())?);
        Ok(())
    }
}

/// Builds a `Reshape`, `Flatten`, `Squeeze` or `Unsqueeze` to dimensions that are known but for the rows.
///
/// The rows must be the outermost dimension before and after, so that each keeps its elements.
fn to_dims(from: &Type, dims: Vec<Dim>) -> Result<Built, String> {
    let outer = |dims: &[Dim]| {
        let rows = dims.iter().position(|dim| *dim == Dim::Rows);
        rows.is_none_or(|rows| known_size(&dims[..rows]) == 1)
    };
    let (given, taken) = (known_size(&from.dims), known_size(&dims));
    if from.dims.contains(&Dim::Any) || given != taken || taken == 0 {
        return Err(format!("does not keep rows apart: it takes {from}"));
    }
    let rows = |dims: &[Dim]| dims.iter().filter(|dim| **dim == Dim::Rows).count();
    if rows(&from.dims) != rows(&dims) || !outer(&from.dims) || !outer(&dims) {
        return Err(format!("moves rows about: it takes {from}"));
    }
    let r#type = Type::new(from.dtype, dims.clone());
    Ok(Built::new(Reshape(dims), [r#type]))
}

/// Builds a `Reshape`.
pub(super) fn reshape(site: &Site<'_>) -> Result<Built, String> {
    let [input, shape] = site.exactly()?;
    let keeps_zeros = site.settings.integer("allowzero").unwrap_or(0) != 0;
    let from = &input.r#type;
    let shape = shape.integers()?;
    let mut dims = Vec::with_capacity(shape.len());
    for (i, &size) in shape.iter().enumerate() {
        dims.push(match size {
            -1 => Dim::Any,
            0 if !keeps_zeros => *from.dims.get(i).ok_or("keeps a dimension that there is not")?,
            size => Dim::Size(usize::try_from(size).map_err(|_| format!("asks for size {size}"))?),
        });
    }
    if let Some(open) = dims.iter().position(|dim| *dim == Dim::Any) {
        if dims[open + 1..].contains(&Dim::Any) {
            return Err("leaves two sizes open".into());
        }
        let (given, taken) = (known_size(&from.dims), known_size(&dims));
        dims[open] = match from.rows_axis().is_some() && !dims.contains(&Dim::Rows) {
            true => Dim::Rows,
            false if taken > 0 => Dim::Size(given / taken),
            false => Dim::Size(0),
        };
    }
    to_dims(from, dims)
}

/// Builds a `Flatten`.
pub(super) fn flatten(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let from = &input.r#type;
    let at = site.settings.integer("axis").unwrap_or(1);
    let [Dim::Rows, rest @ ..] = &from.dims[..] else {
        return Err(format!("takes {from}"));
    };
    // The default is the only axis that leaves rows alone.
    if axis(at, from.dims.len().max(2)) != Ok(1) {
        return Err(format!("joins rows at axis {at}"));
    }
    to_dims(from, vec![Dim::Rows, Dim::Size(known_size(rest))])
}

/// The axes of a `Squeeze`, an `Unsqueeze` or a reduction: an attribute in old operator sets, an input in new ones.
pub(super) fn axes(site: &Site<'_>) -> Result<Option<Vec<i64>>, String> {
    match (site.inputs, site.settings.integers("axes")) {
        ([_], []) if !site.settings.has("axes") => Ok(None),
        ([_], axes) => Ok(Some(axes.to_vec())),
        ([_, axes], []) => axes.integers().map(Some),
        _ => Err("has its axes twice, or too many inputs".into()),
    }
}

/// Builds a `Squeeze`.
pub(super) fn squeeze(site: &Site<'_>) -> Result<Built, String> {
    let from = &site.inputs.first().ok_or("takes no inputs")?.r#type;
    let axes = axes(site)?.ok_or("does not say which axes go")?;
    let axes: Vec<usize> = axes.iter().map(|&at| axis(at, from.dims.len())).collect::<Result<_, _>>()?;
    if axes.iter().any(|&axis| from.dims[axis] != Dim::Size(1)) {
        return Err(format!("takes an axis away that is not of size 1: {from}"));
    }
    let kept = from.dims.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, dim)| *dim);
    to_dims(from, kept.collect())
}

/// Builds an `Unsqueeze`.
pub(super) fn unsqueeze(site: &Site<'_>) -> Result<Built, String> {
    let from = &site.inputs.first().ok_or("takes no inputs")?.r#type;
    let axes = axes(site)?.ok_or("does not say where axes come")?;
    let rank = from.dims.len() + axes.len();
    let axes: Vec<usize> = axes.iter().map(|&at| axis(at, rank)).collect::<Result<_, _>>()?;
    let mut rest = from.dims.iter();
    let mut dims = Vec::with_capacity(rank);
    for i in 0..rank {
        let dim = if axes.contains(&i) { Some(&Dim::Size(1)) } else { rest.next() };
        dims.push(*dim.ok_or("names an axis twice")?);
    }
    to_dims(from, dims)
}

/// Builds a `Transpose`.
pub(super) fn transpose(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let rank = input.r#type.dims.len();
    let order = match site.settings.integers("perm") {
        [] => (0..rank).rev().collect(),
        order => order.iter().map(|&at| axis(at, rank)).collect::<Result<Vec<_>, _>>()?,
    };
    if order.len() != rank || (0..rank).any(|axis| !order.contains(&axis)) {
        return Err(format!("has no order of {rank} axes"));
    }
    let dims: Vec<Dim> = order.iter().map(|&axis| input.r#type.dims[axis]).collect();
    Ok(Built::new(Transpose(order), [Type::new(input.r#type.dtype, dims)]))
}

struct Transpose(Vec<usize>);

impl Kernel for Transpose {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        fn turned<T: Element>(_: &[T], from: &Tensor, order: &[usize]) -> Result<Tensor, ModelError> {
            Ok(Tensor::from(from.view::<T>()?.permuted_axes(order).to_owned()))
        }
        outputs.push(for_each_dtype!(inputs[0].data(), x => turned(x, inputs[0], &self.0))?);
        Ok(())
    }
}

/// Builds a `Concat`.
pub(super) fn concat(site: &Site<'_>) -> Result<Built, String> {
    let first = &site.inputs.first().ok_or("takes no inputs")?.r#type;
    let at = site.settings.integer("axis").ok_or("has no axis")?;
    let at = axis(at, first.dims.len())?;
    let mut total = 0_usize;
    for input in site.inputs {
        let other = &input.r#type;
        let rest = |dims: &[Dim]| {
            dims.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, d)| *d).collect::<Vec<_>>()
        };
        if other.dtype != first.dtype
            || other.dims.len() != first.dims.len()
            || rest(&other.dims) != rest(&first.dims)
        {
            return Err(format!("joins {first} and {other}"));
        }
        match other.dims[at] {
            Dim::Size(size) => total = total.saturating_add(size),
            _ => return Err(format!("joins {other} along axis {at}")),
        }
    }
    let mut dims = first.dims.clone();
    dims[at] = Dim::Size(total);
    Ok(Built::new(Concat(at), [Type::new(first.dtype, dims)]))
}

struct Concat(usize);

impl Kernel for Concat {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        fn joined<T: Element>(_: &[T], inputs: &[&Tensor], axis: usize) -> Result<Tensor, ModelError> {
            let mut shape = inputs[0].shape().to_vec();
            shape[axis] = inputs.iter().map(|input| input.shape()[axis]).sum();
            let inner = |input: &Tensor| input.shape()[axis..].iter().product::<usize>();
            let outer: usize = shape[..axis].iter().product();
            let parts = inputs.iter().map(|input| Ok((input.elements::<T>()?, inner(input))));
            let parts: Vec<(&[T], usize)> = parts.collect::<Result<_, ModelError>>()?;
            let mut joined = Vec::with_capacity(shape.iter().product());
            for i in 0..outer {
                for (elements, inner) in &parts {
                    joined.extend_from_slice(&elements[i * inner..(i + 1) * inner]);
                }
            }
            Tensor::new(&shape, joined)
        }
        outputs.push(for_each_dtype!(inputs[0].data(), x => joined(x, inputs, self.0))?);
        Ok(())
    }
}

/// Builds a `Gather` of constant places.
pub(super) fn gather(site: &Site<'_>) -> Result<Built, String> {
    let [input, indices] = site.exactly()?;
    let at = axis(site.settings.integer("axis").unwrap_or(0), input.r#type.dims.len())?;
    let shape: Vec<usize> = indices.constant.as_ref().map_or(vec![], |tensor| tensor.shape().to_vec());
    pick(&input.r#type, at, &indices.integers()?, &shape)
}

/// Builds an operator that picks constant places along an axis, in the place of which come the axes of `shape`.
pub(super) fn pick(from: &Type, at: usize, indices: &[i64], shape: &[usize]) -> Result<Built, String> {
    let Dim::Size(size) = from.dims[at] else {
        return Err(format!("picks along axis {at} of {from}"));
    };
    let index = |&index: &i64| axis(index, size).map_err(|_| format!("picks {index} among {size}"));
    let indices = indices.iter().map(index).collect::<Result<_, _>>()?;
    let dims = from.dims[..at].iter().copied();
    let dims =
        dims.chain(shape.iter().map(|&size| Dim::Size(size))).chain(from.dims[at + 1..].iter().copied());
    let r#type = Type::new(from.dtype, dims.collect::<Vec<_>>());
    Ok(Built::new(Pick { axis: at, indices, shape: shape.to_vec() }, [r#type]))
}

struct Pick {
    axis: usize,
    indices: Vec<usize>,
    shape: Vec<usize>,
}

impl Kernel for Pick {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        fn picked<T: Element>(elements: &[T], from: &[usize], pick: &Pick) -> Result<Tensor, ModelError> {
            let inner: usize = from[pick.axis + 1..].iter().product();
            let shape = [&from[..pick.axis], &pick.shape, &from[pick.axis + 1..]].concat();
            let mut picked = Vec::with_capacity(shape.iter().product());
            for outer in elements.chunks_exact((from[pick.axis] * inner).max(1)) {
                for index in &pick.indices {
                    picked.extend_from_slice(&outer[index * inner..(index + 1) * inner]);
                }
            }
            Tensor::new(&shape, picked)
        }
        let from = inputs[0].shape();
        outputs.push(for_each_dtype!(inputs[0].data(), x => picked(x, from, self))?);
        Ok(())
    }
}

/// Builds a `ConstantOfShape` of the shape of a value.
pub(super) fn fill(settings: &Settings<'_>, of: &Type) -> Result<Built, String> {
    let value = settings.tensor("value")?.unwrap_or_else(|| Tensor::scalar(0_f32));
    if settings.unknown().is_some() || value.len() != 1 {
        return Err("has no single value".into());
    }
    let r#type = Type::new(value.dtype(), of.dims.clone());
    Ok(Built::new(Fill(value), [r#type]))
}

struct Fill(Tensor);

impl Kernel for Fill {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        outputs.push(self.0.repeated(inputs[0].shape())?);
        Ok(())
    }
}
