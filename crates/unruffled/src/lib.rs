//! Responsive inference: any synchronous model behind an async API.
//!
//! ML libraries block: a prediction takes 50 microseconds or 5 seconds, and whoever called waits. Here, whoever awaits is
//! never blocked; queues are bounded; requests are batched, can be cancelled and have deadlines; and each ends exactly
//! once, with its result or with one typed error.
//!
//! ```
//! use std::time::Duration;
//! use unruffled::{Answer, Engine, Load, Reading, sample};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), unruffled::Error> {
//! let engine = Engine::new();
//! // A model of your own: `engine.load("models/digits").await?`
//! let folder = sample::digits();
//! let digits = engine.load_folder(&folder)?.await?;
//!
//! let out = digits.infer(sample::seven()).timeout(Duration::from_millis(500)).await?;
//! let answer = Answer::read(&out, &folder.config, None);
//! # let mut labels = Vec::new();
//! for output in &answer.outputs {
//!     if let Reading::Classes(rows) = &output.reading {
//!         println!("{}: {}", output.name, rows[0][0].label); // probabilities: 7
//!         # labels.push(rows[0][0].label.clone());
//!     }
//! }
//! # assert_eq!(labels, ["7", "7"]);
//! println!("waited {:?}, ran {:?}", out.timings.queue, out.timings.run);
//! # Ok(())
//! # }
//! ```
//!
//! Where to look:
//!
//! - Ask and be answered: [`Engine`], [`Handle`], [`Priority`]. Any Rust function is a model: [`Engine::wrap`].
//! - Models on disk: [`Load`], [`ModelFolder`], [`Repository`], and `model.toml` in [`config`].
//! - What runs them: [`Backends`]. Classical models and networks in pure Rust, with nothing to install; ONNX Runtime and
//!   Python where they are found, see [`Runtimes`].
//! - Pictures, sounds, files and text in, labels out: [`InputReader`], [`Answer`].
//! - A model to begin with: [`sample`].
//!
//! The whole of the two crates below is in [`engine`] and [`model`].
//!
//! There is no HTTP here, no command line and no reading of the environment; it needs no particular async runtime.

pub use unruffled_engine as engine;
pub use unruffled_model as model;

mod error;

pub mod config;

mod repository;

pub mod sample;

mod runtimes;

mod chain;

mod load;

mod input;

mod answer;

#[cfg(doctest)]
mod guide;

pub use unruffled_engine::{
    Drained, Engine, Handle, LoadProgress, Loading, ModelStatus, PoolOptions, Priority, QueueLimits,
    Response, Timings,
};
pub use unruffled_model::{
    Backend, Batching, DType, Dim, Element, LoadedModel, ModelInfo, ModelSource, Signature, Tensor,
    TensorSpec, Tensors,
};
pub use unruffled_onnx::{
    OnnxSummary, OrtBackend, OrtMissing, OrtOptions, OrtRuntime, OrtSearch, OrtTried, RtenBackend,
    TreesBackend,
};
pub use unruffled_worker::{PythonBackend, PythonInterpreter, PythonOptions};

pub use answer::{Answer, Class, Line, OutputAnswer, Reading, Summary};
pub use config::ModelConfig;
pub use error::{Error, ErrorKind};
pub use input::InputReader;
pub use load::{Backends, Choice, Load, TensorHandle, TensorLoading};
pub use repository::{LAYOUTS, ModelFolder, Repository};
pub use runtimes::Runtimes;
