//! [`ProtocolError`]: what the other side got wrong, and where.

use std::error::Error as StdError;
use std::fmt;

use crate::brief::Brief;

/// The most bytes of a message, a last resort: its parts are bounded already.
const MESSAGE_BYTES: usize = 1000;

/// What kind of mistake a [`ProtocolError`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolErrorKind {
    /// The body is not JSON, or not the message that it should be: a member is missing or of another type.
    Malformed,
    /// A tensor contradicts itself: unknown datatype, bad shape, elements that fit neither; or it occurs twice.
    InvalidTensor,
    /// A parameter has a value that it cannot have.
    InvalidParameter,
    /// An output is asked for that the model does not have, or twice.
    InvalidOutput,
    /// The message holds more of something than [`Limits`](crate::Limits) allow.
    LimitExceeded,
    /// The message asks for a part of the protocol that is not here.
    Unsupported,
    /// A tensor that was to be written cannot be expressed in JSON.
    Unrepresentable,
    /// The model did not give an output that its signature promises: nobody's mistake but the model's.
    MissingOutput,
}

/// Which tensor a [`ProtocolError`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The input of this name; a long name is cut.
    Input(Box<str>),
    /// The input at this position, counted from 0; its name could not be read.
    InputAt(usize),
    /// The output of this name; a long name is cut.
    Output(Box<str>),
    /// The output at this position, counted from 0; its name could not be read.
    OutputAt(usize),
}

impl Place {
    /// The input of this name.
    pub(crate) fn input(name: &str) -> Self {
        Place::Input(Brief(name).to_string().into())
    }

    /// The output of this name.
    pub(crate) fn output(name: &str) -> Self {
        Place::Output(Brief(name).to_string().into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Input(name) => write!(f, "input `{name}`"),
            Place::InputAt(index) => write!(f, "input {index}"),
            Place::Output(name) => write!(f, "output `{name}`"),
            Place::OutputAt(index) => write!(f, "output {index}"),
        }
    }
}

/// What the other side got wrong: the kind of mistake, the tensor at fault where there is one, and what was expected.
///
/// Names and values are repeated only in part, so that the text stays short whatever was sent. It has no
/// [`source`](StdError::source): the parser's own message is part of the text, cut as well.
#[derive(Clone, PartialEq, Eq)]
pub struct ProtocolError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: ProtocolErrorKind,
    place: Option<Place>,
    message: String,
}

impl ProtocolError {
    pub(crate) fn new(kind: ProtocolErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
            message.push_str("...");
        }
        Self(Box::new(Inner { kind, place: None, message }))
    }

    /// A parameter has a value that it cannot have, as somebody found out who knows more than the message.
    pub fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new(ProtocolErrorKind::InvalidParameter, message)
    }

    /// Names the tensor at fault.
    pub(crate) fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    /// What kind of mistake this is.
    pub fn kind(&self) -> ProtocolErrorKind {
        self.0.kind
    }

    /// The tensor at fault, where there is one.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.place {
            Some(place) => write!(f, "{place}: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtocolError")
            .field("kind", &self.0.kind)
            .field("place", &self.0.place)
            .field("message", &self.0.message)
            .finish()
    }
}

impl StdError for ProtocolError {}
