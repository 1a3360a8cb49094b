//! Sound: in as samples, in frames, and out as the times of speech.

#[cfg(feature = "audio")]
mod rate;

#[cfg(feature = "audio")]
mod decode;

mod frames;

mod gate;

mod segments;

mod follow;

#[cfg(feature = "audio")]
pub use decode::DecodeAudio;
pub use frames::Frames;
pub use gate::{Segment, SpeechGate};
pub use segments::SpeechSegments;
