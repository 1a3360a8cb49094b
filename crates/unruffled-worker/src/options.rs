//! [`PythonOptions`]: what only Python models have to be told.

use std::path::{Path, PathBuf};
use std::time::Duration;

use unruffled_model::{Rerun, Signature};

/// Which worker is kept ready beside those that run, to take the place of one that dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spare {
    /// None: a replacement begins when it is needed.
    None,
    /// The interpreter with numpy, without the model: for models that take much memory.
    Interpreter,
    /// The whole model.
    Loaded,
    /// The whole model if its process has never had more than 512 MiB, the interpreter otherwise.
    Auto,
}

/// How a Python model is started, limited and stopped.
///
/// ```
/// use std::time::Duration;
///
/// use unruffled_model::BackendOptions;
/// use unruffled_worker::PythonOptions;
///
/// let python = PythonOptions::default().with_python("venv").with_cancel_grace(Duration::from_millis(50));
/// let mut options = BackendOptions::default();
/// options.special = options.special.with(python);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PythonOptions {
    /// The interpreter, or the folder of a virtual environment; `python3` of the search path unless set.
    pub python: PathBuf,
    /// What the model takes and gives, if it does not say so itself.
    pub signature: Option<Signature>,
    /// How long a run that was asked to stop may take to do so before its process is killed.
    pub cancel_grace: Duration,
    /// How long a worker may take to come up with its model.
    pub load_timeout: Duration,
    /// Which worker is kept ready beside those that run.
    pub spare: Spare,
    /// The most memory that a worker may have for its data, in bytes; `None` does not limit it. Linux only.
    pub memory_max: Option<u64>,
    /// The most memory that a worker and this process share for tensors, in bytes.
    pub shared_memory_max: u64,
    /// How much the workers give way to the rest of the machine: 0 not at all, 19 wherever they can.
    pub nice: u8,
    /// Whether files that run code when they are read (`.joblib`, `.pkl`) are read.
    pub trust_pickle: bool,
    /// Types that a `.skops` file may hold beyond those that skops knows to be safe.
    pub trusted_types: Vec<String>,
    /// Whether a row may be run again after a neighbour made their batch fail.
    pub rerun: Rerun,
    /// Whether the model is loaded anew when its file, or a Python file beside it or below, has changed.
    pub reload: bool,
}

impl Default for PythonOptions {
    fn default() -> Self {
        Self {
            python: "python3".into(),
            signature: None,
            cancel_grace: Duration::from_millis(100),
            load_timeout: Duration::from_secs(60),
            spare: Spare::Auto,
            memory_max: None,
            shared_memory_max: 1 << 30,
            nice: 5,
            trust_pickle: false,
            trusted_types: Vec::new(),
            rerun: Rerun::Safe,
            reload: false,
        }
    }
}

impl PythonOptions {
    /// With this interpreter, or the one of this virtual environment.
    #[must_use]
    pub fn with_python(mut self, python: impl Into<PathBuf>) -> Self {
        self.python = python.into();
        self
    }

    /// With this signature, whatever the model says of itself.
    #[must_use]
    pub fn with_signature(mut self, signature: Signature) -> Self {
        self.signature = Some(signature);
        self
    }

    /// With so long for a run to stop by itself.
    #[must_use]
    pub fn with_cancel_grace(mut self, grace: Duration) -> Self {
        self.cancel_grace = grace;
        self
    }

    /// With so long for a worker to come up.
    #[must_use]
    pub fn with_load_timeout(mut self, timeout: Duration) -> Self {
        self.load_timeout = timeout;
        self
    }

    /// With this worker ready beside those that run.
    #[must_use]
    pub fn with_spare(mut self, spare: Spare) -> Self {
        self.spare = spare;
        self
    }

    /// With so many bytes for the data of a worker.
    #[must_use]
    pub fn with_memory_max(mut self, bytes: u64) -> Self {
        self.memory_max = Some(bytes);
        self
    }

    /// With so many bytes for tensors on their way.
    #[must_use]
    pub fn with_shared_memory_max(mut self, bytes: u64) -> Self {
        self.shared_memory_max = bytes;
        self
    }

    /// Giving way so much to the rest of the machine, from 0 to 19.
    #[must_use]
    pub fn with_nice(mut self, nice: u8) -> Self {
        self.nice = nice.min(19);
        self
    }

    /// Reading files that may run any code when they are read. Do so only with files of your own.
    #[must_use]
    pub fn with_trust_pickle(mut self, trust: bool) -> Self {
        self.trust_pickle = trust;
        self
    }

    /// Trusting these types in a `.skops` file.
    #[must_use]
    pub fn with_trusted_types(mut self, types: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.trusted_types = types.into_iter().map(Into::into).collect();
        self
    }

    /// Saying whether a row may be run again.
    #[must_use]
    pub fn with_rerun(mut self, rerun: Rerun) -> Self {
        self.rerun = rerun;
        self
    }

    /// Loads the model anew when its files change, if it takes and gives the same as before. Runs go on meanwhile, and
    /// those that begin once the new worker is up are run by it.
    #[must_use]
    pub fn with_reload(mut self, reload: bool) -> Self {
        self.reload = reload;
        self
    }

    /// The interpreter itself.
    pub(crate) fn interpreter(&self) -> PathBuf {
        let inside = Path::new("bin/python");
        match self.python.is_dir() {
            true => self.python.join(inside),
            false => self.python.clone(),
        }
    }
}
