//! What is no model for this backend is refused with reasons, and what is no model at all with an error.

use fastrand::Rng;
use rten_onnx::onnx::DataType;
use unruffled_model::{Batching, ModelErrorKind, ModelSource, Tensor, Tensors};

use super::{classical, load, reasons, rows_of};
use crate::sample::{Sample, fixed, floats, ints, strings, symbol};

/// A tree of a root and two leaves, with these children.
fn tree(yes: i64, no: i64) -> Sample {
    rows_of(DataType::FLOAT, 2)
        .node("ai.onnx.ml/TreeEnsembleRegressor", ["x"], "y")
        .with(ints("nodes_treeids", &[0, 0, 0]))
        .with(ints("nodes_nodeids", &[0, 1, 2]))
        .with(ints("nodes_featureids", &[1, 0, 0]))
        .with(ints("nodes_truenodeids", &[yes, 0, 0]))
        .with(ints("nodes_falsenodeids", &[no, 0, 0]))
        .with(strings("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]))
        .with(floats("nodes_values", &[0.5, 0.0, 0.0]))
        .with(ints("target_treeids", &[0, 0]))
        .with(ints("target_nodeids", &[1, 2]))
        .with(ints("target_ids", &[0, 0]))
        .with(floats("target_weights", &[1.0, 2.0]))
        .output("y", DataType::FLOAT, [symbol("batch"), fixed(1)])
}

#[track_caller]
fn check(sample: Sample, expected: &[&str]) {
    assert_eq!(reasons(sample), expected);
}

#[test]
fn neural_networks_are_left_to_others() {
    let plain = rows_of(DataType::FLOAT, 3).weight("w", &[3, 3]).node("MatMul", ["x", "w"], "y");
    // No reason is given: nobody has asked it to be for networks.
    check(plain.untyped_output("y"), &[]);
    let convolution =
        classical(DataType::FLOAT, 3).node("Conv", ["y", "y"], "z").node("Conv", ["z", "y"], "t");
    check(convolution.untyped_output("t"), &["Conv is not known here"]);
}

#[test]
fn what_is_not_known_is_named() {
    let attribute = tree(1, 2).with(ints("nodes_colours", &[1]));
    check(
        attribute,
        &["ai.onnx.ml/TreeEnsembleRegressor has the attribute `nodes_colours`, which is not known here"],
    );
    let lost = classical(DataType::FLOAT, 3).node("Add", ["y", "elsewhere"], "z");
    check(lost.untyped_output("z"), &["Add takes `elsewhere`, which nothing computes"]);
    let sparse = classical(DataType::FLOAT, 3).output("z", DataType::FLOAT, [symbol("batch")]);
    check(sparse, &["output `z` is not computed by anything"]);
    let other = classical(DataType::FLOAT, 3).output("y", DataType::INT64, [symbol("batch"), fixed(3)]);
    check(other, &["output `y` is declared i64, but computed as f32"]);
}

#[test]
fn trees_that_are_none_are_refused() {
    let refused =
        |yes, no| reasons(tree(yes, no)).join("; ").replace("ai.onnx.ml/TreeEnsembleRegressor ", "");
    assert_eq!(refused(1, 7), "has no node 7 in tree 0, which it refers to");
    assert_eq!(refused(1, 1), "reaches its node 1 twice");
    assert_eq!(refused(0, 2), "reaches its node 0 twice");
    let wide = tree(1, 2).with(ints("nodes_missing_value_tracks_true", &[1]));
    assert!(reasons(wide)[0].ends_with("has lists of different lengths for its 3 nodes"));
}

#[test]
fn the_signature_is_what_is_computed() {
    let model = load(&tree(1, 2).source()).unwrap();
    let info = model.info();
    assert_eq!(info.signature.inputs[0].to_string(), "x: f32 [batch, 2]");
    assert_eq!(info.signature.outputs[0].to_string(), "y: f32 [batch, 1]");
    assert_eq!((info.batching, info.threads), (Batching::Joint, 1));
    // A file that fixes the number of rows runs one request at a time.
    let fixed_rows = Sample::new()
        .input("x", DataType::FLOAT, [fixed(2), fixed(1)])
        .node("ai.onnx.ml/Binarizer", ["x"], "y")
        .output("y", DataType::FLOAT, [fixed(2), fixed(1)]);
    let model = load(&fixed_rows.source()).unwrap();
    assert_eq!(model.info().batching, Batching::Single);
    assert_eq!(model.info().signature.outputs[0].to_string(), "y: f32 [2, 1]");
}

#[test]
fn columns_that_the_file_leaves_open_are_checked_when_it_runs() {
    let open = Sample::new()
        .input("x", DataType::FLOAT, [symbol("batch"), symbol("columns")])
        .node("ai.onnx.ml/LinearRegressor", ["x"], "y")
        .with(floats("coefficients", &[1.0, 1.0]))
        .output("y", DataType::FLOAT, [symbol("batch"), fixed(1)]);
    let model = load(&open.source()).unwrap();
    let run = |columns| {
        let x = Tensor::filled(&[1, columns], 1.0_f32).unwrap();
        super::run_under(&model, x, &unruffled_model::CancelToken::new())
    };
    let expected = Tensors::new().with("y", Tensor::filled(&[1, 1], 2.0_f32).unwrap());
    assert_eq!(run(2).unwrap(), expected);
    let error = run(3).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "`x`: expected 2 columns, got 3");
}

#[test]
fn malformed_bytes_are_errors_and_nothing_worse() {
    let whole = tree(1, 2).bytes();
    assert!(load(&ModelSource::Memory(whole.clone().into())).is_ok());
    for length in 0..whole.len() - 32 {
        assert!(load(&ModelSource::Memory(whole[..length].to_vec().into())).is_err(), "cut to {length}");
    }
    let mut random = Rng::with_seed(7);
    for _ in 0..3000 {
        let mut hurt = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..hurt.len());
            hurt[at] = random.u8(..);
        }
        // May still be a model, which then may be run.
        if let Ok(model) = load(&ModelSource::Memory(hurt.into())) {
            let x = Tensor::filled(&[3, 2], 1.0_f32).unwrap();
            let _ = super::run_under(&model, x, &unruffled_model::CancelToken::new());
        }
    }
}
