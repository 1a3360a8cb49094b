//! Numbers and texts as people write them, and the tensors that they become.

use half::{bf16, f16};
use serde_json::Value;
use unruffled_model::{Bytes, DType, Element, Tensor};

use crate::error::Error;

/// A number of any type, on its way into a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i128),
    Float(f64),
}

/// Elements before their type is settled.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Elements {
    Numbers(Vec<Number>),
    Texts(Vec<String>),
}

impl Elements {
    pub(super) fn len(&self) -> usize {
        match self {
            Elements::Numbers(numbers) => numbers.len(),
            Elements::Texts(texts) => texts.len(),
        }
    }

    pub(super) fn of_floats(floats: impl IntoIterator<Item = f32>) -> Self {
        Elements::Numbers(floats.into_iter().map(|float| Number::Float(f64::from(float))).collect())
    }

    /// Numbers that are separated by commas, blanks or both.
    pub(super) fn from_list(text: &str) -> Result<Self, Error> {
        let words = text.split([',', ' ', '\n', '\t']).filter(|word| !word.is_empty());
        let numbers: Vec<_> = words.map(number).collect::<Result<_, _>>()?;
        if numbers.is_empty() {
            return Err(Error::input("nothing is given; write numbers as 1,2,3 or @FILE"));
        }
        Ok(Elements::Numbers(numbers))
    }

    /// A JSON number, text, or array nested as deep as the shape; the shape comes with it.
    pub(super) fn from_json(value: &Value) -> Result<(Self, Vec<usize>), Error> {
        let mut shape = Vec::new();
        let mut inner = value;
        while let Value::Array(items) = inner {
            shape.push(items.len());
            match items.first() {
                Some(first) => inner = first,
                None => break,
            }
        }
        let mut elements = match inner {
            Value::String(_) => Elements::Texts(Vec::new()),
            _ => Elements::Numbers(Vec::new()),
        };
        elements.push_json(value, &shape)?;
        Ok((elements, shape))
    }

    fn push_json(&mut self, value: &Value, shape: &[usize]) -> Result<(), Error> {
        match (value, shape, self) {
            (Value::Array(items), [size, rest @ ..], elements) => {
                if items.len() != *size {
                    let message = format!(
                        "the array is ragged: a row of {} beside one of {size}; rows must be of equal length",
                        items.len()
                    );
                    return Err(Error::input(message));
                }
                items.iter().try_for_each(|item| elements.push_json(item, rest))
            }
            (Value::Number(given), [], Elements::Numbers(numbers)) => {
                numbers.push(number(&given.to_string())?);
                Ok(())
            }
            (Value::Bool(given), [], Elements::Numbers(numbers)) => {
                numbers.push(Number::Integer((*given).into()));
                Ok(())
            }
            (Value::String(given), [], Elements::Texts(texts)) => {
                texts.push(given.clone());
                Ok(())
            }
            (other, ..) => {
                let message =
                    format!("`{}` does not belong there; write arrays of equal depth", brief(other));
                Err(Error::input(message))
            }
        }
    }

    /// The tensor of these elements.
    pub(super) fn into_tensor(self, dtype: DType, shape: &[usize]) -> Result<Tensor, Error> {
        let numbers = match self {
            Elements::Texts(texts) if dtype == DType::Bytes => {
                let texts: Vec<Bytes> = texts.into_iter().map(Bytes::from).collect();
                return Ok(Tensor::new(shape, texts)?);
            }
            Elements::Texts(_) => {
                return Err(Error::input(format!("texts are given where {dtype} is expected")));
            }
            Elements::Numbers(numbers) => numbers,
        };
        let cast = Cast { numbers: &numbers, dtype, shape };
        match dtype {
            DType::Bool => cast.with(|number| match number.integer()? {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            }),
            DType::U8 => cast.with(|number| u8::try_from(number.integer()?).ok()),
            DType::U16 => cast.with(|number| u16::try_from(number.integer()?).ok()),
            DType::U32 => cast.with(|number| u32::try_from(number.integer()?).ok()),
            DType::U64 => cast.with(|number| u64::try_from(number.integer()?).ok()),
            DType::I8 => cast.with(|number| i8::try_from(number.integer()?).ok()),
            DType::I16 => cast.with(|number| i16::try_from(number.integer()?).ok()),
            DType::I32 => cast.with(|number| i32::try_from(number.integer()?).ok()),
            DType::I64 => cast.with(|number| i64::try_from(number.integer()?).ok()),
            DType::F16 => cast.with(|number| Some(f16::from_f64(number.float()))),
            DType::BF16 => cast.with(|number| Some(bf16::from_f64(number.float()))),
            DType::F32 => cast.with(|number| Some(number.float() as f32)),
            DType::F64 => cast.with(|number| Some(number.float())),
            DType::Bytes => Err(Error::input("numbers are given where texts are expected; write [\"text\"]")),
        }
    }
}

struct Cast<'a> {
    numbers: &'a [Number],
    dtype: DType,
    shape: &'a [usize],
}

impl Cast<'_> {
    fn with<T: Element>(&self, cast: impl Fn(Number) -> Option<T>) -> Result<Tensor, Error> {
        let elements: Result<Vec<T>, Error> = self
            .numbers
            .iter()
            .map(|number| {
                cast(*number).ok_or_else(|| {
                    let given = match number {
                        Number::Integer(integer) => integer.to_string(),
                        Number::Float(float) => float.to_string(),
                    };
                    Error::input(format!("{given} is not a value of type {}", self.dtype))
                })
            })
            .collect();
        Ok(Tensor::new(self.shape, elements?)?)
    }
}

impl Number {
    fn float(self) -> f64 {
        match self {
            Number::Integer(integer) => integer as f64,
            Number::Float(float) => float,
        }
    }

    /// The number as an integer, if it is one.
    fn integer(self) -> Option<i128> {
        match self {
            Number::Integer(integer) => Some(integer),
            Number::Float(float) => (float.fract() == 0.0 && float.abs() < 1e30).then_some(float as i128),
        }
    }
}

fn number(word: &str) -> Result<Number, Error> {
    match word {
        "true" => return Ok(Number::Integer(1)),
        "false" => return Ok(Number::Integer(0)),
        _ => {}
    }
    if let Ok(integer) = word.parse() {
        return Ok(Number::Integer(integer));
    }
    word.parse().map(Number::Float).map_err(|_| {
        let word: String = word.chars().take(40).collect();
        Error::input(format!("`{word}` is not a number; write numbers as 1,2,3, or @FILE for a file"))
    })
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use unruffled_model::DType;

    use super::Elements;

    #[track_caller]
    fn check(text: &str, dtype: DType, expected: Result<&str, &str>) {
        let elements = serde_json::from_str(text).map_or_else(
            |_| Elements::from_list(text).map(|elements| (vec![elements.len()], elements)),
            |value| Elements::from_json(&value).map(|(elements, shape)| (shape, elements)),
        );
        let tensor = elements.and_then(|(shape, elements)| elements.into_tensor(dtype, &shape));
        let shown = tensor.map(|tensor| format!("{tensor:?}")).map_err(|error| error.to_string());
        assert_eq!(shown.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn numbers_become_the_type_that_is_expected() {
        check("1, 2.5,-3e2", DType::F32, Ok("f32 [3] [1.0, 2.5, -300.0]"));
        check("9007199254740993,2.0", DType::I64, Ok("i64 [2] [9007199254740993, 2]"));
        check("[[1,2],[3,4]]", DType::U8, Ok("u8 [2, 2] [1, 2, 3, 4]"));
        check("true,false,1", DType::Bool, Ok("bool [3] [true, false, true]"));
        check("inf,nan", DType::F64, Ok("f64 [2] [inf, NaN]"));
        check("[\"a\"]", DType::Bytes, Ok("bytes [1] [b\"a\"]"));
        check("[]", DType::F32, Ok("f32 [0] []"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        check("1,x", DType::F32, Err("`x` is not a number; write numbers as 1,2,3, or @FILE for a file"));
        check("1.5", DType::I32, Err("1.5 is not a value of type i32"));
        check("300", DType::U8, Err("300 is not a value of type u8"));
        check(
            "[[1,2],[3]]",
            DType::F32,
            Err("the array is ragged: a row of 1 beside one of 2; rows must be of equal length"),
        );
        check("[[1,2],3]", DType::F32, Err("`3` does not belong there; write arrays of equal depth"));
        check("[\"a\"]", DType::F32, Err("texts are given where f32 is expected"));
        check("7", DType::Bytes, Err("numbers are given where texts are expected; write [\"text\"]"));
    }
}
