//! What ONNX Runtime takes without complaint and then gets wrong, as the standard's own tests show.

use rten_onnx::onnx::NodeProto;

use crate::graph::{OnnxFile, for_each_node};

/// The nodes of these kinds that a model has, each kind once, in words.
pub(super) fn limits(file: &OnnxFile) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for_each_node(&file.nodes, &mut |node| {
        if let Some(why) = limit(node).filter(|why| !found.iter().any(|known| known == why)) {
            found.push(why.into());
        }
    });
    found
}

fn limit(node: &NodeProto) -> Option<&'static str> {
    let is_there = |names: &[String], at: usize| names.get(at).is_some_and(|name| !name.is_empty());
    let is_set = |name: &str| {
        let of_name = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name));
        of_name.and_then(|attribute| attribute.i).is_some_and(|i| i != 0)
    };
    match node.op_type.as_deref()? {
        // The elements go where they would be without it.
        "MaxUnpool" if is_there(&node.input, 2) => Some("MaxUnpool with a shape of its output"),
        // Products that do not count are the lowest float instead of minus infinity.
        "Attention" if is_there(&node.output, 3) && is_set("is_causal") => {
            Some("causal Attention with the products of queries and keys as an output")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rten_onnx::onnx::DataType;

    use super::limits;
    use crate::graph::OnnxFile;
    use crate::sample::{Sample, fixed};

    #[test]
    fn each_kind_is_named_once() {
        let sample = Sample::new()
            .input("x", DataType::FLOAT, [fixed(3)])
            .node("MaxUnpool", ["x", "i"], "a")
            .node("MaxUnpool", ["x", "i", "s"], "b")
            .node("MaxUnpool", ["x", "i", "s"], "c");
        let file = OnnxFile::read(&sample.source()).unwrap();
        assert_eq!(limits(&file), ["MaxUnpool with a shape of its output"]);
    }
}
