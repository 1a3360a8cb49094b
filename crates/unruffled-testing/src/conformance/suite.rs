//! [`Suite`]: finds models and recordings, and checks a backend with them.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use unruffled_model::{
    Backend, BackendOptions, Bytes, CancelToken, LoadContext, ModelError, ModelErrorKind, ModelSource,
    Support, TensorModel,
};

use super::checks::check_model;
use super::recording::{names, read_cases};
use super::report::{Failure, ModelReport, Report, Unchecked};

/// Where recordings and models are.
#[derive(Clone, Debug)]
pub struct Suite {
    recordings: PathBuf,
    models: Vec<PathBuf>,
    require_all: bool,
}

impl Suite {
    /// A suite over `recordings`, whose models are looked for in the folders `models`, in this order.
    pub fn new<P: Into<PathBuf>>(
        recordings: impl Into<PathBuf>,
        models: impl IntoIterator<Item = P>,
    ) -> Self {
        Self {
            recordings: recordings.into(),
            models: models.into_iter().map(Into::into).collect(),
            require_all: false,
        }
    }

    /// Makes a failure of a model that cannot be checked because it is not there or not supported.
    #[must_use]
    pub fn require_all(mut self) -> Self {
        self.require_all = true;
        self
    }

    /// Checks a backend with every model that has recordings. It takes as long as the models run.
    ///
    /// # Panics
    ///
    /// If the folder of recordings cannot be read.
    pub fn check(&self, backend: &dyn Backend) -> Report {
        let mut report =
            Report { backend: backend.name().into(), require_all: self.require_all, ..Report::default() };
        let all = names(&self.recordings).unwrap_or_else(|error| panic!("{error}"));
        for model in all {
            let folder = self.recordings.join(&model);
            if !folder.is_dir() || self.models.contains(&folder) {
                continue;
            }
            match self.check_model(backend, &model, &folder) {
                Ok(found) => report.models.push(found),
                Err(reason) => report.unchecked.push(Unchecked { model, reason }),
            }
        }
        report
    }

    /// Checks one model, or says why that cannot be done.
    fn check_model(
        &self,
        backend: &dyn Backend,
        name: &str,
        recordings: &Path,
    ) -> Result<ModelReport, String> {
        let files = self.models.iter().map(|folder| folder.join(name).join("1/model.onnx"));
        let file = files.clone().find(|file| file.is_file()).ok_or_else(|| {
            let tried: Vec<_> = files.map(|file| file.display().to_string()).collect();
            format!("its file is none of {}; `cargo xtask models` gathers it", tried.join(", "))
        })?;
        let source = ModelSource::File(file.clone());
        if let Ok(Support::No(reasons)) = backend.supports(&source) {
            return Err(format!("{} does not support it: {}", backend.name(), reasons.join("; ")));
        }
        let mut report = ModelReport { model: name.into(), ..ModelReport::default() };
        match (read_cases(recordings), load(backend, &source)) {
            (Ok(cases), Ok(model)) => {
                report.cases = cases.len();
                report.batching = Some(model.info().batching);
                check_model(&model, &cases, &mut report);
                let same = same_from_memory(backend, &file, &model);
                report.failures.extend(same.err().map(|message| Failure { check: "from memory", message }));
            }
            (cases, model) => {
                let errors = [cases.err(), model.err()].into_iter().flatten();
                let failures = errors.map(|error| Failure { check: "load", message: error.to_string() });
                report.failures.extend(failures);
            }
        }
        Ok(report)
    }
}

/// Loads a model and watches how it tells its progress.
fn load(backend: &dyn Backend, source: &ModelSource) -> Result<TensorModel, ModelError> {
    let cancelled = CancelToken::new();
    cancelled.cancel();
    match backend.load(source, &BackendOptions::default(), &LoadContext::new(&cancelled, &|_| ())) {
        Err(error) if error.kind() != ModelErrorKind::Cancelled => {
            return Err(ModelError::failed(format!("a cancelled load ends with: {error}")));
        }
        Ok(_) | Err(_) => {}
    }
    let (cancel, heard) = (CancelToken::new(), Mutex::new(Vec::new()));
    let hear = |done: f32| heard.lock().expect("nobody panics with the lock").push(done);
    let model = backend.load(source, &BackendOptions::default(), &LoadContext::new(&cancel, &hear))?;
    let heard = heard.into_inner().expect("nobody panics with the lock");
    if !heard.is_sorted() {
        return Err(ModelError::failed(format!("its progress goes back: {heard:?}")));
    }
    if *model.info().backend != *backend.name() {
        let called = &model.info().backend;
        return Err(ModelError::failed(format!("says that it is run by {called}")));
    }
    Ok(model)
}

/// Whether the model is the same when its bytes come from memory; large ones are not tried.
fn same_from_memory(backend: &dyn Backend, file: &Path, model: &TensorModel) -> Result<(), String> {
    const BYTES_MAX: usize = 1 << 20;
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    if bytes.len() > BYTES_MAX {
        return Ok(());
    }
    let cancel = CancelToken::new();
    let source = ModelSource::Memory(Bytes::from(bytes));
    let ctx = LoadContext::new(&cancel, &|_| ());
    let other = backend.load(&source, &BackendOptions::default(), &ctx);
    let other = other.map_err(|error| error.to_string())?;
    match other.info().signature == model.info().signature {
        true => Ok(()),
        false => Err("its signature is another one".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use unruffled_model::{
        Backend, BackendOptions, Footprint, LoadContext, LoadedModel, ModelError, ModelSource, Support,
        Tensor, TensorModel, Tensors,
    };

    use super::{Report, Suite};
    use crate::npy;
    use crate::scripted::{ScriptedModel, doubling, tensors};

    /// A backend for one model, which doubles `x` in some way.
    struct Fake(fn() -> ScriptedModel<Tensors, Tensors>);

    impl Backend for Fake {
        fn name(&self) -> &'static str {
            "scripted"
        }

        fn formats(&self) -> &'static [&'static str] {
            &["onnx"]
        }

        fn supports(&self, _: &ModelSource) -> Result<Support, ModelError> {
            Ok(Support::Yes)
        }

        fn load(
            &self,
            _: &ModelSource,
            _: &BackendOptions,
            _: &LoadContext<'_>,
        ) -> Result<TensorModel, ModelError> {
            Ok(Arc::new((self.0)()))
        }
    }

    fn record(folder: &Path, case: &str, x: &[f32]) {
        let folder = folder.join("recordings/doubling").join(case);
        fs::create_dir_all(&folder).unwrap();
        let tensor =
            |elements: Vec<f32>| npy::write(&Tensor::new(&[x.len() / 2, 2], elements).unwrap()).unwrap();
        fs::write(folder.join("in.x.npy"), tensor(x.to_vec())).unwrap();
        fs::write(folder.join("out.y.npy"), tensor(x.iter().map(|x| 2.0 * x).collect())).unwrap();
    }

    fn check(fake: fn() -> ScriptedModel<Tensors, Tensors>) -> Report {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path(), "one", &[1.0, 2.0]);
        record(folder.path(), "three", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let model = folder.path().join("models/doubling/1");
        fs::create_dir_all(&model).unwrap();
        fs::write(model.join("model.onnx"), b"not looked at").unwrap();
        Suite::new(folder.path().join("recordings"), [folder.path().join("models")]).check(&Fake(fake))
    }

    /// Which checks fail, each once.
    fn failed(fake: fn() -> ScriptedModel<Tensors, Tensors>) -> Vec<&'static str> {
        let report = check(fake);
        let mut failed: Vec<_> = report.models[0].failures.iter().map(|failure| failure.check).collect();
        failed.dedup();
        failed
    }

    #[test]
    fn a_sound_backend_passes() {
        let report = check(doubling);
        report.assert_passed();
        assert_eq!((report.models[0].cases, report.unchecked.len()), (2, 0));
    }

    /// A model that takes and says the same as [`doubling`], and answers otherwise.
    fn posing(answer: fn(&[f32], usize) -> Vec<f32>) -> ScriptedModel<Tensors, Tensors> {
        let signature = doubling().info().signature.clone();
        tensors(signature, move |inputs, ctx| {
            let x = inputs.get("x").ok_or_else(|| ModelError::failed("no x"))?;
            let y = answer(x.elements()?, ctx.requests().len());
            Ok(Tensors::new().with("y", Tensor::new(x.shape(), y)?))
        })
    }

    #[test]
    fn unsound_backends_do_not() {
        let wrong = || posing(|x, _| x.to_vec());
        assert_eq!(failed(wrong), ["alone"]);
        let crowded = || posing(|x, requests| x.iter().map(|x| x * 2.0_f32.powi(requests as i32)).collect());
        assert_eq!(failed(crowded), ["joined", "row by row", "no rows"]);
        let short = || posing(|_, _| Vec::new());
        assert_eq!(failed(short), ["alone"]);
        let panics = || posing(|_, _| panic!("as told"));
        assert_eq!(failed(panics), ["alone"]);
        let admits = || doubling().admitting(|_| Ok(Footprint::single(0)));
        assert_eq!(failed(admits), ["refusals"]);
    }

    #[test]
    fn what_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path(), "one", &[1.0, 2.0]);
        let suite = Suite::new(folder.path().join("recordings"), [folder.path()]).require_all();
        let report = suite.check(&Fake(doubling));
        assert!(!report.is_passed());
        assert!(report.to_string().contains("not checked: its file is none of"), "{report}");
    }
}
