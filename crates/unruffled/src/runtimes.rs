//! [`Runtimes`]: what outside of this program runs models, and where it is looked for.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use unruffled_model::{Backend, BackendOptions, LoadContext, ModelError, ModelSource, Support, TensorModel};
use unruffled_onnx::{OrtBackend, OrtMissing, OrtRuntime, OrtSearch};

/// Where runtimes are looked for that are not part of this program. Nothing is, unless it is said here: a library does not
/// search its user's disk by itself.
///
/// ```
/// use unruffled::{Backends, OrtSearch, Runtimes};
///
/// let runtimes = Runtimes::default().with_onnxruntime(OrtSearch::default().with_folder(".")).with_python(".venv");
/// let backends = Backends::new(&runtimes);
/// # assert_eq!(backends.names().collect::<Vec<_>>(), ["trees", "ort", "rten", "python", "step"]);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Runtimes {
    /// ONNX Runtime; `None` does without it.
    pub onnxruntime: Option<OrtSearch>,
    /// The Python of models whose settings name none: a virtual environment or an interpreter. `None` is `python3`.
    pub python: Option<PathBuf>,
}

impl Runtimes {
    /// With ONNX Runtime, looked for when the first model needs it.
    #[must_use]
    pub fn with_onnxruntime(mut self, search: OrtSearch) -> Self {
        self.onnxruntime = Some(search);
        self
    }

    /// With this Python, a virtual environment or an interpreter.
    #[must_use]
    pub fn with_python(mut self, python: impl Into<PathBuf>) -> Self {
        self.python = Some(python.into());
        self
    }
}

/// ONNX Runtime, not looked for until a model asks: a search may take longer than a small model.
pub(crate) struct SoughtOrt {
    search: OrtSearch,
    found: OnceLock<Result<OrtBackend, OrtMissing>>,
}

impl SoughtOrt {
    pub(crate) fn new(search: OrtSearch) -> Arc<Self> {
        Arc::new(Self { search, found: OnceLock::new() })
    }

    fn found(&self) -> Result<&OrtBackend, &OrtMissing> {
        self.found.get_or_init(|| OrtRuntime::find(&self.search).map(OrtBackend::new)).as_ref()
    }
}

impl Backend for SoughtOrt {
    fn name(&self) -> &'static str {
        "ort"
    }

    fn formats(&self) -> &'static [&'static str] {
        &["onnx"]
    }

    fn supports(&self, source: &ModelSource) -> Result<Support, ModelError> {
        match self.found() {
            Ok(backend) => backend.supports(source),
            // What the user has named must do: nothing else is taken in its stead.
            Err(missing) if missing.is_named() => Err(error(missing)),
            Err(missing) => Ok(Support::No(vec![missing.to_string()])),
        }
    }

    fn load(
        &self,
        source: &ModelSource,
        options: &BackendOptions,
        ctx: &LoadContext<'_>,
    ) -> Result<TensorModel, ModelError> {
        self.found().map_err(error)?.load(source, options, ctx)
    }
}

fn error(missing: &OrtMissing) -> ModelError {
    ModelError::unsupported(missing.to_string()).caused_by(missing.clone())
}
