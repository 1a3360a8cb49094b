//! `speech-gate`: the stretches of speech in a sound, while it is still being heard.

use unruffled_model::{
    DType, Dim, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, TensorSpec, Tensors,
};

use super::gate::{STATE, SpeechGate};
use super::segments::SpeechSegments;
use crate::error::StepError;
use crate::model::{Compute, input, model, same, spec};

impl SpeechSegments {
    /// The same as a model that is asked frame by frame, its memory going in and out.
    pub(crate) fn follow(&self, kind: &'static str) -> Result<TensorModel, StepError> {
        self.check()?;
        let zeros = |shape: &[usize]| Tensor::filled(shape, 0_i64).expect("a few elements");
        let state = || spec("state", DType::I64, [Dim::Fixed(STATE)]);
        let signature = Signature {
            inputs: vec![
                TensorSpec { dims: None, ..spec("probabilities", DType::F32, []) },
                TensorSpec { default: Some(zeros(&[STATE])), ..state() },
                TensorSpec {
                    default: Some(Tensor::filled(&[1], false).expect("one element")),
                    ..spec("last", DType::Bool, [Dim::Fixed(1)])
                },
                TensorSpec { default: Some(zeros(&[1])), ..spec("length", DType::I64, [Dim::Fixed(1)]) },
            ],
            outputs: vec![spec("segments", DType::F64, [same("k"), Dim::Fixed(2)]), state()],
        };
        Ok(model(kind, Interrupt::Never, signature, Follower { gate: self.gate(), rate: self.rate }))
    }
}

struct Follower {
    /// One that has heard nothing.
    gate: SpeechGate,
    rate: u32,
}

impl Compute for Follower {
    fn run(&self, inputs: &Tensors, _: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let state = input(inputs, "state")?.elements::<i64>()?;
        let state: [i64; STATE] =
            state.try_into().map_err(|_| ModelError::invalid_input("has another size").at("state"))?;
        let mut gate = self.gate.remembering(state).ok_or_else(|| {
            let message = format!("is {state:?}, which this model has never given; give back what it gave");
            ModelError::invalid_input(message).at("state")
        })?;
        let probabilities = input(inputs, "probabilities")?.elements::<f32>()?;
        let mut found: Vec<_> =
            probabilities.iter().filter_map(|probability| gate.push(*probability)).collect();
        let state = gate.memory();
        if input(inputs, "last")?.elements::<bool>()?.first() == Some(&true) {
            let length = input(inputs, "length")?.elements::<i64>()?.first().copied().unwrap_or(0);
            let length = usize::try_from(length).ok().filter(|length| *length > 0);
            found.extend(gate.finish(length));
        }
        let seconds: Vec<f64> = found.iter().flat_map(|segment| segment.seconds(self.rate)).collect();
        Ok(Tensors::new()
            .with("segments", Tensor::new(&[found.len(), 2], seconds)?)
            .with("state", Tensor::new(&[STATE], state.to_vec())?))
    }
}

#[cfg(test)]
mod tests {
    use unruffled_model::{Tensor, Tensors};

    use super::SpeechSegments;
    use crate::model::answer;

    /// Whole, and frame by frame in pieces of any size: the same segments.
    #[track_caller]
    fn check(sound: &[f32], piece: usize, length: i64) {
        let options = SpeechSegments::default();
        let tensor = |part: &[f32]| Tensor::new(&[part.len(), 1], part.to_vec()).unwrap();
        let length = Tensor::new(&[1], vec![length]).unwrap();
        let whole = Tensors::new().with("probabilities", tensor(sound)).with("length", length.clone());
        let expected = answer(&options.load("speech-segments").unwrap(), whole).unwrap();
        let follow = options.follow("speech-gate").unwrap();
        let (mut found, mut state) = (Vec::new(), None);
        let pieces = sound.len().div_ceil(piece);
        for (at, part) in sound.chunks(piece).enumerate() {
            let mut inputs =
                Tensors::new().with("probabilities", tensor(part)).with("length", length.clone());
            inputs.insert("last", Tensor::filled(&[1], at + 1 == pieces).unwrap());
            if let Some(state) = state.take() {
                inputs.insert("state", state);
            }
            let out = answer(&follow, inputs).unwrap();
            found.extend_from_slice(out.get("segments").unwrap().elements::<f64>().unwrap());
            state = out.get("state").cloned();
        }
        assert_eq!(found, expected.get("segments").unwrap().elements::<f64>().unwrap());
        assert!(!found.is_empty());
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let sound = [[0.9; 20], [0.0; 20], [0.9; 20], [0.4; 20], [0.9; 20]].concat();
        for piece in [1, 3, 7, 100] {
            check(&sound, piece, 100 * 512);
            check(&sound, piece, 100 * 512 - 300);
        }
    }

    #[test]
    fn a_memory_that_is_none_is_refused() {
        let state = Tensor::new(&[5], vec![-1_i64; 5]).unwrap();
        let inputs = Tensors::new().with("probabilities", Tensor::scalar(0_f32)).with("state", state);
        let refused = answer(&SpeechSegments::default().follow("speech-gate").unwrap(), inputs).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`state`: is [-1, -1, -1, -1, -1], which this model has never given; give back what it gave"
        );
    }
}
