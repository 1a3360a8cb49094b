//! Batches of tensors: rows are gathered into one run and its outputs scattered again.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::context::RunContext;
use crate::error::ModelError;
use crate::loaded::{Batching, Footprint, ModelInfo};
use crate::model::{Batch, Model, Row};
use crate::tensor::Tensor;
use crate::tensors::Tensors;

/// A model that runs once over tensors whose rows are already gathered: what a backend has to write.
pub trait TensorRun {
    /// Runs once.
    ///
    /// # Errors
    ///
    /// Why there are no outputs.
    fn run(&mut self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError>;
}

/// Checks the inputs of one request against a model's signature and weighs them; backends call it in
/// [`LoadedModel::admit`](crate::LoadedModel::admit).
///
/// # Errors
///
/// `InvalidInput`, see [`Signature::check`](crate::Signature::check).
pub fn admit_tensors(info: &ModelInfo, inputs: &Tensors) -> Result<Footprint, ModelError> {
    let bytes = info.signature.weigh(inputs)?;
    if info.batching != Batching::Joint {
        return Ok(Footprint::single(bytes));
    }
    let (mut rows, mut shapes) = (1, DefaultHasher::new());
    for spec in &info.signature.inputs {
        // An input that was left out is another shape than any that was given.
        let shape = inputs.get(&spec.name).map(Tensor::shape);
        shape.map(|shape| shape.get(1..)).hash(&mut shapes);
        rows = shape.and_then(|shape| shape.first()).copied().unwrap_or(rows);
    }
    // Rows without elements would otherwise be free, however many there are.
    Ok(Footprint::new(rows, bytes.max(rows), shapes.finish()))
}

/// Makes a [`Model`] of a [`TensorRun`]: gathers the rows of a batch, fills inputs that were left out, runs, scatters.
#[derive(Debug)]
pub struct JointModel<'a, R> {
    info: &'a ModelInfo,
    run: R,
}

impl<'a, R: TensorRun> JointModel<'a, R> {
    /// A model over `run`, whose requests were admitted by [`admit_tensors`] with the same `info`.
    pub fn new(info: &'a ModelInfo, run: R) -> Self {
        Self { info, run }
    }

    fn run_one(&mut self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        match self.info.signature.fill(inputs)? {
            Some(filled) => self.run.run(&filled, ctx),
            None => self.run.run(inputs, ctx),
        }
    }

    fn run_joint(
        &mut self,
        rows: &mut [Row<Tensors, Tensors>],
        ctx: &RunContext<'_>,
    ) -> Result<(), ModelError> {
        let (inputs, counts) = self.gather(rows)?;
        let outputs = self.run.run(&inputs, ctx)?;
        let total = counts.iter().sum::<usize>();
        for (name, output) in outputs.iter() {
            if output.shape().first() != Some(&total) {
                let shape = output.shape();
                return Err(ModelError::failed(format!("gave shape {shape:?} for {total} rows")).at(name));
            }
        }
        let mut start = 0;
        for (row, count) in rows.iter_mut().zip(counts) {
            let end = start + count;
            let own = outputs.iter().map(|(name, output)| (name.clone(), output.rows(start..end)));
            row.finish(Ok(own.collect()));
            start = end;
        }
        Ok(())
    }

    /// Joins the inputs of all rows, and tells how many rows each has brought.
    fn gather(&self, rows: &[Row<Tensors, Tensors>]) -> Result<(Tensors, Vec<usize>), ModelError> {
        let filled: Vec<Cow<'_, Tensors>> = rows
            .iter()
            .map(|row| {
                let given = input(row)?;
                Ok(self.info.signature.fill(given)?.map_or(Cow::Borrowed(given), Cow::Owned))
            })
            .collect::<Result<_, ModelError>>()?;
        let joined = filled[0].iter().map(|(name, _)| {
            let parts: Vec<&Tensor> = filled
                .iter()
                .map(|row| row.get(name).ok_or_else(|| ModelError::failed("rows differ").at(name)))
                .collect::<Result<_, _>>()?;
            let whole = Tensor::concat(parts.iter().copied()).map_err(|error| error.at(name))?;
            Ok((name.clone(), whole))
        });
        let joined = joined.collect::<Result<_, ModelError>>()?;
        Ok((joined, filled.iter().map(|inputs| row_count(inputs)).collect()))
    }
}

fn input(row: &Row<Tensors, Tensors>) -> Result<&Tensors, ModelError> {
    row.input().ok_or_else(|| ModelError::failed("the input of this row was taken before"))
}

/// The rows of a request: its leading dimension, which admission has found equal in all inputs.
fn row_count(inputs: &Tensors) -> usize {
    inputs.iter().next().and_then(|(_, tensor)| tensor.shape().first()).copied().unwrap_or(1)
}

impl<R: TensorRun> Model for JointModel<'_, R> {
    type Input = Tensors;
    type Output = Tensors;

    fn run(&mut self, batch: &mut Batch<Tensors, Tensors>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        match batch.rows_mut() {
            [] => Ok(()),
            [row] => {
                let answer = self.run_one(input(row)?, ctx)?;
                row.finish(Ok(answer));
                Ok(())
            }
            rows => self.run_joint(rows, ctx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{JointModel, TensorRun, admit_tensors};
    use crate::{
        Batch, Batching, CancelToken, DType, Dim, Model, ModelError, ModelInfo, RunContext, Signature,
        Tensor, TensorSpec, Tensors,
    };

    fn info() -> ModelInfo {
        let dims = |width| [Dim::Symbolic("batch".into()), width];
        let signature = Signature {
            inputs: vec![TensorSpec::new("x", DType::F32, dims(Dim::Symbolic("width".into())))],
            outputs: vec![TensorSpec::new("y", DType::F32, dims(Dim::Any))],
        };
        ModelInfo::new("test", "test").with_signature(signature).with_batching(Batching::Joint)
    }

    /// Gives its input back, and notes the shapes that it saw.
    struct Echo<'a>(&'a mut Vec<Vec<usize>>);

    impl TensorRun for Echo<'_> {
        fn run(&mut self, inputs: &Tensors, _: &RunContext<'_>) -> Result<Tensors, ModelError> {
            let x = inputs.get("x").ok_or_else(|| ModelError::failed("no x"))?;
            self.0.push(x.shape().to_vec());
            Ok(Tensors::new().with("y", x.clone()))
        }
    }

    fn request(rows: usize, width: usize, value: f32) -> Tensors {
        Tensors::new().with("x", Tensor::filled(&[rows, width], value).unwrap())
    }

    #[test]
    fn every_row_gets_its_own_rows_back() {
        let (info, mut seen) = (info(), Vec::new());
        let mut batch =
            Batch::new([request(1, 2, 1.0), request(3, 2, 2.0), request(0, 2, 9.0), request(2, 2, 3.0)]);
        let (cancel, requests) = (CancelToken::new(), Vec::new());
        let ctx = RunContext::new(&cancel, None, &requests);
        JointModel::new(&info, Echo(&mut seen)).run(&mut batch, &ctx).unwrap();
        assert_eq!(seen, [[6, 2]], "one run for the whole batch");
        let answers: Vec<_> =
            batch.into_rows().into_iter().map(|row| row.into_answer().unwrap().unwrap()).collect();
        let expected = [(1, 1.0_f32), (3, 2.0), (0, 9.0), (2, 3.0)];
        for (answer, (rows, value)) in answers.iter().zip(expected) {
            assert_eq!(answer.get("y"), Some(&Tensor::filled(&[rows, 2], value).unwrap()));
        }
    }

    #[test]
    fn an_output_without_the_rows_is_the_models_fault() {
        struct Sum;
        impl TensorRun for Sum {
            fn run(&mut self, _: &Tensors, _: &RunContext<'_>) -> Result<Tensors, ModelError> {
                Ok(Tensors::new().with("y", Tensor::scalar(0_f32)))
            }
        }
        let (info, cancel) = (info(), CancelToken::new());
        let mut batch = Batch::new([request(1, 2, 1.0), request(1, 2, 2.0)]);
        let ctx = RunContext::new(&cancel, None, &[]);
        let error = JointModel::new(&info, Sum).run(&mut batch, &ctx).unwrap_err();
        assert_eq!(error.to_string(), "`y`: gave shape [] for 2 rows");
    }

    #[test]
    fn equal_shapes_share_a_bucket() {
        let info = Arc::new(info());
        let weigh = |inputs: &Tensors| admit_tensors(&info, inputs).unwrap();
        let (a, b, c) = (weigh(&request(1, 2, 0.)), weigh(&request(5, 2, 0.)), weigh(&request(1, 3, 0.)));
        assert_eq!((a.rows, b.rows, c.rows), (1, 5, 1));
        assert_eq!((a.bytes, b.bytes), (8, 40));
        assert!(a.bucket == b.bucket && a.bucket != c.bucket);
        // Rows without elements are not free.
        assert_eq!(weigh(&request(1 << 20, 0, 0.)).bytes, 1 << 20);
    }
}
