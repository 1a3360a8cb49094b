//! [`Parameters`]: the small settings that travel with a message, a tensor or a requested output.

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::brief::Brief;
use crate::document::Document;
use crate::encode;
use crate::error::{ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;

/// The value of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    /// A truth value.
    Bool(bool),
    /// An integer that fits 64 bits with sign; read ones are of this kind wherever they can be.
    I64(i64),
    /// An integer above the greatest [`I64`](Self::I64).
    U64(u64),
    /// Any other number.
    F64(f64),
    /// A text.
    Text(String),
}

impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParameterValue::Bool(value) => value.fmt(f),
            ParameterValue::I64(value) => value.fmt(f),
            ParameterValue::U64(value) => value.fmt(f),
            ParameterValue::F64(value) => value.fmt(f),
            ParameterValue::Text(value) => write!(f, "\"{}\"", Brief(value)),
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl From<$type> for ParameterValue {
            fn from(value: $type) -> Self {
                ParameterValue::$variant(value.into())
            }
        }
    )*};
}

from!(bool => Bool, i64 => I64, u64 => U64, f64 => F64, String => Text, &str => Text);

/// Parameters by name, in the order given.
///
/// Unknown ones are kept and mean nothing; names and meanings are those of the Open Inference Protocol's and Triton's
/// extensions.
///
/// ```
/// use std::time::Duration;
/// use unruffled_protocol::Parameters;
///
/// let parameters = Parameters::new().with("timeout", 250_000_i64).with("tenant", "blue");
/// assert_eq!(parameters.timeout()?, Some(Duration::from_millis(250)));
/// assert_eq!(parameters.text("tenant")?, Some("blue"));
/// assert_eq!(parameters.priority()?, None);
/// # Ok::<(), unruffled_protocol::ProtocolError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(Vec<(Box<str>, ParameterValue)>);

impl Parameters {
    /// No parameters yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a parameter, replacing one of the same name.
    pub fn insert(&mut self, name: impl Into<Box<str>>, value: impl Into<ParameterValue>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((name, value)),
        }
    }

    /// Adds a parameter and returns the whole, for building in one expression.
    #[must_use]
    pub fn with(mut self, name: impl Into<Box<str>>, value: impl Into<ParameterValue>) -> Self {
        self.insert(name, value);
        self
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&ParameterValue> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &ParameterValue)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A truth value, if given.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` if it is anything else.
    pub fn bool(&self, name: &str) -> Result<Option<bool>, ProtocolError> {
        self.typed(name, "true or false", |value| match value {
            ParameterValue::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// An integer with sign, if given.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` if it is anything else or does not fit.
    pub fn i64(&self, name: &str) -> Result<Option<i64>, ProtocolError> {
        self.typed(name, "an integer of 64 bits with sign", |value| match value {
            ParameterValue::I64(value) => Some(*value),
            ParameterValue::U64(value) => i64::try_from(*value).ok(),
            _ => None,
        })
    }

    /// An integer that is not negative, if given.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` if it is anything else or does not fit.
    pub fn u64(&self, name: &str) -> Result<Option<u64>, ProtocolError> {
        self.typed(name, "a non-negative integer of 64 bits", |value| match value {
            ParameterValue::I64(value) => u64::try_from(*value).ok(),
            ParameterValue::U64(value) => Some(*value),
            _ => None,
        })
    }

    /// A number, if given; an integer beyond 53 bits is rounded.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` if it is anything else.
    pub fn f64(&self, name: &str) -> Result<Option<f64>, ProtocolError> {
        self.typed(name, "a number", |value| match value {
            ParameterValue::I64(value) => Some(*value as f64),
            ParameterValue::U64(value) => Some(*value as f64),
            ParameterValue::F64(value) => Some(*value),
            _ => None,
        })
    }

    /// A text, if given.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` if it is anything else.
    pub fn text(&self, name: &str) -> Result<Option<&str>, ProtocolError> {
        self.typed(name, "text", |value| match value {
            ParameterValue::Text(value) => Some(value.as_str()),
            _ => None,
        })
    }

    /// The `priority` of a request: 1 is the highest, larger is lower; `None`, or 0 in the message, is the model's default.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` if it is no integer, or negative.
    pub fn priority(&self) -> Result<Option<NonZeroU64>, ProtocolError> {
        Ok(self.u64("priority")?.and_then(NonZeroU64::new))
    }

    /// How long the caller of a request waits, sent as `timeout` in microseconds; `None`, or 0 in the message, is for ever.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` if it is no integer, or negative.
    pub fn timeout(&self) -> Result<Option<Duration>, ProtocolError> {
        let expected = "a non-negative integer, in microseconds";
        let micros = self.typed("timeout", expected, |value| match value {
            ParameterValue::I64(value) => u64::try_from(*value).ok(),
            ParameterValue::U64(value) => Some(*value),
            _ => None,
        })?;
        Ok(micros.filter(|micros| *micros > 0).map(Duration::from_micros))
    }

    fn typed<'a, T>(
        &'a self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(&'a ParameterValue) -> Option<T>,
    ) -> Result<Option<T>, ProtocolError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        convert(value)
            .map(Some)
            .ok_or_else(|| invalid(name, format_args!("is `{value}`; expected {expected}")))
    }

    /// Reads the JSON text of an object; `None` is an empty one.
    ///
    /// # Errors
    ///
    /// `Malformed` if it is no object, `InvalidParameter` if a value is an array or object or a name occurs twice,
    /// `LimitExceeded` if there are too many or a name is too long.
    pub(crate) fn from_json(json: Option<&str>, limits: &Limits) -> Result<Self, ProtocolError> {
        let Some(json) = json else {
            return Ok(Self::default());
        };
        if !json.starts_with('{') {
            let message = format!("`parameters` is `{}`; expected an object", Brief(json));
            return Err(ProtocolError::new(ProtocolErrorKind::Malformed, message));
        }
        let document = Document::new(json.as_bytes(), limits)?;
        let members = document.parse(Members { most: limits.parameters })?;
        if members.given > limits.parameters {
            let (given, most) = (members.given, limits.parameters);
            let message = format!("`parameters` has {given} members; at most {most} are allowed");
            return Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
        }
        let mut parameters = Self::default();
        for (name, value) in members.kept {
            parameters.read(name, document.text_of(value), limits)?;
        }
        Ok(parameters)
    }

    /// Adds the parameter that a JSON text stands for; `null` is none.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` if the value is an array or object or the name occurs twice, `LimitExceeded` if it is too long.
    pub(crate) fn read(&mut self, name: String, json: &str, limits: &Limits) -> Result<(), ProtocolError> {
        if name.len() > limits.name_bytes {
            let most = limits.name_bytes;
            let message = format!("parameter `{}` has a name of more than {most} bytes", Brief(&name));
            return Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
        }
        if self.get(&name).is_some() {
            return Err(invalid(&name, format_args!("is given twice")));
        }
        if let Some(value) = value_of(&name, json)? {
            self.insert(name, value);
        }
        Ok(())
    }

    /// Appends `"parameters":{...},` unless there are none.
    pub(crate) fn write_member(&self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        out.extend_from_slice(br#""parameters":{"#);
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            encode::write(out, name);
            out.push(b':');
            match value {
                ParameterValue::Bool(value) => encode::write(out, value),
                ParameterValue::I64(value) => encode::write(out, value),
                ParameterValue::U64(value) => encode::write(out, value),
                ParameterValue::F64(value) => encode::write_f64(out, *value),
                ParameterValue::Text(value) => encode::write(out, value),
            }
        }
        out.extend_from_slice(b"},");
    }
}

fn invalid(name: &str, what: fmt::Arguments<'_>) -> ProtocolError {
    let message = format!("parameter `{}` {what}", Brief(name));
    ProtocolError::new(ProtocolErrorKind::InvalidParameter, message)
}

/// The value that a JSON text stands for; `null` is none.
fn value_of(name: &str, json: &str) -> Result<Option<ParameterValue>, ProtocolError> {
    Ok(Some(match json.as_bytes() {
        b"null" => return Ok(None),
        b"true" => ParameterValue::Bool(true),
        b"false" => ParameterValue::Bool(false),
        b"NaN" => ParameterValue::F64(f64::NAN),
        b"Infinity" => ParameterValue::F64(f64::INFINITY),
        b"-Infinity" => ParameterValue::F64(f64::NEG_INFINITY),
        [b'"', ..] => match serde_json::from_str(json) {
            Ok(text) => ParameterValue::Text(text),
            Err(_) => {
                return Err(invalid(name, format_args!("is `{}`, which is no Unicode text", Brief(json))));
            }
        },
        [b'0'..=b'9' | b'-', ..] => {
            let integer =
                json.parse().map(ParameterValue::I64).or_else(|_| json.parse().map(ParameterValue::U64));
            match integer.or_else(|_| json.parse().map(ParameterValue::F64)) {
                Ok(ParameterValue::F64(value)) if value.is_infinite() => {
                    return Err(invalid(
                        name,
                        format_args!("is `{}`, beyond every 64-bit number", Brief(json)),
                    ));
                }
                Ok(value) => value,
                Err(_) => {
                    return Err(invalid(name, format_args!("is `{}`, which is no number", Brief(json))));
                }
            }
        }
        _ => {
            let json = Brief(json);
            return Err(invalid(name, format_args!("is `{json}`; expected text, a number, true or false")));
        }
    }))
}

/// Reads the members of an object without their values.
pub(crate) struct Members {
    pub(crate) most: usize,
}

pub(crate) struct MembersRead<'d> {
    /// The first ones, as many as are allowed.
    pub(crate) kept: Vec<(String, &'d RawValue)>,
    /// How many there were.
    pub(crate) given: usize,
}

impl<'d> DeserializeSeed<'d> for Members {
    type Value = MembersRead<'d>;

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'d> Visitor<'d> for Members {
    type Value = MembersRead<'d>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut read = MembersRead { kept: Vec::new(), given: 0 };
        while read.given < self.most {
            let Some(member) = map.next_entry()? else {
                return Ok(read);
            };
            read.kept.push(member);
            read.given += 1;
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            read.given += 1;
        }
        Ok(read)
    }
}
