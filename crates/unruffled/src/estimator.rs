//! An estimator as clients of MLServer know it: they name its input as they like, send what numbers they have, and read `predict`.

use unruffled_model::{
    DType, Data, Footprint, ModelError, Name, Tensor, TensorModel, TensorSpec, Tensors, admit_tensors,
};

use crate::config::ModelConfig;
use crate::error::{Error, ErrorKind};
use crate::translated::{Translated, Translation};

/// What outputs are called there, and here.
const OUTPUTS: [(&str, &str); 3] =
    [("label", "predict"), ("variable", "predict"), ("probabilities", "predict_proba")];

/// A model of one input whose name and type of numbers do not matter.
struct Estimator {
    /// What the model itself takes.
    inner: TensorSpec,
}

/// The model as clients of MLServer know it. The settings may say what its input is called, and what numbers clients send.
pub(crate) fn estimator(model: TensorModel, config: &ModelConfig) -> Result<TensorModel, Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Unsupported, message));
    let mut info = model.info().clone();
    let [input] = info.signature.inputs.as_mut_slice() else {
        return refuse(format!("takes {} inputs, and an estimator takes one", info.signature.inputs.len()));
    };
    let inner = input.clone();
    if !matches!(inner.dtype, DType::F32 | DType::F64) {
        return refuse(format!("takes {inner}, and an estimator takes numbers"));
    }
    if let [told] = config.inputs.as_slice() {
        input.name = told.name.as_str().into();
        input.dtype = told.declared.as_ref().map_or(input.dtype, |declared| declared.dtype);
    }
    for output in &mut info.signature.outputs {
        output.name = outer(&output.name);
    }
    Ok(Translated::of(model, info, Estimator { inner }))
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

impl Translation for Estimator {
    fn inputs(&self, inputs: &Tensors) -> Result<Tensors, ModelError> {
        let (name, tensor) = only(inputs)?;
        let numbers = in_type(tensor, self.inner.dtype).map_err(|error| error.at(name))?;
        Ok(Tensors::new().with(self.inner.name.clone(), numbers))
    }

    fn outputs(&self, outputs: &Tensors) -> Result<Tensors, ModelError> {
        Ok(outputs.iter().map(|(name, tensor)| (outer(name), tensor.clone())).collect())
    }

    /// As if the model took what is given: converting may take long, and is the instance's.
    fn admit(&self, model: &TensorModel, inputs: &Tensors) -> Result<Footprint, ModelError> {
        let (name, tensor) = only(inputs)?;
        if tensor.dtype() == DType::Bytes {
            let message = "has texts, and an estimator takes numbers";
            return Err(ModelError::invalid_input(message).at(name));
        }
        let mut given = model.info().clone();
        let spec = &mut given.signature.inputs[0];
        (spec.name, spec.dtype) = (name.clone(), tensor.dtype());
        admit_tensors(&given, inputs)
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
