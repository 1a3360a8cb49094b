//! The messages of the model repository extension: what there is, and what is to be loaded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::malformed;
use crate::encode;
use crate::error::ProtocolError;

/// Where a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum IndexState {
    /// It can answer.
    Ready,
    /// It cannot; the reason says why.
    Unavailable,
    /// It is on its way into memory.
    Loading,
    /// It is on its way out.
    Unloading,
}

/// One version of a model that there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IndexEntry {
    /// The model.
    pub name: String,
    /// The version, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it is; nothing if it was never loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<IndexState>,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl IndexEntry {
    /// Writes a list of them.
    pub fn list_to_json(entries: &[Self]) -> Vec<u8> {
        encode::to_json(entries)
    }
}

/// What a client wants to see of an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IndexRequest {
    /// Only models that are ready.
    pub ready: bool,
}

/// What a client says about a load or an unload.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ControlRequest {
    /// Its settings: `config`, `file:...` for a load, `unload_dependents` for an unload.
    pub parameters: BTreeMap<String, Value>,
}

macro_rules! from_json {
    ($($type:ty),*) => {$(
        impl $type {
            /// Reads the body; an empty one says nothing.
            ///
            /// # Errors
            ///
            /// `Malformed` if it is another one.
            pub fn from_json(body: &[u8]) -> Result<Self, ProtocolError> {
                if body.trim_ascii().is_empty() {
                    return Ok(Self::default());
                }
                serde_json::from_slice(body).map_err(|error| malformed(&error))
            }
        }
    )*};
}

from_json!(IndexRequest, ControlRequest);
