//! Batches of tensors: rows are gathered into one run and its outputs scattered again.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::context::RunContext;
use crate::error::ModelError;
use crate::for_each_dtype;
use crate::loaded::{Batching, Footprint, ModelInfo};
use crate::model::{Batch, Model, Row};
use crate::rows::RowPlace;
use crate::signature::TensorSpec;
use crate::tensor::Tensor;
use crate::tensors::{Name, Tensors};

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
    for (spec, place) in info.signature.input_rows() {
        let given = inputs.get(&spec.name);
        // An input that was left out is another shape than any that was given.
        given.is_some().hash(&mut shapes);
        match (given, place) {
            (Some(tensor), RowPlace::Axis(axis)) => {
                let shape = tensor.shape();
                (shape.get(..axis), shape.get(axis + 1..)).hash(&mut shapes);
                rows = shape.get(axis).copied().unwrap_or(rows);
            }
            // What is the same for a whole run sets runs apart.
            (Some(tensor), RowPlace::Shared) => hash_elements(tensor, &mut shapes),
            (None, _) => {}
        }
    }
    // Rows without elements would otherwise be free, however many there are.
    Ok(Footprint::new(rows, bytes.max(rows), shapes.finish()))
}

/// Equal elements have equal hashes; more is asked in [`JointModel::gather`].
fn hash_elements(tensor: &Tensor, hasher: &mut DefaultHasher) {
    for_each_dtype!(tensor.data(), buffer => buffer.iter().for_each(|element| {
        // Floats have no hash of their own. It is one element, mostly.
        format!("{element:?}").hash(hasher);
    }));
}

/// Makes a [`Model`] of a [`TensorRun`]: gathers the rows of a batch, fills inputs that were left out, runs, scatters.
#[derive(Debug)]
pub struct JointModel<'a, R> {
    info: &'a ModelInfo,
    inputs: Vec<(Name, RowPlace)>,
    outputs: Vec<(Name, RowPlace)>,
    run: R,
}

impl<'a, R: TensorRun> JointModel<'a, R> {
    /// A model over `run`, whose requests were admitted by [`admit_tensors`] with the same `info`.
    pub fn new(info: &'a ModelInfo, run: R) -> Self {
        let named = |(spec, place): (&TensorSpec, RowPlace)| (spec.name.clone(), place);
        let inputs = info.signature.input_rows().map(named).collect();
        let outputs = info.signature.output_rows().map(named).collect();
        Self { info, inputs, outputs, run }
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
        let axis = |name: &Name| match place(&self.outputs, name) {
            RowPlace::Axis(axis) => axis,
            RowPlace::Shared => 0,
        };
        for (name, output) in outputs.iter() {
            if output.shape().get(axis(name)) != Some(&total) {
                let shape = output.shape();
                return Err(ModelError::failed(format!("gave shape {shape:?} for {total} rows")).at(name));
            }
        }
        let mut start = 0;
        for (row, count) in rows.iter_mut().zip(counts) {
            let end = start + count;
            let own =
                outputs.iter().map(|(name, output)| (name.clone(), output.part(axis(name), start..end)));
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
            let whole = match place(&self.inputs, name) {
                RowPlace::Axis(axis) => Tensor::concat_along(axis, parts.iter().copied()),
                RowPlace::Shared if parts.iter().all(|part| *part == parts[0]) => Ok(parts[0].clone()),
                RowPlace::Shared => Err(ModelError::failed("rows differ")),
            };
            Ok((name.clone(), whole.map_err(|error| error.at(name))?))
        });
        let joined = joined.collect::<Result<_, ModelError>>()?;
        Ok((joined, filled.iter().map(|inputs| self.row_count(inputs)).collect()))
    }

    /// The rows of a request: the size of its rows' dimension, which admission has found equal in all inputs.
    fn row_count(&self, inputs: &Tensors) -> usize {
        let count = |(name, tensor): (&Name, &Tensor)| match place(&self.inputs, name) {
            RowPlace::Axis(axis) => tensor.shape().get(axis).copied(),
            RowPlace::Shared => None,
        };
        inputs.iter().find_map(count).unwrap_or(1)
    }
}

/// Where rows lie in a tensor; in front where nothing is known of it.
fn place(places: &[(Name, RowPlace)], name: &str) -> RowPlace {
    places.iter().find(|(known, _)| **known == *name).map_or(RowPlace::Axis(0), |(_, place)| *place)
}

fn input(row: &Row<Tensors, Tensors>) -> Result<&Tensors, ModelError> {
    row.input().ok_or_else(|| ModelError::failed("the input of this row was taken before"))
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

    /// A recurrent model: its state has the rows in the middle, and a number is the same for all.
    #[test]
    fn rows_may_lie_anywhere() {
        struct Adds;
        impl TensorRun for Adds {
            fn run(&mut self, inputs: &Tensors, _: &RunContext<'_>) -> Result<Tensors, ModelError> {
                assert_eq!(inputs.get("rate").unwrap(), &Tensor::scalar(16_i64));
                Ok(Tensors::new()
                    .with("y", inputs.get("x").unwrap().clone())
                    .with("next", inputs.get("state").unwrap().clone()))
            }
        }
        let batch = || Dim::Symbolic("n".into());
        let state = [Dim::Fixed(2), batch(), Dim::Fixed(1)];
        let mut info = info();
        info.signature = Signature {
            inputs: vec![
                TensorSpec::new("state", DType::F32, state.clone()),
                TensorSpec::new("x", DType::F32, [batch()]),
                TensorSpec::new("rate", DType::I64, []),
            ],
            outputs: vec![
                TensorSpec::new("y", DType::F32, [batch()]),
                TensorSpec::new("next", DType::F32, state),
            ],
        };
        let request = |rows: usize, rate: i64, value: f32| {
            Tensors::new()
                .with("x", Tensor::filled(&[rows], value).unwrap())
                .with("state", Tensor::filled(&[2, rows, 1], 10.0 * value).unwrap())
                .with("rate", Tensor::scalar(rate))
        };
        let requests = [request(1, 16, 1.0), request(2, 16, 2.0)];
        let weigh = |inputs: &Tensors| admit_tensors(&info, inputs).unwrap();
        assert_eq!((weigh(&requests[0]).rows, weigh(&requests[1]).rows), (1, 2));
        assert_eq!(weigh(&requests[0]).bucket, weigh(&requests[1]).bucket);
        assert_ne!(weigh(&requests[0]).bucket, weigh(&request(1, 8, 1.0)).bucket, "another rate");
        let (mut batch, cancel) = (Batch::new(requests.clone()), CancelToken::new());
        let ctx = RunContext::new(&cancel, None, &[]);
        JointModel::new(&info, Adds).run(&mut batch, &ctx).unwrap();
        for (row, inputs) in batch.into_rows().into_iter().zip(requests) {
            let answer = row.into_answer().unwrap().unwrap();
            assert_eq!((answer.get("y"), answer.get("next")), (inputs.get("x"), inputs.get("state")));
        }
    }
}
