//! [`Carrier`]: how the state of a session gets into an input, and out of an output again.

use std::sync::Arc;

use crate::error::ModelError;
use crate::loaded::ModelInfo;
use crate::sequence::initial_shape;
use crate::signature::{Dim, Signature, TensorSpec};
use crate::tensor::Tensor;
use crate::tensors::{Name, Tensors};

/// Puts the state of a session into the input of a call, and takes the next out of its output.
///
/// State is data: it goes to the model with the call and comes back with the answer, so that any instance may run any call of
/// any session, and a call that fails has changed nothing. Both methods run between two calls, on whichever thread ended the
/// first: microseconds, no more.
pub trait Carrier: Send + Sync + 'static {
    /// What a call of a session brings.
    type Item: Send + 'static;
    /// What it gets.
    type Reply: Send + 'static;
    /// What is kept from call to call; the default is what a session begins with.
    type State: Default + Send + Sync + 'static;
    /// What the model takes.
    type Input: Send + 'static;
    /// What the model gives.
    type Output: Send + 'static;
    /// What is known of the next state before the model has run.
    type Draft: Send + 'static;

    /// Puts the state into an input.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that names what is wrong with the item.
    fn attach(
        &self,
        item: Self::Item,
        state: &Arc<Self::State>,
    ) -> Result<(Self::Input, Self::Draft), ModelError>;

    /// Takes the next state out of an output.
    ///
    /// # Errors
    ///
    /// What the model did not give, or gave in another form: the state stays as it was.
    fn detach(
        &self,
        output: Self::Output,
        draft: Self::Draft,
    ) -> Result<(Self::Reply, Self::State), ModelError>;

    /// Checks a state that comes from elsewhere.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that names what does not fit the model.
    fn check(&self, _: &Self::State) -> Result<(), ModelError> {
        Ok(())
    }

    /// The bytes that an item holds while it waits.
    fn item_bytes(&self, _: &Self::Item) -> usize {
        size_of::<Self::Item>()
    }

    /// The bytes that a state holds.
    fn state_bytes(&self, _: &Self::State) -> usize {
        size_of::<Self::State>()
    }
}

/// An input that has room for the state of a session: it knows its [`Carrier`].
pub trait Carried<O>: Send + Sized + 'static {
    /// What puts state into it.
    type Carrier: Carrier<Input = Self, Output = O>;

    /// The carrier for a model.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the model keeps no state, or says something of it that does not fit.
    fn carrier(info: &ModelInfo) -> Result<Self::Carrier, ModelError>;
}

/// The [`Carrier`] of tensors, for models that have a [`SequenceSpec`](crate::SequenceSpec). The state is what inputs are
/// to be, by their names.
#[derive(Clone, Debug)]
pub struct TensorCarrier {
    /// Outputs that become inputs, and what these are in the beginning.
    feedback: Vec<(Name, Name, Tensor)>,
    overlap: Vec<(TensorSpec, usize)>,
    /// What a state may be.
    states: Signature,
}

impl Carried<Tensors> for Tensors {
    type Carrier = TensorCarrier;

    fn carrier(info: &ModelInfo) -> Result<TensorCarrier, ModelError> {
        let spec = info.sequence.as_ref().ok_or_else(|| {
            ModelError::invalid_input(
                "keeps no state between calls; say which output is which input of the next: [sequence] in model.toml",
            )
        })?;
        let signature = &info.signature;
        spec.check(signature)?;
        let input = |name: &Name| {
            let spec = signature.inputs.iter().find(|spec| spec.name == *name);
            spec.cloned().expect("the check has found every input")
        };
        let (mut feedback, mut states) = (Vec::new(), Signature::default());
        for pair in &spec.feedback {
            let mut spec = input(&pair.input);
            feedback.push((pair.output.clone(), spec.name.clone(), initial(&spec, signature.row_symbol())?));
            spec.default = None;
            states.inputs.push(spec);
        }
        let overlap = spec.overlap.iter().map(|overlap| (input(&overlap.input), overlap.elements)).collect();
        Ok(TensorCarrier { feedback, overlap, states })
    }
}

/// What an input is before the first call.
fn initial(spec: &TensorSpec, row_symbol: Option<&str>) -> Result<Tensor, ModelError> {
    match (initial_shape(spec, row_symbol)?, &spec.default) {
        (Some(shape), Some(scalar)) => scalar.repeated(&shape),
        (Some(shape), None) => Tensor::zeros(spec.dtype, &shape),
        (None, default) => Ok(default.clone().expect("only a default has a shape of its own")),
    }
}

impl TensorCarrier {
    /// An input with what is kept of the one before in front of it, and what is to be kept of it.
    fn overlapped(
        (spec, kept): &(TensorSpec, usize),
        new: &Tensor,
        state: &Tensors,
    ) -> Result<(Tensor, Tensor), ModelError> {
        let Some((last, others)) = new.shape().split_last() else {
            return Err(ModelError::invalid_input(format!("is a scalar; expected {spec}")));
        };
        if let Some(Dim::Fixed(whole)) = spec.dims.as_deref().and_then(<[Dim]>::last)
            && last + kept != *whole
        {
            let expected = whole - kept;
            return Err(ModelError::invalid_input(format!(
                "has {last} elements along its last dimension; expected {expected} new ones, before which {kept} are kept"
            )));
        }
        let axis = others.len();
        let before = match state.get(&spec.name) {
            Some(before) => before.clone(),
            None => Tensor::zeros(new.dtype(), &[others, &[*kept]].concat())?,
        };
        let whole = Tensor::concat_along(axis, [&before, new].into_iter())?;
        let end = whole.shape()[axis];
        let kept = whole.part(axis, end - kept..end).compacted();
        Ok((whole, kept))
    }
}

impl Carrier for TensorCarrier {
    type Item = Tensors;
    type Reply = Tensors;
    type State = Tensors;
    type Input = Tensors;
    type Output = Tensors;
    type Draft = Tensors;

    fn attach(&self, item: Tensors, state: &Arc<Tensors>) -> Result<(Tensors, Tensors), ModelError> {
        let (mut inputs, mut draft) = (item, Tensors::new());
        for (_, name, initial) in &self.feedback {
            if inputs.get(name).is_some() {
                let message = "is what the session keeps; leave it out, or restore a snapshot that holds it";
                return Err(ModelError::invalid_input(message).at(name));
            }
            inputs.insert(name.clone(), state.get(name).unwrap_or(initial).clone());
        }
        for overlap in &self.overlap {
            let name = &overlap.0.name;
            let Some(new) = inputs.get(name) else {
                let message = format!("input is missing; expected {}", overlap.0);
                return Err(ModelError::invalid_input(message).at(name));
            };
            let (whole, kept) = Self::overlapped(overlap, new, state).map_err(|error| error.at(name))?;
            inputs.insert(name.clone(), whole);
            draft.insert(name.clone(), kept);
        }
        Ok((inputs, draft))
    }

    fn detach(&self, output: Tensors, draft: Tensors) -> Result<(Tensors, Tensors), ModelError> {
        let (mut reply, mut fed) = (output, Tensors::new());
        for (output, input, _) in &self.feedback {
            let Some(tensor) = reply.remove(output) else {
                let message = format!("was not given, and is to be `{input}` of the next call");
                return Err(ModelError::failed(message).at(output));
            };
            // A part of what a whole batch has given would keep all of that.
            fed.insert(input.clone(), tensor.compacted());
        }
        self.states.check(&fed).map_err(|error| {
            ModelError::failed(format!("what was given for the next call does not fit it: {error}"))
        })?;
        Ok((reply, fed.into_iter().chain(draft).collect()))
    }

    fn check(&self, state: &Tensors) -> Result<(), ModelError> {
        // A session that has made no call yet.
        if state.is_empty() {
            return Ok(());
        }
        let mut fed = state.clone();
        for (spec, kept) in &self.overlap {
            let tail = fed.remove(&spec.name);
            let fits =
                tail.is_some_and(|tail| tail.dtype() == spec.dtype && tail.shape().last() == Some(kept));
            if !fits {
                let message = format!("the snapshot does not hold its last {kept} elements; expected {spec}");
                return Err(ModelError::invalid_input(message).at(&spec.name));
            }
        }
        self.states.check(&fed)
    }

    fn item_bytes(&self, item: &Tensors) -> usize {
        item.byte_len()
    }

    fn state_bytes(&self, state: &Tensors) -> usize {
        state.byte_len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Carried, Carrier, TensorCarrier};
    use crate::{DType, Dim, ModelInfo, SequenceSpec, Signature, Tensor, TensorSpec, Tensors};

    fn info() -> ModelInfo {
        let rows = || Dim::Symbolic("batch".into());
        let state = [Dim::Fixed(2), rows(), Dim::Fixed(1)];
        let signature = Signature {
            inputs: vec![
                TensorSpec::new("x", DType::F32, [rows(), Dim::Fixed(5)]),
                TensorSpec::new("state", DType::F32, state.clone()),
            ],
            outputs: vec![
                TensorSpec::new("y", DType::F32, [rows()]),
                TensorSpec::new("next", DType::F32, state),
            ],
        };
        let sequence = SequenceSpec::new().with_state("next", "state").with_overlap("x", 2);
        ModelInfo::new("test", "test").with_signature(signature).with_sequence(sequence)
    }

    fn carrier() -> TensorCarrier {
        Tensors::carrier(&info()).unwrap()
    }

    fn x(numbers: &[f32]) -> Tensors {
        Tensors::new().with("x", Tensor::new(&[1, numbers.len()], numbers.to_vec()).unwrap())
    }

    fn elements(tensors: &Tensors, name: &str) -> Vec<f32> {
        tensors.get(name).unwrap().elements().unwrap().to_vec()
    }

    fn given(state: f32) -> Tensors {
        let next = Tensor::filled(&[2, 1, 1], state).unwrap();
        Tensors::new().with("y", Tensor::filled(&[1], 9_f32).unwrap()).with("next", next)
    }

    #[test]
    fn state_goes_in_and_comes_out() {
        let carrier = carrier();
        let (first, draft) = carrier.attach(x(&[1.0, 2.0, 3.0]), &Arc::default()).unwrap();
        assert_eq!(elements(&first, "x"), [0.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(elements(&first, "state"), [0.0, 0.0]);
        let (reply, state) = carrier.detach(given(7.0), draft).unwrap();
        assert_eq!((reply.len(), reply.get("next")), (1, None), "state is the session's");
        carrier.check(&state).unwrap();
        let (second, _) = carrier.attach(x(&[4.0, 5.0, 6.0]), &Arc::new(state)).unwrap();
        assert_eq!(elements(&second, "x"), [2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(elements(&second, "state"), [7.0, 7.0]);
    }

    #[test]
    fn a_state_keeps_nothing_of_its_batch_alive() {
        let many = Tensor::filled(&[1000, 1], 1_f32).unwrap();
        let mut info = info();
        info.signature.inputs[1].dims = Some(vec![Dim::Symbolic("batch".into()), Dim::Fixed(1)]);
        info.signature.outputs[1].dims = info.signature.inputs[1].dims.clone();
        let carrier = Tensors::carrier(&info).unwrap();
        let (_, draft) = carrier.attach(x(&[1.0, 2.0, 3.0]), &Arc::default()).unwrap();
        let (_, state) = carrier.detach(Tensors::new().with("next", many.rows(7..8)), draft).unwrap();
        assert_eq!(carrier.state_bytes(&state), 4 + 2 * 4);
        assert!(matches!(state.get("state").unwrap().data(), crate::Data::F32(own) if own.is_whole()));
    }

    #[track_caller]
    fn check_refused<T>(outcome: Result<T, crate::ModelError>, message: &str) {
        assert_eq!(outcome.map(drop).unwrap_err().to_string(), message);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let carrier = carrier();
        let attach = |item: Tensors| carrier.attach(item, &Arc::default());
        let own = Tensor::filled(&[2, 1, 1], 1_f32).unwrap();
        check_refused(
            attach(x(&[1.0, 2.0, 3.0]).with("state", own.clone())),
            "`state`: is what the session keeps; leave it out, or restore a snapshot that holds it",
        );
        check_refused(
            attach(x(&[1.0])),
            "`x`: has 1 elements along its last dimension; expected 3 new ones, before which 2 are kept",
        );
        check_refused(attach(Tensors::new()), "`x`: input is missing; expected x: f32 [batch, 5]");
        check_refused(
            attach(Tensors::new().with("x", Tensor::scalar(1_f32))),
            "`x`: is a scalar; expected x: f32 [batch, 5]",
        );
        check_refused(
            carrier.detach(Tensors::new(), Tensors::new()),
            "`next`: was not given, and is to be `state` of the next call",
        );
        check_refused(
            carrier.detach(Tensors::new().with("next", Tensor::scalar(1_f32)), Tensors::new()),
            "what was given for the next call does not fit it: `state`: expected shape [2, batch, 1], got []",
        );
        check_refused(
            carrier.check(&Tensors::new().with("state", own)),
            "`x`: the snapshot does not hold its last 2 elements; expected x: f32 [batch, 5]",
        );
        let tail = Tensor::filled(&[1, 2], 0_f32).unwrap();
        check_refused(
            carrier.check(&Tensors::new().with("x", tail).with("state", Tensor::scalar(1_f32))),
            "`state`: expected shape [2, batch, 1], got []",
        );
        let mut info = info();
        info.sequence = None;
        assert!(Tensors::carrier(&info).unwrap_err().to_string().contains("keeps no state between calls"));
    }
}
