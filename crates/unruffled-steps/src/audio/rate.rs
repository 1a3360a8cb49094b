//! [`RateChange`]: a sound at another rate, as it comes.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};
use unruffled_model::ModelError;

/// Rates that can be brought to each other. The filter takes memory in proportion to them.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// The greatest sample that is taken; a full one is 1. A file of floats may hold any, and the filter panics over what is no number.
const SAMPLE_MAX: f32 = 1e6;

/// Samples that are resampled at a time, at least.
const CHUNK: usize = 1024;

/// Brings samples from one rate to another, chunk by chunk; takes memory for one of them.
pub(super) struct RateChange {
    from: u32,
    to: u32,
    /// Nothing if the rates are the same.
    resampler: Option<Fft<f32>>,
    waiting: Vec<f32>,
    /// Samples that came in.
    taken: usize,
    /// Samples at the beginning that the filter has made up, and that are still to be dropped.
    delay: usize,
}

impl RateChange {
    /// Whether a rate can be dealt with, and why not.
    pub(super) fn check(rate: u32) -> Result<(), String> {
        match RATES.contains(&rate) {
            true => Ok(()),
            false => {
                Err(format!("has {rate} samples a second; expected {} to {}", RATES.start(), RATES.end()))
            }
        }
    }

    pub(super) fn new(from: u32, to: u32) -> Result<Self, String> {
        Self::check(from)?;
        let resampler = match from == to {
            true => None,
            false => {
                let made = Fft::new(from as usize, to as usize, CHUNK, 1, FixedSync::Input);
                Some(made.map_err(|error| format!("cannot be resampled from {from} to {to}: {error}"))?)
            }
        };
        let delay = resampler.as_ref().map_or(0, Resampler::output_delay);
        Ok(Self { from, to, resampler, waiting: Vec::new(), taken: 0, delay })
    }

    pub(super) fn from(&self) -> u32 {
        self.from
    }

    /// Takes samples in, and appends those that are ready.
    pub(super) fn push(
        &mut self,
        samples: impl Iterator<Item = f32>,
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let Some(resampler) = &self.resampler else {
            let before = out.len();
            out.extend(samples);
            return check_samples(&out[before..]);
        };
        let before = self.waiting.len();
        self.waiting.extend(samples);
        check_samples(&self.waiting[before..])?;
        self.taken += self.waiting.len() - before;
        let chunk = resampler.input_frames_next();
        let whole = self.waiting.len() - self.waiting.len() % chunk;
        let waiting = self.waiting.split_off(whole);
        let ready = std::mem::replace(&mut self.waiting, waiting);
        ready.chunks_exact(chunk).try_for_each(|chunk| self.process(chunk, out))
    }

    /// Appends the rest: as many samples in all as the sound lasts.
    pub(super) fn finish(mut self, out: &mut Vec<f32>) -> Result<(), ModelError> {
        let Some(resampler) = &self.resampler else { return Ok(()) };
        let length = (self.taken as u64 * u64::from(self.to)).div_ceil(u64::from(self.from)) as usize;
        let silence = vec![0.0; resampler.input_frames_next()];
        let mut last = std::mem::take(&mut self.waiting);
        last.resize(silence.len(), 0.0);
        self.process(&last, out)?;
        // What the filter holds back comes out behind silence.
        while out.len() < length {
            self.process(&silence, out)?;
        }
        out.truncate(length);
        Ok(())
    }

    fn process(&mut self, chunk: &[f32], out: &mut Vec<f32>) -> Result<(), ModelError> {
        let (from, to) = (self.from, self.to);
        let failed = |error: &dyn std::fmt::Display| {
            ModelError::failed(format!("cannot be resampled from {from} to {to}: {error}")).at("audio")
        };
        let Some(resampler) = &mut self.resampler else { return Ok(()) };
        let sound = InterleavedSlice::new(chunk, 1, chunk.len()).map_err(|error| failed(&error))?;
        let made = resampler.process(&sound, None).map_err(|error| failed(&error))?.take_data();
        let dropped = self.delay.min(made.len());
        self.delay -= dropped;
        out.extend_from_slice(&made[dropped..]);
        Ok(())
    }
}

/// Refuses what is no sound.
fn check_samples(samples: &[f32]) -> Result<(), ModelError> {
    // NaN is within nothing.
    match samples.iter().find(|sample| !(-SAMPLE_MAX..=SAMPLE_MAX).contains(*sample)) {
        None => Ok(()),
        Some(sample) => {
            let message = format!("has a sample of {sample}; full ones are 1 and -1: save it again");
            Err(ModelError::invalid_input(message).at("audio"))
        }
    }
}
