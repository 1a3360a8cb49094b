//! [`SequenceSpec`]: which part of what a model takes and gives is the state of a session.

use crate::error::ModelError;
use crate::signature::{Dim, Signature, TensorSpec};
use crate::tensors::Name;

/// Which outputs of a call a model wants back as inputs of the next, and which inputs overlap from call to call.
///
/// ```
/// use unruffled_model::SequenceSpec;
///
/// // silero-vad: a recurrent state, and the last 64 samples before the new ones.
/// let spec = SequenceSpec::new().with_state("stateN", "state").with_overlap("input", 64);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceSpec {
    /// What is fed back.
    pub(crate) feedback: Vec<Feedback>,
    /// What is kept of an input for the next one.
    pub(crate) overlap: Vec<Overlap>,
}

/// An output that is an input of the next call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Feedback {
    /// The output.
    pub output: Name,
    /// The input that it becomes. In the first call that is the input's default, or else zeros of its shape, with 1 row.
    pub input: Name,
}

/// An input whose end stands before the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overlap {
    /// The input.
    pub input: Name,
    /// How many elements along its last dimension; zeros before the first call.
    pub elements: usize,
}

impl SequenceSpec {
    /// Nothing is kept yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds an output back: it is `input` of the next call.
    #[must_use]
    pub fn with_state(mut self, output: impl Into<Name>, input: impl Into<Name>) -> Self {
        self.feedback.push(Feedback { output: output.into(), input: input.into() });
        self
    }

    /// Has the last `elements` along the last dimension of an input stand before those of the next call.
    #[must_use]
    pub fn with_overlap(mut self, input: impl Into<Name>, elements: usize) -> Self {
        self.overlap.push(Overlap { input: input.into(), elements });
        self
    }

    /// What is fed back.
    pub fn feedback(&self) -> &[Feedback] {
        &self.feedback
    }

    /// What overlaps.
    pub fn overlap(&self) -> &[Overlap] {
        &self.overlap
    }

    /// Checks that a model takes and gives what is said here.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that names the input or output at fault, and what there is.
    pub fn check(&self, signature: &Signature) -> Result<(), ModelError> {
        let mut kept: Vec<&Name> = Vec::new();
        let mut once = |input| match kept.contains(&input) {
            true => Err(ModelError::invalid_input("is said twice; an input has one past").at(input)),
            false => {
                kept.push(input);
                Ok(())
            }
        };
        for Feedback { output, input } in &self.feedback {
            once(input)?;
            let from = find(&signature.outputs, output, "output")?;
            let to = find(&signature.inputs, input, "input")?;
            if from.dtype != to.dtype || !may_be(from.dims.as_deref(), to.dims.as_deref()) {
                let message = format!("cannot become the input {to}: the output is {from}");
                return Err(ModelError::invalid_input(message).at(output));
            }
            initial_shape(to, signature.row_symbol())?;
        }
        for Overlap { input, elements } in &self.overlap {
            once(input)?;
            let spec = find(&signature.inputs, input, "input")?;
            let last = spec.dims.as_deref().map(|dims| dims.last());
            let message = match last {
                _ if *elements == 0 => "overlaps by 0 elements; leave it out".into(),
                Some(None) => "has no dimension along which it could overlap".into(),
                Some(Some(Dim::Fixed(size))) if size <= elements => {
                    format!("cannot keep {elements} of its {size} elements, and still have new ones")
                }
                _ => continue,
            };
            return Err(ModelError::invalid_input(message).at(input));
        }
        Ok(())
    }
}

/// The shape of an input before the first call: as declared, with 1 row; `None` if its default has its own.
pub(crate) fn initial_shape(
    spec: &TensorSpec,
    row_symbol: Option<&str>,
) -> Result<Option<Vec<usize>>, ModelError> {
    if spec.default.as_ref().is_some_and(|default| !default.shape().is_empty()) {
        return Ok(None);
    }
    let size = |(at, dim): (usize, &Dim)| match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Symbolic(symbol) if row_symbol.map_or(at == 0, |rows| *rows == **symbol) => Some(1),
        Dim::Any if row_symbol.is_none() && at == 0 => Some(1),
        Dim::Symbolic(_) | Dim::Any => None,
    };
    let shape = spec.dims.as_ref().and_then(|dims| dims.iter().enumerate().map(size).collect());
    shape.map(Some).ok_or_else(|| {
        let message = format!("what is {spec} before the first call? give it a default with a shape");
        ModelError::invalid_input(message).at(&spec.name)
    })
}

fn find<'a>(specs: &'a [TensorSpec], name: &str, what: &str) -> Result<&'a TensorSpec, ModelError> {
    specs.iter().find(|spec| *spec.name == *name).ok_or_else(|| {
        let known: Vec<_> = specs.iter().map(|spec| format!("`{}`", spec.name)).collect();
        ModelError::invalid_input(format!("there is no such {what}; the model has {}", known.join(", ")))
            .at(name)
    })
}

/// Whether something of these dimensions may be something of those.
fn may_be(ours: Option<&[Dim]>, theirs: Option<&[Dim]>) -> bool {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return true };
    let contradict = |pair: (&Dim, &Dim)| matches!(pair, (Dim::Fixed(a), Dim::Fixed(b)) if a != b);
    ours.len() == theirs.len() && !ours.iter().zip(theirs).any(contradict)
}

#[cfg(test)]
mod tests {
    use super::SequenceSpec;
    use crate::{DType, Dim, Signature, Tensor, TensorSpec};

    fn signature() -> Signature {
        let rows = || Dim::Symbolic("batch".into());
        let state = [Dim::Fixed(2), rows(), Dim::Fixed(4)];
        Signature {
            inputs: vec![
                TensorSpec::new("x", DType::F32, [rows(), Dim::Symbolic("length".into())]),
                TensorSpec::new("state", DType::F32, state.clone()),
                TensorSpec::new("wide", DType::F32, [rows(), Dim::Any]),
                TensorSpec::new("rate", DType::I64, []),
                TensorSpec::new("four", DType::F32, [rows(), Dim::Fixed(4)]),
            ],
            outputs: vec![
                TensorSpec::new("y", DType::F32, [rows(), Dim::Fixed(1)]),
                TensorSpec::new("next", DType::F32, state),
            ],
        }
    }

    #[track_caller]
    fn check(spec: &SequenceSpec, expected: Result<(), &str>) {
        let outcome = spec.check(&signature()).map_err(|error| error.to_string());
        assert_eq!(outcome.as_ref().map_err(String::as_str).copied(), expected);
    }

    #[test]
    fn what_is_said_must_be_there_and_fit() {
        let new = SequenceSpec::new;
        check(&new().with_state("next", "state").with_overlap("x", 64).with_overlap("four", 3), Ok(()));
        check(
            &new().with_state("stat", "state"),
            Err("`stat`: there is no such output; the model has `y`, `next`"),
        );
        check(
            &new().with_state("next", "stat"),
            Err("`stat`: there is no such input; the model has `x`, `state`, `wide`, `rate`, `four`"),
        );
        check(
            &new().with_state("y", "state"),
            Err("`y`: cannot become the input state: f32 [2, batch, 4]: the output is y: f32 [batch, 1]"),
        );
        check(
            &new().with_state("next", "rate"),
            Err("`next`: cannot become the input rate: i64 []: the output is next: f32 [2, batch, 4]"),
        );
        check(
            &new().with_state("y", "wide"),
            Err("`wide`: what is wide: f32 [batch, ?] before the first call? give it a default with a shape"),
        );
        check(
            &new().with_state("next", "state").with_overlap("state", 1),
            Err("`state`: is said twice; an input has one past"),
        );
        check(&new().with_overlap("x", 0), Err("`x`: overlaps by 0 elements; leave it out"));
        check(&new().with_overlap("rate", 1), Err("`rate`: has no dimension along which it could overlap"));
        check(
            &new().with_overlap("four", 4),
            Err("`four`: cannot keep 4 of its 4 elements, and still have new ones"),
        );
    }

    #[test]
    fn a_default_with_a_shape_says_what_comes_first() {
        let mut signature = signature();
        signature.inputs[2].default = Some(Tensor::filled(&[1, 1], 0_f32).unwrap());
        SequenceSpec::new().with_state("y", "wide").check(&signature).unwrap();
    }
}
