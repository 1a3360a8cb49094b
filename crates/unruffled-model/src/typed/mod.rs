//! [`IntoTensors`] and [`FromTensors`]: inputs and outputs as the types of the program that asks.

mod shape;

mod tensor;

use crate::error::ModelError;
use crate::signature::{Signature, TensorSpec};
use crate::tensor::Tensor;
use crate::tensors::Tensors;

pub use tensor::{FromTensor, IntoTensor};

/// What can be given to a model of tensors: the tensors themselves, anything that is one tensor where the model takes one
/// ([`IntoTensor`]), or a type of one's own with a field for each input, by `#[derive(IntoTensors)]` of the crate `unruffled`.
///
/// ```
/// use unruffled_model::{DType, Dim, IntoTensors, ModelError, Signature, TensorSpec, Tensors};
///
/// struct Flower {
///     petal: [f32; 2],
///     sepal: [f32; 2],
/// }
///
/// impl IntoTensors for Flower {
///     fn into_tensors(self, signature: &Signature) -> Result<Tensors, ModelError> {
///         let [a, b] = self.petal;
///         let [c, d] = self.sepal;
///         vec![a, b, c, d].into_tensors(signature)
///     }
/// }
///
/// let x = TensorSpec::new("x", DType::F32, [Dim::Symbolic("batch".into()), Dim::Fixed(4)]);
/// let signature = Signature { inputs: vec![x], outputs: Vec::new() };
/// let tensors = Flower { petal: [1.4, 0.2], sepal: [5.1, 3.5] }.into_tensors(&signature)?;
/// assert_eq!(tensors.get("x").unwrap().shape(), [1, 4]);
/// # Ok::<(), ModelError>(())
/// ```
pub trait IntoTensors {
    /// The inputs of one request to a model of this signature. Copies no elements that it can move.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that names the input at fault and what was expected of it.
    fn into_tensors(self, signature: &Signature) -> Result<Tensors, ModelError>;
}

/// What the outputs of a model can be read as: the tensors themselves, anything that is one tensor where the model gives one
/// ([`FromTensor`]), or a type of one's own with a field for each output, by `#[derive(FromTensors)]` of the crate `unruffled`.
pub trait FromTensors: Sized {
    /// Reads the outputs of one request.
    ///
    /// # Errors
    ///
    /// `Failed` that names the output at fault and what was expected of it.
    fn from_tensors(tensors: Tensors) -> Result<Self, ModelError>;
}

impl IntoTensors for Tensors {
    fn into_tensors(self, _: &Signature) -> Result<Tensors, ModelError> {
        Ok(self)
    }
}

impl FromTensors for Tensors {
    fn from_tensors(tensors: Tensors) -> Result<Self, ModelError> {
        Ok(tensors)
    }
}

impl<T: IntoTensor> IntoTensors for T {
    fn into_tensors(self, signature: &Signature) -> Result<Tensors, ModelError> {
        let spec = only_input(signature)?;
        Ok(Tensors::new().with(spec.name.clone(), into_input(self, spec)?))
    }
}

impl<T: FromTensor> FromTensors for T {
    fn from_tensors(tensors: Tensors) -> Result<Self, ModelError> {
        let mut outputs = tensors.into_iter();
        match (outputs.next(), outputs.next()) {
            (Some((name, tensor)), None) => T::from_tensor(tensor).map_err(|error| unlike(&error, &name)),
            (None, _) => Err(ModelError::failed("gave no output to be read")),
            (Some((first, _)), Some((second, _))) => Err(ModelError::failed(format!(
                "gave several outputs, `{first}` and `{second}` among them; read them as `Tensors`, or as a type with a field \
                 for each"
            ))),
        }
    }
}

/// One field of a type whose fields are inputs.
///
/// # Errors
///
/// `InvalidInput` that names the input.
#[doc(hidden)]
pub fn field_into<T: IntoTensor>(
    tensors: &mut Tensors,
    signature: &Signature,
    name: &'static str,
    value: T,
) -> Result<(), ModelError> {
    let Some(spec) = signature.inputs.iter().find(|spec| *spec.name == *name) else {
        let known: Vec<_> = signature.inputs.iter().map(ToString::to_string).collect();
        let message = format!("no such input; the model takes {}", known.join(", "));
        return Err(ModelError::invalid_input(message).at(name));
    };
    tensors.insert(spec.name.clone(), into_input(value, spec)?);
    Ok(())
}

/// One field of a type whose fields are outputs.
///
/// # Errors
///
/// `Failed` that names the output.
#[doc(hidden)]
pub fn field_from<T: FromTensor>(tensors: &mut Tensors, name: &'static str) -> Result<T, ModelError> {
    let Some(tensor) = tensors.remove(name) else {
        let given: Vec<_> = tensors.iter().map(|(name, _)| format!("`{name}`")).collect();
        let message = format!("was not given by the model; there is {}", given.join(", "));
        return Err(ModelError::failed(message).at(name));
    };
    T::from_tensor(tensor).map_err(|error| unlike(&error, name))
}

fn into_input<T: IntoTensor>(value: T, spec: &TensorSpec) -> Result<Tensor, ModelError> {
    value.into_tensor(spec).map_err(|error| error.at(&spec.name))
}

/// What a caller wants to read and the model did not give: nobody's input is at fault.
fn unlike(error: &ModelError, output: &str) -> ModelError {
    ModelError::failed(format!("cannot be read as asked for: {error}")).at(output)
}

/// The one input that is meant when none is named.
fn only_input(signature: &Signature) -> Result<&TensorSpec, ModelError> {
    let mut required = signature.inputs.iter().filter(|spec| spec.default.is_none());
    match (required.next(), required.next(), signature.inputs.as_slice()) {
        (Some(one), None, _) | (_, _, [one]) => Ok(one),
        (_, _, []) => Err(ModelError::invalid_input("the model takes no input")),
        _ => {
            let known: Vec<_> = signature.inputs.iter().map(ToString::to_string).collect();
            Err(ModelError::invalid_input(format!(
                "the model takes several inputs: {}; give `Tensors`, or a type with a field for each",
                known.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests;
