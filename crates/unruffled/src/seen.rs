//! A model as callers of another server see it: with other shapes, fewer outputs, and inputs that the server fills.

use std::sync::Arc;

use unruffled_model::{
    Dim, Footprint, ModelError, Name, SequenceSpec, Signature, Tensor, TensorModel, TensorSpec, Tensors,
};

use crate::config::{Foreign, Reshape};
use crate::error::Error;
use crate::translated::{Translated, Translation};

/// What is between callers and the model.
struct Seen {
    settings: Arc<Foreign>,
    /// Outputs that callers do not see.
    hidden: Vec<Name>,
    /// Outputs that the model does not give: what says of the next call of a sequence that it is not the first.
    later: Vec<(Name, Tensor)>,
}

/// The model as the settings have it, which have been held against it.
pub(crate) fn seen(model: TensorModel, settings: &Arc<Foreign>) -> Result<TensorModel, Error> {
    let mut info = model.info().clone();
    let kept = |name: &Name| {
        info.sequence.as_ref().is_some_and(|spec| spec.feedback().iter().any(|x| x.output == *name))
    };
    let is_hidden = |name: &Name| {
        let listed = settings.listed.as_ref();
        listed.is_some_and(|listed| !listed.iter().any(|known| **known == **name)) && !kept(name)
    };
    let names = info.signature.outputs.iter().map(|spec| &spec.name);
    let hidden: Vec<Name> = names.filter(|name| is_hidden(name)).cloned().collect();
    if hidden.is_empty()
        && [&settings.inputs, &settings.outputs].iter().all(|shapes| shapes.is_empty())
        && settings.starts.is_empty()
    {
        return Ok(model);
    }
    let Signature { inputs: takes, outputs: gives } = &mut info.signature;
    gives.retain(|spec| !hidden.contains(&spec.name));
    for (specs, shapes) in [(&mut *takes, &settings.inputs), (&mut *gives, &settings.outputs)] {
        for spec in specs {
            if let Some(shape) = shapes.iter().find(|shape| *shape.name == *spec.name) {
                reshape(spec, shape)?;
            }
        }
    }
    let (mut sequence, mut later) = (info.sequence.take().unwrap_or_default(), Vec::new());
    for (name, number) in &settings.starts {
        if let Some(spec) = takes.iter().find(|spec| *spec.name == **name) {
            later.push((spec.name.clone(), one_row(spec, *number)?));
            gives.push(TensorSpec { default: None, ..spec.clone() });
            sequence = sequence.with_state(spec.name.clone(), spec.name.clone());
        }
    }
    info.sequence = (sequence != SequenceSpec::default()).then_some(sequence);
    Ok(Translated::of(model, info, Seen { settings: Arc::clone(settings), hidden, later }))
}

/// Gives an input or output the shape that callers see.
fn reshape(spec: &mut TensorSpec, shape: &Reshape) -> Result<(), ModelError> {
    // A batch keeps its name: it is the same for all of them.
    let first = spec.dims.as_ref().and_then(|dims| dims.first()).filter(|_| shape.batched);
    let rest = shape.callers.iter().skip(usize::from(first.is_some())).cloned();
    spec.dims = Some(first.cloned().into_iter().chain(rest).collect());
    // One number for all elements fits any shape.
    if let Some(default) = spec.default.take_if(|default| !default.shape().is_empty()) {
        spec.default = Some(shape.to_caller(&default)?);
    }
    Ok(())
}

/// This number for one row of an input.
fn one_row(spec: &TensorSpec, number: f64) -> Result<Tensor, ModelError> {
    let size = |dim: &Dim| if let Dim::Fixed(size) = dim { *size } else { 1 };
    let shape: Vec<usize> = spec.dims.iter().flatten().map(size).collect();
    Tensor::from_number(spec.dtype, number)?.repeated(&shape)
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

impl Translation for Seen {
    fn inputs(&self, inputs: &Tensors) -> Result<Tensors, ModelError> {
        each(&self.settings.inputs, inputs, Reshape::to_model)
    }

    fn outputs(&self, outputs: &Tensors) -> Result<Tensors, ModelError> {
        let mut outputs = each(&self.settings.outputs, outputs, Reshape::to_caller)?;
        for name in &self.hidden {
            outputs.remove(name);
        }
        for (name, later) in &self.later {
            outputs.insert(name.clone(), later.clone());
        }
        Ok(outputs)
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
