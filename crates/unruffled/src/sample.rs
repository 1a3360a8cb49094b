//! The digits model, within the binary: something to run before anything is downloaded.
//!
//! It reads one handwritten digit from a picture of 8 x 8 and answers in microseconds.

use std::path::Path;

use unruffled_model::{Bytes, Tensors};
use unruffled_protocol::{InferRequest, Limits};

use crate::config::ModelConfig;
use crate::repository::{ModelFolder, Repository};

/// What the model is called.
pub const NAME: &str = "digits";

/// A complete inference request of the Open Inference Protocol that asks about a handwritten seven.
pub const SEVEN_JSON: &str = include_str!("../../../assets/models/digits/samples/seven.json");

const MODEL: &[u8] = include_bytes!("../../../assets/models/digits/1/model.onnx");
const CONFIG: &str = include_str!("../../../assets/models/digits/model.toml");
const LABELS: &str = include_str!("../../../assets/models/digits/labels.txt");

/// The model with its settings.
pub fn digits() -> ModelFolder {
    let read = |name: &str| match name {
        "labels.txt" => Ok(LABELS.to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let config = ModelConfig::parse(CONFIG, Path::new("digits/model.toml"), &read);
    let config = config.expect("a test reads the embedded settings");
    let mut folder =
        ModelFolder::in_memory(NAME, Bytes::from_static(MODEL), config).expect("the name is a plain word");
    (folder.version, folder.versions) = (Some(1), vec![1]);
    folder
}

/// A repository of this one model.
pub fn repository() -> Repository {
    Repository::of([digits()])
}

/// The inputs of [`SEVEN_JSON`]: a handwritten seven.
pub fn seven() -> Tensors {
    let request = InferRequest::from_json(SEVEN_JSON.as_bytes(), &Limits::default());
    request.expect("a test reads the embedded request").inputs
}

#[cfg(test)]
mod tests {
    use super::{digits, seven};

    #[test]
    fn what_is_embedded_can_be_read() {
        assert_eq!(digits().config.output("probabilities").unwrap().labels.as_ref().unwrap().len(), 10);
        assert_eq!(seven().get("image").unwrap().shape(), [1, 8, 8]);
    }
}
