//! The standard's messages for values, as their bytes say, before they mean anything.

use rten_onnx::onnx::DataType;
use rten_onnx::protobuf::{DecodeMessage, Fields, OwnedValues, ProtobufError, ReadValue};

/// `TensorProto`, whose field numbers these are.
#[derive(Default)]
pub(super) struct Tensor {
    pub(super) dims: Vec<i64>,
    pub(super) dtype: i32,
    pub(super) floats: Vec<f32>,
    /// Also everything of at most 16 bits, and truth values.
    pub(super) int32s: Vec<i32>,
    pub(super) strings: Vec<Vec<u8>>,
    pub(super) int64s: Vec<i64>,
    pub(super) doubles: Vec<f64>,
    /// Also unsigned 32-bit integers.
    pub(super) uint64s: Vec<u64>,
    /// Little-endian elements in place of all the above.
    pub(super) raw: Option<Vec<u8>>,
}

impl DecodeMessage for Tensor {
    type Types = OwnedValues;

    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        fn extend<T>(
            all: &mut Vec<T>,
            more: impl Iterator<Item = Result<T, ProtobufError>>,
        ) -> Result<(), ProtobufError> {
            more.into_iter().try_for_each(|one| {
                all.push(one?);
                Ok(())
            })
        }
        let mut tensor = Self { dtype: DataType(0).0, ..Self::default() };
        while let Some(mut field) = fields.next()? {
            match field.number() {
                1 => extend(&mut tensor.dims, field.read_repeated_int64()?)?,
                2 => tensor.dtype = field.get_enum()?,
                4 => extend(&mut tensor.floats, field.read_repeated_float()?)?,
                5 => extend(&mut tensor.int32s, field.read_repeated_int32()?)?,
                6 => tensor.strings.push(field.read_bytes()?),
                7 => extend(&mut tensor.int64s, field.read_repeated_int64()?)?,
                9 => tensor.raw = Some(field.read_bytes()?),
                10 => extend(&mut tensor.doubles, field.read_repeated_double()?)?,
                11 => extend(&mut tensor.uint64s, field.read_repeated_uint64()?)?,
                _ => field.skip()?,
            }
        }
        Ok(tensor)
    }
}

/// `SequenceProto`, whose field numbers these are. Only sequences of tensors occur.
#[derive(Default)]
pub(super) struct Sequence {
    pub(super) tensors: Vec<Tensor>,
    /// Whether it holds something else.
    pub(super) has_others: bool,
}

impl DecodeMessage for Sequence {
    type Types = OwnedValues;

    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut sequence = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                3 => sequence.tensors.push(Tensor::decode_field(&mut field)?),
                number => {
                    sequence.has_others |= number > 3;
                    field.skip()?;
                }
            }
        }
        Ok(sequence)
    }
}

/// `OptionalProto`, whose field numbers these are. Only tensors and sequences of them occur.
#[derive(Default)]
pub(super) struct Optional {
    pub(super) tensor: Option<Tensor>,
    pub(super) sequence: Option<Sequence>,
}

impl DecodeMessage for Optional {
    type Types = OwnedValues;

    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut optional = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                3 => optional.tensor = Some(Tensor::decode_field(&mut field)?),
                5 => optional.sequence = Some(Sequence::decode_field(&mut field)?),
                _ => field.skip()?,
            }
        }
        Ok(optional)
    }
}
