//! [`Skeleton`]: a model whose large weights are taken out, so that several sessions can share one copy of them.

use rten_onnx::onnx::DataType;
use rten_onnx::protobuf::{
    DecodeMessage, ErrorKind, Field, FieldValue, Fields, OwnedValues, ProtobufError, ReadValue,
};
use unruffled_model::{DType, ModelError, ModelSource};

use super::types::dtype;
use super::wire;
use crate::source::{guarded, malformed, unreadable};

/// Weights of fewer bytes stay where they are: there are many of them, and they take next to nothing.
const TAKEN_BYTES_MIN: usize = 64 << 10;

/// A model without its large weights, and these beside it.
#[derive(Default)]
pub(crate) struct Skeleton {
    /// The file, byte for byte but for the elements of what was taken out: these are said to lie in another file.
    pub(crate) model: Vec<u8>,
    pub(crate) weights: Vec<TakenWeight>,
}

/// A weight that was taken out.
pub(crate) struct TakenWeight {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) dims: Vec<usize>,
    /// The elements, in little-endian order.
    pub(crate) raw: Vec<u8>,
}

impl Skeleton {
    /// Reads a model and takes its large weights out; there may be none.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, or is not an ONNX model.
    pub(crate) fn read(source: &ModelSource) -> Result<Self, ModelError> {
        guarded(source, || {
            let decoded = wire::decode::<Self>(source).map_err(|error| unreadable(source, error))?;
            decoded.map_err(|error| malformed(source, &error).caused_by(error))
        })
    }
}

impl DecodeMessage for Skeleton {
    type Types = OwnedValues;

    /// As of `ModelProto`, whose field numbers these are.
    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut skeleton = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                7 => {
                    let graph = Graph::decode_field(&mut field)?;
                    put_bytes(&mut skeleton.model, 7, &graph.kept);
                    skeleton.weights.extend(graph.taken);
                }
                _ => copy(&mut field, &mut skeleton.model)?,
            }
        }
        Ok(skeleton)
    }
}

/// `GraphProto`.
#[derive(Default)]
struct Graph {
    kept: Vec<u8>,
    taken: Vec<TakenWeight>,
}

impl DecodeMessage for Graph {
    type Types = OwnedValues;

    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut graph = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                5 => {
                    let (kept, taken) = Initializer::decode_field(&mut field)?.divide();
                    put_bytes(&mut graph.kept, 5, &kept);
                    graph.taken.extend(taken);
                }
                _ => copy(&mut field, &mut graph.kept)?,
            }
        }
        Ok(graph)
    }
}

/// `TensorProto`.
#[derive(Default)]
struct Initializer {
    name: String,
    dtype: Option<DType>,
    dims: Vec<i64>,
    raw: Option<Vec<u8>>,
    external: bool,
    /// All but the elements.
    kept: Vec<u8>,
}

impl DecodeMessage for Initializer {
    type Types = OwnedValues;

    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut tensor = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                1 => {
                    for dim in field.read_repeated_int64()? {
                        let dim = dim?;
                        tensor.dims.push(dim);
                        put_varint(&mut tensor.kept, 1 << 3);
                        put_varint(&mut tensor.kept, dim as u64);
                    }
                }
                2 => {
                    tensor.dtype = dtype(DataType(field.get_enum()?));
                    copy(&mut field, &mut tensor.kept)?;
                }
                8 => {
                    tensor.name = field.read_string()?;
                    put_bytes(&mut tensor.kept, 8, tensor.name.as_bytes());
                }
                9 => tensor.raw = Some(field.read_bytes()?),
                13 | 14 => {
                    tensor.external = true;
                    copy(&mut field, &mut tensor.kept)?;
                }
                _ => copy(&mut field, &mut tensor.kept)?,
            }
        }
        Ok(tensor)
    }
}

impl Initializer {
    /// What stays in the model, and what is taken out of it.
    fn divide(mut self) -> (Vec<u8>, Option<TakenWeight>) {
        let Some(raw) = self.raw.take() else { return (self.kept, None) };
        let (Some((dtype, dims)), false) = (self.whole(raw.len()), self.external) else {
            put_bytes(&mut self.kept, 9, &raw);
            return (self.kept, None);
        };
        for (key, value) in [("location", "shared"), ("offset", "0"), ("length", &raw.len().to_string())] {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, key.as_bytes());
            put_bytes(&mut entry, 2, value.as_bytes());
            put_bytes(&mut self.kept, 13, &entry);
        }
        const EXTERNAL: u64 = 1;
        put_varint(&mut self.kept, 14 << 3);
        put_varint(&mut self.kept, EXTERNAL);
        (self.kept, Some(TakenWeight { name: self.name, dtype, dims, raw }))
    }

    /// Type and shape, if the weight is large, has a name and its elements are as many as they say.
    fn whole(&self, bytes: usize) -> Option<(DType, Vec<usize>)> {
        let dims: Vec<usize> =
            self.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<_>>()?;
        let dtype = self.dtype.filter(|_| bytes >= TAKEN_BYTES_MIN && !self.name.is_empty())?;
        let expected = dims.iter().try_fold(dtype.size()?, |product, &dim| product.checked_mul(dim))?;
        (expected == bytes).then_some((dtype, dims))
    }
}

/// Copies a field as it is.
fn copy<R: ReadValue<Types = OwnedValues>>(
    field: &mut Field<'_, R>,
    out: &mut Vec<u8>,
) -> Result<(), ProtobufError> {
    let number = field.number();
    match field.value() {
        FieldValue::Varint(value) => {
            put_varint(out, number << 3);
            put_varint(out, value);
        }
        FieldValue::I64(value) => {
            put_varint(out, number << 3 | 1);
            out.extend(value.to_le_bytes());
        }
        FieldValue::Len(_) => put_bytes(out, number, &field.read_bytes()?),
        FieldValue::I32(value) => {
            put_varint(out, number << 3 | 5);
            out.extend(value.to_le_bytes());
        }
        // ONNX has no groups.
        FieldValue::Sgroup | FieldValue::Egroup => {
            return Err(ProtobufError::new(ErrorKind::InvalidWireType));
        }
    }
    Ok(())
}

fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::DataType;
    use unruffled_model::{DType, ModelSource};

    use super::Skeleton;
    use crate::graph::OnnxFile;
    use crate::sample::{Sample, symbol};

    fn model(side: i64) -> Sample {
        Sample::new()
            .input("x", DataType::FLOAT, [symbol("batch"), symbol("width")])
            .weight("w", &[side, side])
            .weight("v", &[2, 2])
            .node("MatMul", ["x", "w"], "h")
            .node_with("Flatten", ["h"], "y", [("axis", -1)])
            .output("y", DataType::FLOAT, [symbol("batch"), symbol("width")])
    }

    #[test]
    fn only_large_weights_are_taken() {
        let skeleton = Skeleton::read(&model(128).source()).unwrap();
        let [weight] = &skeleton.weights[..] else { panic!("{} weights", skeleton.weights.len()) };
        assert_eq!(
            (weight.name.as_str(), weight.dtype, weight.dims.as_slice()),
            ("w", DType::F32, &[128, 128][..])
        );
        assert_eq!(weight.raw.len(), 128 * 128 * 4);
        assert_eq!(weight.raw[4..8], 2.0_f32.to_le_bytes());
        assert!(skeleton.model.len() < 1024, "{} bytes are left", skeleton.model.len());
        let file = OnnxFile::read(&ModelSource::Memory(skeleton.model.into())).unwrap();
        let external: Vec<_> = file.weights.iter().map(|w| (w.name.as_str(), w.external)).collect();
        assert_eq!(external, [("w", true), ("v", false)]);
        assert_eq!(file.nodes.len(), 2);
    }

    #[test]
    fn what_is_left_alone_stays_as_it_is() {
        let source = model(4).source();
        let skeleton = Skeleton::read(&source).unwrap();
        assert!(skeleton.weights.is_empty());
        let read = |source| format!("{:?}", OnnxFile::read(source).unwrap());
        assert_eq!(read(&ModelSource::Memory(skeleton.model.into())), read(&source));
    }
}
