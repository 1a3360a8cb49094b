//! The elements of any tensor as people and JSON read them.

use serde_json::Value;
use unruffled_model::{Bytes, Data, Element, Tensor};

/// The elements as doubles; `None` for byte strings.
pub(super) fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    macro_rules! cast {
        ($elements:expr) => {
            $elements.iter().map(|element| f64::from(*element)).collect()
        };
    }
    Some(match tensor.data() {
        Data::Bool(elements) => elements.iter().map(|element| f64::from(u8::from(*element))).collect(),
        Data::U8(elements) => cast!(elements),
        Data::U16(elements) => cast!(elements),
        Data::U32(elements) => cast!(elements),
        Data::U64(elements) => elements.iter().map(|element| *element as f64).collect(),
        Data::I8(elements) => cast!(elements),
        Data::I16(elements) => cast!(elements),
        Data::I32(elements) => cast!(elements),
        Data::I64(elements) => elements.iter().map(|element| *element as f64).collect(),
        Data::F16(elements) => cast!(elements),
        Data::BF16(elements) => cast!(elements),
        Data::F32(elements) => cast!(elements),
        Data::F64(elements) => cast!(elements),
        Data::Bytes(_) => return None,
    })
}

/// The elements as text, each as short as it can be without saying something else.
pub(super) fn texts(tensor: &Tensor, count: usize) -> Vec<String> {
    fn shown<T: Element>(elements: &[T], count: usize, show: impl Fn(&T) -> String) -> Vec<String> {
        elements.iter().take(count).map(show).collect()
    }
    match tensor.data() {
        Data::Bool(elements) => shown(elements, count, ToString::to_string),
        Data::U8(elements) => shown(elements, count, ToString::to_string),
        Data::U16(elements) => shown(elements, count, ToString::to_string),
        Data::U32(elements) => shown(elements, count, ToString::to_string),
        Data::U64(elements) => shown(elements, count, ToString::to_string),
        Data::I8(elements) => shown(elements, count, ToString::to_string),
        Data::I16(elements) => shown(elements, count, ToString::to_string),
        Data::I32(elements) => shown(elements, count, ToString::to_string),
        Data::I64(elements) => shown(elements, count, ToString::to_string),
        Data::F16(elements) => shown(elements, count, |element| short(element.to_f64())),
        Data::BF16(elements) => shown(elements, count, |element| short(element.to_f64())),
        Data::F32(elements) => shown(elements, count, |element| short(f64::from(*element))),
        Data::F64(elements) => shown(elements, count, |element| short(*element)),
        Data::Bytes(elements) => shown(elements, count, |element| format!("{:?}", lossy(element))),
    }
}

/// All elements as JSON, floats as the shortest number that reads back; what JSON has no number for is a text.
pub(super) fn json(tensor: &Tensor) -> Value {
    fn all<T: Element>(elements: &[T], value: impl Fn(&T) -> Value) -> Value {
        elements.iter().map(value).collect()
    }
    match tensor.data() {
        Data::Bool(elements) => all(elements, |element| Value::from(*element)),
        Data::U8(elements) => all(elements, |element| Value::from(*element)),
        Data::U16(elements) => all(elements, |element| Value::from(*element)),
        Data::U32(elements) => all(elements, |element| Value::from(*element)),
        Data::U64(elements) => all(elements, |element| Value::from(*element)),
        Data::I8(elements) => all(elements, |element| Value::from(*element)),
        Data::I16(elements) => all(elements, |element| Value::from(*element)),
        Data::I32(elements) => all(elements, |element| Value::from(*element)),
        Data::I64(elements) => all(elements, |element| Value::from(*element)),
        Data::F16(elements) => all(elements, |element| narrow(element.to_f32())),
        Data::BF16(elements) => all(elements, |element| narrow(element.to_f32())),
        Data::F32(elements) => all(elements, |element| narrow(*element)),
        Data::F64(elements) => all(elements, |element| float(*element)),
        Data::Bytes(elements) => all(elements, |element| Value::from(lossy(element))),
    }
}

pub(super) fn float(float: f64) -> Value {
    serde_json::Number::from_f64(float).map_or_else(|| Value::from(float.to_string()), Value::Number)
}

/// A single as the double that prints as short: 0.1 and not 0.10000000149011612.
pub(super) fn narrow(single: f32) -> Value {
    float(single.to_string().parse().unwrap_or(f64::from(single)))
}

/// At most six significant digits.
pub(super) fn short(number: f64) -> String {
    let magnitude = number.abs();
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    if !(1e-4..1e7).contains(&magnitude) {
        return format!("{number:.3e}");
    }
    let decimals = (5 - magnitude.log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{number:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn lossy(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use unruffled_model::Tensor;

    use super::{json, short};

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (0.1_f32.into(), "0.1"),
            (1234.5678, "1234.57"),
            (123456.7, "123457"),
            (0.000_012, "1.200e-5"),
            (f64::NAN, "NaN"),
        ];
        for (number, expected) in cases {
            assert_eq!(short(number), expected);
        }
    }

    #[test]
    fn json_keeps_every_value() {
        let tensor = Tensor::new(&[4], vec![0.1_f32, f32::NAN, f32::INFINITY, 1.0]).unwrap();
        assert_eq!(json(&tensor).to_string(), r#"[0.1,"NaN","inf",1.0]"#);
    }
}
