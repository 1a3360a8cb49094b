//! [`OrtRuntime`]: ONNX Runtime in memory, once per process.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;

use super::log;
use super::provider;
use super::search::{Candidate, OrtSearch, OrtTried, VERSION_MIN, version_in_name};

/// The library is one per process, and stays until the process ends.
static LOADED: Mutex<State> = Mutex::new(State::None);

enum State {
    None,
    Ready(OrtRuntime),
    /// A library was loaded and does not work: there is no way to load another.
    Broken(OrtTried),
}

/// ONNX Runtime, loaded into this process; cheap to clone.
#[derive(Clone)]
pub struct OrtRuntime(Arc<Inner>);

struct Inner {
    path: PathBuf,
    how: String,
    version: String,
    providers: Vec<&'static str>,
    tried: Vec<OrtTried>,
    environment: Environment,
}

impl OrtRuntime {
    /// Loads the first library of `search` that is fit for it, or gives the one that has been loaded before: there is one in a
    /// process.
    ///
    /// Blocks while files are looked at, and for up to five seconds for each Python interpreter that is asked. A library
    /// whose version is too low, and a file that is no library, are passed over or refused. Loading a library runs
    /// whatever it runs when it is loaded: look only in folders that you trust.
    ///
    /// # Errors
    ///
    /// What was tried and why it was not taken, with the command that installs it; and that another library than the one which
    /// the user names has been loaded before.
    pub fn find(search: &OrtSearch) -> Result<Self, OrtMissing> {
        let mut state = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Ready(runtime) => return runtime.if_named(search),
            State::Broken(tried) => return Err(OrtMissing { tried: vec![tried.clone()], named: true }),
            State::None => {}
        }
        let mut tried = Vec::new();
        for place in search.places() {
            let candidates = place.candidates().unwrap_or_else(|nothing| {
                tried.push(nothing);
                Vec::new()
            });
            for candidate in candidates {
                match load(&candidate) {
                    Loading::Ready(environment) => {
                        let runtime = Self::new(candidate, environment, tried);
                        *state = State::Ready(runtime.clone());
                        return Ok(runtime);
                    }
                    Loading::Refused(reason) => tried.push(candidate.because(reason)),
                    Loading::Broken(reason) => {
                        let broken = candidate.because(reason);
                        *state = State::Broken(broken.clone());
                        tried.push(broken);
                        return Err(OrtMissing { tried, named: true });
                    }
                }
            }
        }
        Err(OrtMissing { tried, named: search.named().is_some() })
    }

    fn new(candidate: Candidate, environment: Environment, tried: Vec<OrtTried>) -> Self {
        let Candidate { path, how } = candidate;
        let version = version(&path);
        let providers = provider::available();
        tracing::info!(
            path = %path.display(), how, version, providers = providers.join(", "),
            "loaded ONNX Runtime"
        );
        Self(Arc::new(Inner { path, how, version, providers, tried, environment }))
    }

    /// This one, unless the user names another.
    fn if_named(&self, search: &OrtSearch) -> Result<Self, OrtMissing> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let (named, loaded) = (search.named(), real(self.path()));
        match named {
            // A folder stands for the library in it.
            Some(named) if real(named) != loaded && Some(real(named).as_path()) != loaded.parent() => {
                let tried = OrtTried {
                    place: "the setting".into(),
                    path: Some(named.to_path_buf()),
                    reason: format!(
                        "this process has loaded {} before, and there can be one only: restart it",
                        self.path().display()
                    ),
                };
                Err(OrtMissing { tried: vec![tried], named: true })
            }
            _ => Ok(self.clone()),
        }
    }

    /// The library's file, or its bare name if the system found it.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Where it was found, in words for people.
    pub fn how(&self) -> &str {
        &self.0.how
    }

    /// Its version, `1.32.0` say; at least that.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// The execution providers that can be asked for, see [`OrtOptions::providers`](crate::OrtOptions::providers): `cpu`, and
    /// others that the library was built with. Whether their devices are there shows when a model is loaded.
    pub fn providers(&self) -> &[&'static str] {
        &self.0.providers
    }

    /// What was tried before this one, and why it was not taken.
    pub fn tried(&self) -> &[OrtTried] {
        &self.0.tried
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.0.environment
    }
}

impl fmt::Debug for OrtRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrtRuntime")
            .field("path", &self.0.path)
            .field("how", &self.0.how)
            .field("version", &self.0.version)
            .field("providers", &self.0.providers)
            .finish_non_exhaustive()
    }
}

impl Candidate {
    fn because(&self, reason: String) -> OrtTried {
        OrtTried { place: self.how.clone(), path: Some(self.path.clone()), reason }
    }
}

/// What became of a library.
enum Loading {
    Ready(Environment),
    /// It was not loaded, or is gone again.
    Refused(String),
    /// It stays, and is no good.
    Broken(String),
}

fn load(candidate: &Candidate) -> Loading {
    let (major, minor) = VERSION_MIN;
    let too_old = |version: &str| {
        format!("its version is {version}, and {major}.{minor} or newer is needed: update it")
    };
    // Old libraries should not even be opened.
    if let Some(version) = version_in_name(&candidate.path).filter(|version| *version < VERSION_MIN) {
        return Loading::Refused(too_old(&format!("{}.{}", version.0, version.1)));
    }
    let opened = catch_unwind(|| ort::init_from(&candidate.path));
    let builder = match opened {
        Ok(Ok(builder)) => builder,
        Ok(Err(LoadDynamicError::BadVersion { version_str, .. })) => {
            return Loading::Refused(too_old(&version_str));
        }
        Ok(Err(LoadDynamicError::MissingApi { .. })) => {
            return Loading::Refused("it is a library, but not ONNX Runtime".into());
        }
        Ok(Err(LoadDynamicError::Dlopen { error, .. })) => {
            return Loading::Refused(format!("it cannot be loaded: {error}"));
        }
        Ok(Err(error)) => return Loading::Refused(error.to_string()),
        Err(_) => return Loading::Refused("it is not the ONNX Runtime that it says it is".into()),
    };
    let built = catch_unwind(AssertUnwindSafe(|| {
        builder.with_name("unruffled").with_telemetry(false).with_logger(log::logger()).build()
    }));
    match built {
        Ok(Ok(environment)) => {
            // Whatever is below would be put into words first, and then be thrown away.
            environment.set_log_level(LogLevel::Warning);
            Loading::Ready(environment)
        }
        Ok(Err(error)) => Loading::Broken(format!("it was loaded, but does not start: {error}")),
        Err(_) => Loading::Broken("it was loaded, but does not start".into()),
    }
}

/// The version that the library's file tells, or the one it was built from, or the one that it has at least.
fn version(path: &Path) -> String {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let numbers: Vec<&str> = name.split('.').filter(|part| part.parse::<u32>().is_ok()).collect();
    if numbers.len() >= 2 {
        return numbers.join(".");
    }
    let branch = ort::info().split("git-branch=rel-").nth(1);
    match branch.and_then(|rest| rest.split([',', ' ']).next()) {
        Some(version) => version.into(),
        None => format!("{}.{} or newer", VERSION_MIN.0, VERSION_MIN.1),
    }
}

/// ONNX Runtime is not there, or not fit to be loaded.
#[derive(Clone, Debug)]
pub struct OrtMissing {
    tried: Vec<OrtTried>,
    /// Whether it was one library or none.
    named: bool,
}

impl OrtMissing {
    /// What was tried, in order.
    pub fn tried(&self) -> &[OrtTried] {
        &self.tried
    }

    /// Whether the user has named a library, which then must do; otherwise there simply is none.
    pub fn is_named(&self) -> bool {
        self.named
    }
}

impl fmt::Display for OrtMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tried.last().filter(|_| self.named) {
            Some(tried) => write!(f, "cannot load ONNX Runtime from {tried}"),
            None => {
                // What was there and is no good matters; where nothing was is for those who ask.
                for tried in self.tried.iter().filter(|tried| {
                    tried.path.is_some() && tried.path.as_deref().is_some_and(Path::is_absolute)
                }) {
                    write!(f, "{tried}; ")?;
                }
                f.write_str(
                    "ONNX Runtime was not found; install it with \
                     `python3 -m venv .venv && .venv/bin/pip install onnxruntime`",
                )
            }
        }
    }
}

impl Error for OrtMissing {}
