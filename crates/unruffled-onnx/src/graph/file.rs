//! [`OnnxFile`]: a model as its file describes it.

use rten_onnx::onnx::{NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, ValueInfoProto};
use rten_onnx::protobuf::{DecodeMessage, Fields, OwnedValues, ProtobufError, ReadValue};
use unruffled_model::{ModelError, ModelSource};

use super::weight::Weight;
use super::wire;
use crate::source::{guarded, malformed, unreadable};

/// A model without the elements of its weights: as of `ModelProto`.
#[derive(Debug, Default)]
pub(crate) struct OnnxFile {
    pub(crate) ir_version: Option<i64>,
    pub(crate) producer: Option<String>,
    pub(crate) producer_version: Option<String>,
    pub(crate) opsets: Vec<OperatorSetIdProto>,
    pub(crate) metadata: Vec<StringStringEntryProto>,
    pub(crate) nodes: Vec<NodeProto>,
    /// All constant tensors, those of inner graphs and of `Constant` nodes included.
    pub(crate) weights: Vec<Weight>,
    /// What a caller gives: an input that the file fills itself is a weight.
    pub(crate) inputs: Vec<ValueInfoProto>,
    pub(crate) outputs: Vec<ValueInfoProto>,
    /// What the file says of values in between.
    pub(crate) between: Vec<ValueInfoProto>,
}

impl OnnxFile {
    /// Reads everything but the elements of weights.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, is cut off, or is not an ONNX model.
    pub(crate) fn read(source: &ModelSource) -> Result<Self, ModelError> {
        guarded(source, || {
            let decoded = wire::decode::<Envelope>(source).map_err(|error| unreadable(source, error))?;
            let Envelope { mut file, graph } =
                decoded.map_err(|error| malformed(source, &error).caused_by(error))?;
            let graph = graph.ok_or_else(|| malformed(source, "it holds no graph"))?;
            if file.opsets.is_empty() {
                return Err(malformed(source, "it does not say which operator set it uses"));
            }
            let filled =
                |input: &ValueInfoProto| graph.weights.iter().any(|w| Some(&w.name) == input.name.as_ref());
            file.inputs = graph.inputs.into_iter().filter(|input| !filled(input)).collect();
            file.outputs = graph.outputs;
            file.nodes = graph.nodes;
            file.between = graph.between;
            file.weights = graph.weights;
            for_each_node(&file.nodes, &mut |node| {
                for attribute in &node.attribute {
                    let inner = attribute.g.iter().flat_map(|graph| &graph.initializer);
                    file.weights.extend(inner.map(Weight::from));
                    file.weights.extend(attribute.t.as_ref().map(|tensor| constant(node, tensor)));
                }
            });
            Ok(file)
        })
    }
}

/// A tensor among a node's attributes, by the name under which others know it, if they do.
fn constant(node: &NodeProto, tensor: &TensorProto) -> Weight {
    let name = match node.op_type.as_deref() {
        Some("Constant") => node.output.first().cloned().unwrap_or_default(),
        // Its own name is nobody's: some other value may have the same.
        _ => String::new(),
    };
    Weight { name, ..Weight::from(tensor) }
}

/// Visits nodes and those of the graphs inside them, innermost first.
pub(crate) fn for_each_node<'a>(nodes: &'a [NodeProto], visit: &mut impl FnMut(&'a NodeProto)) {
    for node in nodes {
        for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            for_each_node(&graph.node, visit);
        }
        visit(node);
    }
}

/// `ModelProto`, whose field numbers these are.
#[derive(Default)]
struct Envelope {
    file: OnnxFile,
    graph: Option<Graph>,
}

impl DecodeMessage for Envelope {
    type Types = OwnedValues;

    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut model = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                1 => model.file.ir_version = Some(field.get_int64()?),
                2 => model.file.producer = Some(field.read_string()?),
                3 => model.file.producer_version = Some(field.read_string()?),
                7 => model.graph = Some(Graph::decode_field(&mut field)?),
                8 => model.file.opsets.push(OperatorSetIdProto::decode_field(&mut field)?),
                14 => model.file.metadata.push(StringStringEntryProto::decode_field(&mut field)?),
                _ => field.skip()?,
            }
        }
        Ok(model)
    }
}

/// `GraphProto`, whose field numbers these are.
#[derive(Default)]
struct Graph {
    nodes: Vec<NodeProto>,
    weights: Vec<Weight>,
    inputs: Vec<ValueInfoProto>,
    outputs: Vec<ValueInfoProto>,
    between: Vec<ValueInfoProto>,
}

impl DecodeMessage for Graph {
    type Types = OwnedValues;

    fn decode_fields<R: ReadValue<Types = OwnedValues>>(
        mut fields: Fields<R>,
    ) -> Result<Self, ProtobufError> {
        let mut graph = Self::default();
        while let Some(mut field) = fields.next()? {
            match field.number() {
                1 => graph.nodes.push(NodeProto::decode_field(&mut field)?),
                5 => graph.weights.push(Weight::decode_field(&mut field)?),
                11 => graph.inputs.push(ValueInfoProto::decode_field(&mut field)?),
                12 => graph.outputs.push(ValueInfoProto::decode_field(&mut field)?),
                13 => graph.between.push(ValueInfoProto::decode_field(&mut field)?),
                _ => field.skip()?,
            }
        }
        Ok(graph)
    }
}
