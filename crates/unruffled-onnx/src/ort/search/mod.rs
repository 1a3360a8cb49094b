//! [`OrtSearch`]: where to look for the library of ONNX Runtime, and what was tried.

mod library;

mod python;

mod node;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) use library::{VERSION_MIN, version_in_name};

/// How long a Python interpreter may take to say where its packages are.
const PYTHON_TIMEOUT: Duration = Duration::from_secs(5);

/// The interpreter to ask when nobody has named one.
const PYTHON: &str = if cfg!(windows) { "python" } else { "python3" };

/// Where to look for ONNX Runtime, all of it named by the caller: nothing is read from the environment here.
///
/// The first that can be loaded is taken, in this order: [`with_library`](Self::with_library),
/// [`with_variable`](Self::with_variable), [`with_beside`](Self::with_beside), [`with_python`](Self::with_python),
/// [`with_folder`](Self::with_folder), the packages of `python3`, and where the system looks for libraries.
///
/// ```no_run
/// use unruffled_onnx::{OrtRuntime, OrtSearch};
///
/// let search = OrtSearch::default().with_folder(".");
/// match OrtRuntime::find(&search) {
///     Ok(runtime) => println!("ONNX Runtime {} ({})", runtime.version(), runtime.how()),
///     Err(missing) => println!("{missing}"),
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct OrtSearch {
    named: Vec<Place>,
    beside: Vec<Place>,
    python: Vec<Place>,
    upwards: Vec<Place>,
    only_given: bool,
}

/// One place to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Exactly this, which the user has named by a setting of that name: if it is no good, nothing else will do.
    Named(String, PathBuf),
    /// A folder that has the library in it.
    Beside(PathBuf),
    /// A virtual environment, or an interpreter.
    Python(PathBuf),
    /// A folder that may have, or lie in one that has, a `.venv` or `node_modules`.
    Upwards(PathBuf),
    /// Wherever the system looks for libraries.
    System,
}

/// A library that may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    /// In words for people.
    pub(super) how: String,
}

/// Something that was tried and is not what was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrtTried {
    /// Where, in words for people: `the variable ORT_DYLIB_PATH`, say.
    pub place: String,
    /// The library, where there was one.
    pub path: Option<PathBuf>,
    /// Why it was not taken.
    pub reason: String,
}

impl fmt::Display for OrtTried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{} ({}): {}", path.display(), self.place, self.reason),
            None => write!(f, "{}: {}", self.place, self.reason),
        }
    }
}

impl OrtSearch {
    /// Takes this library, or the one in this folder, and no other.
    pub fn with_library(mut self, path: impl Into<PathBuf>) -> Self {
        self.named.insert(0, Place::Named("the setting".into(), path.into()));
        self
    }

    /// Takes the library that the environment variable `name` says, if nothing was said before, and no other.
    pub fn with_variable(mut self, name: &str, path: impl Into<PathBuf>) -> Self {
        self.named.push(Place::Named(format!("the variable {name}"), path.into()));
        self
    }

    /// Looks in a folder that belongs to the program: that of the executable, or of its resources.
    pub fn with_beside(mut self, folder: impl Into<PathBuf>) -> Self {
        self.beside.push(Place::Beside(folder.into()));
        self
    }

    /// Looks for the package `onnxruntime` of a Python environment: the folder of a virtual one, or an interpreter.
    pub fn with_python(mut self, path: impl Into<PathBuf>) -> Self {
        self.python.push(Place::Python(path.into()));
        self
    }

    /// Looks for `.venv`, and for `node_modules` with the package `onnxruntime-node`, in this folder and in those above.
    pub fn with_folder(mut self, path: impl Into<PathBuf>) -> Self {
        self.upwards.push(Place::Upwards(path.into()));
        self
    }

    /// Looks nowhere but where it was told to: not at the packages of `python3`, nor where the system has its libraries.
    pub fn only_given(mut self) -> Self {
        self.only_given = true;
        self
    }

    /// The places, in order.
    pub(super) fn places(&self) -> Vec<Place> {
        // What the user has named is tried alone.
        if let Some(named) = self.named.first() {
            return vec![named.clone()];
        }
        let mut places: Vec<Place> =
            self.beside.iter().chain(&self.python).chain(&self.upwards).cloned().collect();
        if !self.only_given {
            places.extend([Place::Python(PYTHON.into()), Place::System]);
        }
        places
    }

    /// What is named by the user, and must be taken.
    pub(super) fn named(&self) -> Option<&Path> {
        self.named.first().map(|place| match place {
            Place::Named(_, path) => path.as_path(),
            _ => unreachable!("only named places are among the named"),
        })
    }
}

impl Place {
    /// The libraries in this place, the best first, or why there is none.
    pub(super) fn candidates(&self) -> Result<Vec<Candidate>, OrtTried> {
        let nothing = |place: String, reason: &str| OrtTried { place, path: None, reason: reason.into() };
        match self {
            Place::Named(name, path) if path.is_dir() => {
                let found = candidates(library::in_folder(path), name);
                found.ok_or_else(|| OrtTried {
                    place: name.clone(),
                    path: Some(path.clone()),
                    reason: "the folder has no ONNX Runtime library in it".into(),
                })
            }
            // A bare name may be one that the system knows.
            Place::Named(name, path) if path.exists() || path.components().count() == 1 => {
                Ok(vec![Candidate { path: path.clone(), how: name.clone() }])
            }
            Place::Named(name, path) => Err(OrtTried {
                place: name.clone(),
                path: Some(path.clone()),
                reason: "there is no such file".into(),
            }),
            Place::Beside(folder) => {
                let how = "beside the program";
                candidates(library::in_folder(folder), how).ok_or_else(|| {
                    nothing(format!("{how}, in {}", folder.display()), "no ONNX Runtime library")
                })
            }
            Place::Python(path) if path.is_dir() => {
                let how = format!("the Python environment {}", path.display());
                candidates(python::in_environment(path), &how)
                    .ok_or_else(|| nothing(how, "the package onnxruntime is not installed"))
            }
            Place::Python(path) => {
                let how = format!("the packages of {}", path.display());
                match python::ask(path, PYTHON_TIMEOUT) {
                    Ok(found) => candidates(found, &how)
                        .ok_or_else(|| nothing(how, "the package onnxruntime is not installed")),
                    Err(reason) => Err(nothing(how, &reason)),
                }
            }
            Place::Upwards(folder) => {
                let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
                let found: Vec<Candidate> = folder
                    .ancestors()
                    .flat_map(|folder| {
                        let (venv, node) = (folder.join(".venv"), folder.join("node_modules"));
                        let python = candidates(python::in_environment(&venv), &venv.display().to_string());
                        let node = candidates(node::in_modules(&node), &node.display().to_string());
                        python.into_iter().chain(node).flatten()
                    })
                    .collect();
                match found.is_empty() {
                    true => Err(nothing(
                        format!("{} and the folders above", folder.display()),
                        "no .venv with onnxruntime, no node_modules with onnxruntime-node",
                    )),
                    false => Ok(found),
                }
            }
            Place::System => Ok(library::SYSTEM_NAMES
                .iter()
                .map(|name| Candidate { path: name.into(), how: "a library of the system".into() })
                .collect()),
        }
    }
}

/// The libraries as candidates, if there are any.
fn candidates(libraries: Vec<PathBuf>, how: &str) -> Option<Vec<Candidate>> {
    let how = |path| Candidate { path, how: how.into() };
    Some(libraries.into_iter().map(how).collect()).filter(|found: &Vec<_>| !found.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::OrtSearch;

    const LIBRARY: &str = if cfg!(windows) {
        "onnxruntime.dll"
    } else if cfg!(target_os = "macos") {
        "libonnxruntime.1.32.0.dylib"
    } else {
        "libonnxruntime.so.1.32.0"
    };

    /// An empty file, and the folders above it.
    fn touch(path: PathBuf) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    }

    fn package(environment: &Path) -> PathBuf {
        let packages = if cfg!(windows) { "Lib/site-packages" } else { "lib/python3.11/site-packages" };
        touch(environment.join(packages).join("onnxruntime/capi").join(LIBRARY))
    }

    fn node_package(modules: &Path) -> PathBuf {
        let (os, arch) = super::node::PLATFORM;
        touch(modules.join("onnxruntime-node/bin/napi-v6").join(os).join(arch).join(LIBRARY))
    }

    #[track_caller]
    fn check(search: &OrtSearch, expected: &[&Path]) {
        let places = search.places();
        let found = places.iter().flat_map(|place| place.candidates().unwrap_or_default());
        assert_eq!(found.map(|candidate| candidate.path).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_near_goes_before_what_is_far() {
        let home = tempfile::tempdir().unwrap();
        let (program, project) = (home.path().join("program"), home.path().join("project"));
        let beside = touch(program.join(LIBRARY));
        let active = package(&home.path().join("active"));
        let local = package(&project.join(".venv"));
        let node = node_package(&project.join("node_modules"));
        let above = package(&home.path().join(".venv"));
        fs::create_dir_all(project.join("deep/er")).unwrap();
        let search = OrtSearch::default()
            .with_folder(project.join("deep/er"))
            .with_python(home.path().join("active"))
            .with_beside(&program)
            .only_given();
        check(&search, &[&beside, &active, &local, &node, &above]);
    }

    #[test]
    fn what_the_user_names_is_the_only_one() {
        let home = tempfile::tempdir().unwrap();
        let (named, other) =
            (touch(home.path().join("a").join(LIBRARY)), touch(home.path().join("b").join(LIBRARY)));
        let search = OrtSearch::default().with_beside(home.path().join("b"));
        check(&search.clone().with_variable("ORT_DYLIB_PATH", &named), &[&named]);
        check(&search.clone().with_variable("X", &named).with_library(&other), &[&other]);
        // A folder stands for the library in it.
        check(&search.clone().with_variable("X", home.path().join("a")), &[&named]);
        let gone = search.clone().with_variable("X", home.path().join("gone.so"));
        check(&gone, &[]);
        let tried = gone.places()[0].candidates().unwrap_err();
        let path = home.path().join("gone.so");
        assert_eq!(tried.to_string(), format!("{} (the variable X): there is no such file", path.display()));
    }

    #[test]
    fn empty_places_say_so() {
        let home = tempfile::tempdir().unwrap();
        let search = OrtSearch::default()
            .with_beside(home.path())
            .with_python(home.path())
            .with_python(home.path().join("no-python"))
            .only_given();
        let reasons: Vec<String> =
            search.places().iter().map(|place| place.candidates().unwrap_err().reason).collect();
        assert_eq!(reasons[..2], ["no ONNX Runtime library", "the package onnxruntime is not installed"]);
        assert!(reasons[2].starts_with("it cannot be started: "), "{}", reasons[2]);
    }

    #[test]
    fn the_system_is_asked_last() {
        let places = OrtSearch::default().places();
        assert_eq!(places.len(), 2);
        let names = places[1].candidates().unwrap();
        assert!(names.iter().all(|name| name.path.components().count() == 1));
    }
}
