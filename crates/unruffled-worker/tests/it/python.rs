//! Models for tests: written to a folder, loaded, run.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use unruffled_model::{
    Backend, BackendOptions, Batch, CancelToken, LoadContext, Model, ModelError, ModelSource, RequestContext,
    RunContext, Serve, TensorModel, Tensors,
};
use unruffled_worker::{PythonBackend, PythonOptions};

/// The environment of the repository, with numpy, scikit-learn and skops.
pub(crate) fn environment() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv");
    assert!(folder.join("bin/python").exists(), "no Python environment: run `cargo xtask test setup`");
    folder
}

/// Options with the Python of the repository.
pub(crate) fn options() -> PythonOptions {
    PythonOptions::default().with_python(environment())
}

/// A model whose folder goes with it.
pub(crate) struct Python {
    pub(crate) model: TensorModel,
    _folder: TempDir,
}

/// Writes `source` to a `model.py` and loads it.
#[track_caller]
pub(crate) fn load(source: &str) -> Python {
    try_load(source, options()).unwrap_or_else(|error| panic!("{error}"))
}

/// As [`load`], with other options, and for models that do not load.
pub(crate) fn try_load(source: &str, options: PythonOptions) -> Result<Python, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.py");
    std::fs::write(&path, source).unwrap();
    Ok(Python { model: load_file(&path, options)?, _folder: folder })
}

/// Loads a file.
pub(crate) fn load_file(path: &Path, options: PythonOptions) -> Result<TensorModel, ModelError> {
    let cancel = CancelToken::new();
    load_until(path, options, &cancel)
}

/// Loads a file for as long as nobody cancels.
pub(crate) fn load_until(
    path: &Path,
    options: PythonOptions,
    cancel: &CancelToken,
) -> Result<TensorModel, ModelError> {
    let mut all = BackendOptions::default();
    all.special = all.special.with(options);
    PythonBackend::new().load(&ModelSource::File(path.into()), &all, &LoadContext::new(cancel, &|_| ()))
}

/// An instance, as it is lent.
pub(crate) type Instance<'a> = dyn Model<Input = Tensors, Output = Tensors> + 'a;

impl Python {
    /// Lends an instance to `body`.
    #[track_caller]
    pub(crate) fn serve(&self, mut body: impl FnMut(&mut Instance<'_>) + Send) {
        let serve: &mut Serve<'_, Tensors, Tensors> = &mut |instance| body(instance);
        self.model.with_instance(serve).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The answer to one request, on an instance of its own.
    #[track_caller]
    pub(crate) fn run(&self, inputs: Tensors) -> Result<Tensors, ModelError> {
        let mut answer = None;
        self.serve(|instance| answer = Some(run(instance, inputs.clone())));
        answer.unwrap()
    }
}

/// The answer to one request.
pub(crate) fn run(instance: &mut Instance<'_>, inputs: Tensors) -> Result<Tensors, ModelError> {
    run_until(instance, inputs, &CancelToken::new())
}

/// The answer to one request that may be cancelled.
pub(crate) fn run_until(
    instance: &mut Instance<'_>,
    inputs: Tensors,
    cancel: &CancelToken,
) -> Result<Tensors, ModelError> {
    run_all(instance, [inputs], cancel, &[]).remove(0)
}

/// The answers to the requests of a batch.
pub(crate) fn run_all(
    instance: &mut Instance<'_>,
    inputs: impl IntoIterator<Item = Tensors>,
    cancel: &CancelToken,
    requests: &[RequestContext],
) -> Vec<Result<Tensors, ModelError>> {
    let mut batch = Batch::new(inputs);
    let result = instance.run(&mut batch, &RunContext::new(cancel, None, requests));
    let unanswered = || Err(result.clone().err().unwrap_or_else(|| ModelError::failed("not answered")));
    batch.into_rows().into_iter().map(|row| row.into_answer().unwrap_or_else(unanswered)).collect()
}
