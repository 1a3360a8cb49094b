//! Finds out whether rten can run a model by asking rten, without the model's weights.

use rten::{LoadError, ModelOptions, ShapeInferenceMode};
use rten_onnx::onnx::{DataType, GraphProto, ModelProto, NodeProto, TensorProto};
use unruffled_model::{DType, ModelError, ModelSource, Signature, TensorSpec};

use super::limits::limit;
use super::rewrite::rewritten;
use crate::graph::{Declared, OnnxFile, Values, Weight, declared, for_each_node};
use crate::source::guarded;

/// What rten lacks to run the model, each reason once; none if it can.
///
/// rten's registry of operators is its own affair, so each node is loaded alone, without the weights around it, and rten
/// says what it thinks of operator, version and attributes. What it does not say itself is in [`limit`].
pub(super) fn lacks(source: &ModelSource, file: &OnnxFile) -> Result<Vec<String>, ModelError> {
    let mut reasons = Vec::new();
    let mut say = |reason: String| {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    };
    if let Err(reason) = signature(file) {
        say(reason);
    }
    guarded(source, || {
        let (probe, values) = (Probe::new(file), Values::of(file));
        let others = rewritten(&file.nodes, &values);
        if others.is_some() && file.weights.iter().any(|weight| weight.external) {
            say("some operators must be put in other words, which is not done while weights lie in a second file".into());
        }
        let mut inner_fails = false;
        for_each_node(others.as_ref().unwrap_or(&file.nodes), &mut |node| {
            let has_graphs = node.attribute.iter().any(|attribute| attribute.g.is_some());
            // The reason why an inner graph fails has been said of the node that it lies in.
            if (has_graphs && inner_fails) || has_external_data(node) {
                return;
            }
            if let Err(error) = probe.node(node) {
                inner_fails = true;
                say(operator_reason(node, &error));
            } else if let Some(reason) = limit(node, &values) {
                say(reason);
            }
        });
        let mut dtypes: Vec<DataType> = Vec::new();
        for weight in &file.weights {
            if !dtypes.contains(&weight.dtype) {
                dtypes.push(weight.dtype);
                if probe.weight(weight.dtype).is_err() {
                    say(format!("weights of type {}, such as `{}`", weight.dtype, weight.name));
                }
            }
            if let Some(wide) = wide_integer(weight) {
                say(format!(
                    "the constant `{}` holds {wide}, and rten computes with 32-bit integers",
                    weight.name
                ));
            }
        }
        Ok(())
    })?;
    Ok(reasons)
}

/// The model's inputs and outputs as the file declares them, or the reason why rten cannot serve them.
pub(super) fn signature(file: &OnnxFile) -> Result<Signature, String> {
    let spec = |kind: &str, value| -> Result<TensorSpec, String> {
        let name = value_name(value);
        match declared(value) {
            Declared::Tensor(spec) if spec.dtype == DType::Bytes => {
                Err(format!("{kind} `{name}` holds strings"))
            }
            Declared::Tensor(spec) => Ok(spec),
            Declared::Other(what) => Err(format!("{kind} `{name}` is {what}")),
        }
    };
    Ok(Signature {
        inputs: file.inputs.iter().map(|v| spec("input", v)).collect::<Result<_, _>>()?,
        outputs: file.outputs.iter().map(|v| spec("output", v)).collect::<Result<_, _>>()?,
    })
}

fn value_name(value: &rten_onnx::onnx::ValueInfoProto) -> &str {
    value.name.as_deref().unwrap_or_default()
}

/// Whether some of the node's constants lie in another file, which is not at hand here.
fn has_external_data(node: &NodeProto) -> bool {
    let attributes = node.attribute.iter();
    let tensors = attributes.flat_map(|a| a.t.iter().chain(a.g.iter().flat_map(|graph| &graph.initializer)));
    tensors.map(Weight::from).any(|weight| weight.external)
}

/// The reason in rten's words, which name the operator if that is what it lacks.
fn operator_reason(node: &NodeProto, error: &LoadError) -> String {
    let operator = node.op_type.as_deref().unwrap_or("?");
    let words = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    if words.contains(operator) { words } else { format!("{operator}: {words}") }
}

/// A 64-bit constant that rten would silently replace by the nearest 32-bit integer.
///
/// It does so on purpose for numbers near the limits, by which exporters say "to the end".
fn wide_integer(weight: &Weight) -> Option<i64> {
    const BOUNDLESS: u64 = 1 << 62;
    let wide = |integer: &i64| i32::try_from(*integer).is_err() && integer.unsigned_abs() < BOUNDLESS;
    weight.integers.iter().copied().find(wide)
}

/// Loads parts of a model with rten, to hear what it says.
struct Probe<'a> {
    file: &'a OnnxFile,
    options: ModelOptions,
}

impl<'a> Probe<'a> {
    fn new(file: &'a OnnxFile) -> Self {
        let mut options = ModelOptions::with_all_ops();
        options.enable_optimization(false);
        options.shape_inference(ShapeInferenceMode::Off);
        Self { file, options }
    }

    fn node(&self, node: &NodeProto) -> Result<(), LoadError> {
        let nameless = NodeProto { name: None, ..node.clone() };
        self.load(GraphProto { node: vec![nameless], ..GraphProto::default() })
    }

    fn weight(&self, dtype: DataType) -> Result<(), LoadError> {
        let empty = TensorProto {
            name: Some("weight".into()),
            dims: vec![0],
            data_type: Some(dtype),
            ..TensorProto::default()
        };
        self.load(GraphProto { initializer: vec![empty], ..GraphProto::default() })
    }

    fn load(&self, graph: GraphProto) -> Result<(), LoadError> {
        let model = ModelProto {
            ir_version: Some(self.file.ir_version.unwrap_or(8)),
            opset_import: self.file.opsets.clone(),
            graph: Some(graph),
            ..ModelProto::default()
        };
        let bytes = model.write_buf().expect("writing to memory cannot fail");
        self.options.load(bytes).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::DataType;

    use super::lacks;
    use crate::graph::OnnxFile;
    use crate::sample::{Sample, fixed, symbol};

    #[track_caller]
    fn check(sample: Sample, expected: &[&str]) {
        let source = sample.source();
        let file = OnnxFile::read(&source).unwrap();
        assert_eq!(lacks(&source, &file).unwrap(), expected);
    }

    fn vector(dtype: DataType) -> Sample {
        Sample::new().input("x", dtype, [symbol("batch"), fixed(3)])
    }

    #[test]
    fn names_what_is_lacking_once() {
        check(vector(DataType::INT64).node("Relu", ["x"], "y"), &[]);
        check(
            vector(DataType::FLOAT)
                .node("ai.onnx.ml/Normalizer", ["x"], "h")
                .node("ai.onnx.ml/Normalizer", ["h"], "i")
                .node("com.microsoft/FusedMatMul", ["i", "i"], "y"),
            &[
                "ai.onnx.ml/Normalizer operator not supported or not enabled",
                "com.microsoft/FusedMatMul operator not supported or not enabled",
            ],
        );
        check(
            vector(DataType::FLOAT).node_with("Cast", ["x"], "y", [("to", 8)]),
            &["Cast: error in attribute \"to\": unsupported data type STRING"],
        );
    }

    #[test]
    fn names_inputs_and_weights_of_other_types() {
        check(vector(DataType::STRING), &["input `x` holds strings"]);
        check(vector(DataType::COMPLEX64), &["input `x` is a tensor of COMPLEX64"]);
        check(
            vector(DataType::FLOAT).raw_weight("w", DataType::BFLOAT16, &[1], vec![0, 0]),
            &["weights of type BFLOAT16, such as `w`"],
        );
    }

    #[test]
    fn wide_constants_are_refused_unless_they_mean_the_end() {
        let constants = |integers: [i64; 2]| {
            let raw = integers.iter().flat_map(|i| i.to_le_bytes()).collect();
            vector(DataType::INT64).raw_weight("w", DataType::INT64, &[2], raw)
        };
        check(constants([i64::MAX, i64::MIN]), &[]);
        check(
            constants([0, 1 << 40]),
            &["the constant `w` holds 1099511627776, and rten computes with 32-bit integers"],
        );
    }
}
