//! [`SpeechSegments`]: the stretches of speech in a sound.

use unruffled_model::{
    DType, Dim, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, TensorSpec, Tensors,
};

use super::gate::{SpeechGate, Thresholds};
use crate::error::StepError;
use crate::model::{Compute, input, model, same, spec, watch};
use crate::options::{Reader, at_least_one};

/// Frames between two looks at whether somebody still waits.
const FRAMES_BETWEEN_WATCHES: usize = 4096;

/// `speech-segments`: the stretches of speech in a sound, by the probabilities of its frames and the rules of silero-vad.
///
/// Takes `probabilities` f32 of any shape, in the order of time, and `length` i64 \[1\], the samples of the sound; without it,
/// the last frame counts in full. Gives `segments` f64 \[k, 2\], start and end in seconds. [`gate`](Self::gate) finds the same
/// while the sound is still being heard.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeechSegments {
    /// Samples a second; 16,000 unless set.
    pub rate: u32,
    /// Samples that each probability is about; 512 unless set.
    pub frame: usize,
    /// The probability from which on speech has begun; 0.5 unless set.
    pub threshold: f32,
    /// The probability below which it may have ended; 0.15 less than `threshold`, but at least 0.01, unless set.
    pub silence_threshold: Option<f32>,
    /// Speech must be longer than this to count, in milliseconds; 250 unless set.
    pub speech_min_ms: f64,
    /// Silence must last so long to end it, in milliseconds; 100 unless set.
    pub silence_min_ms: f64,
    /// What is added before and behind, in milliseconds; 30 unless set.
    pub pad_ms: f64,
}

impl Default for SpeechSegments {
    fn default() -> Self {
        Self {
            rate: 16_000,
            frame: 512,
            threshold: 0.5,
            silence_threshold: None,
            speech_min_ms: 250.0,
            silence_min_ms: 100.0,
            pad_ms: 30.0,
        }
    }
}

impl SpeechSegments {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StepError> {
        let usual = Self::default();
        let share = (0.0, 1.0);
        let hour = (0.0, 3_600_000.0);
        let threshold = reader.number("threshold", f64::from(usual.threshold), share)? as f32;
        // Whether it is set shows by a value that nobody can set.
        let silence = reader.number("silence_threshold", -1.0, share)? as f32;
        Ok(Self {
            rate: reader.count("rate", 1)?.map_or(usual.rate, |rate| rate as u32),
            frame: reader.count("frame", 1)?.unwrap_or(usual.frame),
            threshold,
            silence_threshold: (silence >= 0.0).then_some(silence),
            speech_min_ms: reader.number("speech_min_ms", usual.speech_min_ms, hour)?,
            silence_min_ms: reader.number("silence_min_ms", usual.silence_min_ms, hour)?,
            pad_ms: reader.number("pad_ms", usual.pad_ms, hour)?,
        })
    }

    /// A gate that finds the same segments, frame by frame.
    pub fn gate(&self) -> SpeechGate {
        let samples = |ms: f64| f64::from(self.rate) * ms / 1000.0;
        let usual_silence = (self.threshold - 0.15).max(0.01);
        SpeechGate::new(Thresholds {
            speech: self.threshold,
            silence: self.silence_threshold.unwrap_or(usual_silence),
            frame: self.frame,
            speech_min: samples(self.speech_min_ms),
            silence_min: samples(self.silence_min_ms),
            pad: samples(self.pad_ms) as usize,
        })
    }

    /// Whether the options make sense, wherever they come from.
    pub(super) fn check(&self) -> Result<(), StepError> {
        at_least_one(&[("rate", self.rate as usize), ("frame", self.frame)])?;
        match self.silence_threshold.filter(|silence| *silence > self.threshold) {
            None => Ok(()),
            Some(silence) => {
                let message = format!("is {silence}; expected at most `threshold`, {}", self.threshold);
                Err(StepError::setting("silence_threshold", message))
            }
        }
    }

    pub(crate) fn load(&self, kind: &'static str) -> Result<TensorModel, StepError> {
        self.check()?;
        // 0 samples: as many as the frames have.
        let length = Tensor::new(&[1], vec![0_i64]).expect("one element is one element");
        let signature = Signature {
            inputs: vec![
                TensorSpec { dims: None, ..spec("probabilities", DType::F32, []) },
                TensorSpec { default: Some(length), ..spec("length", DType::I64, [Dim::Fixed(1)]) },
            ],
            outputs: vec![spec("segments", DType::F64, [same("k"), Dim::Fixed(2)])],
        };
        let listener = Listener { gate: self.gate(), rate: self.rate };
        Ok(model(kind, Interrupt::Cooperative, signature, listener))
    }
}

struct Listener {
    /// One that has heard nothing.
    gate: SpeechGate,
    rate: u32,
}

impl Compute for Listener {
    fn run(&self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let probabilities = input(inputs, "probabilities")?.elements::<f32>()?;
        let given = input(inputs, "length")?.elements::<i64>()?.first().copied().unwrap_or(0);
        let length = usize::try_from(given).map_err(|_| {
            ModelError::invalid_input(format!("is {given}; expected the samples of the sound")).at("length")
        })?;
        let (mut gate, mut found) = (self.gate.clone(), Vec::new());
        for part in probabilities.chunks(FRAMES_BETWEEN_WATCHES) {
            watch(ctx)?;
            found.extend(part.iter().filter_map(|probability| gate.push(*probability)));
        }
        found.extend(gate.finish((length > 0).then_some(length)));
        let seconds: Vec<f64> = found.iter().flat_map(|segment| segment.seconds(self.rate)).collect();
        Ok(Tensors::new().with("segments", Tensor::new(&[found.len(), 2], seconds)?))
    }
}
