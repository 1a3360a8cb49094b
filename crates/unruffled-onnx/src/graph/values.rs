//! [`Values`]: what a file says of the values that its nodes take and give, and of what its operators mean.

use std::collections::BTreeMap;

use rten_onnx::onnx::{DataType, ValueInfoProto};

use super::file::OnnxFile;

/// Types, shapes and constants by name; of many values nothing is known.
#[derive(Debug)]
pub(crate) struct Values {
    known: BTreeMap<String, Known>,
    opset: i64,
}

#[derive(Debug)]
struct Known {
    dtype: Option<DataType>,
    /// `None` for a dimension of any size.
    dims: Option<Vec<Option<i64>>>,
    /// The elements of a constant, if they are 64-bit integers.
    integers: Vec<i64>,
}

impl Values {
    /// Collects what there is.
    pub(crate) fn of(file: &OnnxFile) -> Self {
        let declared = file.between.iter().chain(&file.outputs).chain(&file.inputs);
        let mut values: BTreeMap<_, _> =
            declared.map(|value| (value.name.clone().unwrap_or_default(), known(value))).collect();
        for weight in &file.weights {
            let known = Known {
                dtype: Some(weight.dtype),
                dims: Some(weight.dims.iter().map(|&dim| Some(dim)).collect()),
                integers: weight.integers.clone(),
            };
            values.insert(weight.name.clone(), known);
        }
        // A node's empty name means that there is no value.
        values.remove("");
        let standard = |domain: Option<&str>| matches!(domain, None | Some("" | "ai.onnx"));
        let opset = file.opsets.iter().find(|opset| standard(opset.domain.as_deref()));
        // A file that names no version has no operators of the standard.
        Self { known: values, opset: opset.and_then(|opset| opset.version).unwrap_or(i64::MAX) }
    }

    /// The version of the standard whose operators the file means.
    pub(crate) fn opset(&self) -> i64 {
        self.opset
    }

    /// The type of the elements.
    pub(crate) fn dtype(&self, name: &str) -> Option<DataType> {
        self.known.get(name)?.dtype
    }

    /// How many dimensions it has.
    pub(crate) fn rank(&self, name: &str) -> Option<usize> {
        self.known.get(name)?.dims.as_ref().map(Vec::len)
    }

    /// Its dimensions, if all of them are known.
    pub(crate) fn dims(&self, name: &str) -> Option<Vec<i64>> {
        self.known.get(name)?.dims.as_ref()?.iter().copied().collect()
    }

    /// The elements of a constant of 64-bit integers; empty for anything else.
    pub(crate) fn integers(&self, name: &str) -> &[i64] {
        self.known.get(name).map_or(&[], |known| &known.integers)
    }
}

fn known(value: &ValueInfoProto) -> Known {
    let tensor = value.r#type.as_ref().and_then(|r#type| r#type.tensor_type.as_ref());
    let dims = tensor.and_then(|tensor| tensor.shape.as_ref());
    Known {
        dtype: tensor.and_then(|tensor| tensor.elem_type),
        dims: dims.map(|shape| shape.dim.iter().map(|dim| dim.dim_value).collect()),
        integers: Vec::new(),
    }
}
