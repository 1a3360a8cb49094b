//! Rows of several requests as one run, gathered where they are: nothing is joined before it is written for the worker.

use std::borrow::Cow;

use unruffled_model::{DType, ModelError, Name, Row, Signature, Tensor, Tensors};

/// One input of a run, in the parts that the requests brought.
#[derive(Debug)]
pub(crate) struct Gathered<'a> {
    pub(crate) name: &'a Name,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) parts: Vec<&'a Tensor>,
}

/// The inputs of a row, with the defaults of those that were left out.
pub(crate) fn filled<'a>(
    signature: &Signature,
    row: &'a Row<Tensors, Tensors>,
) -> Result<Cow<'a, Tensors>, ModelError> {
    let given = row.input().ok_or_else(|| ModelError::failed("the input of this row was taken before"))?;
    Ok(signature.fill(given)?.map_or(Cow::Borrowed(given), Cow::Owned))
}

/// How many rows a request has brought: its leading dimension, which admission has found equal in all inputs.
pub(crate) fn row_count(inputs: &Tensors) -> usize {
    inputs.iter().next().and_then(|(_, tensor)| tensor.shape().first()).copied().unwrap_or(1)
}

/// The inputs of several requests, row below row, or those of one as they are.
pub(crate) fn gather<'a>(requests: &'a [Cow<'a, Tensors>]) -> Result<Vec<Gathered<'a>>, ModelError> {
    let Some((first, _)) = requests.split_first() else { return Ok(Vec::new()) };
    let gathered = first.iter().map(|(name, tensor)| {
        let mut shape = tensor.shape().to_vec();
        let mut parts = Vec::with_capacity(requests.len());
        for inputs in requests {
            let part = inputs.get(name).filter(|part| {
                part.dtype() == tensor.dtype() && part.shape().get(1..) == tensor.shape().get(1..)
            });
            parts.push(part.ok_or_else(|| ModelError::failed("rows differ").at(name))?);
        }
        if requests.len() > 1 {
            let rows =
                shape.first_mut().ok_or_else(|| ModelError::failed("a scalar has no rows").at(name))?;
            *rows = parts.iter().map(|part| part.shape()[0]).sum();
        }
        Ok(Gathered { name, dtype: tensor.dtype(), shape, parts })
    });
    gathered.collect()
}

/// Gives each request its own rows of the outputs.
pub(crate) fn scatter(
    rows: &mut [Row<Tensors, Tensors>],
    counts: &[usize],
    outputs: &Tensors,
) -> Result<(), ModelError> {
    let total: usize = counts.iter().sum();
    for (name, output) in outputs.iter() {
        if output.shape().first() != Some(&total) {
            let shape = output.shape();
            return Err(ModelError::failed(format!("gave shape {shape:?} for {total} rows")).at(name));
        }
    }
    let mut start = 0;
    for (row, count) in rows.iter_mut().zip(counts) {
        let end = start + count;
        row.finish(Ok(outputs
            .iter()
            .map(|(name, output)| (name.clone(), output.rows(start..end)))
            .collect()));
        start = end;
    }
    Ok(())
}
