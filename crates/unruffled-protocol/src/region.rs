//! [`Region`]: shared memory that a client asks a server to know.

use serde::{Deserialize, Serialize};

use crate::document::malformed;
use crate::encode;
use crate::error::ProtocolError;

/// A region of POSIX shared memory, as clients register it and servers list it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// What requests call it; on HTTP the path has it.
    #[serde(default)]
    pub name: String,
    /// The name of the shared memory object, such as `/data`.
    pub key: String,
    /// Where the region begins in the object, in bytes.
    #[serde(default)]
    pub offset: usize,
    /// How many bytes it has.
    pub byte_size: usize,
}

impl Region {
    /// Reads what a client registers under this name.
    ///
    /// # Errors
    ///
    /// `Malformed` if it is another body.
    pub fn from_json(name: &str, body: &[u8]) -> Result<Self, ProtocolError> {
        let region: Self = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
        Ok(Self { name: name.to_owned(), ..region })
    }

    /// Writes a list of them.
    pub fn list_to_json(regions: &[Self]) -> Vec<u8> {
        encode::to_json(regions)
    }
}
