//! For tests: small models, written as files are.

use std::cell::RefCell;

use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataLocation, DataType, Dimension, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor,
    ValueInfoProto,
};
use unruffled_model::{Bytes, ModelSource};

/// A model under construction.
pub(crate) struct Sample {
    graph: GraphProto,
    opset: i64,
}

impl Sample {
    pub(crate) fn new() -> Self {
        Self { graph: GraphProto::default(), opset: 17 }
    }

    /// With operators as this version of the standard has them.
    pub(crate) fn opset(mut self, version: i64) -> Self {
        self.opset = version;
        self
    }

    pub(crate) fn input(mut self, name: &str, dtype: DataType, dims: impl Into<Vec<Dimension>>) -> Self {
        self.graph.input.push(value(name, dtype, dims.into()));
        self
    }

    pub(crate) fn output(mut self, name: &str, dtype: DataType, dims: impl Into<Vec<Dimension>>) -> Self {
        self.graph.output.push(value(name, dtype, dims.into()));
        self
    }

    /// Adds a node; the operator may have a domain in front: `ai.onnx.ml/Scaler`.
    pub(crate) fn node<const I: usize>(self, operator: &str, inputs: [&str; I], output: &str) -> Self {
        self.node_with(operator, inputs, output, [])
    }

    /// Adds a node with attributes that are integers.
    pub(crate) fn node_with<const I: usize, const A: usize>(
        mut self,
        operator: &str,
        inputs: [&str; I],
        output: &str,
        attributes: [(&str, i64); A],
    ) -> Self {
        let (domain, operator) = match operator.split_once('/') {
            Some((domain, operator)) => (Some(domain.to_owned()), operator),
            None => (None, operator),
        };
        self.graph.node.push(NodeProto {
            domain,
            op_type: Some(operator.into()),
            input: inputs.map(Into::into).into(),
            output: vec![output.into()],
            attribute: attributes.map(|(name, i)| attribute(name, i)).into(),
            ..NodeProto::default()
        });
        self
    }

    /// Adds an output whose type the file does not say.
    pub(crate) fn untyped_output(mut self, name: &str) -> Self {
        self.graph.output.push(ValueInfoProto { name: Some(name.into()), r#type: None });
        self
    }

    /// Adds an output to the last node.
    pub(crate) fn and_output(mut self, name: &str) -> Self {
        self.graph.node.last_mut().unwrap().output.push(name.into());
        self
    }

    /// Adds an attribute to the last node.
    pub(crate) fn with(mut self, attribute: AttributeProto) -> Self {
        self.graph.node.last_mut().unwrap().attribute.push(attribute);
        self
    }

    /// Adds a weight of 32-bit floats: 1, 2, 3 and so on.
    pub(crate) fn weight(self, name: &str, dims: &[i64]) -> Self {
        let count = dims.iter().product::<i64>();
        let raw = (1..=count).flat_map(|i| (i as f32).to_le_bytes()).collect();
        self.raw_weight(name, DataType::FLOAT, dims, raw)
    }

    /// Adds a weight of any type.
    pub(crate) fn raw_weight(mut self, name: &str, dtype: DataType, dims: &[i64], raw: Vec<u8>) -> Self {
        self.graph.initializer.push(TensorProto {
            name: Some(name.into()),
            dims: dims.into(),
            data_type: Some(dtype),
            raw_data: Some(RefCell::new(raw)),
            ..TensorProto::default()
        });
        self
    }

    /// Adds a weight of 32-bit floats that lie in another file.
    pub(crate) fn external_weight(mut self, name: &str, dims: &[i64], file: &str) -> Self {
        let location = StringStringEntryProto { key: Some("location".into()), value: Some(file.into()) };
        self.graph.initializer.push(TensorProto {
            name: Some(name.into()),
            dims: dims.into(),
            data_type: Some(DataType::FLOAT),
            external_data: vec![location],
            data_location: Some(DataLocation::EXTERNAL),
            ..TensorProto::default()
        });
        self
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        let opset = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.into()),
            version: Some(version),
        };
        let model = ModelProto {
            ir_version: Some(8),
            producer_name: Some("sample".into()),
            producer_version: Some("1".into()),
            opset_import: vec![opset("", self.opset), opset("ai.onnx.ml", 3)],
            graph: Some(self.graph),
            ..ModelProto::default()
        };
        model.write_buf().unwrap()
    }

    pub(crate) fn source(self) -> ModelSource {
        ModelSource::Memory(Bytes::from(self.bytes()))
    }
}

/// A dimension of this size.
pub(crate) fn fixed(size: i64) -> Dimension {
    Dimension { dim_value: Some(size), dim_param: None }
}

/// A dimension of this name.
pub(crate) fn symbol(name: &str) -> Dimension {
    Dimension { dim_value: None, dim_param: Some(name.into()) }
}

/// An attribute that is a list of integers.
pub(crate) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        ints: ints.into(),
        r#type: Some(AttributeType::INTS),
        ..AttributeProto::default()
    }
}

/// An attribute that is a list of floats.
pub(crate) fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        floats: floats.into(),
        r#type: Some(AttributeType::FLOATS),
        ..AttributeProto::default()
    }
}

/// An attribute that is a float.
pub(crate) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        f: Some(f),
        r#type: Some(AttributeType::FLOAT),
        ..AttributeProto::default()
    }
}

/// An attribute that is a string.
pub(crate) fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        s: Some(s.into()),
        r#type: Some(AttributeType::STRING),
        ..AttributeProto::default()
    }
}

/// An attribute that is a list of strings.
pub(crate) fn strings(name: &str, strings: &[&str]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        strings: strings.iter().map(ToString::to_string).collect(),
        r#type: Some(AttributeType::STRINGS),
        ..AttributeProto::default()
    }
}

fn value(name: &str, dtype: DataType, dim: Vec<Dimension>) -> ValueInfoProto {
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto {
            tensor_type: Some(TypeProtoTensor {
                elem_type: Some(dtype),
                shape: Some(TensorShapeProto { dim }),
            }),
            ..TypeProto::default()
        }),
    }
}

fn attribute(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        i: Some(i),
        r#type: Some(AttributeType::INT),
        ..AttributeProto::default()
    }
}
