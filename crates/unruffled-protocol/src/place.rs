//! [`Source`] and [`Form`]: where the data of a tensor are, if not in the JSON text that describes it.

use unruffled_model::Bytes;

use crate::brief::Brief;
use crate::error::{ProtocolError, ProtocolErrorKind};
use crate::parameters::Parameters;

const BINARY_SIZE: &str = "binary_data_size";
const REGION: &str = "shared_memory_region";
const REGION_SIZE: &str = "shared_memory_byte_size";
const REGION_OFFSET: &str = "shared_memory_offset";

/// A part of a region of shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What the region is called.
    pub region: String,
    /// Where the part begins in it, in bytes.
    pub offset: usize,
    /// How many bytes it has.
    pub bytes: usize,
}

impl Span {
    /// The part that these parameters name, if they name one.
    fn of(parameters: &Parameters) -> Result<Option<Self>, ProtocolError> {
        let region = parameters.text(REGION)?;
        let bytes = size(parameters, REGION_SIZE)?;
        let offset = size(parameters, REGION_OFFSET)?;
        match (region, bytes) {
            (Some(region), Some(bytes)) => {
                Ok(Some(Self { region: region.to_owned(), offset: offset.unwrap_or(0), bytes }))
            }
            (None, None) if offset.is_none() => Ok(None),
            (Some(_), None) => Err(lone(REGION, REGION_SIZE)),
            (None, Some(_)) => Err(lone(REGION_SIZE, REGION)),
            (None, None) => Err(lone(REGION_OFFSET, REGION)),
        }
    }

    /// What a response says of an output that was put there.
    pub(crate) fn parameters(&self) -> Parameters {
        let number = |bytes: usize| bytes as u64;
        Parameters::new()
            .with(REGION, self.region.as_str())
            .with(REGION_SIZE, number(self.bytes))
            .with(REGION_OFFSET, number(self.offset))
    }
}

fn lone(given: &str, missing: &str) -> ProtocolError {
    let message = format!("parameter `{given}` needs `{missing}` beside it");
    ProtocolError::new(ProtocolErrorKind::InvalidParameter, message)
}

fn size(parameters: &Parameters, name: &str) -> Result<Option<usize>, ProtocolError> {
    let size = parameters.u64(name)?;
    size.map(|size| usize::try_from(size).map_err(|_| too_much(name, size))).transpose()
}

fn too_much(name: &str, size: u64) -> ProtocolError {
    let message = format!("parameter `{name}` is {size}, beyond what memory can hold");
    ProtocolError::new(ProtocolErrorKind::InvalidParameter, message)
}

/// Shared memory that requests may name.
pub trait Regions {
    /// A copy of a part: what others write into it meanwhile does not change a request.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` if there is no such region, or it does not have that part.
    fn read(&self, span: &Span) -> Result<Bytes, ProtocolError>;
}

/// No region is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRegions;

impl Regions for NoRegions {
    fn read(&self, span: &Span) -> Result<Bytes, ProtocolError> {
        let message = format!(
            "parameter `{REGION}` is `{}`; shared memory is not supported here: send `data`",
            Brief(&span.region)
        );
        Err(ProtocolError::new(ProtocolErrorKind::Unsupported, message))
    }
}

/// Where the data of an input are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In its own `data`.
    Here,
    /// So many bytes behind the JSON text.
    Behind(usize),
    /// In shared memory.
    Shared(Span),
}

impl Source {
    pub(crate) fn of(parameters: &Parameters) -> Result<Self, ProtocolError> {
        let behind = size(parameters, BINARY_SIZE)?;
        match (Span::of(parameters)?, behind) {
            (None, None) => Ok(Source::Here),
            (None, Some(bytes)) => Ok(Source::Behind(bytes)),
            (Some(span), None) => Ok(Source::Shared(span)),
            (Some(_), Some(_)) => {
                let message = format!("parameters `{REGION}` and `{BINARY_SIZE}` exclude each other");
                Err(ProtocolError::new(ProtocolErrorKind::InvalidParameter, message))
            }
        }
    }
}

/// The data behind the JSON text, of which tensors take one after the other.
pub(crate) struct Behind<'a> {
    binary: &'a Bytes,
    at: usize,
}

impl<'a> Behind<'a> {
    pub(crate) fn new(binary: &'a Bytes) -> Self {
        Self { binary, at: 0 }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<Bytes, ProtocolError> {
        let left = self.binary.len() - self.at;
        if bytes > left {
            let message =
                format!("`binary_data_size` is {bytes}, but only {left} bytes are left of the body");
            return Err(ProtocolError::new(ProtocolErrorKind::InvalidTensor, message));
        }
        let taken = self.binary.slice(self.at..self.at + bytes);
        self.at += bytes;
        Ok(taken)
    }

    pub(crate) fn end(&self) -> Result<(), ProtocolError> {
        match self.binary.len() - self.at {
            0 => Ok(()),
            left => {
                let message = format!("{left} bytes follow the last binary tensor; none claims them");
                Err(ProtocolError::new(ProtocolErrorKind::Malformed, message))
            }
        }
    }
}

/// In which form an output is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// As `data` in JSON.
    Json,
    /// As bytes behind the JSON text.
    Binary,
    /// Into shared memory.
    Shared(Span),
}

impl Form {
    /// What the parameters of a requested output ask for; `binary` is what the request says of all outputs.
    pub(crate) fn of(parameters: &Parameters, binary: bool) -> Result<Self, ProtocolError> {
        let own = parameters.bool("binary_data")?;
        Ok(match Span::of(parameters)? {
            Some(span) => Form::Shared(span),
            None if own.unwrap_or(binary) => Form::Binary,
            None => Form::Json,
        })
    }
}

/// What a response says of an output whose bytes follow.
pub(crate) fn binary_parameters(bytes: usize) -> Parameters {
    Parameters::new().with(BINARY_SIZE, bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::{Form, Source, Span};
    use crate::parameters::Parameters;

    fn span(offset: usize) -> Span {
        Span { region: "r".into(), offset, bytes: 8 }
    }

    #[test]
    fn data_are_in_one_place() {
        let plain = Parameters::new;
        assert_eq!(Source::of(&plain()), Ok(Source::Here));
        assert_eq!(Source::of(&plain().with("binary_data_size", 12_i64)), Ok(Source::Behind(12)));
        let shared = plain().with("shared_memory_region", "r").with("shared_memory_byte_size", 8_i64);
        assert_eq!(Source::of(&shared), Ok(Source::Shared(span(0))));
        assert_eq!(Source::of(&span(4).parameters()), Ok(Source::Shared(span(4))));
        for bad in [
            plain().with("binary_data_size", -1_i64),
            plain().with("binary_data_size", "12"),
            plain().with("shared_memory_region", "r"),
            plain().with("shared_memory_byte_size", 8_i64),
            plain().with("shared_memory_offset", 8_i64),
            shared.with("binary_data_size", 8_i64),
        ] {
            assert!(Source::of(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_output_overrides_its_request() {
        let asks = |binary| Parameters::new().with("binary_data", binary);
        assert_eq!(Form::of(&Parameters::new(), false), Ok(Form::Json));
        assert_eq!(Form::of(&Parameters::new(), true), Ok(Form::Binary));
        assert_eq!(Form::of(&asks(false), true), Ok(Form::Json));
        assert_eq!(Form::of(&asks(true), false), Ok(Form::Binary));
        assert_eq!(Form::of(&span(0).parameters(), true), Ok(Form::Shared(span(0))));
        assert!(Form::of(&Parameters::new().with("binary_data", "yes"), false).is_err());
    }
}
