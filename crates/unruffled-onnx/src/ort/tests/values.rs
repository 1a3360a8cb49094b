//! What goes in comes out: every element type, sequences and maps.

use half::{bf16, f16};
use rten_onnx::onnx::DataType;
use unruffled_model::{Batching, Bytes, DType, Element, Tensor, Tensors};

use super::{load, run};
use crate::sample::{Sample, fixed, ints, strings, symbol};

/// The elements come back as they went, few and many.
#[track_caller]
fn check_round_trip<T: Element>(onnx: DataType, elements: &[T]) {
    let dims = || [symbol("batch"), fixed(2)];
    let source = Sample::new()
        .input("x", onnx, dims())
        .node("Identity", ["x"], "y")
        .output("y", onnx, dims())
        .source();
    let model = load(&source).unwrap();
    assert_eq!(model.info().signature.outputs[0].dtype, T::DTYPE);
    for rows in [0, 1, 5000] {
        let x: Vec<T> = elements.iter().cycle().take(2 * rows).cloned().collect();
        let x = Tensor::new(&[rows, 2], x).unwrap();
        let answer = run(&model, Tensors::new().with("x", x.clone())).unwrap();
        assert_eq!(answer.get("y"), Some(&x), "{rows} rows of {}", T::DTYPE);
    }
}

#[test]
fn every_type_comes_back() {
    check_round_trip(DataType::FLOAT, &[1.5_f32, f32::NEG_INFINITY, -0.0, f32::MIN_POSITIVE / 2.0]);
    check_round_trip(DataType::DOUBLE, &[1.5_f64, f64::INFINITY, 1e300]);
    check_round_trip(DataType::FLOAT16, &[f16::MAX, f16::from_f32(-0.1)]);
    check_round_trip(DataType::BFLOAT16, &[bf16::from_f32(3.0), bf16::MIN]);
    check_round_trip(DataType::BOOL, &[true, false, false]);
    check_round_trip(DataType::INT8, &[i8::MIN, i8::MAX]);
    check_round_trip(DataType::UINT8, &[u8::MIN, u8::MAX]);
    check_round_trip(DataType::INT16, &[i16::MIN, i16::MAX]);
    check_round_trip(DataType::UINT16, &[u16::MIN, u16::MAX]);
    check_round_trip(DataType::INT32, &[i32::MIN, i32::MAX]);
    check_round_trip(DataType::UINT32, &[u32::MIN, u32::MAX]);
    check_round_trip(DataType::INT64, &[i64::MIN, i64::MAX]);
    check_round_trip(DataType::UINT64, &[u64::MIN, u64::MAX]);
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    check_round_trip(DataType::STRING, &[text("Grüße, 世界"), text(""), text("two words")]);
}

#[test]
fn answers_outlive_model_and_instance() {
    let dims = || [symbol("batch"), fixed(2)];
    let source = Sample::new()
        .input("x", DataType::FLOAT, dims())
        .node("Neg", ["x"], "y")
        .output("y", DataType::FLOAT, dims())
        .source();
    let x = Tensor::filled(&[5000, 2], 1.0_f32).unwrap();
    let answer = run(&load(&source).unwrap(), Tensors::new().with("x", x)).unwrap();
    assert_eq!(answer.get("y"), Some(&Tensor::filled(&[5000, 2], -1.0_f32).unwrap()));
}

#[test]
fn strings_must_be_text() {
    let dims = || [symbol("batch")];
    let source = Sample::new()
        .input("words", DataType::STRING, dims())
        .node("Identity", ["words"], "y")
        .output("y", DataType::STRING, dims())
        .source();
    let model = load(&source).unwrap();
    let refused = |word: &'static [u8]| {
        let words = Tensor::new(&[2], vec![Bytes::from_static(b"fine"), Bytes::from_static(word)]).unwrap();
        let error = run(&model, Tensors::new().with("words", words)).unwrap_err();
        (error.kind(), error.to_string())
    };
    let invalid = unruffled_model::ModelErrorKind::InvalidInput;
    let message = "`words`: string 1 is not UTF-8, and ONNX Runtime takes text only";
    assert_eq!(refused(b"\xff"), (invalid, message.into()));
    let message = "`words`: string 1 has a NUL character in it, and ONNX Runtime takes text only";
    assert_eq!(refused(b"a\0b"), (invalid, message.into()));
}

/// A classifier's probabilities as scikit-learn's converter hands them out.
fn zip_map(labels: rten_onnx::onnx::AttributeProto) -> Sample {
    Sample::new()
        .input("x", DataType::FLOAT, [symbol(""), fixed(3)])
        .node("Abs", ["x"], "scores")
        .node("ai.onnx.ml/ZipMap", ["scores"], "p")
        .with(labels)
        .untyped_output("p")
}

#[test]
fn maps_become_two_tensors_of_joint_rows() {
    let model = load(&zip_map(ints("classlabels_int64s", &[7, 3, 5])).source()).unwrap();
    let signature = &model.info().signature;
    let outputs: Vec<String> = signature.outputs.iter().map(ToString::to_string).collect();
    assert_eq!(outputs, ["p: f32 [batch, ?]", "p.keys: i64 [batch, ?]"]);
    assert_eq!(model.info().batching, Batching::Joint);
    let x = Tensor::new(&[2, 3], vec![1.0_f32, 2.0, 3.0, -4.0, -5.0, -6.0]).unwrap();
    let answer = run(&model, Tensors::new().with("x", x)).unwrap();
    let expected = Tensor::new(&[2, 3], vec![2.0_f32, 3.0, 1.0, 5.0, 6.0, 4.0]).unwrap();
    assert_eq!(answer.get("p"), Some(&expected), "columns are in the order of the keys");
    assert_eq!(answer.get("p.keys"), Some(&Tensor::new(&[2, 3], vec![3_i64, 5, 7, 3, 5, 7]).unwrap()));
}

#[test]
fn keys_may_be_strings() {
    let model = load(&zip_map(strings("classlabels_strings", &["no", "yes", "maybe"])).source()).unwrap();
    let x = Tensor::new(&[1, 3], vec![1.0_f32, 2.0, 3.0]).unwrap();
    let answer = run(&model, Tensors::new().with("x", x)).unwrap();
    assert_eq!(answer.get("p"), Some(&Tensor::new(&[1, 3], vec![3.0_f32, 1.0, 2.0]).unwrap()));
    let keys = ["maybe", "no", "yes"].map(|key| Bytes::from_static(key.as_bytes()));
    assert_eq!(answer.get("p.keys"), Some(&Tensor::new(&[1, 3], keys.to_vec()).unwrap()));
}

#[test]
fn sequences_are_stacked_if_they_can_be() {
    let dims = |width| [symbol(""), symbol(width)];
    let source = Sample::new()
        .input("a", DataType::FLOAT, dims("m"))
        .input("b", DataType::FLOAT, dims("n"))
        .node("SequenceConstruct", ["a", "b"], "both")
        .untyped_output("both")
        .source();
    let model = load(&source).unwrap();
    assert_eq!(model.info().batching, Batching::Single);
    assert_eq!(model.info().signature.outputs[0].dtype, DType::F32);
    let inputs = |width| {
        Tensors::new()
            .with("a", Tensor::filled(&[1, 2], 1.0_f32).unwrap())
            .with("b", Tensor::filled(&[1, width], 2.0_f32).unwrap())
    };
    let answer = run(&model, inputs(2)).unwrap();
    assert_eq!(answer.get("both"), Some(&Tensor::new(&[2, 1, 2], vec![1.0_f32, 1.0, 2.0, 2.0]).unwrap()));
    let error = run(&model, inputs(3)).unwrap_err().to_string();
    assert!(
        error.starts_with("`both`: a sequence becomes one tensor only if all of it has one shape: "),
        "{error}"
    );
}
