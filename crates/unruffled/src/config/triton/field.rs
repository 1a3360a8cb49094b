//! Fields as what they are to be: texts, numbers, words and messages.

use unruffled_model::{DType, Dim};

use super::text::{Fault, Field, Message, Value};
use crate::config::typed::Note;

/// A value, and the line where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

impl Field {
    /// Keeps what the field says, which is said once.
    pub(super) fn put<T>(&self, place: &mut Option<Said<T>>, value: T) -> Result<(), Fault> {
        match place {
            Some(first) => Err(self.fault(format!("is in line {} already; say it once", first.line))),
            None => {
                *place = Some(Said { value, line: self.line });
                Ok(())
            }
        }
    }

    pub(super) fn message(&self) -> Result<&Message, Fault> {
        match &self.value {
            Value::Message(fields) => Ok(fields),
            _ => Err(self.fault("is not a message; write `{ ... }`")),
        }
    }

    pub(super) fn text(&self) -> Result<&str, Fault> {
        match &self.value {
            Value::Text(text) => Ok(text),
            _ => Err(self.fault("is not a text; write it in quotation marks")),
        }
    }

    pub(super) fn word(&self) -> Result<&str, Fault> {
        match &self.value {
            Value::Word(word) => Ok(word),
            _ => Err(self.fault("is not the name of a value, such as TYPE_FP32")),
        }
    }

    pub(super) fn truth(&self) -> Result<bool, Fault> {
        match &self.value {
            Value::Word(word) if matches!(&**word, "true" | "True" | "t") => Ok(true),
            Value::Word(word) if matches!(&**word, "false" | "False" | "f") => Ok(false),
            Value::Number(number) if number == "1" => Ok(true),
            Value::Number(number) if number == "0" => Ok(false),
            _ => Err(self.fault("is neither true nor false")),
        }
    }

    /// A whole number of at least `least`.
    pub(super) fn whole(&self, least: i64) -> Result<i64, Fault> {
        let Value::Number(written) = &self.value else {
            return Err(self.fault("is not a number"));
        };
        let digits = written.strip_prefix('-').unwrap_or(written);
        let is_plain = digits.bytes().all(|digit| digit.is_ascii_alphanumeric());
        let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(digits) => i64::from_str_radix(digits, 16),
            None if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(digits, 8),
            None => digits.parse(),
        };
        let number = number.ok().filter(|_| is_plain);
        match number.map(|number| if written.starts_with('-') { -number } else { number }) {
            Some(number) if number >= least => Ok(number),
            Some(number) => Err(self.fault(format!("is {number}; it must be {least} or more"))),
            None => Err(self.fault(format!("`{written}` is not a whole number that can be used here"))),
        }
    }

    /// A whole number that is not negative.
    pub(super) fn count(&self) -> Result<usize, Fault> {
        let number = self.whole(0)?;
        usize::try_from(number).map_err(|_| self.fault(format!("is {number}, which is too large")))
    }

    pub(super) fn number(&self) -> Result<f64, Fault> {
        let Value::Number(written) = &self.value else {
            return Err(self.fault("is not a number"));
        };
        let digits = written.strip_suffix(['f', 'F']).unwrap_or(written);
        digits.parse().map_err(|_| self.fault(format!("`{written}` is not a number")))
    }

    pub(super) fn unknown(&self) -> Fault {
        self.fault("is no field that is known here; correct it, or take it out")
    }

    /// An entry of a map: the key and the value.
    pub(super) fn entry(&self) -> Result<(&str, Option<&Field>), Fault> {
        let (mut key, mut value) = ("", None);
        for field in self.message()? {
            match &*field.name {
                "key" => key = field.text()?,
                "value" => value = Some(field),
                _ => return Err(field.unknown()),
            }
        }
        Ok((key, value))
    }
}

/// That a field has no effect here, and why.
pub(super) fn note(field: &Field, why: &str) -> Note {
    Note { line: field.line, key: field.key(), why: why.into() }
}

/// An element type by Triton's name.
pub(super) fn dtype(field: &Field) -> Result<DType, Fault> {
    let word = field.word()?;
    Ok(match word {
        "TYPE_BOOL" => DType::Bool,
        "TYPE_UINT8" => DType::U8,
        "TYPE_UINT16" => DType::U16,
        "TYPE_UINT32" => DType::U32,
        "TYPE_UINT64" => DType::U64,
        "TYPE_INT8" => DType::I8,
        "TYPE_INT16" => DType::I16,
        "TYPE_INT32" => DType::I32,
        "TYPE_INT64" => DType::I64,
        "TYPE_FP16" => DType::F16,
        "TYPE_BF16" => DType::BF16,
        "TYPE_FP32" => DType::F32,
        "TYPE_FP64" => DType::F64,
        "TYPE_STRING" => DType::Bytes,
        _ => {
            return Err(
                field.fault(format!("unknown type {word}; expected one such as TYPE_FP32, or TYPE_STRING"))
            );
        }
    })
}

/// A size; -1 is any.
pub(super) fn dim(field: &Field) -> Result<Dim, Fault> {
    match field.whole(-1)? {
        -1 => Ok(Dim::Any),
        0 => Err(field.fault("is 0; a dimension has a size, or -1 for any")),
        size => {
            let size = usize::try_from(size);
            size.map(Dim::Fixed).map_err(|_| field.fault("is too large for a size"))
        }
    }
}
