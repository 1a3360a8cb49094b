//! Steps against what others make of the same inputs: see `assets/steps`.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod features;
#[cfg(feature = "audio")]
mod sounds;
mod speech;
mod text;

use std::path::PathBuf;

use unruffled_model::{Batch, CancelToken, ModelError, RunContext, TensorModel, Tensors};

/// A path in the repository.
fn path(relative: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(relative)
}

/// Reads a file of a folder of the repository.
#[cfg(feature = "text")]
fn files(folder: &'static str) -> impl Fn(&str) -> std::io::Result<Vec<u8>> {
    move |name: &str| std::fs::read(path(folder).join(name))
}

/// What a recorded file holds.
fn recorded(name: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(path("assets/steps").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn answer(model: &TensorModel, inputs: Tensors) -> Result<Tensors, ModelError> {
    model.admit(&inputs)?;
    let mut batch = Batch::new([inputs]);
    let cancel = CancelToken::new();
    let mut outcome = Ok(());
    model.with_instance(&mut |instance| {
        outcome = instance.run(&mut batch, &RunContext::new(&cancel, None, &[]));
    })?;
    outcome?;
    batch.into_rows().remove(0).into_answer().unwrap()
}
