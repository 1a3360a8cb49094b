//! [`ModelConfig`]: the settings of one model, checked.

mod foreign;
mod pipeline;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use unruffled_engine::{BreakerOptions, CacheOptions, PoolOptions, QueueLimits};
use unruffled_model::{DType, Dim, SequenceSpec};
use unruffled_steps::Step;

pub use foreign::{Estimator, Note, Versions};
pub(crate) use foreign::{Foreign, Reshape};
pub use pipeline::{PipelineConfig, PipelineStepConfig, StepAsks, StepFeed, StepRepeat};

/// Everything that a `model.toml` may set, or a settings file of another server. The default sets nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelConfig {
    /// What the model is called, where that is not the name of its folder.
    pub name: Option<String>,
    /// What the model does, in a sentence.
    pub description: Option<String>,
    /// Under which licence it may be used.
    pub license: Option<String>,
    /// Where it comes from.
    pub source: Option<String>,
    /// The name of the backend that must run it; without it, the first that can does.
    pub backend: Option<String>,
    /// What its file is called, where that is said.
    pub model_file: Option<String>,
    /// Which version it is, where no folder says so.
    pub version: Option<u64>,
    /// Which of its versions are served.
    pub versions: Versions,
    /// How it is run.
    pub run: RunConfig,
    /// What sessions keep from call to call; `None` if the settings say nothing of it.
    pub sequence: Option<SequenceConfig>,
    /// How much of its answers is remembered, if anything is.
    pub cache: Option<CacheOptions>,
    /// Which other models it is a chain of, if it is one.
    pub fallback: Option<FallbackConfig>,
    /// What ONNX Runtime is to know.
    pub onnxruntime: OnnxRuntimeConfig,
    /// What a model in a Python worker is to know.
    pub python: PythonConfig,
    /// That it is an estimator, to be asked as MLServer's are.
    pub estimator: Option<Estimator>,
    /// The step that the model is, if it is one and has no file of its own.
    pub step: Option<StepConfig>,
    /// The pipeline that the model is, if it is one.
    pub pipeline: Option<Arc<PipelineConfig>>,
    /// What is said about inputs; those that nothing is said about are not here.
    pub inputs: Vec<InputConfig>,
    /// What is said about outputs; those that nothing is said about are not here.
    pub outputs: Vec<OutputConfig>,
    /// What the file says that has no effect here.
    pub notes: Vec<Note>,
    /// The file that said so, for messages.
    pub(crate) file: Option<PathBuf>,
    /// What only files of other servers say.
    pub(crate) foreign: Option<Arc<Foreign>>,
}

impl ModelConfig {
    /// How the engine is to run the model, its defaults filled in.
    pub fn pool_options(&self) -> PoolOptions {
        let options = self.run.pool_options();
        self.cache.map_or(options, |cache| options.with_cache(cache))
    }

    /// The file that these settings are from, if they are from one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What is said about an input.
    pub fn input(&self, name: &str) -> Option<&InputConfig> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// What is said about an output.
    pub fn output(&self, name: &str) -> Option<&OutputConfig> {
        self.outputs.iter().find(|output| output.name == name)
    }
}

/// How a model is run; what is `None` is the engine's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunConfig {
    /// Copies that run side by side, at least.
    pub instances: Option<NonZeroUsize>,
    /// Copies that run side by side, at most.
    pub instances_max: Option<NonZeroUsize>,
    /// How long work waits before a copy is added.
    pub grow_after: Option<Duration>,
    /// How long a copy beyond the least has nothing to do before it is let go.
    pub shrink_after: Option<Duration>,
    /// How long a lease may lie idle.
    pub lease_idle_max: Option<Duration>,
    /// How many times each copy runs a sample before it takes work: zeros, of the least size that the model allows.
    pub warm_up: Option<usize>,
    /// Threads that one run of one copy uses.
    pub threads: Option<NonZeroUsize>,
    /// Rows that requests may be joined to.
    pub max_batch: Option<NonZeroUsize>,
    /// Whether requests are never joined, whatever the model could do.
    pub one_by_one: bool,
    /// Requests that may wait.
    pub queue_items: Option<NonZeroUsize>,
    /// Bytes of inputs that may wait.
    pub queue_bytes: Option<NonZeroUsize>,
    /// Whether the model is loaded anew, beside the one that runs, when its files have changed.
    pub reload: bool,
}

impl RunConfig {
    /// How the engine is to run the model, its defaults filled in.
    pub fn pool_options(&self) -> PoolOptions {
        let defaults = PoolOptions::default();
        let limits = defaults.queue();
        let least = self.instances.map_or(defaults.instances(), usize::from);
        let mut options = defaults
            .with_instances_between(least, self.instances_max.map_or(least, usize::from))
            .with_warm_up(self.warm_up.unwrap_or_default());
        if let Some(wait) = self.grow_after {
            options = options.with_grow_after(wait);
        }
        if let Some(idle) = self.shrink_after {
            options = options.with_shrink_after(idle);
        }
        if let Some(idle) = self.lease_idle_max {
            options = options.with_lease_idle_max(idle);
        }
        options.with_max_batch(self.max_batch.map_or(defaults.max_batch(), usize::from)).with_queue(
            QueueLimits {
                items: self.queue_items.map_or(limits.items, usize::from),
                bytes: self.queue_bytes.map_or(limits.bytes, usize::from),
            },
        )
    }
}

/// What sessions of a model keep from call to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceConfig {
    /// Which output is which input of the next call.
    pub spec: SequenceSpec,
    /// The line of each input that is kept, for messages.
    pub(crate) lines: Vec<(String, usize)>,
}

/// Other models of which one answers.
#[derive(Clone, Debug, PartialEq)]
pub struct FallbackConfig {
    /// Their names, the best first.
    pub chain: Vec<String>,
    /// In which order they are asked.
    pub order: FallbackOrder,
    /// How long each may take, of the time that a request has.
    pub budget: Option<Duration>,
    /// How long after one the next begins beside it.
    pub hedge_after: Option<Duration>,
    /// When one that fails is left alone.
    pub breaker: BreakerOptions,
}

/// In which order the models of a chain are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackOrder {
    /// One after the other has failed, or is late.
    InTurn,
    /// The same, and those are passed over that cannot be expected to be in time.
    BySlack,
    /// All at once; the first success counts.
    Race,
}

/// What ONNX Runtime is to know about a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnnxRuntimeConfig {
    /// The execution providers to use, the preferred one first; none is the processor alone.
    pub providers: Vec<String>,
}

/// What a model in a Python worker is to know; what is `None` is the worker's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PythonConfig {
    /// The interpreter, or the folder of its virtual environment; not relative to anything.
    pub interpreter: Option<PathBuf>,
    /// Whether the model's file may be unpickled, which runs whatever code is in it.
    pub trust_pickle: bool,
    /// Types that a `.skops` file may hold beside those that are known to be harmless.
    pub trusted_types: Vec<String>,
    /// The memory that one worker may take.
    pub memory_bytes: Option<u64>,
    /// How long a worker may take to load the model.
    pub load_timeout: Option<Duration>,
    /// How long a cancelled run may go on before its worker is killed.
    pub cancel_grace: Option<Duration>,
    /// Whether a row may be run again after its worker died.
    pub rerun: Option<bool>,
    /// Whether a changed file is loaded in place of the old one.
    pub reload: bool,
}

/// A model that is a step: what it does stands in its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct StepConfig {
    /// The step with its options.
    pub step: Step,
    /// The line of each key, for messages.
    pub(crate) lines: Vec<(String, usize)>,
}

impl StepConfig {
    /// A step that no file describes.
    pub fn new(step: Step) -> Self {
        Self { step, lines: Vec::new() }
    }
}

/// What an input or output is, for a model that does not say so itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// The element type.
    pub dtype: DType,
    /// The dimensions; `None` if even their number is left open.
    pub dims: Option<Vec<Dim>>,
}

/// What is said about one input.
#[derive(Clone, Debug, PartialEq)]
pub struct InputConfig {
    /// The input.
    pub name: String,
    /// What it is, if the settings say so.
    pub declared: Option<Declared>,
    /// What stands in for it when it is left out.
    pub default: Option<DefaultValue>,
    /// What a person may give for it instead of numbers.
    pub from: Option<InputSource>,
}

/// What stands in for an input that is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct DefaultValue {
    /// What each element is.
    pub value: f64,
    /// The shape; `None` lets the other inputs of a request decide.
    pub shape: Option<Vec<usize>>,
}

/// What an input is made from.
#[derive(Clone, Debug, PartialEq)]
pub enum InputSource {
    /// A picture.
    Image(ImageInput),
    /// A sound.
    Audio(AudioInput),
    /// The bytes of any file.
    File(FileInput),
}

/// How a picture becomes a tensor.
///
/// Resized, as numbers from 0 to 1, inverted or not, times `scale`, less `mean`, divided by `std`.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageInput {
    /// The width; without it, that of the picture in proportion to the height.
    pub width: Option<NonZeroU32>,
    /// The height; without it, that of the picture in proportion to the width.
    pub height: Option<NonZeroU32>,
    /// The longer side is shrunk to this.
    pub side_max: Option<NonZeroU32>,
    /// Both sides are rounded to multiples of this.
    pub multiple: Option<NonZeroU32>,
    /// Which channels, in which order.
    pub color: Color,
    /// The order of the dimensions.
    pub layout: Layout,
    /// Whether dark becomes large.
    pub invert: bool,
    /// What the numbers are multiplied by.
    pub scale: f32,
    /// What is then subtracted: nothing, or a number for each channel.
    pub mean: Vec<f32>,
    /// What is then divided by: nothing, or a number for each channel.
    pub std: Vec<f32>,
}

/// The channels of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// One: brightness.
    Gray,
    /// Three: red, green, blue.
    Rgb,
    /// Three: blue, green, red.
    Bgr,
}

impl Color {
    /// How many channels there are.
    pub fn channels(self) -> usize {
        match self {
            Color::Gray => 1,
            Color::Rgb | Color::Bgr => 3,
        }
    }
}

/// The order of a picture's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Pictures, rows, columns; for one channel.
    Nhw,
    /// Pictures, channels, rows, columns.
    Nchw,
    /// Pictures, rows, columns, channels.
    Nhwc,
}

/// How a sound becomes a tensor: mixed down to one channel, in numbers from -1 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioInput {
    /// Samples per second; a sound of another rate is resampled.
    pub rate: NonZeroU32,
    /// Cut, or filled up with silence, to this length; without it, as long as it is.
    pub samples: Option<NonZeroUsize>,
}

/// How the bytes of a file become a tensor: some from its beginning, then some from its end.
///
/// Of the first `block` bytes, white space in front is dropped, `begin` are kept and filled up behind. Of the last
/// `block` bytes, white space behind is dropped, `end` are kept and filled up in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInput {
    /// Bytes from the beginning.
    pub begin: usize,
    /// Bytes from the end.
    pub end: usize,
    /// How far into the file either part may reach.
    pub block: usize,
    /// Whether white space is dropped.
    pub trim: bool,
    /// What stands where the file has no byte.
    pub padding: i32,
}

/// What is said about one output.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputConfig {
    /// The output.
    pub name: String,
    /// What it is, if the settings say so.
    pub declared: Option<Declared>,
    /// What its classes are called.
    pub labels: Option<Labels>,
    /// How many of the best classes are told.
    pub top: NonZeroUsize,
    /// How it is read.
    pub decode: Decode,
}

/// The names of classes: line n of a file is class n.
pub type Labels = Arc<[String]>;

/// How an output with labels is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decode {
    /// The best classes along the last dimension; an integer is a class itself.
    #[default]
    Classes,
    /// As text of a connectionist temporal classification, [n, step, class]: the best class of each step, repetitions and
    /// class 0 dropped.
    Ctc,
}
