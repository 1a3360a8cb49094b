//! The bodies around inference: metadata of server and model, health, errors.

use serde::{Deserialize, Serialize};
use unruffled_model::{DType, Dim, Signature, TensorSpec};

use crate::datatype;
use crate::document::malformed;
use crate::encode;
use crate::error::{Place, ProtocolError, ProtocolErrorKind};

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMetadata {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The parts of the protocol beyond its core that work fully.
    #[serde(default)]
    pub extensions: Vec<String>,
}

impl ServerMetadata {
    /// Writes the body.
    pub fn to_json(&self) -> Vec<u8> {
        encode::to_json(self)
    }

    /// Reads the body.
    ///
    /// # Errors
    ///
    /// `Malformed` if it is another one.
    pub fn from_json(body: &[u8]) -> Result<Self, ProtocolError> {
        serde_json::from_slice(body).map_err(|error| malformed(&error))
    }
}

/// What a server says about a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelMetadata {
    /// Its name.
    pub name: String,
    /// The versions that are there, decimal integers as text.
    pub versions: Vec<String>,
    /// What runs it; by custom `<maker>_<format>`.
    pub platform: String,
    /// Its inputs.
    pub inputs: Vec<TensorMetadata>,
    /// Its outputs.
    pub outputs: Vec<TensorMetadata>,
}

/// What a server says about one input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMetadata {
    /// Its name.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The dimensions; -1 where any size fits, the batch included.
    ///
    /// The protocol cannot say that the number of dimensions is unknown: such a tensor is described as `[-1]`, so that
    /// clients that expect an array of integers go on working.
    pub shape: Vec<i64>,
}

impl From<&TensorSpec> for TensorMetadata {
    fn from(spec: &TensorSpec) -> Self {
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => i64::try_from(*size).unwrap_or(i64::MAX),
            Dim::Symbolic(_) | Dim::Any => -1,
        };
        Self {
            name: spec.name.to_string(),
            dtype: spec.dtype,
            shape: spec.dims.as_ref().map_or(vec![-1], |dims| dims.iter().map(size).collect()),
        }
    }
}

impl ModelMetadata {
    /// Describes a model by its signature.
    pub fn new(
        name: impl Into<String>,
        versions: Vec<String>,
        platform: impl Into<String>,
        signature: &Signature,
    ) -> Self {
        Self {
            name: name.into(),
            versions,
            platform: platform.into(),
            inputs: signature.inputs.iter().map(TensorMetadata::from).collect(),
            outputs: signature.outputs.iter().map(TensorMetadata::from).collect(),
        }
    }

    /// Writes the body.
    pub fn to_json(&self) -> Vec<u8> {
        let tensors = |tensors: &[TensorMetadata]| tensors.iter().map(TensorBody::from).collect();
        encode::to_json(&ModelBody {
            name: self.name.clone(),
            versions: self.versions.clone(),
            platform: self.platform.clone(),
            inputs: tensors(&self.inputs),
            outputs: tensors(&self.outputs),
        })
    }

    /// Reads the body; versions, platform, inputs and outputs that are left out are empty.
    ///
    /// # Errors
    ///
    /// `Malformed` if it is another one, `InvalidTensor` if a datatype is unknown.
    pub fn from_json(body: &[u8]) -> Result<Self, ProtocolError> {
        let body: ModelBody = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
        let read = |tensors: Vec<TensorBody>, place: fn(&str) -> Place| {
            let tensors = tensors.into_iter().map(|tensor| tensor.read(place));
            tensors.collect::<Result<_, _>>()
        };
        Ok(Self {
            name: body.name,
            versions: body.versions,
            platform: body.platform,
            inputs: read(body.inputs, Place::input)?,
            outputs: read(body.outputs, Place::output)?,
        })
    }
}

/// Whether a server lives and is ready; one body for both questions, since clients differ in the key that they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether it answers at all.
    pub live: bool,
    /// Whether it would take a request.
    pub ready: bool,
}

impl Health {
    /// Writes the body.
    pub fn to_json(&self) -> Vec<u8> {
        encode::to_json(self)
    }
}

/// Whether one model would take a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelReady<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it is ready.
    pub ready: bool,
}

impl ModelReady<'_> {
    /// Writes the body.
    pub fn to_json(&self) -> Vec<u8> {
        encode::to_json(self)
    }
}

/// The body of every response that is no success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong; clients require that it is not empty.
    pub error: String,
}

impl ErrorBody {
    /// Says that something went wrong; an empty text is replaced.
    pub fn new(error: impl Into<String>) -> Self {
        let error = error.into();
        Self { error: if error.is_empty() { "unknown error".to_owned() } else { error } }
    }

    /// Writes the body.
    pub fn to_json(&self) -> Vec<u8> {
        encode::to_json(self)
    }

    /// Reads the body.
    ///
    /// # Errors
    ///
    /// `Malformed` if it is another one: not every server keeps to the form.
    pub fn from_json(body: &[u8]) -> Result<Self, ProtocolError> {
        serde_json::from_slice(body).map_err(|error| malformed(&error))
    }
}

#[derive(Serialize, Deserialize)]
struct ModelBody {
    name: String,
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    platform: String,
    #[serde(default)]
    inputs: Vec<TensorBody>,
    #[serde(default)]
    outputs: Vec<TensorBody>,
}

#[derive(Serialize, Deserialize)]
struct TensorBody {
    name: String,
    datatype: String,
    shape: Vec<i64>,
}

impl From<&TensorMetadata> for TensorBody {
    fn from(tensor: &TensorMetadata) -> Self {
        Self {
            name: tensor.name.clone(),
            datatype: datatype::name(tensor.dtype).to_owned(),
            shape: tensor.shape.clone(),
        }
    }
}

impl TensorBody {
    fn read(self, place: fn(&str) -> Place) -> Result<TensorMetadata, ProtocolError> {
        let at = |error: ProtocolError| error.at(place(&self.name));
        if let Some(size) = self.shape.iter().find(|size| **size < -1) {
            let message = format!("dimension `{size}` is neither a size nor -1");
            return Err(at(ProtocolError::new(ProtocolErrorKind::InvalidTensor, message)));
        }
        let dtype = datatype::parse(&self.datatype).map_err(at)?;
        Ok(TensorMetadata { name: self.name, dtype, shape: self.shape })
    }
}
