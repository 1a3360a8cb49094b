//! Operators that prepare numbers: `Scaler`, `Imputer`, `Binarizer`, `Normalizer`.

use unruffled_model::{DType, Data, ModelError, RunContext, Tensor};

use super::kernel::{Built, Kernel, Site, check_columns, rows_columns};
use super::matrix::{as_floats, numeric_columns};
use super::shape::Type;

/// Checks that a list has one number, or one for each column.
fn check_length(name: &str, length: usize, columns: Option<usize>) -> Result<(), String> {
    match columns {
        _ if length == 1 => Ok(()),
        Some(columns) if length == columns => Ok(()),
        None if length > 0 => Ok(()),
        _ => Err(format!("has {length} of `{name}` for another number of columns")),
    }
}

/// Checks the same when it runs.
fn check_width(length: usize, width: usize) -> Result<(), ModelError> {
    if length == 1 { Ok(()) } else { check_columns(width, length) }
}

/// Builds a `Scaler`.
pub(super) fn scaler(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let columns = numeric_columns(&input.r#type)?;
    let offset = site.settings.floats("offset").to_vec();
    let scale = site.settings.floats("scale").to_vec();
    check_length("offset", offset.len(), columns)?;
    check_length("scale", scale.len(), columns)?;
    if offset.len() != scale.len() {
        return Err(format!("has {} offsets and {} scales", offset.len(), scale.len()));
    }
    let r#type = Type::new(DType::F32, input.r#type.dims.clone());
    Ok(Built::new(Scaler { offset, scale }, [r#type]))
}

struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Kernel for Scaler {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (_, width) = rows_columns(inputs[0])?;
        check_width(self.offset.len(), width)?;
        let x = as_floats(inputs[0])?;
        let settings = self.offset.iter().zip(&self.scale).cycle();
        let scaled: Vec<f32> =
            x.iter().zip(settings).map(|(x, (offset, scale))| (x - offset) * scale).collect();
        outputs.push(Tensor::new(inputs[0].shape(), scaled)?);
        Ok(())
    }
}

/// Builds an `Imputer`.
pub(super) fn imputer(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let columns = input.r#type.columns()?;
    let settings = site.settings;
    let floats = settings.floats("imputed_value_floats").to_vec();
    let whole = settings.integers("imputed_value_int64s").to_vec();
    let replaced_float = settings.float("replaced_value_float").unwrap_or(0.0);
    let replaced_whole = settings.integer("replaced_value_int64").unwrap_or(0);
    let imputer = match input.r#type.dtype {
        DType::F32 if whole.is_empty() => Imputer::Floats { imputed: floats, replaced: replaced_float },
        DType::I64 if floats.is_empty() => Imputer::Integers { imputed: whole, replaced: replaced_whole },
        other => return Err(format!("imputes values of another type than {other}")),
    };
    check_length("imputed values", imputer.len(), columns)?;
    Ok(Built::new(imputer, [input.r#type.clone()]))
}

enum Imputer {
    Floats { imputed: Vec<f32>, replaced: f32 },
    Integers { imputed: Vec<i64>, replaced: i64 },
}

impl Imputer {
    fn len(&self) -> usize {
        match self {
            Imputer::Floats { imputed, .. } => imputed.len(),
            Imputer::Integers { imputed, .. } => imputed.len(),
        }
    }
}

impl Kernel for Imputer {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (_, width) = rows_columns(inputs[0])?;
        check_width(self.len(), width)?;
        let shape = inputs[0].shape();
        outputs.push(match self {
            Imputer::Floats { imputed, replaced } => {
                let is_missing = |x: f32| x == *replaced || (x.is_nan() && replaced.is_nan());
                let x = inputs[0].elements::<f32>()?.iter().zip(imputed.iter().cycle());
                let filled = x.map(|(&x, &imputed)| if is_missing(x) { imputed } else { x });
                Tensor::new(shape, filled.collect::<Vec<_>>())?
            }
            Imputer::Integers { imputed, replaced } => {
                let x = inputs[0].elements::<i64>()?.iter().zip(imputed.iter().cycle());
                let filled = x.map(|(x, imputed)| if x == replaced { *imputed } else { *x });
                Tensor::new(shape, filled.collect::<Vec<_>>())?
            }
        });
        Ok(())
    }
}

/// Builds a `Binarizer`.
pub(super) fn binarizer(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    if input.r#type.dtype != DType::F32 {
        return Err(format!("takes {}, which is not computed with here", input.r#type.dtype));
    }
    let threshold = site.settings.float("threshold").unwrap_or(0.0);
    Ok(Built::new(Binarizer(threshold), [input.r#type.clone()]))
}

struct Binarizer(f32);

impl Kernel for Binarizer {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let x = inputs[0].elements::<f32>()?.iter();
        let binary = x.map(|&x| if x > self.0 { 1.0 } else { 0.0 });
        outputs.push(Tensor::new(inputs[0].shape(), binary.collect::<Vec<f32>>())?);
        Ok(())
    }
}

/// Builds a `Normalizer`.
pub(super) fn normalizer(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    numeric_columns(&input.r#type)?;
    let norm = match site.settings.string("norm").unwrap_or("MAX") {
        "MAX" => Norm::Max,
        "L1" => Norm::L1,
        "L2" => Norm::L2,
        other => return Err(format!("has the norm `{other}`, which is not known")),
    };
    let r#type = Type::new(DType::F32, input.r#type.dims.clone());
    Ok(Built::new(norm, [r#type]))
}

enum Norm {
    Max,
    L1,
    L2,
}

impl Kernel for Norm {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (_, width) = rows_columns(inputs[0])?;
        let mut rows = match inputs[0].data() {
            Data::F32(x) => x.to_vec(),
            _ => as_floats(inputs[0])?.into_owned(),
        };
        for row in rows.chunks_exact_mut(width.max(1)) {
            let norm = match self {
                Norm::Max => row.iter().copied().fold(f32::MIN, f32::max),
                Norm::L1 => row.iter().map(|x| x.abs()).sum(),
                Norm::L2 => row.iter().map(|x| x * x).sum::<f32>().sqrt(),
            };
            // A row of zeros stays one.
            if norm != 0.0 {
                row.iter_mut().for_each(|x| *x /= norm);
            }
        }
        outputs.push(Tensor::new(inputs[0].shape(), rows)?);
        Ok(())
    }
}
