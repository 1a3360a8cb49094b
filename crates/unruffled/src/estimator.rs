//! An estimator as clients of MLServer know it: they name its input as they like, send what numbers they have, and read `predict`.

use std::sync::Arc;

use unruffled_model::{
    Batch, DType, Data, Footprint, LoadedModel, Model, ModelError, ModelInfo, Name, RunContext, Serve,
    Tensor, TensorModel, TensorSpec, Tensors, admit_tensors,
};

use crate::config::ModelConfig;
use crate::error::{Error, ErrorKind};

/// What outputs are called there, and here.
const OUTPUTS: [(&str, &str); 3] =
    [("label", "predict"), ("variable", "predict"), ("probabilities", "predict_proba")];

/// A model of one input whose name and type of numbers do not matter.
pub(crate) struct Estimator {
    model: TensorModel,
    info: ModelInfo,
}

impl Estimator {
    /// The settings may say what its input is called, and what numbers clients send.
    pub(crate) fn of(model: TensorModel, config: &ModelConfig) -> Result<TensorModel, Error> {
        let mut info = model.info().clone();
        let [input] = info.signature.inputs.as_mut_slice() else {
            let message = format!("takes {} inputs, and an estimator takes one", info.signature.inputs.len());
            return Err(Error::new(ErrorKind::Unsupported, message));
        };
        if !matches!(input.dtype, DType::F32 | DType::F64) {
            let message = format!("takes {input}, and an estimator takes numbers");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if let [told] = config.inputs.as_slice() {
            input.name = told.name.as_str().into();
            input.dtype = told.declared.as_ref().map_or(input.dtype, |declared| declared.dtype);
        }
        for output in &mut info.signature.outputs {
            output.name = outer(&output.name);
        }
        Ok(Arc::new(Self { model, info }))
    }

    /// What the model itself takes.
    fn inner(&self) -> &TensorSpec {
        &self.model.info().signature.inputs[0]
    }

    /// The inputs of a request as the model takes them.
    fn translate(&self, inputs: &Tensors) -> Result<Tensors, ModelError> {
        let (name, tensor) = only(inputs)?;
        let spec = self.inner();
        let numbers = in_type(tensor, spec.dtype).map_err(|error| error.at(name))?;
        Ok(Tensors::new().with(spec.name.clone(), numbers))
    }
}

fn outer(name: &Name) -> Name {
    let known = OUTPUTS.iter().find(|(inner, _)| *inner == &**name);
    known.map_or_else(|| name.clone(), |(_, outer)| (*outer).into())
}

fn only(inputs: &Tensors) -> Result<(&Name, &Tensor), ModelError> {
    let count = inputs.len();
    let mut all = inputs.iter();
    match (all.next(), all.next()) {
        (Some(input), None) => Ok(input),
        _ => Err(ModelError::invalid_input(format!("takes one input, of any name; {count} are given"))),
    }
}

/// The same numbers in the type that an estimator computes in.
fn in_type(tensor: &Tensor, dtype: DType) -> Result<Tensor, ModelError> {
    if tensor.dtype() == dtype {
        return Ok(tensor.clone());
    }
    let numbers: Vec<f64> = match tensor.data() {
        Data::Bool(all) => all.iter().map(|x| f64::from(u8::from(*x))).collect(),
        Data::U8(all) => all.iter().map(|x| f64::from(*x)).collect(),
        Data::U16(all) => all.iter().map(|x| f64::from(*x)).collect(),
        Data::U32(all) => all.iter().map(|x| f64::from(*x)).collect(),
        Data::U64(all) => all.iter().map(|x| *x as f64).collect(),
        Data::I8(all) => all.iter().map(|x| f64::from(*x)).collect(),
        Data::I16(all) => all.iter().map(|x| f64::from(*x)).collect(),
        Data::I32(all) => all.iter().map(|x| f64::from(*x)).collect(),
        Data::I64(all) => all.iter().map(|x| *x as f64).collect(),
        Data::F16(all) => all.iter().map(|x| f64::from(*x)).collect(),
        Data::BF16(all) => all.iter().map(|x| f64::from(*x)).collect(),
        Data::F32(all) => all.iter().map(|x| f64::from(*x)).collect(),
        Data::F64(all) => all.to_vec(),
        _ => return Err(ModelError::invalid_input("has texts, and an estimator takes numbers")),
    };
    match dtype {
        DType::F32 => Tensor::new(tensor.shape(), numbers.iter().map(|x| *x as f32).collect::<Vec<_>>()),
        _ => Tensor::new(tensor.shape(), numbers),
    }
}

impl LoadedModel for Estimator {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Nothing is converted yet: that may take long, and is the instance's.
    fn admit(&self, inputs: &Tensors) -> Result<Footprint, ModelError> {
        let (name, tensor) = only(inputs)?;
        if tensor.dtype() == DType::Bytes {
            let message = "has texts, and an estimator takes numbers";
            return Err(ModelError::invalid_input(message).at(name));
        }
        let mut given = self.info.clone();
        let spec = &mut given.signature.inputs[0];
        (spec.name, spec.dtype) = (name.clone(), tensor.dtype());
        admit_tensors(&given, inputs)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        self.model.with_instance(&mut |instance| serve(&mut Translated { estimator: self, instance }))
    }
}

/// One instance of it.
struct Translated<'a> {
    estimator: &'a Estimator,
    instance: &'a mut dyn Model<Input = Tensors, Output = Tensors>,
}

impl Model for Translated<'_> {
    type Input = Tensors;
    type Output = Tensors;

    fn run(&mut self, batch: &mut Batch<Tensors, Tensors>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        // Rows of a run come in the order of its requests: that order is kept.
        let inputs = batch.rows().iter().map(|row| {
            let input = row.input().ok_or_else(|| ModelError::failed("a row has lost its input"))?;
            self.estimator.translate(input)
        });
        let mut inner = Batch::new(inputs.collect::<Result<Vec<_>, _>>()?);
        let outcome = self.instance.run(&mut inner, ctx);
        for (row, inner) in batch.rows_mut().iter_mut().zip(inner.into_rows()) {
            if let Some(answer) = inner.into_answer() {
                row.finish(answer.map(|outputs| {
                    outputs.iter().map(|(name, tensor)| (outer(name), tensor.clone())).collect()
                }));
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::in_type;
    use crate::{DType, Tensor};

    #[test]
    fn numbers_of_every_type_are_those_that_an_estimator_takes() {
        let numbers =
            |tensor: Tensor| in_type(&tensor, DType::F64).unwrap().elements::<f64>().unwrap().to_vec();
        assert_eq!(numbers(Tensor::new(&[2], vec![1.5_f32, -2.0]).unwrap()), [1.5, -2.0]);
        assert_eq!(numbers(Tensor::new(&[2], vec![3_i64, -4]).unwrap()), [3.0, -4.0]);
        assert_eq!(numbers(Tensor::new(&[2], vec![true, false]).unwrap()), [1.0, 0.0]);
        let narrow = in_type(&Tensor::new(&[1], vec![0.5_f64]).unwrap(), DType::F32).unwrap();
        assert_eq!(narrow.elements::<f32>().unwrap(), [0.5]);
        let texts = Tensor::new(&[1], vec![unruffled_model::Bytes::from_static(b"a")]).unwrap();
        assert!(in_type(&texts, DType::F64).is_err());
    }
}
