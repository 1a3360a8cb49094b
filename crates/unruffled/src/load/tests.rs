//! What a load takes, and what it says when it cannot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use unruffled_engine::{Engine, ErrorKind as EngineErrorKind};
use unruffled_model::{Backend, BackendOptions, LoadContext, ModelError, ModelSource, Support, TensorModel};

use super::{Backends, Load};
use crate::config::ModelConfig;
use crate::error::{Error, ErrorKind};
use crate::{ModelFolder, RtenBackend, sample};

fn digits_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/models/digits")
}

/// A backend that can run nothing.
struct Picky;

impl Backend for Picky {
    fn name(&self) -> &'static str {
        "picky"
    }

    fn formats(&self) -> &'static [&'static str] {
        &["onnx"]
    }

    fn supports(&self, _: &ModelSource) -> Result<Support, ModelError> {
        Ok(Support::No(vec!["Softmax".into()]))
    }

    fn load(
        &self,
        _: &ModelSource,
        _: &BackendOptions,
        _: &LoadContext<'_>,
    ) -> Result<TensorModel, ModelError> {
        Err(ModelError::unsupported("nothing at all"))
    }
}

fn config(text: &str) -> ModelConfig {
    ModelConfig::parse(text, Path::new("model.toml"), &|_| Ok("a\nb\n".into())).unwrap()
}

async fn load(text: &str) -> Result<(), Error> {
    let mut folder = sample::digits();
    folder.config = config(text);
    let engine = Engine::new();
    Backends::default().load(&engine, &folder)?.await?;
    Ok(())
}

#[tokio::test]
async fn a_path_becomes_a_model_that_answers() {
    let engine = Engine::new();
    let digits = engine.load(digits_folder()).await.unwrap();
    let answer = digits.infer(sample::seven()).await.unwrap();
    assert_eq!(answer.get("label").unwrap().elements::<i64>().unwrap(), [7]);
    let twice = engine.load(digits_folder()).await.unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Engine(EngineErrorKind::InvalidInput));
}

#[tokio::test]
async fn settings_that_do_not_fit_are_named() {
    let check = async |text, expected: &str| {
        let message = load(text).await.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(
        "[outputs.probabilities]\nlabels = 'labels.txt'",
        "model.toml: `outputs.probabilities`: 2 labels for 10 classes",
    )
    .await;
    check(
        "[inputs.picture]\ndefault = 0",
        "model.toml: `inputs.picture`: a default for an input that does not exist",
    )
    .await;
    check(
        "backend = 'ort'",
        "model.toml: `backend`: there is no backend \"ort\" for .onnx files; there is trees, rten",
    )
    .await;
}

#[test]
fn the_first_backend_that_can_is_taken_and_says_why() {
    let folder = sample::digits();
    let both = Backends::of([Arc::new(Picky) as Arc<dyn Backend>, Arc::new(RtenBackend)]);
    let choice = both.choose(&folder).unwrap();
    assert_eq!(format!("{choice:?}"), "rten: picky cannot: Softmax");
    let none = Backends::of([Arc::new(Picky) as Arc<dyn Backend>]).choose(&folder).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Unsupported);
    assert_eq!(none.to_string(), "no backend can run it: picky cannot: Softmax");
}

#[test]
fn a_file_that_nobody_reads_is_refused_by_its_ending() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("model.PKL");
    std::fs::write(&file, "").unwrap();
    let backends = Backends::of([Arc::new(RtenBackend) as Arc<dyn Backend>]);
    let mut folder = ModelFolder::open(&file).unwrap();
    let refused = backends.choose(&folder).unwrap_err();
    assert_eq!((refused.kind(), refused.message()), (ErrorKind::Unsupported, "no backend reads .pkl files"));
    folder.config.backend = Some("rten".into());
    let refused = backends.choose(&folder).unwrap_err();
    assert_eq!(refused.message(), "there is no backend \"rten\" for .pkl files; there is none");
}

#[tokio::test]
async fn a_model_is_warmed_up_as_often_as_its_settings_say() {
    load("[run]\nwarm_up = 2\ninstances = 2\n").await.unwrap();
    let mut folder = sample::digits();
    folder.config = config("[run]\nwarm_up = 2\n");
    let engine = Engine::new();
    let digits = Backends::default().load(&engine, &folder).unwrap().await.unwrap();
    assert_eq!(digits.metrics().runs, 0, "a warm-up is not counted");
    digits.infer(sample::seven()).await.unwrap();
    assert_eq!(digits.metrics().runs, 1);
}
