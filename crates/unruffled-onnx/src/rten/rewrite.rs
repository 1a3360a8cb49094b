//! Says in other words what rten understands only so, or would get wrong.

use rten_onnx::onnx::{AttributeProto, AttributeType, NodeProto};

use crate::graph::Values;

/// The nodes in other words; `None` if rten understands them as they are.
pub(super) fn rewritten(nodes: &[NodeProto], values: &Values) -> Option<Vec<NodeProto>> {
    let others: Vec<Option<Vec<NodeProto>>> = nodes.iter().map(|node| others(node, values)).collect();
    // Nodes may hold weights, which are not copied for nothing.
    if others.iter().all(Option::is_none) {
        return None;
    }
    let pairs = nodes.iter().zip(others);
    Some(pairs.flat_map(|(node, others)| others.unwrap_or_else(|| vec![node.clone()])).collect())
}

/// What stands for one node; `None` if it does itself.
fn others(node: &NodeProto, values: &Values) -> Option<Vec<NodeProto>> {
    let inner = with_inner_graphs(node, values);
    in_other_words(inner.as_ref().unwrap_or(node), values).or_else(|| Some(vec![inner?]))
}

fn with_inner_graphs(node: &NodeProto, values: &Values) -> Option<NodeProto> {
    let inner = |attribute: &AttributeProto| rewritten(&attribute.g.as_ref()?.node, values);
    let changed: Vec<_> = node.attribute.iter().map(inner).collect();
    if changed.iter().all(Option::is_none) {
        return None;
    }
    let mut node = node.clone();
    for (attribute, nodes) in node.attribute.iter_mut().zip(changed) {
        if let (Some(graph), Some(nodes)) = (&mut attribute.g, nodes) {
            graph.node = nodes;
        }
    }
    Some(node)
}

fn in_other_words(node: &NodeProto, values: &Values) -> Option<Vec<NodeProto>> {
    if !matches!(node.domain.as_deref(), None | Some("" | "ai.onnx")) {
        return None;
    }
    match node.op_type.as_deref()? {
        "ArgMax" => first_of_equals(node, 1),
        "ArgMin" => first_of_equals(node, 0),
        "AveragePool" | "MaxPool" => with_strides(node),
        "Conv" | "ConvInteger" | "ConvTranspose" => with_kernel_shape(node, values),
        "LogSoftmax" | "Softmax" if values.opset() < 13 => over_all_behind(node, values),
        "MatMul" => by_matrix(node, values),
        _ => None,
    }
}

/// Of equal elements rten's `ArgMax` and `ArgMin` give the last, and its `TopK` the first, as it should be.
fn first_of_equals(node: &NodeProto, largest: i64) -> Option<Vec<NodeProto>> {
    let integer = |name, default| attribute(node, name).map_or(Some(default), |attribute| attribute.i);
    if integer("select_last_index", 0)? != 0 {
        return None;
    }
    let (axis, output) = (integer("axis", 0)?, node.output.first()?);
    let keeps_axis = integer("keepdims", 1)? != 0;
    let indices = if keeps_axis { output.clone() } else { format!("{output}/indices") };
    let mut top = operator("TopK", &[node.input.first()?], &[&format!("{output}/elements"), &indices]);
    top.name.clone_from(&node.name);
    top.attribute = vec![int("k", 1), int("axis", axis), int("largest", largest)];
    let mut nodes = vec![top];
    if !keeps_axis {
        let mut squeeze = operator("Squeeze", &[&indices], &[output]);
        squeeze.attribute = vec![ints("axes", vec![axis])];
        nodes.push(squeeze);
    }
    Some(nodes)
}

/// rten wants to be told that a pool moves by one.
fn with_strides(node: &NodeProto) -> Option<Vec<NodeProto>> {
    let sides = attribute(node, "kernel_shape")?.ints.len();
    if attribute(node, "strides").is_some() {
        return None;
    }
    Some(vec![with(node, ints("strides", vec![1; sides]))])
}

/// rten reads from the kernel's shape how many strides, dilations and paddings were left out.
fn with_kernel_shape(node: &NodeProto, values: &Values) -> Option<Vec<NodeProto>> {
    if attribute(node, "kernel_shape").is_some() {
        return None;
    }
    let weights = values.dims(node.input.get(1)?)?;
    Some(vec![with(node, ints("kernel_shape", weights.get(2..)?.to_vec()))])
}

/// A batch of matrices times a vector has a dimension too many in rten.
fn by_matrix(node: &NodeProto, values: &Values) -> Option<Vec<NodeProto>> {
    let ([matrices, vector], [output]) = (&node.input[..], &node.output[..]) else {
        return None;
    };
    if values.rank(vector) != Some(1) || values.rank(matrices).is_some_and(|rank| rank < 3) {
        return None;
    }
    let (column, columns) = (format!("{output}/column"), format!("{output}/columns"));
    let mut unsqueeze = operator("Unsqueeze", &[vector], &[&column]);
    unsqueeze.attribute = vec![ints("axes", vec![1])];
    let mut product = operator("MatMul", &[matrices, &column], &[&columns]);
    product.name.clone_from(&node.name);
    let mut squeeze = operator("Squeeze", &[&columns], &[output]);
    squeeze.attribute = vec![ints("axes", vec![-1])];
    Some(vec![unsqueeze, product, squeeze])
}

/// Until version 13 the sum went over the axis and all behind it, and the axis was 1 unless said; rten sums over one axis.
fn over_all_behind(node: &NodeProto, values: &Values) -> Option<Vec<NodeProto>> {
    let axis = attribute(node, "axis").map_or(Some(1), |attribute| attribute.i)?;
    let ([input], [output]) = (&node.input[..], &node.output[..]) else {
        return None;
    };
    if axis == -1 || values.rank(input).is_some_and(|rank| axis + 1 == rank as i64) {
        return attribute(node, "axis").is_none().then(|| vec![with(node, int("axis", axis))]);
    }
    let (shape, flat, sums) = (format!("{output}/shape"), format!("{output}/flat"), format!("{output}/sums"));
    let mut flatten = operator("Flatten", &[input], &[&flat]);
    flatten.attribute = vec![int("axis", axis)];
    let mut softmax = operator(node.op_type.as_deref()?, &[&flat], &[&sums]);
    softmax.name.clone_from(&node.name);
    softmax.attribute = vec![int("axis", 1)];
    let shape_of = operator("Shape", &[input], &[&shape]);
    let reshape = operator("Reshape", &[&sums, &shape], &[output]);
    Some(vec![shape_of, flatten, softmax, reshape])
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))
}

fn with(node: &NodeProto, attribute: AttributeProto) -> NodeProto {
    let mut node = node.clone();
    node.attribute.push(attribute);
    node
}

fn operator(name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(name.into()),
        input: inputs.iter().map(|&input| input.into()).collect(),
        output: outputs.iter().map(|&output| output.into()).collect(),
        ..NodeProto::default()
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        i: Some(i),
        r#type: Some(AttributeType::INT),
        ..AttributeProto::default()
    }
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        ints,
        r#type: Some(AttributeType::INTS),
        ..AttributeProto::default()
    }
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::{DataType, NodeProto};

    use super::rewritten;
    use crate::graph::{OnnxFile, Values};
    use crate::sample::{Sample, fixed, symbol};

    fn image() -> Sample {
        Sample::new().input("x", DataType::FLOAT, [symbol("batch"), fixed(1), fixed(3), fixed(3)])
    }

    /// The nodes as operator, inputs and outputs.
    #[track_caller]
    fn check(sample: Sample, expected: Option<&[&str]>) {
        let file = OnnxFile::read(&sample.source()).unwrap();
        let line = |node: &NodeProto| {
            let operator = node.op_type.as_deref().unwrap_or_default();
            format!("{operator} {} -> {}", node.input.join(" "), node.output.join(" "))
        };
        let lines: Option<Vec<String>> =
            rewritten(&file.nodes, &Values::of(&file)).map(|nodes| nodes.iter().map(line).collect());
        let expected = expected.map(|lines| lines.iter().map(|&line| line.into()).collect::<Vec<String>>());
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_rten_understands_stays() {
        check(image().node("Relu", ["x"], "y"), None);
        check(image().weight("w", &[3, 2]).node("MatMul", ["x", "w"], "y"), None);
        check(image().node_with("ArgMax", ["x"], "y", [("select_last_index", 1)]), None);
        check(image().node("com.other/ArgMax", ["x"], "y"), None);
    }

    #[test]
    fn the_rest_is_said_in_other_words() {
        check(image().node("ArgMax", ["x"], "y"), Some(&["TopK x -> y/elements y"]));
        check(
            image().node("Relu", ["x"], "h").node_with("ArgMin", ["h"], "y", [("keepdims", 0)]),
            Some(&["Relu x -> h", "TopK h -> y/elements y/indices", "Squeeze y/indices -> y"]),
        );
        check(
            image().weight("w", &[3]).node("MatMul", ["x", "w"], "y"),
            Some(&["Unsqueeze w -> y/column", "MatMul x y/column -> y/columns", "Squeeze y/columns -> y"]),
        );
        check(image().weight("w", &[1, 1, 2, 2]).node("Conv", ["x", "w"], "y"), Some(&["Conv x w -> y"]));
    }

    #[test]
    fn what_has_changed_its_meaning_keeps_it() {
        let softmax = |axis| image().node_with("Softmax", ["x"], "y", [("axis", axis)]);
        check(softmax(1), None);
        check(softmax(3).opset(12), None);
        check(softmax(-1).opset(12), None);
        let flat = [
            "Shape x -> y/shape",
            "Flatten x -> y/flat",
            "Softmax y/flat -> y/sums",
            "Reshape y/sums y/shape -> y",
        ];
        check(softmax(1).opset(12), Some(&flat));
        check(image().node("Softmax", ["x"], "y").opset(12), Some(&flat));
        let matrix = Sample::new().input("x", DataType::FLOAT, [symbol("batch"), fixed(3)]).opset(12);
        check(matrix.node("Softmax", ["x"], "y"), Some(&["Softmax x -> y"]));
    }
}
