//! What can run models on this machine, and which model will be run by what.

use serde_json::{Value, json};
use unruffled::model::ModelError;
use unruffled::{
    Backends, OrtMissing, OrtRuntime, OrtTried, PythonInterpreter, PythonOptions, Repository, Runtimes,
};

use super::{heading, line};
use crate::terminal::{BAD, FAINT, GOOD, HINT, NAME, WARN};

/// What was found, and what becomes of each model.
pub(super) struct Survey {
    onnxruntime: Option<Result<OrtRuntime, OrtMissing>>,
    python: Result<PythonInterpreter, ModelError>,
    models: Vec<Chosen>,
}

/// A model, and the backend that will run it with the reason why, or why none can.
struct Chosen {
    name: String,
    outcome: Result<(&'static str, String), String>,
}

impl Survey {
    /// Looks for runtimes, and asks the backends about each model. Files are read, nothing is loaded but the runtimes.
    pub(super) fn new(runtimes: &Runtimes, backends: &Backends, repository: &Repository) -> Self {
        let models = repository.models().iter().map(|model| {
            let chosen = backends.choose(model);
            let outcome = chosen.map(|choice| (choice.backend.name(), choice.reason));
            Chosen { name: model.name.to_string(), outcome: outcome.map_err(|error| error.to_string()) }
        });
        let python = runtimes.python.iter().fold(PythonOptions::default(), PythonOptions::with_python);
        Self {
            onnxruntime: runtimes.onnxruntime.as_ref().map(OrtRuntime::find),
            python: PythonInterpreter::ask(&python),
            models: models.collect(),
        }
    }

    pub(super) fn page(&self) -> String {
        let mut page = String::new();
        line(&mut page, format_args!("{HINT}runtimes{HINT:#}"));
        match &self.onnxruntime {
            None => row(&mut page, "onnxruntime", format_args!("{FAINT}not looked for, as asked{FAINT:#}")),
            Some(Err(missing)) => {
                row(&mut page, "onnxruntime", format_args!("{WARN}not there{WARN:#}"));
                more(&mut page, "remedy", missing);
                tried(&mut page, missing.tried());
            }
            Some(Ok(runtime)) => {
                row(&mut page, "onnxruntime", format_args!("{GOOD}{}{GOOD:#}", runtime.version()));
                more(&mut page, "library", runtime.path().display());
                more(&mut page, "found", runtime.how());
                more(&mut page, "providers", runtime.providers().join(", "));
                tried(&mut page, runtime.tried());
            }
        }
        row(&mut page, "rten", format_args!("{GOOD}built in{GOOD:#}  ONNX, in pure Rust"));
        match &self.python {
            Err(error) => row(&mut page, "python", format_args!("{WARN}not there{WARN:#}  {error}")),
            Ok(python) => {
                row(&mut page, "python", format_args!("{GOOD}{}{GOOD:#}", python.version));
                more(&mut page, "program", python.program.display());
                let packages = python.packages.iter().map(|(name, version)| format!("{name} {version}"));
                more(&mut page, "packages", packages.collect::<Vec<_>>().join(", "));
                if python.package("numpy").is_none() {
                    let program = python.program.display();
                    more(
                        &mut page,
                        "remedy",
                        format_args!("{program} -m pip install numpy, which every model needs"),
                    );
                }
            }
        }
        heading(&mut page, "models");
        let width = self.models.iter().map(|model| model.name.chars().count()).max().unwrap_or(0);
        for Chosen { name, outcome } in &self.models {
            match outcome {
                Ok((backend, reason)) => line(
                    &mut page,
                    format_args!("  {name:width$}  {NAME}{backend:6}{NAME:#}  {FAINT}{reason}{FAINT:#}"),
                ),
                Err(error) => line(&mut page, format_args!("  {name:width$}  {BAD}none{BAD:#}    {error}")),
            }
        }
        page
    }

    pub(super) fn to_json(&self) -> Value {
        let tried = |tried: &[OrtTried]| {
            let line = |tried: &OrtTried| json!({ "place": tried.place, "path": tried.path, "reason": tried.reason });
            tried.iter().map(line).collect::<Value>()
        };
        let onnxruntime = match &self.onnxruntime {
            None => Value::Null,
            Some(Err(missing)) => {
                json!({ "found": false, "error": missing.to_string(), "tried": tried(missing.tried()) })
            }
            Some(Ok(runtime)) => json!({
                "found": true,
                "version": runtime.version(),
                "library": runtime.path(),
                "how": runtime.how(),
                "providers": runtime.providers(),
                "tried": tried(runtime.tried()),
            }),
        };
        let models = self.models.iter().map(|Chosen { name, outcome }| match outcome {
            Ok((backend, reason)) => json!({ "name": name, "backend": backend, "reason": reason }),
            Err(error) => json!({ "name": name, "error": error }),
        });
        let python = match &self.python {
            Err(error) => json!({ "found": false, "error": error.to_string() }),
            Ok(python) => json!({
                "found": true,
                "version": python.version,
                "program": python.program,
                "packages": python.packages.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            }),
        };
        json!({ "onnxruntime": onnxruntime, "python": python, "models": models.collect::<Vec<_>>() })
    }
}

fn row(page: &mut String, name: &str, text: impl std::fmt::Display) {
    line(page, format_args!("  {NAME}{name:11}{NAME:#}  {text}"));
}

/// A further line about a runtime.
fn more(page: &mut String, name: &str, text: impl std::fmt::Display) {
    line(page, format_args!("  {:11}  {FAINT}{name:9}{FAINT:#}  {text}", ""));
}

fn tried(page: &mut String, tried: &[OrtTried]) {
    for tried in tried {
        more(page, "tried", tried);
    }
}
