//! [`Payload`]: what goes into a job and comes out of it, as bytes; [`JobData`], what has a form in bytes.

use std::fmt;

use unruffled_model::{Bytes, Name};

use crate::error::{Error, ErrorKind};

/// Bytes, and what they are. Cheap to clone.
///
/// Queues carry payloads and never look into them.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// What the bytes are: a media type.
    pub kind: Name,
    /// The bytes.
    pub bytes: Bytes,
}

impl Payload {
    /// Bytes of this media type.
    pub fn new(kind: impl Into<Name>, bytes: impl Into<Bytes>) -> Self {
        Self { kind: kind.into(), bytes: bytes.into() }
    }

    /// What it is and how large, without the bytes.
    pub fn info(&self) -> PayloadInfo {
        PayloadInfo { kind: self.kind.clone(), bytes: self.bytes.len() as u64 }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({}, {} bytes)", self.kind, self.bytes.len())
    }
}

/// What a payload is and how large, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadInfo {
    /// Its media type.
    pub kind: Name,
    /// How many bytes it has.
    pub bytes: u64,
}

/// What has a form in bytes, so that it can wait in a queue, also on disk or in another process.
///
/// For a type of your own, whatever writes and reads it will do:
///
/// ```
/// use unruffled_engine::job::{JobData, JobInput, Payload};
/// use unruffled_engine::Error;
///
/// struct Page(String);
///
/// impl JobData for Page {
///     fn to_payload(&self) -> Result<Payload, Error> {
///         Ok(Payload::new("text/plain", self.0.clone().into_bytes()))
///     }
///
///     fn from_payload(payload: &Payload) -> Result<Self, Error> {
///         String::from_payload(payload).map(Page)
///     }
/// }
///
/// impl JobInput for Page {
///     type Output = String;
/// }
/// ```
pub trait JobData: Sized + Send + 'static {
    /// As bytes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if this value has no form in bytes.
    fn to_payload(&self) -> Result<Payload, Error>;

    /// Out of bytes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if they are of another kind, or broken.
    fn from_payload(payload: &Payload) -> Result<Self, Error>;

    /// About how many bytes [`to_payload`](Self::to_payload) will give: much is converted elsewhere than on the caller's
    /// thread.
    fn payload_bytes(&self) -> usize {
        0
    }
}

/// What can be the input of a job, and what comes out then.
pub trait JobInput: JobData {
    /// What the models give that take this.
    type Output: JobData;
}

/// The media type of plain bytes.
const BYTES: &str = "application/octet-stream";

/// The media type of text.
const TEXT: &str = "text/plain; charset=utf-8";

impl JobData for Payload {
    fn to_payload(&self) -> Result<Payload, Error> {
        Ok(self.clone())
    }

    fn from_payload(payload: &Payload) -> Result<Self, Error> {
        Ok(payload.clone())
    }
}

impl JobInput for Payload {
    type Output = Payload;
}

impl JobData for Bytes {
    fn to_payload(&self) -> Result<Payload, Error> {
        Ok(Payload::new(BYTES, self.clone()))
    }

    fn from_payload(payload: &Payload) -> Result<Self, Error> {
        Ok(payload.bytes.clone())
    }
}

impl JobInput for Bytes {
    type Output = Bytes;
}

impl JobData for String {
    fn to_payload(&self) -> Result<Payload, Error> {
        Ok(Payload::new(TEXT, self.clone().into_bytes()))
    }

    fn from_payload(payload: &Payload) -> Result<Self, Error> {
        std::str::from_utf8(&payload.bytes).map(str::to_owned).map_err(|error| {
            let message = format!("the {} of a job is no text: {error}", payload.kind);
            Error::new(ErrorKind::InvalidInput, message)
        })
    }

    fn payload_bytes(&self) -> usize {
        self.len()
    }
}

impl JobInput for String {
    type Output = String;
}

#[cfg(test)]
mod tests {
    use super::{JobData, Payload};

    #[test]
    fn text_must_be_text() {
        let payload = "größer".to_owned().to_payload().unwrap();
        assert_eq!(String::from_payload(&payload).unwrap(), "größer");
        let error = String::from_payload(&Payload::new("image/png", vec![0xff_u8])).unwrap_err();
        assert!(error.to_string().starts_with("the image/png of a job is no text"), "{error}");
    }
}
