//! Metadata as messages.

use std::collections::BTreeMap;

use super::generated::model_metadata_response;
use super::generated::{ModelMetadataResponse, ServerMetadataResponse};
use crate::datatype;
use crate::metadata::{ModelMetadata, ServerMetadata, TensorMetadata};

impl From<ServerMetadata> for ServerMetadataResponse {
    fn from(metadata: ServerMetadata) -> Self {
        let ServerMetadata { name, version, extensions } = metadata;
        Self { name, version, extensions }
    }
}

impl From<ModelMetadata> for ModelMetadataResponse {
    fn from(metadata: ModelMetadata) -> Self {
        let ModelMetadata { name, versions, platform, inputs, outputs } = metadata;
        let tensors = |tensors: Vec<TensorMetadata>| tensors.into_iter().map(Into::into).collect();
        let (inputs, outputs) = (tensors(inputs), tensors(outputs));
        Self { name, versions, platform, inputs, outputs, properties: BTreeMap::new() }
    }
}

impl From<TensorMetadata> for model_metadata_response::TensorMetadata {
    fn from(tensor: TensorMetadata) -> Self {
        let TensorMetadata { name, dtype, shape } = tensor;
        Self { name, datatype: datatype::name(dtype).to_owned(), shape }
    }
}
