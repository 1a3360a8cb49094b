//! What rten takes without complaint when it loads a model, and then gets wrong or stumbles over in the run.
//!
//! Found by running the standard's own tests; a check that an update of rten makes needless shows there.

use rten_onnx::onnx::{AttributeProto, DataType, NodeProto};

use crate::graph::Values;

/// Operators of two numbers, and others that rten has for 32-bit numbers only.
const ELEMENTWISE: [&str; 14] = [
    "Add",
    "Clip",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Pow",
    "Sub",
];

/// Why rten cannot run this node, if it is one of these; as far as the types and shapes of its values are known.
pub(super) fn limit(node: &NodeProto, values: &Values) -> Option<String> {
    if !matches!(node.domain.as_deref(), None | Some("" | "ai.onnx")) {
        return None;
    }
    let node = Node { node, values };
    let operator = node.operator();
    let why = match operator {
        "Attention" => node.attention(),
        "AveragePool" | "MaxPool" => node.pool(),
        "BitCast" => node.bit_cast(),
        "Conv" | "ConvInteger" | "ConvTranspose" => node.convolution(),
        "GridSample" => (node.rank(0) > Some(4)).then_some("of volumes"),
        "GRU" => (node.integer("linear_before_reset") != Some(1)).then_some("without `linear_before_reset`"),
        "LayerNormalization" => {
            (node.gives(1) || node.gives(2)).then_some("with its mean and deviation as outputs")
        }
        // It gives each box one class, and takes the area around two boxes for that of both.
        "NonMaxSuppression" => Some("as the standard has it"),
        "OneHot" => {
            (node.is_float(0) || node.is_float(1)).then_some("of indices or a depth that are no integers")
        }
        "Pad" => node.takes(3).then_some("along axes that are an input"),
        "QuantizeLinear" => node.quantize(),
        "ReduceMax" | "ReduceMin" => (node.dtype(0) == Some(DataType::BOOL)).then_some("of truth values"),
        // It interpolates linearly instead.
        "Resize" => (node.text("mode") == Some("cubic")).then_some("in mode `cubic`"),
        "SequenceInsert" => node.sequence_insert(),
        // That of zero is 1 or -1.
        "Sign" => (!node.is_integer(0)).then_some("of numbers that may be floats"),
        operator if ELEMENTWISE.contains(&operator) => node.elementwise(),
        _ => None,
    };
    why.map(|why| format!("{operator} {why}"))
}

/// A node together with what is known of its values.
struct Node<'a> {
    node: &'a NodeProto,
    values: &'a Values,
}

impl<'a> Node<'a> {
    fn operator(&self) -> &'a str {
        self.node.op_type.as_deref().unwrap_or_default()
    }

    fn attribute(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
    }

    fn integer(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.i
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.attribute(name)?.s.as_deref()
    }

    /// The name of an input that is given.
    fn input(&self, at: usize) -> Option<&'a str> {
        self.node.input.get(at).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn takes(&self, at: usize) -> bool {
        self.input(at).is_some()
    }

    fn gives(&self, at: usize) -> bool {
        self.node.output.get(at).is_some_and(|name| !name.is_empty())
    }

    fn dtype(&self, input: usize) -> Option<DataType> {
        self.values.dtype(self.input(input)?)
    }

    fn rank(&self, input: usize) -> Option<usize> {
        self.values.rank(self.input(input)?)
    }

    fn is_float(&self, input: usize) -> bool {
        const FLOATS: [DataType; 4] =
            [DataType::FLOAT, DataType::DOUBLE, DataType::FLOAT16, DataType::BFLOAT16];
        self.dtype(input).is_some_and(|dtype| FLOATS.contains(&dtype))
    }

    fn is_integer(&self, input: usize) -> bool {
        self.dtype(input).is_some() && !self.is_float(input)
    }

    fn has_bytes(&self, input: usize) -> bool {
        self.dtype(input).is_some_and(|dtype| [DataType::INT8, DataType::UINT8].contains(&dtype))
    }

    fn attention(&self) -> Option<&'static str> {
        match (self.gives(3), self.takes(6)) {
            (true, _) => Some("with the products of queries and keys as an output"),
            (_, true) => Some("with lengths of keys as an input"),
            _ => None,
        }
    }

    /// What is padded below is padded above by rten.
    fn is_padded_below(&self) -> bool {
        self.text("auto_pad") == Some("SAME_LOWER")
    }

    fn pool(&self) -> Option<&'static str> {
        if self.is_padded_below() {
            return Some("with more padding below than above");
        }
        let sides = self.attribute("kernel_shape").map_or(0, |kernel| kernel.ints.len());
        match (sides > 2, self.gives(1), self.has_bytes(0)) {
            (true, ..) => Some("over more than two dimensions"),
            (_, true, _) => Some("with indices as an output"),
            (.., true) => Some("of 8-bit integers"),
            _ => None,
        }
    }

    /// rten has only some types, and narrows others to them: their bits are gone.
    fn bit_cast(&self) -> Option<&'static str> {
        const KEPT: [DataType; 4] = [DataType::FLOAT, DataType::INT32, DataType::INT8, DataType::UINT8];
        let to = self.integer("to").map(|to| DataType(to as i32));
        let types = [self.dtype(0), to];
        types.iter().flatten().any(|dtype| !KEPT.contains(dtype)).then_some("of types that are narrowed")
    }

    fn convolution(&self) -> Option<&'static str> {
        let kernel = self.attribute("kernel_shape").map(|kernel| kernel.ints.len());
        let sides = kernel.or(self.rank(1).map(|rank| rank.saturating_sub(2)));
        let is_padded = self.text("auto_pad").is_some_and(|pad| pad.starts_with("SAME"))
            || self.attribute("pads").is_some_and(|pads| pads.ints.iter().any(|pad| *pad != 0));
        let is_written_out =
            ["dilations", "pads", "strides"].iter().all(|name| self.attribute(name).is_some());
        match sides {
            Some(3..) => Some("over more than two dimensions"),
            _ if self.is_padded_below() => Some("with more padding below than above"),
            // It pads with zeros, also where that is not the zero point.
            _ if self.operator() == "ConvInteger" && is_padded => Some("with padding"),
            // See `rewrite`.
            _ if kernel.is_none() && !is_written_out => {
                Some("of a kernel whose shape is not known beforehand")
            }
            _ => None,
        }
    }

    fn quantize(&self) -> Option<&'static str> {
        const WIDE: [DataType; 2] = [DataType::INT16, DataType::UINT16];
        let to = self.integer("output_dtype").filter(|to| *to != 0).map(|to| DataType(to as i32));
        to.or(self.dtype(2)).is_some_and(|dtype| WIDE.contains(&dtype)).then_some("to 16-bit integers")
    }

    /// A place that is counted from the end is off by one.
    fn sequence_insert(&self) -> Option<&'static str> {
        let at = self.input(2)?;
        let integers = self.values.integers(at);
        let is_from_begin = !integers.is_empty() && integers.iter().all(|at| *at >= 0);
        (!is_from_begin).then_some("at a place that may be counted from the end")
    }

    fn elementwise(&self) -> Option<&'static str> {
        if (0..self.node.input.len()).any(|input| self.has_bytes(input)) {
            return Some("of 8-bit integers");
        }
        let is_mixed = self.operator() == "Pow" && self.is_float(0) && self.is_integer(1);
        is_mixed.then_some("of a float to the power of an integer")
    }
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::DataType;

    use super::limit;
    use crate::graph::{OnnxFile, Values};
    use crate::sample::{Sample, fixed, symbol};

    #[track_caller]
    fn check(sample: Sample, expected: Option<&str>) {
        let file = OnnxFile::read(&sample.source()).unwrap();
        let values = Values::of(&file);
        let found = file.nodes.iter().find_map(|node| limit(node, &values));
        assert_eq!(found.as_deref(), expected);
    }

    fn vector(dtype: DataType) -> Sample {
        Sample::new().input("x", dtype, [symbol("batch"), fixed(3)])
    }

    #[test]
    fn what_is_refused_depends_on_types() {
        check(vector(DataType::FLOAT).node("Add", ["x", "x"], "y"), None);
        check(vector(DataType::UINT8).node("Add", ["x", "x"], "y"), Some("Add of 8-bit integers"));
        check(vector(DataType::INT64).node("Sign", ["x"], "y"), None);
        check(vector(DataType::FLOAT).node("Sign", ["x"], "y"), Some("Sign of numbers that may be floats"));
        check(vector(DataType::FLOAT).node("com.other/Sign", ["x"], "y"), None);
    }

    #[test]
    fn what_is_refused_depends_on_constants_and_attributes() {
        let insert = |at: i64| {
            let raw = at.to_le_bytes().to_vec();
            let sample = vector(DataType::FLOAT).raw_weight("at", DataType::INT64, &[], raw);
            sample.node("SequenceInsert", ["s", "x", "at"], "y")
        };
        check(insert(0), None);
        check(insert(-1), Some("SequenceInsert at a place that may be counted from the end"));
        let cells = |flag| {
            let sample = vector(DataType::FLOAT);
            sample.node_with("GRU", ["x", "w", "r"], "y", [("linear_before_reset", flag)])
        };
        check(cells(1), None);
        check(cells(0), Some("GRU without `linear_before_reset`"));
    }

    #[test]
    fn what_is_refused_depends_on_shapes() {
        let convolution =
            |kernel: &[i64]| vector(DataType::FLOAT).weight("w", kernel).node("Conv", ["x", "w"], "y");
        check(convolution(&[1, 1, 1, 1, 1]), Some("Conv over more than two dimensions"));
        check(convolution(&[1, 1, 1, 1]), Some("Conv of a kernel whose shape is not known beforehand"));
    }
}
