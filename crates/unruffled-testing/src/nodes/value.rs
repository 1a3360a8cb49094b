//! [`Value`]: one input or output of a test, in our words.

use half::{bf16, f16};
use rten_onnx::onnx::DataType;
use rten_onnx::protobuf::{DecodeMessage, ProtobufError, ValueReader};
use unruffled_model::{Bytes, Element, ModelError, Tensor};

use super::proto;

/// One input or output.
#[derive(Debug)]
pub(super) enum Value {
    Tensor(Tensor),
    Sequence(Vec<Tensor>),
    /// An optional value that is not there.
    Nothing,
    /// Something that our tensors cannot hold, in words.
    Other(String),
}

impl Value {
    /// Reads the message of this kind.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the bytes are no such message.
    pub(super) fn read(kind: &str, bytes: &[u8]) -> Result<Self, ModelError> {
        let value = match kind {
            "tensor" => tensor(&decode(bytes)?)?,
            "sequence" => sequence(&decode(bytes)?)?,
            "optional" => optional(&decode(bytes)?)?,
            other => Value::Other(format!("a {other}")),
        };
        Ok(value)
    }

    /// The value as a backend takes and gives it: a sequence of tensors of one shape is stacked on a new first dimension.
    ///
    /// # Errors
    ///
    /// What it is instead.
    pub(super) fn into_tensor(self) -> Result<Tensor, String> {
        match self {
            Value::Tensor(tensor) => Ok(tensor),
            Value::Sequence(tensors) => stacked(&tensors),
            Value::Nothing => Err("an optional value that is not there".into()),
            Value::Other(what) => Err(what),
        }
    }
}

fn decode<M: DecodeMessage<Types = rten_onnx::protobuf::OwnedValues>>(bytes: &[u8]) -> Result<M, ModelError> {
    M::decode(ValueReader::from_buf(bytes))
        .map_err(|error: ProtobufError| ModelError::invalid_input(error.to_string()).caused_by(error))
}

fn stacked(tensors: &[Tensor]) -> Result<Tensor, String> {
    let Some(first) = tensors.first() else {
        return Err("a sequence of nothing".into());
    };
    if tensors.iter().any(|tensor| (tensor.shape(), tensor.dtype()) != (first.shape(), first.dtype())) {
        return Err("a sequence of different shapes".into());
    }
    let one = [&[1], first.shape()].concat();
    let rows: Result<Vec<_>, _> = tensors.iter().map(|tensor| tensor.reshaped(&one)).collect();
    rows.and_then(|rows| Tensor::concat(rows.iter())).map_err(|error| error.to_string())
}

fn optional(optional: &proto::Optional) -> Result<Value, ModelError> {
    match (&optional.tensor, &optional.sequence) {
        (Some(one), _) => tensor(one),
        (None, Some(many)) => sequence(many),
        (None, None) => Ok(Value::Nothing),
    }
}

fn sequence(sequence: &proto::Sequence) -> Result<Value, ModelError> {
    if sequence.has_others {
        return Ok(Value::Other("a sequence of other things than tensors".into()));
    }
    let mut tensors = Vec::new();
    for one in &sequence.tensors {
        match tensor(one)? {
            Value::Tensor(tensor) => tensors.push(tensor),
            other => return Ok(other),
        }
    }
    Ok(Value::Sequence(tensors))
}

fn tensor(proto: &proto::Tensor) -> Result<Value, ModelError> {
    let dims = proto.dims.iter().map(|&dim| usize::try_from(dim));
    let shape: Vec<usize> =
        dims.collect::<Result<_, _>>().map_err(|_| ModelError::invalid_input("a negative dimension"))?;
    let int32s = &proto.int32s;
    let tensor = match DataType(proto.dtype) {
        DataType::BOOL => elements(proto, &shape, |[byte]| byte != 0, int32s, |x| x != 0),
        DataType::UINT8 => elements(proto, &shape, u8::from_le_bytes, int32s, |x| x as u8),
        DataType::UINT16 => elements(proto, &shape, u16::from_le_bytes, int32s, |x| x as u16),
        DataType::UINT32 => elements(proto, &shape, u32::from_le_bytes, &proto.uint64s, |x| x as u32),
        DataType::UINT64 => elements(proto, &shape, u64::from_le_bytes, &proto.uint64s, |x| x),
        DataType::INT8 => elements(proto, &shape, i8::from_le_bytes, int32s, |x| x as i8),
        DataType::INT16 => elements(proto, &shape, i16::from_le_bytes, int32s, |x| x as i16),
        DataType::INT32 => elements(proto, &shape, i32::from_le_bytes, int32s, |x| x),
        DataType::INT64 => elements(proto, &shape, i64::from_le_bytes, &proto.int64s, |x| x),
        DataType::FLOAT16 => {
            elements(proto, &shape, f16::from_le_bytes, int32s, |x| f16::from_bits(x as u16))
        }
        DataType::BFLOAT16 => {
            elements(proto, &shape, bf16::from_le_bytes, int32s, |x| bf16::from_bits(x as u16))
        }
        DataType::FLOAT => elements(proto, &shape, f32::from_le_bytes, &proto.floats, |x| x),
        DataType::DOUBLE => elements(proto, &shape, f64::from_le_bytes, &proto.doubles, |x| x),
        DataType::STRING => {
            let strings = proto.strings.iter().map(|bytes| Bytes::copy_from_slice(bytes));
            Tensor::new(&shape, strings.collect::<Vec<_>>())
        }
        other => return Ok(Value::Other(format!("a tensor of {other}"))),
    };
    Ok(Value::Tensor(tensor?))
}

/// The elements, of whichever of two forms there are.
fn elements<T: Element, P: Copy, const N: usize>(
    proto: &proto::Tensor,
    shape: &[usize],
    from_le_bytes: impl Fn([u8; N]) -> T,
    packed: &[P],
    from_packed: impl Fn(P) -> T,
) -> Result<Tensor, ModelError> {
    let elements: Vec<T> = match &proto.raw {
        Some(raw) => raw.as_chunks().0.iter().map(|&bytes| from_le_bytes(bytes)).collect(),
        None => packed.iter().map(|&element| from_packed(element)).collect(),
    };
    Tensor::new(shape, elements)
}

#[cfg(test)]
mod tests {
    use half::f16;
    use unruffled_model::{Bytes, Element, Tensor};

    use super::Value;

    #[track_caller]
    fn check<T: Element>(kind: &str, bytes: &[u8], shape: &[usize], elements: &[T]) {
        let tensor = Value::read(kind, bytes).unwrap().into_tensor().unwrap();
        assert_eq!(tensor, Tensor::new(shape, elements.to_vec()).unwrap());
    }

    #[test]
    fn both_forms_of_elements_are_read() {
        // dims 2, type, then the elements: raw, packed, or one by one.
        check("tensor", b"\x08\x02\x10\x02\x4a\x02\x07\x09", &[2], &[7_u8, 9]);
        check("tensor", b"\x08\x02\x10\x02\x2a\x02\x07\x09", &[2], &[7_u8, 9]);
        check("tensor", b"\x08\x02\x10\x09\x28\x01\x28\x00", &[2], &[true, false]);
        check("tensor", b"\x08\x01\x10\x0a\x28\x80\x78", &[1], &[f16::from_f32(1.0)]);
        check("tensor", b"\x08\x01\x10\x0a\x4a\x02\x00\x3c", &[1], &[f16::from_f32(1.0)]);
        check("tensor", b"\x08\x02\x10\x0d\x5a\x02\x07\x09", &[2], &[7_u64, 9]);
        check("tensor", b"\x10\x0c\x58\x07", &[], &[7_u32]);
        check("tensor", b"\x08\x01\x10\x08\x32\x02hi", &[1], &[Bytes::from_static(b"hi")]);
        check::<f32>("tensor", b"\x08\x00\x10\x01", &[0], &[]);
    }

    #[test]
    fn sequences_of_one_shape_are_stacked() {
        let one = b"\x1a\x08\x08\x02\x10\x02\x4a\x02\x07\x09";
        check("sequence", &[*one, *one].concat(), &[2, 2], &[7_u8, 9, 7, 9]);
        check("optional", one, &[2], &[7_u8, 9]);
        let other = b"\x1a\x07\x08\x01\x10\x02\x4a\x01\x07";
        let mixed = Value::read("sequence", &[&one[..], other].concat()).unwrap();
        assert_eq!(mixed.into_tensor().unwrap_err(), "a sequence of different shapes");
    }

    #[test]
    fn what_tensors_do_not_hold_is_named() {
        let other = |kind, bytes| Value::read(kind, bytes).unwrap().into_tensor().unwrap_err();
        assert_eq!(other("tensor", b"\x08\x01\x10\x16\x4a\x01\x07"), "a tensor of INT4");
        assert_eq!(other("map", b""), "a map");
        assert_eq!(other("optional", b""), "an optional value that is not there");
        assert_eq!(other("sequence", b""), "a sequence of nothing");
        assert!(Value::read("tensor", b"\x08\x02\x10\x02\x4a\x01\x07").is_err(), "an element is missing");
    }
}
