//! The steps around models, in pure Rust, and models themselves: text to tokens, pictures to pixels, sounds to samples, and
//! what models answer to texts, boxes, labels and times.
//!
//! A step is a [`TensorModel`](unruffled_model::TensorModel) like any other: it has a signature, watches its run, may be run
//! again, and is batched, queued and cancelled by whoever runs it. [`Step`] is one of them with its options; [`Settings`] are
//! the same as they stand in a file.
//!
//! ```
//! use unruffled_model::{Batch, Bytes, CancelToken, RunContext, Tensor, Tensors};
//! use unruffled_steps::{NoFiles, Settings, Step};
//!
//! let step = Step::parse("top-k", &Settings::new().with("top", 2.0))?;
//! let model = step.load(&NoFiles)?;
//! let scores = Tensor::new(&[1, 3], vec![0.1_f32, 0.2, 0.7])?;
//! let mut batch = Batch::new([Tensors::new().with("scores", scores)]);
//! let cancel = CancelToken::new();
//! model.with_instance(&mut |instance| {
//!     instance.run(&mut batch, &RunContext::new(&cancel, None, &[])).unwrap();
//! })?;
//! let answer = batch.into_rows().remove(0).into_answer().unwrap()?;
//! assert_eq!(answer.get("index").unwrap().elements::<i64>()?, [2, 1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | kind | takes | gives | feature |
//! | --- | --- | --- | --- |
//! | `tokenize` | `text` bytes \[n\] | `input_ids`, `attention_mask`, `token_type_ids` i64 \[n, s\], `token_count` i64 \[n\] | `text` |
//! | `pool` | `hidden` f32 \[n, s, h\], `mask` i64 \[n, s\] | `embedding` f32 \[n, h\] | |
//! | `decode-image` | `image` bytes \[1\] | `picture` u8 \[h, w, 3\] | `image` |
//! | `resize` | `picture` u8 \[h, w, 3\] | `pixels` f32 \[1, c, h, w\], `size` i64 \[2\]: height and width of the picture | `image` |
//! | `text-boxes` | `map` f32 \[1, 1, h, w\], `size` i64 \[2\] (optional) | `boxes` f32 \[k, 4, 2\], `scores` f32 \[k\] | |
//! | `crop` | `picture` u8 \[h, w, 3\], `boxes` f32 \[k, 4, 2\] | `crops` f32 \[g, c, h, w\], `index` i64 \[g\] | |
//! | `ctc-text` | `scores` f32 \[k, steps, classes\] | `text` bytes \[k\], `score` f32 \[k\] | |
//! | `top-k` | `scores` f32 \[n, c\] | `label` bytes \[n, k\], `index` i64 \[n, k\], `score` f32 \[n, k\] | |
//! | `decode-audio` | `audio` bytes \[1\] | `samples` f32 \[n\] | `audio` |
//! | `frames` | `samples` f32 \[n\] | `frames` f32 \[m, 512\], `length` i64 \[1\]: the samples | |
//! | `speech-segments` | `probabilities` f32 of any shape, `length` i64 \[1\] (optional) | `segments` f64 \[k, 2\]: seconds | |
//! | `speech-gate` | `probabilities` f32 of any shape, `state` i64 \[5\], `last` bool \[1\], `length` i64 \[1\] (optional) | `segments` f64 \[k, 2\], `state` | |
//!
//! [`SpeechGate`] finds the same segments while the sound is still being heard.
//!
//! There is no async here and no environment, and no files but those that a [`Files`] gives.

mod error;
mod files;
mod settings;

mod options;

mod model;

mod labels;

mod ctc;
mod top_k;

mod text;

mod picture;

mod audio;

mod step;

pub use audio::{Frames, Segment, SpeechGate, SpeechSegments};
pub use ctc::CtcText;
pub use error::{StepError, StepErrorKind};
pub use files::{Files, NoFiles};
pub use picture::{Channels, Crop, CropOutput, TextBoxes};
pub use settings::{Setting, Settings};
pub use step::{Step, build};
pub use text::Pool;
pub use top_k::TopK;

#[cfg(feature = "audio")]
pub use audio::DecodeAudio;
#[cfg(feature = "image")]
pub use picture::{DecodeImage, Resize};
#[cfg(feature = "text")]
pub use text::Tokenize;
