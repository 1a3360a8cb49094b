//! `ZipMap`: scores with their classes, as values and keys side by side.

use unruffled_model::{DType, ModelError, RunContext, Tensor};

use super::kernel::{Built, Kernel, Site, check_columns, rows_columns};
use super::labels::Labels;
use super::shape::{Dim, Type};

/// Builds a `ZipMap`, whose second output are the keys.
pub(super) fn zip_map(site: &Site<'_>) -> Result<Built, String> {
    let [input] = site.exactly()?;
    let labels = Labels::read(site.settings, "classlabels_int64s", "classlabels_strings")?;
    let columns = input.r#type.columns()?;
    if input.r#type.dtype != DType::F32 || columns.is_some_and(|columns| columns != labels.len()) {
        return Err(format!("gives {} keys to {}", labels.len(), input.r#type));
    }
    let dims = [Dim::Rows, Dim::Size(labels.len())];
    let outputs = [Type::new(DType::F32, dims), Type::new(labels.dtype(), dims)];
    Ok(Built::new(ZipMap(labels), outputs))
}

struct ZipMap(Labels);

impl Kernel for ZipMap {
    fn run(
        &self,
        inputs: &[&Tensor],
        _: &RunContext<'_>,
        outputs: &mut Vec<Tensor>,
    ) -> Result<(), ModelError> {
        let (rows, columns) = rows_columns(inputs[0])?;
        check_columns(columns, self.0.len())?;
        outputs.push(inputs[0].clone());
        outputs.push(self.0.for_rows(rows)?);
        Ok(())
    }
}
