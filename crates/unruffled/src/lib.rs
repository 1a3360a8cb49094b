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
//! - In types of your own: [`Handle::typed`], [`IntoTensors`] and [`FromTensors`], both to be derived. `100.ms()`: [`DurationExt`].
//! - Models on disk: [`Load`], [`ModelFolder`], [`Repository`], and `model.toml` in [`config`].
//! - What runs them: [`Backends`]. Classical models and networks in pure Rust, with nothing to install; ONNX Runtime and
//!   Python where they are found, see [`Runtimes`].
//! - The steps around models, tokenisers and decoders say, as models: [`steps`], and `[step]` in `model.toml`.
//! - State from call to call: [`Handle::sequences`], and `[sequence]` in `model.toml`.
//! - Pictures, sounds, files and text in, labels out: [`InputReader`], [`Answer`].
//! - Submitted now, run later, fetched at any time: [`Engine::jobs`]; jobs that survive the process: [`DurableJobs`].
//! - A model to begin with: [`sample`].
//!
//! The whole of the crates below is in [`engine`], [`model`] and [`steps`].
//!
//! There is no HTTP here, no command line and no reading of the environment; it needs no particular async runtime.

pub use unruffled_engine as engine;
pub use unruffled_model as model;
pub use unruffled_steps as steps;

mod error;

pub mod config;

mod repository;

pub mod sample;

mod runtimes;

mod told;

mod translated;

mod estimator;
mod seen;

mod step;

mod chain;

mod load;

pub mod memory;

mod follow;

mod input;

mod answer;

mod jobs;

#[cfg(doctest)]
mod guide;

pub use unruffled_derive::{FromTensors, IntoTensors};
pub use unruffled_engine::{
    Drained, DurationExt, Engine, EngineOptions, Handle, Job, JobState, JobStatus, Jobs, JobsOptions,
    LoadProgress, Loading, MemoryBudget, ModelStatus, PoolOptions, Priority, QueueLimits, Response, Rollout,
    SequenceOptions, Sequences, Session, Snapshot, StreamOptions, Timings, Typed, VersionState,
    VersionStatus,
};
pub use unruffled_model::{
    Backend, Batching, DType, Dim, Element, FromTensor, FromTensors, IntoTensor, IntoTensors, LoadedModel,
    ModelInfo, ModelSource, SequenceSpec, Signature, Tensor, TensorSpec, Tensors,
};
pub use unruffled_onnx::{
    OnnxSummary, OrtBackend, OrtMissing, OrtOptions, OrtRuntime, OrtSearch, OrtTried, RtenBackend,
    TreesBackend,
};
pub use unruffled_worker::{PythonBackend, PythonInterpreter, PythonOptions};

pub use answer::{Answer, Class, Line, OutputAnswer, Reading, Summary};
pub use config::ModelConfig;
pub use error::{Error, ErrorKind};
pub use follow::Follow;
pub use input::InputReader;
pub use jobs::DurableJobs;
pub use load::{Backends, Choice, Load, TensorHandle, TensorLoading};
pub use repository::{LAYOUTS, ModelFolder, Repository};
pub use runtimes::Runtimes;
pub use step::StepBackend;
