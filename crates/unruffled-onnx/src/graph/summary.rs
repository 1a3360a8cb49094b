//! [`OnnxSummary`]: what to tell people about a file.

use std::collections::BTreeMap;

use unruffled_model::{ModelError, ModelSource};

use super::file::{OnnxFile, for_each_node};
use super::types::{Declared, declared};
use super::weight::Weight;

/// What is in an ONNX file, found without loading its weights and whether or not a backend can run it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OnnxSummary {
    /// The program that wrote the file, with its version where it says.
    pub producer: Option<String>,
    /// The version of the file format.
    pub ir_version: Option<i64>,
    /// The operator sets in use: domain (`ai.onnx` is the standard one) and version.
    pub opsets: Vec<(String, i64)>,
    /// How many nodes there are of each operator, inner graphs included; domains other than the standard one are named in
    /// front: `ai.onnx.ml/Scaler`.
    pub operators: BTreeMap<String, usize>,
    /// The bytes that all weights take.
    pub weight_bytes: u64,
    /// Whether some of the weights lie in another file.
    pub external_weights: bool,
    /// The inputs that a caller gives, one a line.
    pub inputs: Vec<String>,
    /// The outputs, one a line.
    pub outputs: Vec<String>,
    /// What the producer added: names and values.
    pub metadata: Vec<(String, String)>,
}

impl OnnxSummary {
    /// Reads the summary of a model.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, is cut off, or is not an ONNX model.
    pub fn read(source: &ModelSource) -> Result<Self, ModelError> {
        let file = OnnxFile::read(source)?;
        let mut operators = BTreeMap::new();
        for_each_node(&file.nodes, &mut |node| {
            let name = node.op_type.as_deref().unwrap_or("?");
            let name = match domain(node.domain.as_deref()) {
                "ai.onnx" => name.to_owned(),
                domain => format!("{domain}/{name}"),
            };
            *operators.entry(name).or_insert(0) += 1;
        });
        let lines = |values: &[_]| values.iter().map(line).collect();
        let producer = file.producer.map(|name| match &file.producer_version {
            Some(version) if !version.is_empty() => format!("{name} {version}"),
            _ => name,
        });
        let opsets = file.opsets.iter().map(|opset| {
            let domain = domain(opset.domain.as_deref()).to_owned();
            (domain, opset.version.unwrap_or_default())
        });
        let metadata = file.metadata.into_iter();
        Ok(Self {
            producer,
            ir_version: file.ir_version,
            opsets: opsets.collect(),
            operators,
            weight_bytes: file.weights.iter().map(Weight::bytes).fold(0, u64::saturating_add),
            external_weights: file.weights.iter().any(|weight| weight.external),
            inputs: lines(&file.inputs),
            outputs: lines(&file.outputs),
            metadata: metadata
                .map(|entry| (entry.key.unwrap_or_default(), entry.value.unwrap_or_default()))
                .collect(),
        })
    }
}

/// The domain's full name; the standard one may be left out in a file.
fn domain(domain: Option<&str>) -> &str {
    match domain {
        None | Some("") => "ai.onnx",
        Some(domain) => domain,
    }
}

fn line(value: &rten_onnx::onnx::ValueInfoProto) -> String {
    match declared(value) {
        Declared::Tensor(spec) => spec.to_string(),
        Declared::Other(what) => format!("{}: {what}", value.name.as_deref().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::DataType;

    use super::OnnxSummary;
    use crate::sample::{Sample, fixed, symbol};

    #[test]
    fn tells_what_is_in_the_file() {
        let source = Sample::new()
            .input("x", DataType::FLOAT, [symbol("batch"), fixed(2)])
            .input("w", DataType::FLOAT, [fixed(2), fixed(2)])
            .weight("w", &[2, 2])
            .node("MatMul", ["x", "w"], "h")
            .node("ai.onnx.ml/Scaler", ["h"], "y")
            .output("y", DataType::COMPLEX64, [symbol(""), fixed(-1)])
            .source();
        let summary = OnnxSummary::read(&source).unwrap();
        assert_eq!(summary.producer.as_deref(), Some("sample 1"));
        assert_eq!(summary.opsets, [("ai.onnx".into(), 17), ("ai.onnx.ml".into(), 3)]);
        let operators: Vec<_> =
            summary.operators.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(operators, [("MatMul", 1), ("ai.onnx.ml/Scaler", 1)]);
        assert_eq!((summary.weight_bytes, summary.external_weights), (16, false));
        assert_eq!(summary.inputs, ["x: f32 [batch, 2]"], "a filled input is a weight");
        assert_eq!(summary.outputs, ["y: a tensor of COMPLEX64"]);
    }
}
