//! [`PythonInterpreter`]: what an interpreter says of itself.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use unruffled_model::ModelError;

use crate::options::PythonOptions;

/// Prints the version and those of the packages, a line each; imports none of them, which may take seconds.
const QUESTION: &str = "\
import importlib.metadata as m, platform
print('python', platform.python_version())
for name in 'numpy', 'scikit-learn', 'skops', 'joblib', 'torch', 'onnxruntime':
    try: print(name, m.version(name))
    except m.PackageNotFoundError: pass
";

/// A Python that models can be run with, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PythonInterpreter {
    /// The program.
    pub program: PathBuf,
    /// Its version: `3.13.1`, say.
    pub version: String,
    /// Packages that matter to models, with their versions; without `numpy` none can be run.
    pub packages: Vec<(String, String)>,
}

impl PythonInterpreter {
    /// Asks the interpreter that models with these options are run with. Blocks until it has answered, some 50 ms.
    ///
    /// # Errors
    ///
    /// That it cannot be started, or what it says instead of an answer.
    pub fn ask(options: &PythonOptions) -> Result<Self, ModelError> {
        let program = options.interpreter();
        let asked = Command::new(&program).args(["-c", QUESTION]).stdin(Stdio::null()).output();
        let named = program.display();
        let answer = asked.map_err(|error| {
            ModelError::unsupported(format!("cannot start the Python interpreter {named}: {error}"))
                .caused_by(error)
        })?;
        let said = String::from_utf8_lossy(&answer.stdout);
        let mut lines = said
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, version)| (name.to_owned(), version.to_owned()));
        match lines.next() {
            Some((name, version)) if name == "python" && answer.status.success() => {
                Ok(Self { program, version, packages: lines.collect() })
            }
            _ => {
                let errors = String::from_utf8_lossy(&answer.stderr);
                let last = errors.lines().last().unwrap_or("nothing").trim();
                Err(ModelError::unsupported(format!("{named} is no Python 3.8 or newer: it says {last}")))
            }
        }
    }

    /// The version of a package, if it is installed.
    pub fn package(&self, name: &str) -> Option<&str> {
        self.packages.iter().find(|(known, _)| known == name).map(|(_, version)| version.as_str())
    }
}

#[cfg(test)]
mod tests {
    use unruffled_model::ModelErrorKind;

    use super::PythonInterpreter;
    use crate::options::PythonOptions;

    #[test]
    fn an_interpreter_says_its_version() {
        let python = PythonInterpreter::ask(&PythonOptions::default()).unwrap();
        assert!(python.version.starts_with("3."), "{python:?}");
        assert_eq!(python.package("no-such-package"), None);
    }

    #[test]
    fn what_is_no_interpreter_is_refused_by_name() {
        for (program, message) in [
            ("/no/such/python", "cannot start the Python interpreter /no/such/python: "),
            ("/bin/true", "/bin/true is no Python 3.8 or newer: it says nothing"),
        ] {
            let refused = PythonInterpreter::ask(&PythonOptions::default().with_python(program)).unwrap_err();
            assert_eq!(refused.kind(), ModelErrorKind::Unsupported);
            assert!(refused.to_string().starts_with(message), "{refused}");
        }
    }
}
