//! [`StepBackend`]: models whose settings are all that they are.

use std::path::{Path, PathBuf};

use unruffled_model::{Backend, BackendOptions, LoadContext, ModelError, ModelSource, Support, TensorModel};
use unruffled_steps::{Files, NoFiles};

use crate::config::{StepConfig, is_beside};
use crate::error::{Error, ErrorKind};

/// Makes models of steps: tokenisers, decoders of pictures and sounds, what reads the answers of models.
///
/// [`Backends`](crate::Backends) ask it for folders whose `model.toml` has a `[step]`. By itself it is told by a
/// [`StepConfig`] among the special options which step a source is.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepBackend;

impl Backend for StepBackend {
    fn name(&self) -> &'static str {
        "step"
    }

    fn formats(&self) -> &'static [&'static str] {
        &["toml"]
    }

    fn supports(&self, _: &ModelSource) -> Result<Support, ModelError> {
        Ok(Support::Yes)
    }

    fn load(
        &self,
        source: &ModelSource,
        options: &BackendOptions,
        _: &LoadContext<'_>,
    ) -> Result<TensorModel, ModelError> {
        let config = options.special.get::<StepConfig>();
        let config = config.ok_or_else(|| ModelError::unsupported("nothing says which step it is"))?;
        let folder = match source {
            ModelSource::File(file) => file.parent().map(Path::to_owned),
            ModelSource::Memory(_) => None,
        };
        let made = match folder {
            Some(folder) => config.step.load(&Beside(folder)),
            None => config.step.load(&NoFiles),
        };
        made.map_err(|error| {
            let key = error.key().unwrap_or("kind");
            let refused = Error::new(ErrorKind::InvalidConfig, error.message()).at_key(format!("step.{key}"));
            let refused = match source {
                ModelSource::File(file) => refused.in_file(file),
                ModelSource::Memory(_) => refused,
            };
            let line = config.lines.iter().find(|(known, _)| known == key);
            let refused = match line {
                Some((_, line)) => refused.at_line(*line),
                None => refused,
            };
            refused.caused_by(error).into()
        })
    }
}

/// The files of a model's own folder, and no others.
struct Beside(PathBuf);

impl Files for Beside {
    fn read(&self, name: &str) -> std::io::Result<Vec<u8>> {
        if !is_beside(name) {
            let message = "it is not the name of a file in the model's own folder";
            return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, message));
        }
        std::fs::read(self.0.join(name))
    }
}
