//! [`WholeGraph`]: a model with the elements of its constants, for backends that compute from them.

use rten_onnx::onnx::{DataLocation, DataType, ValueInfoProto};
use rten_onnx::protobuf::{DecodeMessage, Field, Fields, OwnedValues, ProtobufError, ReadValue};
use unruffled_model::{Bytes, ModelError, ModelSource, Tensor, element_count};

use super::wire;
use crate::source::{guarded, malformed, unreadable};

/// A graph as of `GraphProto`, its operator sets included.
#[derive(Debug, Default)]
pub(crate) struct WholeGraph {
    /// Domain (empty for the standard one) and version.
    pub(crate) opsets: Vec<(String, i64)>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) constants: Vec<Constant>,
    pub(crate) inputs: Vec<ValueInfoProto>,
    pub(crate) outputs: Vec<ValueInfoProto>,
}

/// One operator at work, as of `NodeProto`.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) domain: String,
    pub(crate) operator: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) attributes: Vec<Attribute>,
}

/// One setting of a node, as of `AttributeProto`.
#[derive(Debug, Default)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) float: Option<f32>,
    pub(crate) integer: Option<i64>,
    pub(crate) string: Option<Bytes>,
    pub(crate) tensor: Option<Constant>,
    pub(crate) floats: Vec<f32>,
    pub(crate) integers: Vec<i64>,
    pub(crate) strings: Vec<Bytes>,
    /// Whether it holds a graph or something else that is not read here.
    pub(crate) other: bool,
}

/// A constant tensor, as of `TensorProto`.
#[derive(Debug, Default)]
pub(crate) struct Constant {
    pub(crate) name: String,
    dtype: i32,
    dims: Vec<i64>,
    floats: Vec<f32>,
    doubles: Vec<f64>,
    small: Vec<i32>,
    integers: Vec<i64>,
    strings: Vec<Bytes>,
    raw: Option<Vec<u8>>,
    external: bool,
}

impl WholeGraph {
    /// Reads a model with all its constants into memory.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, is cut off, or is not an ONNX model.
    pub(crate) fn read(source: &ModelSource) -> Result<Self, ModelError> {
        guarded(source, || {
            let decoded = wire::decode::<Model>(source).map_err(|error| unreadable(source, error))?;
            let model = decoded.map_err(|error| malformed(source, &error).caused_by(error))?;
            let mut graph = model.graph.ok_or_else(|| malformed(source, "it holds no graph"))?;
            graph.opsets = model.opsets;
            let constants = &graph.constants;
            let filled =
                |input: &ValueInfoProto| constants.iter().any(|c| Some(&c.name) == input.name.as_ref());
            graph.inputs.retain(|input| !filled(input));
            Ok(graph)
        })
    }

    /// The version of an operator set; the standard one counts as the first if the file does not name it.
    pub(crate) fn opset(&self, domain: &str) -> i64 {
        let versions = self.opsets.iter().filter(|(known, _)| known == domain).map(|(_, version)| *version);
        versions.max().unwrap_or(1)
    }
}

impl Constant {
    /// The constant as a tensor.
    ///
    /// # Errors
    ///
    /// Why it is none: the words go on after "the constant".
    pub(crate) fn tensor(&self) -> Result<Tensor, String> {
        if self.external {
            return Err("lies in another file".into());
        }
        let dims = self.dims.iter().map(|&dim| usize::try_from(dim));
        let shape: Vec<usize> = dims.collect::<Result<_, _>>().map_err(|_| "has a negative size")?;
        let count = element_count(&shape).map_err(|error| error.to_string())?;
        fn chunks<const N: usize, T>(raw: &[u8], make: impl Fn([u8; N]) -> T) -> Vec<T> {
            raw.as_chunks::<N>().0.iter().map(|&bytes| make(bytes)).collect()
        }
        let raw = self.raw.as_deref();
        let made = match DataType(self.dtype) {
            DataType::FLOAT => {
                let floats = raw.map_or_else(|| self.floats.clone(), |raw| chunks(raw, f32::from_le_bytes));
                Tensor::new(&shape, floats)
            }
            DataType::DOUBLE => {
                let floats = raw.map_or_else(|| self.doubles.clone(), |raw| chunks(raw, f64::from_le_bytes));
                Tensor::new(&shape, floats)
            }
            DataType::INT64 => {
                let whole = raw.map_or_else(|| self.integers.clone(), |raw| chunks(raw, i64::from_le_bytes));
                Tensor::new(&shape, whole)
            }
            DataType::INT32 => {
                let whole = raw.map_or_else(|| self.small.clone(), |raw| chunks(raw, i32::from_le_bytes));
                Tensor::new(&shape, whole)
            }
            DataType::UINT8 => {
                let small = || self.small.iter().map(|&x| x as u8).collect();
                Tensor::new(&shape, raw.map_or_else(small, <[u8]>::to_vec))
            }
            DataType::BOOL => {
                let small = || self.small.iter().map(|&x| x != 0).collect::<Vec<_>>();
                Tensor::new(&shape, raw.map_or_else(small, |raw| raw.iter().map(|&x| x != 0).collect()))
            }
            DataType::STRING => Tensor::new(&shape, self.strings.clone()),
            other => return Err(format!("is of type {other}, which is not computed with here")),
        };
        made.map_err(|_| format!("does not hold the {count} elements that it claims"))
    }
}

/// `ModelProto`, whose field numbers these are.
#[derive(Default)]
struct Model {
    graph: Option<WholeGraph>,
    opsets: Vec<(String, i64)>,
}

impl DecodeMessage for Model {
    type Types = OwnedValues;

    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut model = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                7 => model.graph = Some(WholeGraph::decode_field(&mut field)?),
                8 => {
                    let opset = rten_onnx::onnx::OperatorSetIdProto::decode_field(&mut field)?;
                    model.opsets.push((
                        match opset.domain.unwrap_or_default() {
                            domain if domain == "ai.onnx" => String::new(),
                            domain => domain,
                        },
                        opset.version.unwrap_or_default(),
                    ));
                }
                _ => field.skip()?,
            }
        }
        Ok(model)
    }
}

impl DecodeMessage for WholeGraph {
    type Types = OwnedValues;

    /// As of `GraphProto`, whose field numbers these are.
    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut graph = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                1 => graph.nodes.push(Node::decode_field(&mut field)?),
                5 => graph.constants.push(Constant::decode_field(&mut field)?),
                11 => graph.inputs.push(ValueInfoProto::decode_field(&mut field)?),
                12 => graph.outputs.push(ValueInfoProto::decode_field(&mut field)?),
                _ => field.skip()?,
            }
        }
        Ok(graph)
    }
}

impl DecodeMessage for Node {
    type Types = OwnedValues;

    /// As of `NodeProto`, whose field numbers these are.
    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut node = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                1 => node.inputs.push(field.read_string()?),
                2 => node.outputs.push(field.read_string()?),
                4 => node.operator = field.read_string()?,
                5 => node.attributes.push(Attribute::decode_field(&mut field)?),
                7 => {
                    node.domain = match field.read_string()? {
                        domain if domain == "ai.onnx" => String::new(),
                        domain => domain,
                    }
                }
                _ => field.skip()?,
            }
        }
        Ok(node)
    }
}

impl DecodeMessage for Attribute {
    type Types = OwnedValues;

    /// As of `AttributeProto`, whose field numbers these are. Lists come packed or one by one.
    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut attribute = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                1 => attribute.name = field.read_string()?,
                2 => attribute.float = Some(field.get_float()?),
                3 => attribute.integer = Some(field.get_int64()?),
                4 => attribute.string = Some(bytes(&mut field)?),
                5 => attribute.tensor = Some(Constant::decode_field(&mut field)?),
                7 => field.read_repeated_float()?.try_for_each(|x| x.map(|x| attribute.floats.push(x)))?,
                8 => field.read_repeated_int64()?.try_for_each(|x| x.map(|x| attribute.integers.push(x)))?,
                9 => attribute.strings.push(bytes(&mut field)?),
                // Its type and what it says of itself; all the rest are graphs, types and lists of those.
                13 | 20 | 21 => field.skip()?,
                _ => {
                    attribute.other = true;
                    field.skip()?;
                }
            }
        }
        Ok(attribute)
    }
}

impl DecodeMessage for Constant {
    type Types = OwnedValues;

    /// As of `TensorProto`, whose field numbers these are.
    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut constant = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                1 => field.read_repeated_int64()?.try_for_each(|x| x.map(|x| constant.dims.push(x)))?,
                2 => constant.dtype = field.get_enum()?,
                4 => field.read_repeated_float()?.try_for_each(|x| x.map(|x| constant.floats.push(x)))?,
                5 => field.read_repeated_int32()?.try_for_each(|x| x.map(|x| constant.small.push(x)))?,
                6 => constant.strings.push(bytes(&mut field)?),
                7 => field.read_repeated_int64()?.try_for_each(|x| x.map(|x| constant.integers.push(x)))?,
                8 => constant.name = field.read_string()?,
                9 => constant.raw = Some(field.read_bytes()?),
                10 => field.read_repeated_double()?.try_for_each(|x| x.map(|x| constant.doubles.push(x)))?,
                14 => constant.external = DataLocation(field.get_enum()?) == DataLocation::EXTERNAL,
                _ => field.skip()?,
            }
        }
        Ok(constant)
    }
}

fn bytes<R: ReadValue<Types = OwnedValues>>(field: &mut Field<'_, R>) -> Result<Bytes, ProtobufError> {
    field.read_bytes().map(Bytes::from)
}
