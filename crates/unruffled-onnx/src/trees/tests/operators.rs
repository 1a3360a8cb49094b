//! One operator at a time, over graphs that hold little else.

use rten_onnx::onnx::DataType;
use unruffled_model::{Bytes, ModelErrorKind, Tensor};

use super::{check, classical, reasons, rows_of, run};
use crate::sample::{Sample, fixed, float, floats, ints, string, strings, symbol};

const F32: DataType = DataType::FLOAT;

fn constant(sample: Sample, name: &str, integers: &[i64]) -> Sample {
    let raw = integers.iter().flat_map(|i| i.to_le_bytes()).collect();
    sample.raw_weight(name, DataType::INT64, &[integers.len() as i64], raw)
}

fn words(words: &[&'static str]) -> Vec<Bytes> {
    words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect()
}

#[test]
fn numbers_are_prepared() {
    let x = (&[2, 2][..], &[1.0_f32, -2.0, f32::NAN, 4.0][..]);
    let node = |operator: &str| rows_of(F32, 2).node(operator, ["x"], "z");
    let scaler =
        node("ai.onnx.ml/Scaler").with(floats("offset", &[1.0, 0.0])).with(floats("scale", &[2.0, 3.0]));
    check(scaler, (&[1, 2], &[3.0_f32, 2.0]), (&[1, 2], &[4.0_f32, 6.0]));
    let imputer = node("ai.onnx.ml/Imputer")
        .with(floats("imputed_value_floats", &[7.0]))
        .with(float("replaced_value_float", f32::NAN));
    check(imputer, x, (&[2, 2], &[1.0_f32, -2.0, 7.0, 4.0]));
    let binarizer = node("ai.onnx.ml/Binarizer").with(float("threshold", 1.0));
    check(binarizer, x, (&[2, 2], &[0.0_f32, 0.0, 0.0, 1.0]));
    let normalizer = node("ai.onnx.ml/Normalizer").with(string("norm", "L1"));
    check(normalizer, (&[2, 2], &[1.0_f32, -3.0, 0.0, 0.0]), (&[2, 2], &[0.25_f32, -0.75, 0.0, 0.0]));
}

#[test]
fn categories_become_numbers() {
    let text = (&[2, 1][..], &words(&["b", "c"])[..]);
    let one_hot = rows_of(DataType::STRING, 1)
        .node("ai.onnx.ml/OneHotEncoder", ["x"], "z")
        .with(strings("cats_strings", &["a", "b"]));
    let sample = one_hot.output("z", F32, [symbol("batch"), fixed(1), fixed(2)]);
    let answer = run(sample, Tensor::new(text.0, text.1.to_vec()).unwrap()).unwrap();
    let expected = Tensor::new(&[2, 1, 2], vec![0.0_f32, 1.0, 0.0, 0.0]).unwrap();
    assert_eq!(answer.get("z"), Some(&expected));
    let label = rows_of(DataType::STRING, 1)
        .node_with("ai.onnx.ml/LabelEncoder", ["x"], "z", [("default_int64", -7)])
        .with(strings("keys_strings", &["a", "b"]))
        .with(ints("values_int64s", &[10, 20]));
    check(label, text, (&[2, 1], &[20_i64, -7]));
}

#[test]
fn a_category_that_is_not_known_may_be_an_error() {
    let sample = rows_of(DataType::INT64, 1)
        .node_with("ai.onnx.ml/OneHotEncoder", ["x"], "z", [("zeros", 0)])
        .with(ints("cats_int64s", &[1, 2]))
        .output("z", F32, [symbol("batch"), fixed(1), fixed(2)]);
    let error = run(sample, Tensor::new(&[1, 1], vec![3_i64]).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "`x`: the category 3 is not known to the model");
}

#[test]
fn scores_and_their_classes_lie_side_by_side() {
    let sample = rows_of(F32, 2)
        .node("ai.onnx.ml/ZipMap", ["x"], "z")
        .with(strings("classlabels_strings", &["no", "yes"]))
        .untyped_output("z");
    let x = Tensor::new(&[2, 2], vec![0.25_f32, 0.75, 1.0, 0.0]).unwrap();
    let answer = run(sample, x.clone()).unwrap();
    assert_eq!(answer.get("z"), Some(&x));
    let keys = Tensor::new(&[2, 2], words(&["no", "yes", "no", "yes"])).unwrap();
    assert_eq!(answer.get("z.keys"), Some(&keys));
}

#[test]
fn linear_models_add_up() {
    let regressor = rows_of(F32, 2)
        .node("ai.onnx.ml/LinearRegressor", ["x"], "z")
        .with(floats("coefficients", &[1.0, 2.0]))
        .with(floats("intercepts", &[0.5]));
    check(regressor, (&[2, 2], &[1.0_f32, 1.0, 0.0, 2.0]), (&[2, 1], &[3.5_f32, 4.5]));
    let classifier = rows_of(F32, 1)
        .node("ai.onnx.ml/LinearClassifier", ["x"], "label")
        .and_output("z")
        .with(floats("coefficients", &[1.0]))
        .with(floats("intercepts", &[0.0]))
        .with(ints("classlabels_ints", &[5, 6]))
        .with(string("post_transform", "LOGISTIC"));
    check(classifier, (&[1, 1], &[0.0_f32]), (&[1, 2], &[0.5_f32, 0.5]));
}

#[test]
fn rows_are_computed_with() {
    let x = (&[2, 3][..], &[1.0_f32, 2.0, 3.0, 6.0, 5.0, 4.0][..]);
    let sum = constant(classical(F32, 3), "axes", &[1]).node("ReduceSum", ["y", "axes"], "z");
    check(sum, x, (&[2, 1], &[6.0_f32, 15.0]));
    let largest = classical(F32, 3).node_with("ArgMax", ["y"], "z", [("axis", 1), ("keepdims", 0)]);
    check(largest, x, (&[2], &[2_i64, 0]));
    let smallest = classical(F32, 3).node_with("ArgMin", ["y"], "z", [("axis", -1)]);
    check(smallest, x, (&[2, 1], &[0_i64, 2]));
    let share = constant(classical(F32, 3), "axes", &[1]).node("ReduceSum", ["y", "axes"], "sum").node(
        "Div",
        ["y", "sum"],
        "z",
    );
    check(share, (&[1, 3], &[1.0_f32, 1.0, 2.0]), (&[1, 3], &[0.25_f32, 0.25, 0.5]));
    // 1 2 3 / 4 5 6 / 7 8 9
    let product = classical(F32, 3).weight("w", &[3, 3]).node("MatMul", ["y", "w"], "z");
    check(product, x, (&[2, 3], &[30.0_f32, 36.0, 42.0, 54.0, 69.0, 84.0]));
    let turned = classical(F32, 3).weight("w", &[3, 3]).node_with("Gemm", ["y", "w"], "z", [("transB", 1)]);
    check(turned, (&[1, 3], &[1.0_f32, 0.0, 0.0]), (&[1, 3], &[1.0_f32, 4.0, 7.0]));
}

#[test]
fn rows_are_rearranged() {
    let x = (&[2, 3][..], &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0][..]);
    let joined = classical(F32, 3).node_with("Concat", ["y", "x"], "z", [("axis", 1)]);
    check(joined, x, (&[2, 6], &[1.0_f32, 2.0, 3.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 4.0, 5.0, 6.0]));
    let picked =
        constant(classical(F32, 3), "at", &[2, -3]).node_with("Gather", ["y", "at"], "z", [("axis", 1)]);
    check(picked, x, (&[2, 2], &[3.0_f32, 1.0, 6.0, 4.0]));
    // Rows go to the second axis and come back, as exporters of bagging have them.
    let there_and_back = constant(constant(classical(F32, 3), "there", &[1, -1, 3]), "axes", &[0])
        .node("Reshape", ["y", "there"], "h")
        .node_with("Concat", ["h", "h"], "twice", [("axis", 0)])
        .node_with("ReduceMean", ["twice", "axes"], "z", [("keepdims", 0)]);
    check(there_and_back, x, (x.0, x.1));
    let filled = classical(F32, 3).node("Shape", ["y"], "shape").node("ConstantOfShape", ["shape"], "z");
    check(filled, x, (&[2, 3], &[0.0_f32; 6]));
    let text = classical(F32, 3).node_with("Cast", ["y"], "z", [("to", 7)]);
    check(text, x, (&[2, 3], &[1_i64, 2, 3, 4, 5, 6]));
}

#[test]
fn rows_that_would_meet_are_refused() {
    let x = || classical(F32, 3);
    let check = |sample: Sample, reason: &str| {
        let given = reasons(sample.untyped_output("z"));
        assert!(given.iter().any(|given| given.contains(reason)), "{given:?}");
    };
    check(constant(x(), "axes", &[0]).node("ReduceSum", ["y", "axes"], "z"), "mixes the rows");
    check(x().node_with("ArgMax", ["y"], "z", [("axis", 0)]), "mixes the rows");
    check(x().node_with("Concat", ["y", "y"], "z", [("axis", 0)]), "joins");
    check(x().node("Transpose", ["y"], "z"), "does not begin with rows");
    check(constant(x(), "all", &[-1]).node("Reshape", ["y", "all"], "z"), "does not keep rows apart");
    check(constant(x(), "turned", &[3, -1]).node("Reshape", ["y", "turned"], "z"), "moves rows about");
    let flat = x().node_with("ArgMax", ["y"], "n", [("axis", 1), ("keepdims", 0)]).node_with(
        "Cast",
        ["n"],
        "m",
        [("to", 1)],
    );
    check(flat.node("Add", ["m", "y"], "z"), "rows meet something other than rows");
}
