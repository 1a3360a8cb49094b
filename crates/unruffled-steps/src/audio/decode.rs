//! [`DecodeAudio`]: the samples of a sound file.

use std::io::Cursor;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use unruffled_model::{
    Bytes, DType, Dim, Interrupt, ModelError, RunContext, Signature, Tensor, TensorModel, Tensors,
};

use super::rate::RateChange;
use crate::error::StepError;
use crate::model::{Compute, input, model, same, spec, watch};
use crate::options::Reader;

/// No sound has more channels.
const CHANNELS_MAX: u16 = 64;

/// Where in a file what is said of its samples is looked for.
const WAV_HEAD: usize = 64 << 10;

/// `decode-audio`: the samples of a WAV, FLAC, MP3 or Ogg Vorbis file, mixed down to one channel, in numbers from -1 to 1.
///
/// Takes `audio` bytes \[1\]; gives `samples` f32 \[n\].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeAudio {
    /// Samples a second; a sound of another rate is resampled; 16,000 unless set.
    pub rate: u32,
    /// The most samples at that rate; a longer sound is refused; 2 hours at 16,000 a second unless set.
    pub samples_max: usize,
}

impl Default for DecodeAudio {
    fn default() -> Self {
        Self { rate: 16_000, samples_max: 2 * 60 * 60 * 16_000 }
    }
}

impl DecodeAudio {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StepError> {
        let usual = Self::default();
        let rate = reader.count("rate", 1)?.map_or(usual.rate, |rate| rate as u32);
        Ok(Self { rate, samples_max: reader.count("samples_max", 1)?.unwrap_or(usual.samples_max) })
    }

    pub(crate) fn load(&self, kind: &'static str) -> Result<TensorModel, StepError> {
        RateChange::check(self.rate).map_err(|message| StepError::setting("rate", message))?;
        let signature = Signature {
            inputs: vec![spec("audio", DType::Bytes, [Dim::Fixed(1)])],
            outputs: vec![spec("samples", DType::F32, [same("n")])],
        };
        Ok(model(kind, Interrupt::Cooperative, signature, Decoder(self.clone())))
    }
}

struct Decoder(DecodeAudio);

impl Compute for Decoder {
    fn run(&self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let [bytes] = input(inputs, "audio")?.elements::<Bytes>()? else {
            return Err(ModelError::invalid_input("expected one sound").at("audio"));
        };
        let samples = self.decode(bytes, ctx)?;
        Ok(Tensors::new().with("samples", Tensor::new(&[samples.len()], samples)?))
    }
}

impl Decoder {
    fn decode(&self, bytes: &Bytes, ctx: &RunContext<'_>) -> Result<Vec<f32>, ModelError> {
        let Opened { mut format, mut decoder, track } = open(bytes.clone())?;
        let mut change: Option<RateChange> = None;
        let (mut samples, mut interleaved) = (Vec::new(), Vec::<f32>::new());
        let mut broken = None;
        loop {
            watch(ctx)?;
            let packet = match format.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(SymphoniaError::ResetRequired) => {
                    let message = "is several sounds in one file; save each as its own";
                    return Err(ModelError::invalid_input(message).at("audio"));
                }
                Err(error) => {
                    // Cut off in the middle: what came before still counts.
                    broken = Some(error);
                    break;
                }
            };
            if packet.track_id != track {
                continue;
            }
            let sound = match decoder.decode(&packet) {
                Ok(sound) => sound,
                // One packet is broken: the next may be whole.
                Err(error @ SymphoniaError::DecodeError(_)) => {
                    broken = Some(error);
                    continue;
                }
                Err(error) => return Err(refused(error)),
            };
            let (rate, channels) = (sound.spec().rate(), sound.spec().channels().count().max(1));
            sound.copy_to_vec_interleaved(&mut interleaved);
            let change = match &mut change {
                Some(change) if change.from() == rate => change,
                Some(change) => {
                    let message =
                        format!("changes its rate from {} to {rate}; save it at one", change.from());
                    return Err(ModelError::invalid_input(message).at("audio"));
                }
                None => change.insert(
                    RateChange::new(rate, self.0.rate)
                        .map_err(|message| ModelError::invalid_input(message).at("audio"))?,
                ),
            };
            let mono =
                interleaved.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32);
            change.push(mono, &mut samples)?;
            self.check(samples.len())?;
        }
        match (change, broken) {
            (Some(change), _) => change.finish(&mut samples)?,
            (None, Some(error)) => return Err(refused(error)),
            // A sound without samples is one.
            (None, None) => {}
        }
        self.check(samples.len())?;
        Ok(samples)
    }

    fn check(&self, samples: usize) -> Result<(), ModelError> {
        let most = self.0.samples_max;
        if samples <= most {
            return Ok(());
        }
        let seconds = most as f64 / f64::from(self.0.rate);
        let message = format!("is longer than {most} samples, {seconds:.1} seconds; cut it");
        Err(ModelError::invalid_input(message).at("audio"))
    }
}

/// A file that is about to be read.
struct Opened {
    /// Reads its packets.
    format: Box<dyn FormatReader>,
    /// Decodes them.
    decoder: Box<dyn AudioDecoder>,
    /// The track that is meant.
    track: u32,
}

fn open(bytes: Bytes) -> Result<Opened, ModelError> {
    check_channels(&bytes)?;
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let format = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(refused)?;
    let track = format.default_track(TrackType::Audio);
    let parameters = track.and_then(|track| Some((track.id, track.codec_params.as_ref()?.audio()?)));
    let Some((track, parameters)) = parameters else {
        return Err(ModelError::invalid_input("has no sound in it").at("audio"));
    };
    let decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(refused)?;
    Ok(Opened { format, decoder, track })
}

/// Refuses a WAV file of more channels than any sound has: the decoder multiplies with their number.
fn check_channels(bytes: &[u8]) -> Result<(), ModelError> {
    let find = |bytes: &[u8], text: &[u8; 4]| bytes.windows(4).position(|four| four == text);
    let head = &bytes[..bytes.len().min(WAV_HEAD)];
    let Some(begin) = find(head, b"RIFF") else { return Ok(()) };
    let head = &head[begin..];
    let mut head = &head[..find(head, b"data").unwrap_or(head.len())];
    while let Some(at) = find(head, b"fmt ") {
        head = &head[at + 4..];
        // The length of the chunk and the kind of its samples come first.
        let channels = head.get(6..8).map_or(0, |two| u16::from_le_bytes([two[0], two[1]]));
        if channels > CHANNELS_MAX {
            let message = format!("claims {channels} channels; {CHANNELS_MAX} can be read");
            return Err(ModelError::invalid_input(message).at("audio"));
        }
    }
    Ok(())
}

fn refused(error: SymphoniaError) -> ModelError {
    let message = format!("is not a sound that can be read: {error}; WAV, FLAC, MP3 and Ogg Vorbis can");
    ModelError::invalid_input(message).at("audio").caused_by(error)
}
