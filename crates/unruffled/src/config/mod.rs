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
//! threads = 1                    # of one run of one copy
//! max_batch = 32                 # rows that requests may be joined to
//! queue_items = 1024             # how much may wait, in requests
//! queue_bytes = 268435456        # and in bytes
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
//! reload = true                  # when the files of the model have changed
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

mod place;

mod check;
pub(crate) mod fit;

use std::path::Path;

use crate::error::{Error, ErrorKind};
use check::Checker;
use raw::Raw;

pub use typed::{
    AudioInput, Color, Declared, Decode, DefaultValue, FallbackConfig, FallbackOrder, FileInput, ImageInput,
    InputConfig, InputSource, Labels, Layout, ModelConfig, OnnxRuntimeConfig, OutputConfig, PythonConfig,
    RunConfig,
};

/// What the file is called.
pub const FILE_NAME: &str = "model.toml";

impl ModelConfig {
    /// Reads the `model.toml` of a folder; a folder without one has the default settings.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, or with one that it names.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let file = folder.join(FILE_NAME);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => {
                let message = format!("cannot be read: {error}");
                return Err(Error::new(ErrorKind::InvalidConfig, message).in_file(&file).caused_by(error));
            }
        };
        Self::parse(&text, &file, &|name| std::fs::read_to_string(folder.join(name)))
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

#[cfg(test)]
mod tests;
