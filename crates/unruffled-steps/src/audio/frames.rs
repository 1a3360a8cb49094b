//! [`Frames`]: a sound cut into pieces of equal length.

use unruffled_model::{
    DType, Dim, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, Tensors,
};

use crate::error::StepError;
use crate::model::{Compute, input, model, same, spec};
use crate::options::{Reader, at_least_one};

/// `frames`: a sound in pieces of equal length, the last one filled up with silence.
///
/// Takes `samples` f32 \[n\]; gives `frames` f32 \[m, context + length\] and `length` i64 \[1\], the number of samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    /// Samples of each frame; 512 unless set.
    pub length: usize,
    /// Samples from before a frame that stand in front of it, silence at the beginning; 0 unless set.
    pub context: usize,
    /// The most samples, refused if there are more; 2 hours at 16,000 a second unless set.
    pub samples_max: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self { length: 512, context: 0, samples_max: 2 * 60 * 60 * 16_000 }
    }
}

impl Frames {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StepError> {
        let usual = Self::default();
        Ok(Self {
            length: reader.count("length", 1)?.unwrap_or(usual.length),
            context: reader.count("context", 0)?.unwrap_or(usual.context),
            samples_max: reader.count("samples_max", 1)?.unwrap_or(usual.samples_max),
        })
    }

    pub(crate) fn load(&self, kind: &'static str) -> Result<TensorModel, StepError> {
        at_least_one(&[("length", self.length)])?;
        // More would repeat every sample many times over, and take as many times the memory.
        if self.context > self.length {
            let message = format!("is {}; expected at most `length`, {}", self.context, self.length);
            return Err(StepError::setting("context", message));
        }
        let width = Dim::Fixed(self.context + self.length);
        let signature = Signature {
            inputs: vec![spec("samples", DType::F32, [same("n")])],
            outputs: vec![
                spec("frames", DType::F32, [same("m"), width]),
                spec("length", DType::I64, [Dim::Fixed(1)]),
            ],
        };
        Ok(model(kind, Interrupt::Never, signature, Cut(self.clone())))
    }
}

struct Cut(Frames);

impl Compute for Cut {
    fn run(&self, inputs: &Tensors, _: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let Frames { length, context, samples_max } = self.0;
        let samples = input(inputs, "samples")?.elements::<f32>()?;
        if samples.len() > samples_max {
            let message = format!("has {} samples; the most is {samples_max}: cut it", samples.len());
            return Err(ModelError::invalid_input(message).at("samples"));
        }
        let (count, width) = (samples.len().div_ceil(length), context + length);
        let mut frames = vec![0.0_f32; count * width];
        for (at, frame) in frames.chunks_exact_mut(width).enumerate() {
            let begin = at * length;
            // What lies before the sound, or behind it, stays silent.
            let before = begin.min(context);
            let known = &samples[begin - before..samples.len().min(begin + length)];
            frame[context - before..][..known.len()].copy_from_slice(known);
        }
        let total = Tensor::new(&[1], vec![samples.len() as i64])?;
        Ok(Tensors::new().with("frames", Tensor::new(&[count, width], frames)?).with("length", total))
    }
}

#[cfg(test)]
mod tests {
    use unruffled_model::{Tensor, Tensors};

    use super::Frames;
    use crate::model::answer;

    #[track_caller]
    fn check(context: usize, count: usize, expected: &[[f32; 3]]) {
        let options = Frames { length: 3 - context, context, ..Frames::default() };
        let samples: Vec<f32> = (1..=count).map(|at| at as f32).collect();
        let inputs = Tensors::new().with("samples", Tensor::new(&[count], samples).unwrap());
        let out = answer(&options.load("frames").unwrap(), inputs).unwrap();
        assert_eq!(out.get("frames").unwrap().elements::<f32>().unwrap(), expected.concat());
        assert_eq!(out.get("frames").unwrap().shape(), [expected.len(), 3]);
        assert_eq!(out.get("length").unwrap().elements::<i64>().unwrap(), [count as i64]);
    }

    #[test]
    fn the_last_frame_is_filled_up() {
        check(0, 6, &[[1., 2., 3.], [4., 5., 6.]]);
        check(0, 4, &[[1., 2., 3.], [4., 0., 0.]]);
        check(0, 0, &[]);
    }

    #[test]
    fn a_frame_begins_with_what_was_before_it() {
        check(1, 5, &[[0., 1., 2.], [2., 3., 4.], [4., 5., 0.]]);
    }

    #[test]
    fn too_much_is_refused() {
        let options = Frames { samples_max: 2, ..Frames::default() };
        let inputs = Tensors::new().with("samples", Tensor::filled(&[3], 0_f32).unwrap());
        let refused = answer(&options.load("frames").unwrap(), inputs).unwrap_err();
        assert_eq!(refused.to_string(), "`samples`: has 3 samples; the most is 2: cut it");
        let refused = |length, context| {
            Frames { length, context, ..Frames::default() }.load("frames").err().unwrap().to_string()
        };
        assert_eq!(refused(2, 3), "`context`: is 3; expected at most `length`, 2");
        assert_eq!(refused(0, 0), "`length`: is 0; expected at least 1");
    }
}
