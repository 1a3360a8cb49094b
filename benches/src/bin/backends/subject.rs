//! The models that are compared, and what they are asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fastrand::Rng;
use unruffled_model::{Element, Tensor, Tensors};
use unruffled_testing::npy;

/// One model.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// In the repository; `None` for the one that is made for this.
    pub(crate) file: Option<&'static str>,
    pub(crate) batches: &'static [usize],
    /// Inputs of so many rows.
    pub(crate) inputs: fn(usize) -> Tensors,
}

const BATCHES: &[usize] = &[1, 8, 32];

pub(crate) const SUBJECTS: &[Subject] = &[
    Subject {
        name: "minilm-16",
        file: Some("models/minilm/1/model.onnx"),
        batches: BATCHES,
        inputs: |rows| words(rows, 16),
    },
    Subject {
        name: "minilm-64",
        file: Some("models/minilm/1/model.onnx"),
        batches: BATCHES,
        inputs: |rows| words(rows, 64),
    },
    Subject {
        name: "magika",
        file: Some("models/magika/1/model.onnx"),
        batches: BATCHES,
        inputs: |rows| Tensors::new().with("bytes", tensor(&[rows, 2048], |random| random.i32(0..257))),
    },
    Subject {
        name: "ppocr-rec",
        file: Some("models/ppocr-rec/1/model.onnx"),
        batches: &[1, 8],
        inputs: |rows| Tensors::new().with("x", floats(&[rows, 3, 48, 160])),
    },
    Subject {
        name: "silero-vad",
        file: Some("models/silero-vad/1/model.onnx"),
        // Its state has the rows elsewhere, so there are no batches of several callers.
        batches: &[1],
        inputs: |rows| {
            let state = floats(&[2, rows, 128]);
            let input = floats(&[rows, 576]);
            Tensors::new().with("input", input).with("state", state).with("sr", Tensor::scalar(16_000_i64))
        },
    },
    Subject {
        name: "digits",
        file: Some("assets/models/digits/1/model.onnx"),
        batches: BATCHES,
        inputs: |rows| Tensors::new().with("image", floats(&[rows, 8, 8])),
    },
    Subject {
        name: "chain",
        file: None,
        batches: BATCHES,
        inputs: |rows| Tensors::new().with("x", floats(&[rows, 96])),
    },
    Subject {
        name: "rf_100x10",
        file: Some("models/.cache/trees/rf_100x10/1/model.onnx"),
        batches: BATCHES,
        inputs: |rows| Tensors::new().with("X", floats(&[rows, 10])),
    },
    Subject {
        name: "rf_digits784",
        file: Some("models/.cache/trees/rf_digits784/1/model.onnx"),
        batches: BATCHES,
        inputs: |rows| Tensors::new().with("X", floats(&[rows, 784])),
    },
];

fn words(rows: usize, length: usize) -> Tensors {
    let shape = [rows, length];
    Tensors::new()
        .with("input_ids", tensor(&shape, |random| random.i64(1000..30_000)))
        .with("attention_mask", tensor(&shape, |_| 1_i64))
        .with("token_type_ids", tensor(&shape, |_| 0_i64))
}

fn floats(shape: &[usize]) -> Tensor {
    tensor(shape, Rng::f32)
}

fn tensor<T: Element>(shape: &[usize], mut make: impl FnMut(&mut Rng) -> T) -> Tensor {
    let mut random = Rng::with_seed(7);
    let elements: Vec<T> = (0..shape.iter().product()).map(|_| make(&mut random)).collect();
    Tensor::new(shape, elements).expect("as many elements as the shape says")
}

/// Writes inputs where Python can read them.
pub(crate) fn save(inputs: &Tensors, folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let saved = inputs.iter().map(|(name, tensor)| {
        let path = folder.join(format!("{name}.{}.npy", tensor.shape().first().copied().unwrap_or(0)));
        std::fs::write(&path, npy::write(tensor)?)?;
        Ok((name.to_string(), path))
    });
    saved.collect()
}

/// The inputs of one row.
pub(crate) fn row(inputs: &Tensors, rows: usize, at: usize) -> Tensors {
    if rows == 1 {
        return inputs.clone();
    }
    inputs.iter().map(|(name, tensor)| (name.clone(), tensor.rows(at % rows..at % rows + 1))).collect()
}
