//! From a WAV file to samples, by the settings of the input.

use std::ops::RangeInclusive;

use hound::{SampleFormat, WavReader};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::config::AudioInput;
use crate::error::Error;

/// Rates that can be brought to each other. The filter takes memory in proportion to them, and a file may claim any.
const RATES: RangeInclusive<usize> = 1_000..=384_000;

/// The greatest sample that is taken; a full one is 1. A file of floats may hold any, and the filter panics over what is no number.
const SAMPLE_MAX: f32 = 1e6;

/// Frames that are resampled at a time.
const CHUNK: usize = 1024;

/// The samples of a sound: one channel, at the rate and of the length that the settings ask for.
pub(super) fn read(bytes: &[u8], settings: &AudioInput) -> Result<Vec<f32>, Error> {
    let refused = |error: hound::Error| {
        let message = format!(
            "is not a WAV file that can be read: {error}; WAV with 8 to 32 bits or floats can, other sound must be converted"
        );
        Error::input(message).caused_by(error)
    };
    let mut reader = WavReader::new(bytes).map_err(refused)?;
    let spec = reader.spec();
    let samples: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().collect::<Result<_, _>>().map_err(refused)?,
        SampleFormat::Int => {
            let full = 2_f32.powi(i32::from(spec.bits_per_sample) - 1);
            let samples = reader.samples::<i32>().map(|sample| sample.map(|sample| sample as f32 / full));
            samples.collect::<Result<_, _>>().map_err(refused)?
        }
    };
    let channels = usize::from(spec.channels.max(1));
    let mono: Vec<f32> =
        samples.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect();
    // NaN is within nothing.
    if let Some(sample) = mono.iter().find(|sample| !(-SAMPLE_MAX..=SAMPLE_MAX).contains(*sample)) {
        let message = format!("has a sample of {sample}; full ones are 1 and -1: save it again");
        return Err(Error::input(message));
    }
    let mut samples = resampled(mono, spec.sample_rate as usize, settings.rate.get() as usize)?;
    if let Some(length) = settings.samples {
        samples.resize(length.get(), 0.0);
    }
    Ok(samples)
}

fn resampled(samples: Vec<f32>, from: usize, to: usize) -> Result<Vec<f32>, Error> {
    if from == to || samples.is_empty() {
        return Ok(samples);
    }
    let refused = |error: &dyn std::fmt::Display| {
        Error::input(format!("cannot be resampled from {from} to {to}: {error}"))
    };
    if !RATES.contains(&from) || !RATES.contains(&to) {
        let (least, most) = (RATES.start(), RATES.end());
        return Err(refused(&format_args!("{least} to {most} samples a second can be")));
    }
    let mut resampler =
        Fft::<f32>::new(from, to, CHUNK, 1, FixedSync::Input).map_err(|error| refused(&error))?;
    let sound = InterleavedSlice::new(&samples, 1, samples.len()).map_err(|error| refused(&error))?;
    let out = resampler.process_all(&sound, samples.len(), None).map_err(|error| refused(&error))?;
    Ok(out.take_data())
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;
    use std::io::Cursor;

    use hound::{SampleFormat, WavSpec, WavWriter};

    use super::read;
    use crate::config::AudioInput;

    fn settings(rate: u32, samples: Option<usize>) -> AudioInput {
        AudioInput {
            rate: rate.try_into().unwrap(),
            samples: samples.map(|samples| samples.try_into().unwrap()),
        }
    }

    fn wav(rate: u32, channels: u16, bits: u16, frames: impl Iterator<Item = f32>) -> Vec<u8> {
        let sample_format = if bits == 32 { SampleFormat::Float } else { SampleFormat::Int };
        let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format };
        let mut out = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut out, spec).unwrap();
        for value in frames.flat_map(|value| std::iter::repeat_n(value, channels.into())) {
            match sample_format {
                SampleFormat::Float => writer.write_sample(value).unwrap(),
                SampleFormat::Int => {
                    writer.write_sample((value * (2_f32.powi(i32::from(bits) - 1) - 1.0)) as i32).unwrap();
                }
            }
        }
        writer.finalize().unwrap();
        out.into_inner()
    }

    fn tone(rate: u32, count: usize) -> impl Iterator<Item = f32> {
        (0..count).map(move |at| 0.5 * (TAU * 440.0 * at as f32 / rate as f32).sin())
    }

    #[test]
    fn every_width_gives_the_same_samples() {
        let expected: Vec<f32> = tone(16_000, 400).collect();
        for (bits, slack) in [(8, 2e-2), (16, 1e-4), (24, 1e-6), (32, 1e-7)] {
            let samples = read(&wav(16_000, 2, bits, tone(16_000, 400)), &settings(16_000, None)).unwrap();
            assert_eq!(samples.len(), 400);
            let worst = samples.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < slack, "{bits} bits are off by {worst}");
        }
    }

    #[test]
    fn another_rate_is_resampled_in_place() {
        for rate in [8_000, 44_100, 48_000] {
            let samples =
                read(&wav(rate, 1, 32, tone(rate, rate as usize / 2)), &settings(16_000, None)).unwrap();
            assert_eq!(samples.len(), 8_000);
            let middle = 1_000..7_000;
            let expected: Vec<f32> = tone(16_000, 8_000).collect();
            let worst = middle.map(|at| (samples[at] - expected[at]).abs()).fold(0.0, f32::max);
            // The filter's delay is taken off in whole samples: up to half a sample is left.
            assert!(worst < 0.03, "from {rate}, off by {worst}");
        }
    }

    #[test]
    fn cut_and_filled_to_length() {
        let sound = wav(16_000, 1, 16, tone(16_000, 100));
        assert_eq!(read(&sound, &settings(16_000, Some(64))).unwrap().len(), 64);
        assert_eq!(read(&sound, &settings(16_000, Some(128))).unwrap()[100..], [0.0; 28]);
    }

    #[test]
    fn samples_that_are_no_sound_are_refused() {
        for rate in [16_000, 44_100] {
            for odd in [f32::NAN, f32::NEG_INFINITY, f32::MAX] {
                let sound = wav(rate, 1, 32, [0.5, odd].into_iter());
                let message = read(&sound, &settings(16_000, None)).unwrap_err().to_string();
                assert_eq!(message, format!("has a sample of {odd}; full ones are 1 and -1: save it again"));
            }
        }
    }

    #[test]
    fn rates_that_no_sound_has_are_refused() {
        for rate in [0, 1, 999, 384_001, u32::MAX] {
            // The writer panics at some of them. A byte a sample, so that bytes a second, which follow, are the same.
            let mut sound = wav(16_000, 1, 8, tone(16_000, 4));
            sound[24..28].copy_from_slice(&rate.to_le_bytes());
            sound[28..32].copy_from_slice(&rate.to_le_bytes());
            let message = read(&sound, &settings(16_000, None)).unwrap_err().to_string();
            let expected =
                format!("cannot be resampled from {rate} to 16000: 1000 to 384000 samples a second can be");
            assert_eq!(message, expected);
        }
        assert_eq!(
            read(&wav(5, 1, 8, tone(16_000, 4)), &settings(5, None)).unwrap().len(),
            4,
            "nothing to do"
        );
    }

    #[test]
    fn other_containers_are_refused() {
        let message = read(b"OggS and so on", &settings(16_000, None)).unwrap_err().to_string();
        assert!(message.starts_with("is not a WAV file"), "{message}");
    }
}
