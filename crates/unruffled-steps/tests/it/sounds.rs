//! Sounds of every format against the tone that they were made of.

use std::f32::consts::TAU;
use std::io::Cursor;

use hound::{SampleFormat, WavSpec, WavWriter};
use unruffled_model::{Batch, Bytes, CancelToken, ModelErrorKind, RunContext, Tensor, Tensors};
use unruffled_steps::{DecodeAudio, NoFiles, Step};

use crate::{answer, path};

fn request(bytes: Vec<u8>) -> Tensors {
    Tensors::new().with("audio", Tensor::new(&[1], vec![Bytes::from(bytes)]).unwrap())
}

fn decode(options: &DecodeAudio, bytes: Vec<u8>) -> Result<Vec<f32>, unruffled_model::ModelError> {
    let model = Step::DecodeAudio(options.clone()).load(&NoFiles).unwrap();
    let out = answer(&model, request(bytes))?;
    Ok(out.get("samples").unwrap().elements::<f32>().unwrap().to_vec())
}

/// A tone of 440 Hz; `loud` is its greatest sample.
fn tone(rate: u32, count: usize, loud: f32) -> impl Iterator<Item = f32> {
    (0..count).map(move |at| loud * (TAU * 440.0 * at as f32 / rate as f32).sin())
}

fn wav(rate: u32, channels: u16, bits: u16, count: usize) -> Vec<u8> {
    let sample_format = if bits == 32 { SampleFormat::Float } else { SampleFormat::Int };
    let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format };
    let mut out = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut out, spec).unwrap();
    for value in tone(rate, count, 0.5).flat_map(|value| std::iter::repeat_n(value, channels.into())) {
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

/// The edges ring where the tone begins and ends all at once.
#[track_caller]
fn check(what: &str, given: &[f32], expected: impl Iterator<Item = f32>, slack: f32) {
    let edge = given.len() / 10;
    let pairs = given.iter().zip(expected).skip(edge).take(given.len() - 2 * edge);
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < slack, "{what} is off by {worst}");
}

#[test]
fn every_width_and_number_of_channels_gives_the_same_samples() {
    for (bits, slack) in [(8, 2e-2), (16, 1e-4), (24, 1e-6), (32, 1e-7)] {
        let samples = decode(&DecodeAudio::default(), wav(16_000, 2, bits, 400)).unwrap();
        assert_eq!(samples.len(), 400);
        check(&format!("{bits} bits"), &samples, tone(16_000, 400, 0.5), slack);
    }
}

#[test]
fn another_rate_is_resampled_in_place() {
    for rate in [8_000, 11_025, 44_100, 48_000] {
        let samples = decode(&DecodeAudio::default(), wav(rate, 1, 32, rate as usize / 2)).unwrap();
        assert_eq!(samples.len(), (rate as usize / 2 * 16_000).div_ceil(rate as usize));
        // The filter's delay is taken off in whole samples: up to half a sample of the slower rate is left.
        let slack = 0.5 * TAU * 440.0 * 0.5 / rate.min(16_000) as f32 + 1e-3;
        check(&format!("{rate} a second"), &samples, tone(16_000, 8_100, 0.5), slack);
    }
}

#[test]
fn every_format_gives_the_tone_mixed_down() {
    for (ending, slack) in [("flac", 1e-3), ("ogg", 2e-2), ("mp3", 2e-2)] {
        let bytes = std::fs::read(path("assets/steps").join(format!("tone.{ending}"))).unwrap();
        let options = DecodeAudio { rate: 44_100, ..DecodeAudio::default() };
        let samples = decode(&options, bytes).unwrap();
        assert_eq!(samples.len(), 22_050, "{ending}");
        // The mean of 0.5 and 0.25.
        check(ending, &samples, tone(44_100, 22_050, 0.375), slack);
    }
}

#[test]
fn silence_is_a_sound_too() {
    assert_eq!(decode(&DecodeAudio::default(), wav(16_000, 1, 16, 0)).unwrap(), Vec::<f32>::new());
    assert_eq!(decode(&DecodeAudio::default(), wav(44_100, 1, 16, 1)).unwrap(), [0.0]);
}

#[test]
fn what_is_no_sound_or_broken_or_too_long_is_refused() {
    let refused = |options: &DecodeAudio, bytes: Vec<u8>| {
        let error = decode(options, bytes).unwrap_err();
        assert_eq!(error.kind(), ModelErrorKind::InvalidInput);
        error.to_string()
    };
    let usual = DecodeAudio::default();
    for bytes in [&b"hello"[..], b"", b"RIFF\0\0\0\0WAVEfmt "] {
        let message = refused(&usual, bytes.to_vec());
        assert!(message.starts_with("`audio`: is not a sound that can be read"), "{message}");
    }
    let mut crowd = wav(16_000, 1, 16, 8);
    crowd[22..24].copy_from_slice(&0xff83_u16.to_le_bytes());
    assert_eq!(refused(&usual, crowd), "`audio`: claims 65411 channels; 64 can be read");
    let short = DecodeAudio { samples_max: 16_000, ..usual };
    assert_eq!(decode(&short, wav(48_000, 1, 16, 48_000)).unwrap().len(), 16_000);
    assert_eq!(
        refused(&short, wav(48_000, 1, 16, 48_003)),
        "`audio`: is longer than 16000 samples, 1.0 seconds; cut it"
    );
}

/// A WAV file of one channel, 32-bit floats.
fn floats(rate: u32, samples: &[f32]) -> Vec<u8> {
    let spec =
        WavSpec { channels: 1, sample_rate: rate, bits_per_sample: 32, sample_format: SampleFormat::Float };
    let mut out = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut out, spec).unwrap();
    samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
    out.into_inner()
}

#[test]
fn samples_that_are_no_sound_are_refused_at_every_rate() {
    for rate in [16_000, 44_100] {
        for odd in [f32::NAN, f32::INFINITY, f32::MIN, 1.1e6] {
            let error = decode(&DecodeAudio::default(), floats(rate, &[0.5, odd])).unwrap_err();
            let expected = format!("`audio`: has a sample of {odd}; full ones are 1 and -1: save it again");
            assert_eq!((error.kind(), error.to_string()), (ModelErrorKind::InvalidInput, expected));
        }
        assert!(decode(&DecodeAudio::default(), floats(rate, &[1e6, -1e6])).is_ok());
    }
}

#[test]
fn what_came_before_a_cut_counts() {
    let mut cut = std::fs::read(path("assets/steps/tone.flac")).unwrap();
    cut.truncate(cut.len() / 2);
    let samples = decode(&DecodeAudio::default(), cut).unwrap();
    assert!((2_000..7_000).contains(&samples.len()), "{} samples", samples.len());
}

#[test]
fn it_stops_when_nobody_waits() {
    let model = Step::DecodeAudio(DecodeAudio::default()).load(&NoFiles).unwrap();
    let mut batch = Batch::new([request(wav(16_000, 1, 16, 100))]);
    let cancel = CancelToken::new();
    cancel.cancel();
    model
        .with_instance(&mut |instance| {
            let outcome = instance.run(&mut batch, &RunContext::new(&cancel, None, &[]));
            assert_eq!(outcome.unwrap_err().kind(), ModelErrorKind::Cancelled);
        })
        .unwrap();
    assert!(!batch.rows()[0].is_finished());
}
