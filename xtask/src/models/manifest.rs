//! The manifest: which models there are, out of which packages, and the checksums of all that is taken.

use std::path::{Component, Path};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    #[serde(rename = "model")]
    pub(crate) models: Vec<Model>,
    #[serde(rename = "pipeline", default)]
    pub(crate) pipelines: Vec<Pipeline>,
}

/// A pipeline of gathered models.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pipeline {
    pub(crate) name: String,
    /// Those that its steps ask.
    pub(crate) models: Vec<String>,
    #[serde(rename = "file", default)]
    pub(crate) files: Vec<PipelineFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineFile {
    /// The place below the gathered models.
    pub(crate) from: String,
    /// The place below the pipeline's folder.
    pub(crate) to: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) package: String,
    pub(crate) version: String,
    /// The package's file: a zip.
    pub(crate) archive: String,
    pub(crate) sha256: String,
    pub(crate) license: String,
    /// A script beside the manifest that makes the files without `from`.
    pub(crate) build: Option<String>,
    #[serde(rename = "file")]
    pub(crate) files: Vec<ModelFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelFile {
    /// The place in the archive; none if the build makes the file.
    pub(crate) from: Option<String>,
    /// The place below the model's folder.
    pub(crate) to: String,
    pub(crate) sha256: String,
}

impl Manifest {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("failed to understand {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let manifest: Manifest = toml::from_str(text)?;
        for model in &manifest.models {
            model.validate().with_context(|| format!("in model `{}`", model.name))?;
        }
        for pipeline in &manifest.pipelines {
            manifest.validate(pipeline).with_context(|| format!("in pipeline `{}`", pipeline.name))?;
        }
        Ok(manifest)
    }

    fn validate(&self, pipeline: &Pipeline) -> Result<()> {
        for asked in &pipeline.models {
            let is_known = self.models.iter().any(|model| model.name == *asked);
            ensure!(is_known, "it asks `{asked}`, which is not gathered");
        }
        for path in pipeline.files.iter().flat_map(|file| [&file.from, &file.to]).chain([&pipeline.name]) {
            ensure!(stays_below(path), "`{path}` leads elsewhere");
        }
        Ok(())
    }
}

/// Whether a path leads only downwards.
fn stays_below(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

impl Model {
    fn validate(&self) -> Result<()> {
        for part in [&self.name, &self.archive] {
            let mut components = Path::new(part).components();
            let is_name =
                matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
            ensure!(is_name, "`{part}` is not the plain name of a file or folder");
        }
        ensure!(is_sha256(&self.sha256), "`{}` is no SHA-256 in lower-case hex", self.sha256);
        ensure!(!self.files.is_empty(), "it takes no file");
        for file in &self.files {
            ensure!(stays_below(&file.to), "`to = \"{}\"` leaves the model's folder", file.to);
            ensure!(is_sha256(&file.sha256), "`{}` is no SHA-256 in lower-case hex", file.sha256);
            ensure!(
                file.from.is_some() || self.build.is_some(),
                "`{}` has neither `from` nor a `build`",
                file.to
            );
        }
        Ok(())
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, to: &str, from: &str) -> String {
        let sum = "0".repeat(64);
        format!(
            "[[model]]\nname = \"{name}\"\npackage = \"p\"\nversion = \"1\"\narchive = \"p.whl\"\nsha256 = \"{sum}\"\n\
             license = \"MIT\"\n[[model.file]]\n{from}\nto = \"{to}\"\nsha256 = \"{sum}\"\n"
        )
    }

    #[test]
    fn the_manifest_of_this_repository_is_valid() {
        let path = crate::workspace::root().join("xtask/models/manifest.toml");
        assert!(!Manifest::read(&path).unwrap().models.is_empty());
    }

    #[test]
    fn what_would_write_elsewhere_or_unchecked_is_refused() {
        assert!(Manifest::parse(&model("m", "1/model.onnx", "from = \"x\"")).is_ok());
        for (text, part) in [
            (model("../m", "a", "from = \"x\""), "plain name"),
            (model("m", "../a", "from = \"x\""), "leaves the model's folder"),
            (model("m", "/a", "from = \"x\""), "leaves the model's folder"),
            (model("m", "a", ""), "neither `from` nor a `build`"),
            (model("m", "a", "form = \"x\""), "unknown field"),
            (
                model("m", "a", "from = \"x\"") + "[[pipeline]]\nname = \"p\"\nmodels = [\"n\"]\n",
                "not gathered",
            ),
            (model("m", "a", "from = \"x\"").replace("000", "00x"), "no SHA-256"),
        ] {
            let error = format!("{:#}", Manifest::parse(&text).unwrap_err());
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
