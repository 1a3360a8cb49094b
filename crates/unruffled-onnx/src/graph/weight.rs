//! [`Weight`]: a constant tensor of a model, without its elements.

use rten_onnx::onnx::{DataLocation, DataType, StringStringEntryProto, TensorProto};
use rten_onnx::protobuf::{DecodeMessage, Fields, OwnedValues, ProtobufError, ReadValue};

/// A constant tensor: what it is, and its elements only where they are 64-bit integers, which must be looked at.
#[derive(Debug)]
pub(crate) struct Weight {
    pub(crate) name: String,
    pub(crate) dtype: DataType,
    pub(crate) dims: Vec<i64>,
    /// Whether the elements lie in another file.
    pub(crate) external: bool,
    /// The elements, if they are 64-bit integers that lie in this file.
    pub(crate) integers: Vec<i64>,
}

impl Weight {
    /// The bytes that the elements take.
    pub(crate) fn bytes(&self) -> u64 {
        let dims = self.dims.iter().map(|&dim| dim.max(0) as u64);
        // A malformed file may claim any size.
        let count = dims.fold(1, u64::saturating_mul);
        let bits = match self.dtype {
            DataType::COMPLEX128 => 128,
            DataType::INT64 | DataType::UINT64 | DataType::DOUBLE | DataType::COMPLEX64 => 64,
            DataType::FLOAT | DataType::INT32 | DataType::UINT32 => 32,
            DataType::FLOAT16 | DataType::BFLOAT16 | DataType::INT16 | DataType::UINT16 => 16,
            DataType::UINT4 | DataType::INT4 | DataType::FLOAT4E2M1 => 4,
            _ => 8,
        };
        count.saturating_mul(bits).div_ceil(8)
    }
}

impl From<&TensorProto> for Weight {
    fn from(tensor: &TensorProto) -> Self {
        let dtype = tensor.data_type.unwrap_or(DataType(0));
        let integers = match &tensor.raw_data {
            Some(raw) if dtype == DataType::INT64 => integers(&raw.borrow()),
            _ => tensor.int64_data.clone(),
        };
        Self {
            name: tensor.name.clone().unwrap_or_default(),
            dtype,
            dims: tensor.dims.clone(),
            external: tensor.data_location == Some(DataLocation::EXTERNAL),
            integers,
        }
    }
}

impl DecodeMessage for Weight {
    type Types = OwnedValues;

    /// As of `TensorProto`, whose field numbers these are.
    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut weight = Self {
            name: String::new(),
            dtype: DataType(0),
            dims: Vec::new(),
            external: false,
            integers: Vec::new(),
        };
        while let Some(mut field) = fields.next()? {
            match field.number() {
                1 => {
                    for dim in field.read_repeated_int64()? {
                        weight.dims.push(dim?);
                    }
                }
                2 => weight.dtype = DataType(field.get_enum()?),
                // Elements that are no 64-bit integers are of no use here, but rten will read them: see `wire`.
                4 => field.read_repeated_float()?.try_for_each(|x| x.map(drop))?,
                5 => field.read_repeated_int32()?.try_for_each(|x| x.map(drop))?,
                10 => field.read_repeated_double()?.try_for_each(|x| x.map(drop))?,
                13 => drop(StringStringEntryProto::decode_field(&mut field)?),
                7 => {
                    for integer in field.read_repeated_int64()? {
                        weight.integers.push(integer?);
                    }
                }
                8 => weight.name = field.read_string()?,
                // Fields are written in the order of their numbers, so the type is known by now.
                9 if weight.dtype == DataType::INT64 => weight.integers = integers(&field.read_bytes()?),
                14 => weight.external = DataLocation(field.get_enum()?) == DataLocation::EXTERNAL,
                _ => field.skip()?,
            }
        }
        Ok(weight)
    }
}

fn integers(raw: &[u8]) -> Vec<i64> {
    raw.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect()
}
