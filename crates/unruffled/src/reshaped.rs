//! A model that callers see with other shapes than it has: the elements are the same, in their order.

use unruffled_model::{Dim, Footprint, ModelError, Signature, Tensor, TensorModel, TensorSpec, Tensors};

use crate::config::Reshape;
use crate::error::Error;
use crate::translated::{Translated, Translation};

/// Inputs and outputs whose shapes differ.
struct Shapes {
    inputs: Vec<Reshape>,
    outputs: Vec<Reshape>,
}

/// The model with the shapes that callers send and read. Those of the model have been held against it.
pub(crate) fn reshaped(
    model: TensorModel,
    inputs: Vec<Reshape>,
    outputs: Vec<Reshape>,
) -> Result<TensorModel, Error> {
    let mut info = model.info().clone();
    let Signature { inputs: takes, outputs: gives } = &mut info.signature;
    for (specs, shapes) in [(takes, &inputs), (gives, &outputs)] {
        for spec in specs {
            if let Some(shape) = find(shapes, spec) {
                // A batch keeps its name: it is the same for all of them.
                let first = spec.dims.as_ref().and_then(|dims| dims.first()).filter(|_| shape.batched);
                let rest = shape.callers.iter().skip(usize::from(first.is_some())).cloned();
                spec.dims = Some(first.cloned().into_iter().chain(rest).collect());
                spec.default = match spec.default.take() {
                    // One number for all elements fits any shape.
                    Some(default) if default.shape().is_empty() => Some(default),
                    Some(default) => Some(default.reshaped(&shape.to(
                        &shape.models,
                        &shape.callers,
                        default.shape(),
                    )?)?),
                    None => None,
                };
            }
        }
    }
    Ok(Translated::of(model, info, Shapes { inputs, outputs }))
}

fn find<'a>(shapes: &'a [Reshape], spec: &TensorSpec) -> Option<&'a Reshape> {
    shapes.iter().find(|shape| *shape.name == *spec.name)
}

impl Reshape {
    /// The shape of a tensor in the other form: sizes that are open in one are those in the other, in order.
    fn to(&self, from: &[Dim], to: &[Dim], shape: &[usize]) -> Result<Vec<usize>, ModelError> {
        let fits = |(dim, size): (&Dim, &usize)| !matches!(dim, Dim::Fixed(fixed) if fixed != size);
        if shape.len() != from.len() || !from.iter().zip(shape).all(fits) {
            let expected: Vec<_> = from.iter().map(ToString::to_string).collect();
            let message = format!("has shape {shape:?}; expected [{}]", expected.join(", "));
            return Err(ModelError::invalid_input(message).at(self.name.as_str()));
        }
        let mut open =
            from.iter().zip(shape).filter(|(dim, _)| !matches!(dim, Dim::Fixed(_))).map(|(_, size)| *size);
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbolic(_) | Dim::Any => open.next().unwrap_or(1),
        };
        Ok(to.iter().map(size).collect())
    }

    fn to_model(&self, tensor: &Tensor) -> Result<Tensor, ModelError> {
        tensor.reshaped(&self.to(&self.callers, &self.models, tensor.shape())?)
    }

    fn to_caller(&self, tensor: &Tensor) -> Result<Tensor, ModelError> {
        tensor.reshaped(&self.to(&self.models, &self.callers, tensor.shape())?)
    }
}

fn each(
    shapes: &[Reshape],
    tensors: &Tensors,
    change: impl Fn(&Reshape, &Tensor) -> Result<Tensor, ModelError>,
) -> Result<Tensors, ModelError> {
    let mut changed = tensors.clone();
    for shape in shapes {
        if let Some(tensor) = tensors.get(&shape.name) {
            let tensor = change(shape, tensor).map_err(|error| error.at(shape.name.as_str()))?;
            changed.insert(shape.name.as_str(), tensor);
        }
    }
    Ok(changed)
}

impl Translation for Shapes {
    fn inputs(&self, inputs: &Tensors) -> Result<Tensors, ModelError> {
        each(&self.inputs, inputs, Reshape::to_model)
    }

    fn outputs(&self, outputs: &Tensors) -> Result<Tensors, ModelError> {
        each(&self.outputs, outputs, Reshape::to_caller)
    }

    /// Another shape of the same elements costs nothing.
    fn admit(&self, model: &TensorModel, inputs: &Tensors) -> Result<Footprint, ModelError> {
        model.admit(&self.inputs(inputs)?)
    }
}

#[cfg(test)]
mod tests {
    use super::Reshape;
    use crate::{Dim, Tensor};

    #[test]
    fn open_sizes_keep_their_order() {
        let dims = |sizes: &[i64]| {
            sizes.iter().map(|size| usize::try_from(*size).map_or(Dim::Any, Dim::Fixed)).collect::<Vec<_>>()
        };
        let check = |callers: &[i64], models: &[i64], given: &[usize], expected: Result<&[usize], &str>| {
            let (callers, models) = (dims(callers), dims(models));
            let shape = Reshape { name: "x".into(), callers, models, batched: false };
            let tensor = Tensor::filled(given, 0_f32).unwrap();
            let there = shape.to_model(&tensor);
            assert_eq!(
                there.as_ref().map(Tensor::shape).map_err(ToString::to_string),
                expected.map_err(str::to_owned)
            );
            if let Ok(there) = there {
                assert_eq!(shape.to_caller(&there).unwrap().shape(), given);
            }
        };
        check(&[1], &[], &[1], Ok(&[]));
        check(&[-1, 1], &[-1], &[3, 1], Ok(&[3]));
        check(&[-1, 4, -1], &[-1, 2, 2, -1], &[3, 4, 5], Ok(&[3, 2, 2, 5]));
        check(&[-1, 4], &[-1, 2, 2], &[3, 5], Err("`x`: has shape [3, 5]; expected [?, 4]"));
        check(&[1], &[], &[1, 1], Err("`x`: has shape [1, 1]; expected [1]"));
    }
}
