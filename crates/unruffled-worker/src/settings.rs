//! What all workers of one model have in common.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::options::PythonOptions;
use crate::process::Spec;

/// Set before the interpreter starts, since the libraries read them when they are imported.
const THREAD_COUNTS: &[&str] = &[
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
];

/// How a model is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As a class in a Python file.
    Source,
    /// As an estimator that skops has saved.
    Skops,
    /// As an estimator that joblib has saved.
    Joblib,
    /// As an estimator that was pickled.
    Pickle,
}

impl Kind {
    /// By the extension of the file.
    pub(crate) fn of(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "py" => Some(Kind::Source),
            "skops" => Some(Kind::Skops),
            "joblib" => Some(Kind::Joblib),
            "pkl" | "pickle" => Some(Kind::Pickle),
            _ => None,
        }
    }

    /// As the Python side calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Skops => "skops",
            Kind::Joblib => "joblib",
            Kind::Pickle => "pickle",
        }
    }
}

/// What all workers of one model have in common.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) threads: usize,
    pub(crate) python: PythonOptions,
    pub(crate) interpreter: PathBuf,
    pub(crate) spec: Arc<Spec>,
    /// What the model is called in logs: the file and its folder.
    pub(crate) name: Arc<str>,
}

impl Settings {
    pub(crate) fn new(path: PathBuf, kind: Kind, threads: usize, python: PythonOptions) -> Self {
        let interpreter = python.interpreter();
        let arguments = ["-X", "faulthandler", "-u", "-c", crate::sources::BOOT, "unruffled-worker"];
        let mut arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        // For people who look at the list of processes.
        arguments.push(path.clone().into_os_string());
        let threads = threads.max(1);
        let spec = Spec {
            program: interpreter.clone().into_os_string(),
            arguments,
            environment: THREAD_COUNTS.iter().map(|name| (*name, threads.to_string())).collect(),
        };
        let name = match (path.parent().and_then(|parent| parent.file_name()), path.file_name()) {
            (Some(folder), Some(file)) => format!("{}/{}", folder.display(), file.display()),
            _ => path.display().to_string(),
        };
        Self { path, kind, threads, python, interpreter, spec: Arc::new(spec), name: name.into() }
    }
}
