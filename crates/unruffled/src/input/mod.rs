//! [`InputReader`]: from what a person gives to the tensors that a model takes.
//!
//! | given | becomes |
//! | --- | --- |
//! | `1,2,3` | these numbers, in the shape that the model asks for; a batch of one is understood |
//! | `[[1,2],[3,4]]` | these numbers in this shape; a missing batch dimension is added |
//! | `@array.json`, `@array.npy` | the same from a file |
//! | `@request.json` | every input of a whole inference request |
//! | `@picture.png`, `@sound.wav`, `@anything` | what the model's settings make of it (see [`config`](crate::config)); the whole file, for a model that takes byte strings |
//!
//! An input that is given several times becomes several rows.

mod elements;
mod shape;

mod npy;

mod audio;
mod file;
mod resample;

mod image;

use std::fs;
use std::path::Path;

use serde_json::Value;
use unruffled_model::{Bytes, DType, Signature, Tensor, TensorSpec, Tensors};
use unruffled_protocol::{InferRequest, Limits};

use crate::config::{InputSource, ModelConfig};
use crate::error::{Error, ErrorKind};
use elements::Elements;

/// Reads inputs for one model. Blocks where it is given files.
#[derive(Clone, Copy, Debug)]
pub struct InputReader<'a> {
    signature: &'a Signature,
    config: &'a ModelConfig,
}

impl<'a> InputReader<'a> {
    /// A reader for a model of this description and these settings.
    pub fn new(signature: &'a Signature, config: &'a ModelConfig) -> Self {
        Self { signature, config }
    }

    /// Reads all inputs of one request, each given as `NAME=VALUE`, or as `VALUE` where only one input can be meant.
    ///
    /// # Errors
    ///
    /// `InvalidInput` that names the input, what was expected and what to write; `Unreadable` for a file.
    pub fn read<'t>(&self, given: impl IntoIterator<Item = &'t str>) -> Result<Tensors, Error> {
        let mut parts: Vec<(&TensorSpec, Vec<Tensor>)> = Vec::new();
        let mut whole = Tensors::new();
        for text in given {
            let (name, value) = self.split(text);
            if let (None, Some(request)) = (name, self.request(value)?) {
                whole = request;
                continue;
            }
            let spec = match name {
                Some(name) => self.spec(name)?,
                None => self.only_input()?,
            };
            let tensor = self.value(spec, value).map_err(|error| error.at_key(&*spec.name))?;
            match parts.iter_mut().find(|(known, _)| known.name == spec.name) {
                Some((_, rows)) => rows.push(tensor),
                None => parts.push((spec, vec![tensor])),
            }
        }
        for (spec, rows) in parts {
            let joined = match rows.as_slice() {
                [one] => one.clone(),
                several => Tensor::concat(several.iter()).map_err(|error| {
                    let message =
                        format!("is given several times, in parts that do not fit together: {error}");
                    Error::input(message).at_key(&*spec.name)
                })?,
            };
            whole.insert(spec.name.clone(), joined);
        }
        Ok(whole)
    }

    /// What to write for an input, as an example: `@picture.png`, `1,2,3`.
    pub fn example(&self, spec: &TensorSpec) -> &'static str {
        match self.source(spec) {
            Some(InputSource::Image(_)) => "@picture.png",
            Some(InputSource::Audio(_)) => "@sound.wav",
            Some(InputSource::File(_)) => "@FILE",
            None if spec.dtype == DType::Bytes => match &*spec.name {
                "image" | "picture" => "@picture.png",
                "audio" | "sound" => "@sound.wav",
                _ => "some text",
            },
            None if spec.dims.as_ref().is_some_and(Vec::is_empty) => "1",
            None => "1,2,3",
        }
    }

    /// The inputs that must be given.
    pub fn required(&self) -> impl Iterator<Item = &'a TensorSpec> {
        let optional = |spec: &&TensorSpec| {
            let config = self.config.input(&spec.name);
            spec.default.is_some() || config.is_some_and(|input| input.default.is_some())
        };
        let inputs = self.signature.inputs.iter();
        let optional: Vec<_> = inputs.clone().map(|spec| optional(&spec)).collect();
        inputs.zip(optional).filter(|(_, optional)| !optional).map(|(spec, _)| spec)
    }

    /// The name, if there is one, and the value. A value may hold an equals sign of its own.
    fn split<'t>(&self, text: &'t str) -> (Option<&'t str>, &'t str) {
        let Some((name, value)) = text.split_once('=') else {
            return (None, text);
        };
        let is_value = text.starts_with(|first: char| "@[-+.".contains(first) || first.is_ascii_digit());
        if is_value && !self.signature.inputs.iter().any(|spec| *spec.name == *name) {
            return (None, text);
        }
        (Some(name), value)
    }

    fn spec(&self, name: &str) -> Result<&'a TensorSpec, Error> {
        let found = self.signature.inputs.iter().find(|spec| *spec.name == *name);
        found.ok_or_else(|| {
            Error::input(format!("no such input; the model takes {}", self.known())).at_key(name)
        })
    }

    fn only_input(&self) -> Result<&'a TensorSpec, Error> {
        let mut required = self.required();
        match (required.next(), required.next(), self.signature.inputs.as_slice()) {
            (Some(one), None, _) | (_, _, [one]) => Ok(one),
            _ => Err(Error::input(format!(
                "the model has several inputs: {}; write NAME=VALUE to say which one is meant",
                self.known()
            ))),
        }
    }

    fn known(&self) -> String {
        let known: Vec<_> = self.signature.inputs.iter().map(ToString::to_string).collect();
        known.join(", ")
    }

    fn source(&self, spec: &TensorSpec) -> Option<&'a InputSource> {
        self.config.input(&spec.name)?.from.as_ref()
    }

    /// The inputs of a whole request, if that is what a file holds.
    fn request(&self, value: &str) -> Result<Option<Tensors>, Error> {
        let Some(path) = value.strip_prefix('@').map(Path::new).filter(|path| has_ending(path, &["json"]))
        else {
            return Ok(None);
        };
        let takes_files = |spec| matches!(self.source(spec), Some(InputSource::File(_)));
        if self.only_input().is_ok_and(takes_files) {
            return Ok(None);
        }
        let bytes = read_file(path)?;
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Ok(None);
        }
        let request = InferRequest::from_json(&bytes, &Limits::default())
            .map_err(|error| Error::input(error.to_string()).in_file(path).caused_by(error))?;
        Ok(Some(request.inputs))
    }

    fn value(&self, spec: &TensorSpec, value: &str) -> Result<Tensor, Error> {
        match value.strip_prefix('@') {
            None => literal(spec, value),
            Some("") => Err(Error::input("`@` must be followed by the name of a file")),
            Some(path) => {
                let path = Path::new(path);
                self.file_value(spec, path).map_err(|error| error.in_file(path))
            }
        }
    }

    fn file_value(&self, spec: &TensorSpec, path: &Path) -> Result<Tensor, Error> {
        let source = self.source(spec);
        if let Some(InputSource::File(settings)) = source {
            let numbers = fs::File::open(path).and_then(|mut file| file::read(&mut file, settings));
            let numbers = numbers.map_err(|error| unreadable(path, error))?;
            let shape = shape::of_list(spec, numbers.len())?;
            let floats = numbers.into_iter().map(|number| number as f32);
            return Elements::of_floats(floats).into_tensor(spec.dtype, &shape);
        }
        let bytes = read_file(path)?;
        if has_ending(path, &["json"]) {
            let value: Value = serde_json::from_slice(&bytes)
                .map_err(|error| Error::input(format!("is not JSON: {error}")).caused_by(error))?;
            return array(spec, &value);
        }
        if has_ending(path, &["npy"]) {
            let (elements, shape) = npy::read(&bytes)?;
            return elements.into_tensor(spec.dtype, &shape::of_array(spec, shape)?);
        }
        match source {
            Some(InputSource::Image(settings)) => {
                let (numbers, shape) = image::read(&bytes, settings)?;
                Elements::of_floats(numbers).into_tensor(spec.dtype, &shape)
            }
            Some(InputSource::Audio(settings)) => {
                let samples = audio::read(&bytes, settings)?;
                let shape = shape::of_list(spec, samples.len())?;
                Elements::of_floats(samples).into_tensor(spec.dtype, &shape)
            }
            // What takes bytes takes those of any file: the decoders among the steps.
            None if spec.dtype == DType::Bytes => {
                Ok(Tensor::new(&shape::of_list(spec, 1)?, vec![Bytes::from(bytes)])?)
            }
            _ => Err(Error::input(format!(
                "nothing says how to read this file; give numbers, a .json or an .npy file, or set \
                 `[inputs.{}.from] kind = \"image\"`, \"audio\" or \"file\" in model.toml",
                spec.name
            ))),
        }
    }
}

fn literal(spec: &TensorSpec, text: &str) -> Result<Tensor, Error> {
    if text.trim_start().starts_with('[') {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            Error::input(format!("is not a JSON array: {error}; write it as [[1,2],[3,4]]")).caused_by(error)
        })?;
        return array(spec, &value);
    }
    let elements = match spec.dtype {
        DType::Bytes => Elements::Texts(vec![text.to_owned()]),
        _ => Elements::from_list(text)?,
    };
    let shape = shape::of_list(spec, elements.len())?;
    elements.into_tensor(spec.dtype, &shape)
}

fn array(spec: &TensorSpec, value: &Value) -> Result<Tensor, Error> {
    let (elements, shape) = Elements::from_json(value)?;
    elements.into_tensor(spec.dtype, &shape::of_array(spec, shape)?)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension()
        .is_some_and(|extension| endings.iter().any(|ending| extension.eq_ignore_ascii_case(ending)))
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let message = match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    Error::new(ErrorKind::Unreadable, message).in_file(path).caused_by(error)
}

#[cfg(test)]
mod tests;
