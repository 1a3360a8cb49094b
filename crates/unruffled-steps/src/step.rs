//! [`Step`]: one step with its options, of whatever kind.

use unruffled_model::TensorModel;

use crate::audio::{Frames, SpeechSegments};
use crate::ctc::CtcText;
use crate::error::{StepError, StepErrorKind};
use crate::files::Files;
use crate::options::Reader;
use crate::picture::{Crop, TextBoxes};
use crate::settings::Settings;
use crate::text::Pool;
use crate::top_k::TopK;

#[cfg(feature = "audio")]
use crate::audio::DecodeAudio;
#[cfg(feature = "image")]
use crate::picture::{DecodeImage, Resize};
#[cfg(feature = "text")]
use crate::text::Tokenize;

/// One step with its options. Nothing is loaded yet.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Texts to tokens.
    #[cfg(feature = "text")]
    Tokenize(Tokenize),
    /// One vector out of those of all tokens.
    Pool(Pool),
    /// The pixels of a picture file.
    #[cfg(feature = "image")]
    DecodeImage(DecodeImage),
    /// A picture in the size and the numbers that a model takes.
    #[cfg(feature = "image")]
    Resize(Resize),
    /// Where a picture shows text.
    TextBoxes(TextBoxes),
    /// What boxes hold, upright.
    Crop(Crop),
    /// The text that scores of characters spell.
    CtcText(CtcText),
    /// The best classes of each row, by name.
    TopK(TopK),
    /// The samples of a sound file.
    #[cfg(feature = "audio")]
    DecodeAudio(DecodeAudio),
    /// A sound in pieces of equal length.
    Frames(Frames),
    /// The stretches of speech in a sound.
    SpeechSegments(SpeechSegments),
    /// The same while the sound is still being heard.
    SpeechGate(SpeechSegments),
}

/// Every kind, and the feature without which it is not there.
const KINDS: [(&str, Option<&str>); 12] = [
    ("tokenize", Some("text")),
    ("pool", None),
    ("decode-image", Some("image")),
    ("resize", Some("image")),
    ("text-boxes", None),
    ("crop", None),
    ("ctc-text", None),
    ("top-k", None),
    ("decode-audio", Some("audio")),
    ("frames", None),
    ("speech-segments", None),
    ("speech-gate", None),
];

impl Step {
    /// The kinds that there are, whether this build has them or not.
    pub fn kinds() -> impl Iterator<Item = &'static str> {
        KINDS.iter().map(|(kind, _)| *kind)
    }

    /// A step of a kind with these settings; what is not set is as usual.
    ///
    /// # Errors
    ///
    /// `UnknownKind` with the kinds that there are; `InvalidSetting` that names the key and what was expected.
    pub fn parse(kind: &str, settings: &Settings) -> Result<Self, StepError> {
        let mut reader = Reader::new(settings);
        let step = match kind {
            #[cfg(feature = "text")]
            "tokenize" => Step::Tokenize(Tokenize::read(&mut reader)?),
            "pool" => Step::Pool(Pool::read(&mut reader)?),
            #[cfg(feature = "image")]
            "decode-image" => Step::DecodeImage(DecodeImage::read(&mut reader)?),
            #[cfg(feature = "image")]
            "resize" => Step::Resize(Resize::read(&mut reader)?),
            "text-boxes" => Step::TextBoxes(TextBoxes::read(&mut reader)?),
            "crop" => Step::Crop(Crop::read(&mut reader)?),
            "ctc-text" => Step::CtcText(CtcText::read(&mut reader)?),
            "top-k" => Step::TopK(TopK::read(&mut reader)?),
            #[cfg(feature = "audio")]
            "decode-audio" => Step::DecodeAudio(DecodeAudio::read(&mut reader)?),
            "frames" => Step::Frames(Frames::read(&mut reader)?),
            "speech-segments" => Step::SpeechSegments(SpeechSegments::read(&mut reader)?),
            "speech-gate" => Step::SpeechGate(SpeechSegments::read(&mut reader)?),
            other => return Err(unknown(other)),
        };
        reader.finish()?;
        Ok(step)
    }

    /// What kind of step it is.
    pub fn kind(&self) -> &'static str {
        match self {
            #[cfg(feature = "text")]
            Step::Tokenize(_) => "tokenize",
            Step::Pool(_) => "pool",
            #[cfg(feature = "image")]
            Step::DecodeImage(_) => "decode-image",
            #[cfg(feature = "image")]
            Step::Resize(_) => "resize",
            Step::TextBoxes(_) => "text-boxes",
            Step::Crop(_) => "crop",
            Step::CtcText(_) => "ctc-text",
            Step::TopK(_) => "top-k",
            #[cfg(feature = "audio")]
            Step::DecodeAudio(_) => "decode-audio",
            Step::Frames(_) => "frames",
            Step::SpeechSegments(_) => "speech-segments",
            Step::SpeechGate(_) => "speech-gate",
        }
    }

    /// The step as a model. Blocks: reads the files that its options name.
    ///
    /// # Errors
    ///
    /// `InvalidFile` that names the key and the file; `InvalidSetting` if the options contradict each other.
    pub fn load(&self, files: &dyn Files) -> Result<TensorModel, StepError> {
        let kind = self.kind();
        Ok(match self {
            #[cfg(feature = "text")]
            Step::Tokenize(step) => step.load(kind, files)?,
            Step::Pool(step) => step.load(kind),
            #[cfg(feature = "image")]
            Step::DecodeImage(step) => step.load(kind),
            #[cfg(feature = "image")]
            Step::Resize(step) => step.load(kind)?,
            Step::TextBoxes(step) => step.load(kind),
            Step::Crop(step) => step.load(kind)?,
            Step::CtcText(step) => step.load(kind, files)?,
            Step::TopK(step) => step.load(kind, files)?,
            #[cfg(feature = "audio")]
            Step::DecodeAudio(step) => step.load(kind)?,
            Step::Frames(step) => step.load(kind)?,
            Step::SpeechSegments(step) => step.load(kind)?,
            Step::SpeechGate(step) => step.follow(kind)?,
        })
    }
}

/// A step of a kind with these settings, as a model. Blocks: reads the files that they name.
///
/// # Errors
///
/// As [`Step::parse`] and [`Step::load`].
pub fn build(kind: &str, settings: &Settings, files: &dyn Files) -> Result<TensorModel, StepError> {
    Step::parse(kind, settings)?.load(files)
}

fn unknown(kind: &str) -> StepError {
    let message = match KINDS.iter().find(|(known, _)| *known == kind) {
        Some((_, Some(feature))) => {
            format!("\"{kind}\" is not in this build; build with the feature \"{feature}\"")
        }
        _ => {
            let kinds: Vec<_> = Step::kinds().collect();
            format!("unknown kind \"{kind}\"; expected one of {}", kinds.join(", "))
        }
    };
    StepError::new(StepErrorKind::UnknownKind, message)
}
