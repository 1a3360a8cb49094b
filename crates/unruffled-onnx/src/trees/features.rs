//! Operators that pick and join columns: `ArrayFeatureExtractor` and `FeatureVectorizer`.

use unruffled_model::{DType, Element, ModelError, RunContext, Tensor, for_each_dtype};

use super::kernel::{Built, Kernel, Operand, Site};
use super::matrix::{as_floats, numeric_columns};
use super::rearrange::pick;
use super::shape::{Dim, Type};

/// Builds an `ArrayFeatureExtractor`: constant columns of rows, or computed places in a constant.
pub(super) fn extractor(site: &Site<'_>) -> Result<Built, String> {
    let [from, indices] = site.exactly()?;
    match (&from.constant, &indices.constant) {
        (_, Some(places)) => {
            let last = from.r#type.dims.len().checked_sub(1).ok_or("picks from a single value")?;
            pick(&from.r#type, last, &indices.integers()?, &[places.len()])
        }
        (Some(constant), None) => table(constant, indices),
        (None, None) => Err("picks computed places from something computed".into()),
    }
}

/// Labels by their computed numbers: the answer has one row, and a column for each number.
fn table(constant: &Tensor, indices: &Operand) -> Result<Built, String> {
    let numbers = &indices.r#type;
    let is_column = matches!(numbers.dims[..], [Dim::Rows] | [Dim::Rows, Dim::Size(1)]);
    if !is_column || numbers.dtype != DType::I64 || constant.shape().len() != 1 {
        return Err(format!("picks {numbers} from a constant"));
    }
    let r#type = Type::new(constant.dtype(), [Dim::Size(1), Dim::Rows]);
    Ok(Built::new(Table, [r#type]))
}

struct Table;

impl Kernel for Table {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        fn picked<T: Element>(table: &[T], places: &[i64]) -> Result<Tensor, ModelError> {
            let one = |&place: &i64| usize::try_from(place).ok().and_then(|place| table.get(place)).cloned();
            let picked: Option<Vec<T>> = places.iter().map(one).collect();
            let picked = picked.ok_or_else(|| ModelError::failed("computed a place beyond its table"))?;
            Tensor::new(&[1, places.len()], picked)
        }
        let places = inputs[1].elements::<i64>()?;
        outputs.push(for_each_dtype!(inputs[0].data(), table => picked(table, places))?);
        Ok(())
    }
}

/// Builds a `FeatureVectorizer`.
pub(super) fn vectorizer(site: &Site<'_>) -> Result<Built, String> {
    let widths = site.settings.integers("inputdimensions");
    if widths.len() != site.inputs.len() || widths.is_empty() {
        return Err(format!("has {} widths for {} inputs", widths.len(), site.inputs.len()));
    }
    let mut total = 0_usize;
    for (input, &width) in site.inputs.iter().zip(widths) {
        match numeric_columns(&input.r#type)? {
            Some(columns) if i64::try_from(columns) == Ok(width) => total = total.saturating_add(columns),
            _ => return Err(format!("takes {width} columns of {}", input.r#type)),
        }
    }
    let r#type = Type::new(DType::F32, [Dim::Rows, Dim::Size(total)]);
    Ok(Built::new(Vectorizer, [r#type]))
}

struct Vectorizer;

impl Kernel for Vectorizer {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let rows = inputs[0].shape()[0];
        let parts = inputs.iter().map(|input| Ok((as_floats(input)?, input.shape()[1])));
        let parts: Vec<_> = parts.collect::<Result<_, ModelError>>()?;
        let width: usize = parts.iter().map(|(_, width)| width).sum();
        let mut joined = Vec::with_capacity(rows * width);
        for row in 0..rows {
            for (elements, width) in &parts {
                joined.extend_from_slice(&elements[row * width..(row + 1) * width]);
            }
        }
        outputs.push(Tensor::new(&[rows, width], joined)?);
        Ok(())
    }
}
