//! `model.toml`: everything that can be set about a model, parsed once into the checked [`ModelConfig`].
//!
//! ```toml
//! description = "Tells which handwritten digit an 8 x 8 picture shows."
//! license = "MIT"
//! source = "trained by train.py"
//! backend = "rten"               # without it, the first backend that can run the model does
//!
//! [run]
//! instances = 2                  # copies that run side by side
//! instances_max = 4              # so many, while work waits for too long
//! grow_after_ms = 100            # how long that is
//! shrink_after_ms = 60000        # a copy beyond the first two is let go after so long without work
//! lease_idle_ms = 30000          # a lease that lies idle for so long is taken back
//! warm_up = 1                    # runs of zeros that a copy makes before it takes work; none unless set
//! threads = 1                    # of one run of one copy
//! max_batch = 32                 # rows that requests may be joined to
//! queue_items = 1024             # how much may wait, in requests
//! queue_bytes = 268435456        # and in bytes
//! reload = true                  # loaded beside the old one when the files have changed, and put in its place
//!
//! [sequence]                     # for sessions, which keep it from call to call
//! state = { stateN = "state" }   # an output, and the input that it is of the next call
//! overlap = { input = 64 }       # so many elements, along the last dimension, stand before the next
//!
//! [cache]                        # answers are remembered; without this, none is
//! bytes = 67108864               # of all of them together
//! ttl_s = 3600                   # without it, as long as there is room
//! input_bytes_max = 65536        # larger inputs are run each time
//!
//! [fallback]                     # no model of its own, but a chain of others
//! chain = ["large", "small"]     # the best first; all take and give the same
//! order = "in-turn"              # or "by-slack", or "race"
//! budget_ms = 80                 # for each of them
//! hedge_after_ms = 30            # the next begins beside one that has not answered
//! breaker = { failure_rate = 0.5, calls_min = 5, open_ms = 1000, open_ms_max = 30000, probes = 1, successes = 2 }
//!
//! [onnxruntime]
//! providers = ["cuda", "cpu"]    # execution providers, the preferred one first
//!
//! [python]                       # for model.py, model.skops and model.joblib
//! interpreter = "../.venv"       # a virtual environment or an interpreter; a path is meant from this folder
//! trust_pickle = true            # unpickling runs whatever code is in the file: only for files of your own
//! trusted_types = ["numpy.dtype"]  # of a .skops file, beside those that are known to be harmless
//! memory_bytes = 2147483648      # of one worker
//! load_timeout_ms = 60000
//! cancel_grace_ms = 100          # before a worker whose run was cancelled is killed
//! rerun = false                  # a row is never run twice, even if its worker died
//! reload = true                  # a worker at a time, when the Python files have changed
//!
//! [step]                         # for a model that is a step, and has no file of its own
//! kind = "tokenize"              # and what steps of that kind can be told, see `unruffled_steps`
//! tokenizer = "tokenizer.json"   # files lie beside this one
//!
//! [inputs.features]              # for a model that does not say so itself
//! dtype = "f32"                  # bool, u8 to u64, i8 to i64, f16, bf16, f32, f64, bytes
//! dims = ["batch", 4, "?"]       # a name, a size, or any size
//!
//! [inputs.image.from]            # what a person may give instead of numbers
//! kind = "image"                 # width, height, side_max, multiple, color, layout, invert, scale, mean, std
//! width = 8
//! height = 8
//! color = "gray"                 # gray, rgb (the default), bgr
//! layout = "nhw"                 # nhw (gray only), nchw (the default), nhwc
//! invert = true
//! scale = 16.0
//!
//! [inputs.sound.from]
//! kind = "audio"
//! rate = 16000
//! samples = 576                  # cut, or filled up with silence
//!
//! [inputs.bytes.from]
//! kind = "file"                  # begin, end, block, trim, padding
//! begin = 1024
//! end = 1024
//!
//! [inputs.mask]
//! default = 1                    # for an input that callers may leave out
//! shape = [2, 1, 128]            # without it, the other inputs of a request decide
//!
//! [outputs.probabilities]
//! labels = "labels.txt"          # one a line
//! top = 3
//!
//! [outputs.text]
//! labels = "labels.txt"
//! decode = "ctc"
//! ```
//!
//! Every key is optional. An unknown key is an error, as is a value that makes no sense; the message names file, line
//! and key.

mod raw;
mod typed;

mod beside;
mod place;

mod check;
pub(crate) mod fit;
mod step;

mod pipeline;

mod mlserver;
mod triton;

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use check::Checker;
use raw::Raw;

pub use typed::{
    AudioInput, Color, Declared, Decode, DefaultValue, Estimator, FallbackConfig, FallbackOrder, FileInput,
    ImageInput, InputConfig, InputSource, Labels, Layout, ModelConfig, Note, OnnxRuntimeConfig, OutputConfig,
    PipelineConfig, PipelineStepConfig, PythonConfig, RunConfig, SequenceConfig, StepAsks, StepConfig,
    StepFeed, StepRepeat, Versions,
};

pub use mlserver::MLSERVER_FILE_NAME;
pub use pipeline::PIPELINE_FILE_NAME;
pub use triton::TRITON_FILE_NAME;

pub(crate) use beside::is_beside;
pub(crate) use typed::{Foreign, Reshape};

/// What the file is called.
pub const FILE_NAME: &str = "model.toml";

/// What settings of other servers are called.
pub(crate) const FOREIGN_FILE_NAMES: [&str; 2] = [TRITON_FILE_NAME, MLSERVER_FILE_NAME];

impl ModelConfig {
    /// Reads the settings of a folder: its `model.toml`, or else those of another server, `config.pbtxt` or
    /// `model-settings.json`. A folder without any has the default settings; where `model.toml` is, it counts alone.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, or with one that it names.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let read_beside = |name: &str| std::fs::read_to_string(folder.join(name));
        if let Some((file, text)) = read(folder, FILE_NAME)? {
            let mut config = Self::parse(&text, &file, &read_beside)?;
            config.notes.extend(ignored(folder));
            return Ok(config);
        }
        if let Some((file, text)) = read(folder, TRITON_FILE_NAME)? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            return triton::parse(&text, &file, &name, &read_beside);
        }
        if let Some((file, text)) = read(folder, MLSERVER_FILE_NAME)? {
            let repository = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
            let found = [repository, Some(folder)]
                .into_iter()
                .flatten()
                .find_map(|place| read(place, mlserver::REPOSITORY_FILE_NAME).transpose());
            let all = found.transpose()?;
            let all = all.as_ref().map(|(file, text)| mlserver::Source { text, file });
            let is_there = |name: &str| folder.join(name).is_file();
            return mlserver::parse(mlserver::Source { text: &text, file: &file }, all, &is_there);
        }
        Ok(Self::default())
    }

    /// Parses settings that need not be in a file; `file` is what messages call them, and `read_beside` reads a file of
    /// the same folder by its name.
    ///
    /// # Errors
    ///
    /// What is wrong, with line and key.
    pub fn parse(
        text: &str,
        file: &Path,
        read_beside: &dyn Fn(&str) -> std::io::Result<String>,
    ) -> Result<Self, Error> {
        let checker = Checker { text, file, read_beside };
        let raw: Raw = toml::from_str(text).map_err(|error| checker.refuse(error.span(), error.message()))?;
        checker.config(raw)
    }
}

/// A file of a folder, if it is there.
fn read(folder: &Path, name: &str) -> Result<Option<(PathBuf, String)>, Error> {
    let file = folder.join(name);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some((file, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let message = format!("cannot be read: {error}");
            Err(Error::new(ErrorKind::InvalidConfig, message).in_file(&file).caused_by(error))
        }
    }
}

/// Settings of other servers that lie beside our own.
fn ignored(folder: &Path) -> impl Iterator<Item = Note> {
    let there = FOREIGN_FILE_NAMES.into_iter().filter(|name| folder.join(name).is_file());
    there.map(|name| Note {
        line: 0,
        key: name.into(),
        why: format!("{FILE_NAME} is there, and counts alone"),
    })
}

#[cfg(test)]
mod tests;
