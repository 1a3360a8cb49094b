//! Turns the unread members of a message into names and tensors.

use std::str::FromStr;

use half::{bf16, f16};
use unruffled_model::{Bytes, DType, Element, Name, Tensor, element_count};

use crate::brief::Brief;
use crate::datatype;
use crate::elements::{self, Layout, Refusal};
use crate::envelope::{Item, Items};
use crate::error::{Place, ProtocolError, ProtocolErrorKind};
use crate::limits::Limits;
use crate::raw;

/// What `null` is among floating-point elements.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Null {
    /// A mistake.
    Refused,
    /// NaN: what servers send whose JSON library has no word for it.
    Nan,
}

/// The items of a message, if there are not too many; `what` names them.
pub(crate) fn at_most<'d>(items: Items<'d>, most: usize, what: &str) -> Result<Vec<Item<'d>>, ProtocolError> {
    if items.given > most {
        let message = format!("`{what}` has {} items; at most {most} are allowed", items.given);
        return Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
    }
    Ok(items.kept)
}

/// The text of a member, if it is given; `member` names it.
pub(crate) fn text(
    json: Option<&str>,
    member: &str,
    limits: &Limits,
) -> Result<Option<String>, ProtocolError> {
    let Some(json) = json else { return Ok(None) };
    let text: String = serde_json::from_str(json).map_err(|_| {
        let message = format!("`{member}` is `{}`; expected text", Brief(json));
        ProtocolError::new(ProtocolErrorKind::Malformed, message)
    })?;
    if text.len() > limits.name_bytes {
        let (given, most) = (text.len(), limits.name_bytes);
        let message = format!("`{member}` has {given} bytes; at most {most} are allowed");
        return Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
    }
    Ok(Some(text))
}

/// A member that must be there.
pub(crate) fn required<T>(value: Option<T>, member: &str) -> Result<T, ProtocolError> {
    value.ok_or_else(|| ProtocolError::new(ProtocolErrorKind::Malformed, format!("`{member}` is missing")))
}

/// The name of an item; `unnamed` is the place to report while there is none.
pub(crate) fn name(item: &Item<'_>, limits: &Limits, unnamed: Place) -> Result<Name, ProtocolError> {
    text(item.name, "name", limits)
        .and_then(|name| required(name, "name"))
        .map(Name::from)
        .map_err(|error| error.at(unnamed))
}

/// The element type and the shape of the tensor that an item describes.
fn head(item: &Item<'_>, limits: &Limits) -> Result<(DType, Vec<usize>), ProtocolError> {
    let datatype = required(text(item.datatype, "datatype", limits)?, "datatype")?;
    Ok((datatype::parse(&datatype)?, shape(required(item.shape, "shape")?, limits)?))
}

/// The tensor that an item describes, its data elsewhere: `what` says where.
pub(crate) fn raw_tensor(
    item: &Item<'_>,
    limits: &Limits,
    data: &Bytes,
    what: &str,
) -> Result<Tensor, ProtocolError> {
    if item.data.is_some() {
        return Err(invalid(format!("has `data` and {what}; leave one of them out")));
    }
    let (dtype, shape) = head(item, limits)?;
    raw::read(dtype, &shape, data)
}

/// The tensor that an item describes, its data in JSON.
pub(crate) fn tensor(item: &Item<'_>, limits: &Limits, null: Null) -> Result<Tensor, ProtocolError> {
    let (dtype, shape) = head(item, limits)?;
    tensor_of(dtype, &shape, required(item.data, "data")?, null)
}

/// The tensor of this type and shape whose elements are in `json`, flat or nested.
pub(crate) fn tensor_of(
    dtype: DType,
    shape: &[usize],
    json: &str,
    null: Null,
) -> Result<Tensor, ProtocolError> {
    let count = element_count(shape).map_err(|error| invalid(error.to_string()))?;
    let data = Data { json, shape, count };
    match dtype {
        DType::Bool => data.read(5, boolean),
        DType::U8 => data.read(2, integer::<u8>),
        DType::U16 => data.read(2, integer::<u16>),
        DType::U32 => data.read(2, integer::<u32>),
        DType::U64 => data.read(2, integer::<u64>),
        DType::I8 => data.read(2, integer::<i8>),
        DType::I16 => data.read(2, integer::<i16>),
        DType::I32 => data.read(2, integer::<i32>),
        DType::I64 => data.read(2, integer::<i64>),
        DType::F16 => data.read(2, |token| float::<f16>(token, null)),
        DType::BF16 => data.read(2, |token| float::<bf16>(token, null)),
        DType::F32 => data.read(2, |token| float::<f32>(token, null)),
        DType::F64 => data.read(2, |token| float::<f64>(token, null)),
        DType::Bytes => data.read_texts(),
    }
}

fn invalid(message: String) -> ProtocolError {
    ProtocolError::new(ProtocolErrorKind::InvalidTensor, message)
}

fn shape(json: &str, limits: &Limits) -> Result<Vec<usize>, ProtocolError> {
    let flat = json.strip_prefix('[').filter(|items| !items.contains(['[', '{', '"']));
    let Some(items) = flat else {
        let message = format!("`shape` is `{}`; expected an array of non-negative integers", Brief(json));
        return Err(ProtocolError::new(ProtocolErrorKind::Malformed, message));
    };
    let rank = if items.trim_start().starts_with(']') { 0 } else { items.split(',').count() };
    let most = limits.rank;
    if rank > most {
        let message = format!("`shape` has {rank} dimensions; at most {most} are allowed");
        return Err(ProtocolError::new(ProtocolErrorKind::LimitExceeded, message));
    }
    let layout = Layout { shape: &[rank], count: rank, width_min: 2 };
    let dimension =
        |token: &str| token.parse().map_err(|_| "a dimension is a non-negative integer of 64 bits".into());
    elements::read(json, layout, dimension).map_err(|message| invalid(format!("`shape`: {message}")))
}

/// The elements of one tensor, unread.
struct Data<'a> {
    json: &'a str,
    shape: &'a [usize],
    count: usize,
}

impl Data<'_> {
    /// Reads elements each of which takes at least `width_min` bytes of text, the comma included.
    fn read<T: Element>(
        &self,
        width_min: usize,
        element: impl FnMut(&str) -> Result<T, Refusal>,
    ) -> Result<Tensor, ProtocolError> {
        let elements = elements::read(self.json, self.layout(width_min), element).map_err(invalid)?;
        self.tensor(elements)
    }

    /// Reads texts into one allocation that all elements share, so that a short one costs no allocation of its own.
    fn read_texts(&self) -> Result<Tensor, ProtocolError> {
        let mut bytes = Vec::new();
        let ends = elements::read(self.json, self.layout(3), |token| {
            append_text(token, &mut bytes)?;
            Ok(bytes.len())
        });
        let (ends, bytes) = (ends.map_err(invalid)?, Bytes::from(bytes));
        let mut start = 0;
        let elements: Vec<_> =
            ends.into_iter().map(|end| bytes.slice(std::mem::replace(&mut start, end)..end)).collect();
        self.tensor(elements)
    }

    fn layout(&self, width_min: usize) -> Layout<'_> {
        Layout { shape: self.shape, count: self.count, width_min }
    }

    fn tensor<T: Element>(&self, elements: Vec<T>) -> Result<Tensor, ProtocolError> {
        Tensor::new(self.shape, elements).map_err(|error| invalid(error.to_string()))
    }
}

fn boolean(token: &str) -> Result<bool, Refusal> {
    match token {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("BOOL takes true or false".into()),
    }
}

fn append_text(token: &str, bytes: &mut Vec<u8>) -> Result<(), Refusal> {
    let text = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or("BYTES takes text")?;
    if text.contains('\\') {
        let text: String = serde_json::from_str(token).map_err(|_| "its escapes are no Unicode text")?;
        bytes.extend_from_slice(text.as_bytes());
    } else {
        bytes.extend_from_slice(text.as_bytes());
    }
    Ok(())
}

/// An integer type, and what is told of it.
pub(crate) trait Integer: FromStr + Default {
    const TAKES: &str;
    const HOLDS: &str;
}

macro_rules! integers {
    ($($type:ty: $name:literal, $range:literal;)*) => {$(
        impl Integer for $type {
            const TAKES: &str = concat!($name, " takes whole numbers");
            const HOLDS: &str = concat!($name, " holds ", $range);
        }
    )*};
}

integers! {
    u8: "UINT8", "0 to 255";
    u16: "UINT16", "0 to 65535";
    u32: "UINT32", "0 to 4294967295";
    u64: "UINT64", "0 to 18446744073709551615";
    i8: "INT8", "-128 to 127";
    i16: "INT16", "-32768 to 32767";
    i32: "INT32", "-2147483648 to 2147483647";
    i64: "INT64", "-9223372036854775808 to 9223372036854775807";
}

fn integer<T: Integer>(token: &str) -> Result<T, Refusal> {
    token.parse().or_else(|_| {
        let digits = token.strip_prefix('-').unwrap_or(token);
        if digits == "0" {
            // -0, which unsigned types do not parse.
            Ok(T::default())
        } else if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Err(T::HOLDS.into())
        } else {
            Err(T::TAKES.into())
        }
    })
}

trait Float: Sized {
    const TAKES: &str;
    const HOLDS: &str;
    const NAN: Self;
    fn parse(token: &str) -> Option<Self>;
    fn is_infinite(&self) -> bool;
}

macro_rules! floats {
    ($($type:ident: $name:literal, $greatest:literal, $parse:expr;)*) => {$(
        impl Float for $type {
            const TAKES: &str = concat!($name, " takes numbers");
            const HOLDS: &str = concat!($name, " holds up to ", $greatest);
            const NAN: Self = $type::NAN;

            fn parse(token: &str) -> Option<Self> {
                $parse(token)
            }

            fn is_infinite(&self) -> bool {
                <$type>::is_infinite(*self)
            }
        }
    )*};
}

floats! {
    f16: "FP16", "65504", |token: &str| token.parse().ok().map(f16::from_f64);
    bf16: "BF16", "3.39e38", |token: &str| token.parse().ok().map(bf16::from_f64);
    f32: "FP32", "3.4028235e38", |token: &str| token.parse().ok();
    f64: "FP64", "1.7976931348623157e308", |token: &str| token.parse().ok();
}

fn float<T: Float>(token: &str, null: Null) -> Result<T, Refusal> {
    match token.as_bytes() {
        [b'0'..=b'9', ..] | [b'-', b'0'..=b'9', ..] => match T::parse(token) {
            Some(value) if value.is_infinite() => Err(T::HOLDS.into()),
            Some(value) => Ok(value),
            None => Err(T::TAKES.into()),
        },
        b"NaN" => Ok(T::NAN),
        b"null" if null == Null::Nan => Ok(T::NAN),
        b"Infinity" | b"-Infinity" => T::parse(token).ok_or(T::TAKES.into()),
        _ => Err(T::TAKES.into()),
    }
}
