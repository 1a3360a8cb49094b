//! Which runtimes outside of this program may be used: what the command line and the environment say.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use unruffled::{OrtSearch, Runtimes};

use crate::args::RuntimeArgs;
use crate::settings::{Effective, Settings, Source};

/// The variables that name the library, the first that is set counts. The second is what other programs go by.
const LIBRARY: [&str; 2] = ["UNRUFFLED_ORT_LIB", "ORT_DYLIB_PATH"];

/// Those that name the Python; the second is set in a shell whose virtual environment is active.
const PYTHON: [&str; 2] = ["UNRUFFLED_PYTHON", "VIRTUAL_ENV"];

/// What stands for no library at all.
const NONE: &str = "none";

pub(crate) fn runtimes(args: &RuntimeArgs) -> Runtimes {
    let python = python(args.python.as_deref());
    let mut runtimes = Runtimes::default();
    if let Some(search) = search(args.onnxruntime.as_deref(), python.as_deref()) {
        runtimes = runtimes.with_onnxruntime(search);
    }
    match python {
        Some(python) => runtimes.with_python(python),
        None => runtimes,
    }
}

/// The runtimes that settings name. What a variable says is found here anyway, and told as such.
pub(crate) fn named(running: &Effective) -> RuntimeArgs {
    let said = |key: &str, path: &Option<PathBuf>| {
        path.clone().filter(|_| running.source(key) != Some(Source::Variable))
    };
    let Settings { onnxruntime, python, .. } = &running.settings;
    RuntimeArgs { onnxruntime: said("onnxruntime", onnxruntime), python: said("python", python) }
}

fn search(named: Option<&Path>, python: Option<&Path>) -> Option<OrtSearch> {
    let mut search = OrtSearch::default();
    if let Some(path) = named {
        search = search.with_library(some(path)?);
    } else {
        for name in LIBRARY {
            if let Some(path) = variable(name) {
                search = search.with_variable(name, some(&path)?);
            }
        }
    }
    let program = std::env::current_exe().ok();
    if let Some(folder) = program.as_deref().and_then(Path::parent) {
        search = search.with_beside(folder);
    }
    if let Some(python) = python {
        search = search.with_python(python);
    }
    Some(search.with_folder("."))
}

/// The path, unless it stands for none.
fn some(path: &Path) -> Option<&Path> {
    (path.as_os_str() != OsStr::new(NONE)).then_some(path)
}

fn python(named: Option<&Path>) -> Option<PathBuf> {
    let named = named.map(Path::to_path_buf);
    let beside = || Some(PathBuf::from(".venv")).filter(|folder| folder.is_dir());
    named.or_else(|| PYTHON.iter().find_map(|name| variable(name))).or_else(beside)
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
