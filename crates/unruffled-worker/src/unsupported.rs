//! [`PythonBackend`] where there are no worker processes: it says so.

use unruffled_model::{Backend, BackendOptions, LoadContext, ModelError, ModelSource, Support, TensorModel};

const REASON: &str = "Python models need Unix sockets, process groups and signals, which this system lacks";

/// Stands in for the backend of Unix systems, and supports nothing.
#[derive(Debug, Default)]
pub struct PythonBackend;

impl PythonBackend {
    /// A backend that supports nothing.
    pub fn new() -> Self {
        Self
    }
}

impl Backend for PythonBackend {
    fn name(&self) -> &'static str {
        "python"
    }

    fn formats(&self) -> &'static [&'static str] {
        &["py", "skops", "joblib", "pkl"]
    }

    fn supports(&self, _: &ModelSource) -> Result<Support, ModelError> {
        Ok(Support::No(vec![REASON.into()]))
    }

    fn load(
        &self,
        _: &ModelSource,
        _: &BackendOptions,
        _: &LoadContext<'_>,
    ) -> Result<TensorModel, ModelError> {
        Err(ModelError::unsupported(REASON))
    }
}
