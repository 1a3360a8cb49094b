//! [`PythonBackend`]: Python files and saved estimators as models.

use std::path::Path;
use std::sync::Arc;

use unruffled_model::{Backend, BackendOptions, LoadContext, ModelError, ModelSource, Support, TensorModel};

use crate::launcher::Launcher;
use crate::loaded::PythonModel;
use crate::nursery::Nursery;
use crate::options::PythonOptions;
use crate::settings::{Kind, Settings};
use crate::worker::Worker;

/// Runs Python models, each instance in a process of its own; [`PythonOptions`] among the special options say how.
#[derive(Debug)]
pub struct PythonBackend {
    launcher: Arc<Launcher>,
}

impl PythonBackend {
    /// A backend whose processes begin at the priority of the thread that calls this.
    pub fn new() -> Self {
        Self { launcher: Arc::new(Launcher::new()) }
    }
}

impl Default for PythonBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for PythonBackend {
    fn name(&self) -> &'static str {
        "python"
    }

    fn formats(&self) -> &'static [&'static str] {
        &["py", "skops", "joblib", "pkl"]
    }

    fn supports(&self, source: &ModelSource) -> Result<Support, ModelError> {
        match file(source) {
            Ok((path, _)) if path.is_file() => Ok(Support::Yes),
            Ok((path, _)) => Err(ModelError::failed(format!("there is no file {}", path.display()))),
            Err(reason) => Ok(Support::No(vec![reason])),
        }
    }

    fn load(
        &self,
        source: &ModelSource,
        options: &BackendOptions,
        ctx: &LoadContext<'_>,
    ) -> Result<TensorModel, ModelError> {
        let (path, kind) = file(source).map_err(ModelError::unsupported)?;
        let python = options.special.get::<PythonOptions>().cloned().unwrap_or_default();
        check_trust(path, kind, &python)?;
        if !path.is_file() {
            return Err(ModelError::failed(format!("there is no file {}", path.display())));
        }
        let path = std::path::absolute(path)
            .map_err(|error| ModelError::failed(format!("{}: {error}", path.display())).caused_by(error))?;
        let settings = Arc::new(Settings::new(path, kind, options.threads, python));
        let unwanted = || ctx.is_cancelled();
        if unwanted() {
            return Err(ModelError::cancelled());
        }
        ctx.progress(0.0);
        let mut worker = Worker::start(&settings, &self.launcher, &unwanted)?;
        ctx.progress(0.3);
        let description = worker.load(&unwanted)?;
        let mut signature = description.signature.clone();
        for default in &options.defaults {
            signature.set_default(default)?;
        }
        ctx.progress(1.0);
        let nursery = Nursery::new(settings, Arc::clone(&self.launcher), worker, description)?;
        Ok(Arc::new(PythonModel::new(nursery, signature)))
    }
}

fn file(source: &ModelSource) -> Result<(&Path, Kind), String> {
    match source {
        ModelSource::File(path) => match Kind::of(path) {
            Some(kind) => Ok((path, kind)),
            None => Err("it is neither a Python file nor an estimator (.py, .skops, .joblib, .pkl)".into()),
        },
        ModelSource::Memory(_) => {
            Err("Python models are files: bytes in memory do not tell what they are".into())
        }
    }
}

/// Refuses files that run code when they are read, unless the user trusts them, and says then what that means.
fn check_trust(path: &Path, kind: Kind, python: &PythonOptions) -> Result<(), ModelError> {
    if !matches!(kind, Kind::Joblib | Kind::Pickle) {
        return Ok(());
    }
    let path = path.display();
    if !python.trust_pickle {
        return Err(ModelError::failed(format!(
            "{path} may run any code when it is read, as every pickle may: save it with skops, convert it to ONNX, or set \
             `trust_pickle` if it is your own"
        )));
    }
    tracing::warn!(file = %path, "a pickle runs whatever code it holds when it is read: this one is trusted by `trust_pickle`");
    Ok(())
}
