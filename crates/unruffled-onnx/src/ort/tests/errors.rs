//! What cannot be loaded, and what people are told.

use rten_onnx::onnx::DataType;
use unruffled_model::{
    Backend, BackendOptions, InputDefault, ModelErrorKind, ModelSource, SpecialOptions, Support, Tensor,
    Tensors,
};

use super::{backend, load, load_with, run};
use crate::ort::{OrtOptions, OrtRuntime, OrtSearch};
use crate::sample::{Sample, fixed, symbol};

fn relu() -> Sample {
    Sample::new().input("x", DataType::FLOAT, [symbol("batch"), fixed(3)]).node("Relu", ["x"], "y").output(
        "y",
        DataType::FLOAT,
        [symbol("batch"), fixed(3)],
    )
}

#[test]
fn inputs_may_have_defaults() {
    let load = |input: &str| {
        let defaults = vec![InputDefault { input: input.into(), value: 7.0, shape: None }];
        load_with(&relu().source(), &BackendOptions { defaults, ..BackendOptions::default() })
    };
    assert_eq!(load("x").unwrap().info().signature.inputs[0].default, Some(Tensor::scalar(7_f32)));
    assert_eq!(load("z").map(|_| ()).unwrap_err().tensor(), Some("z"));
}

#[test]
fn a_missing_file_is_named_without_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let source = ModelSource::File(folder.path().join("gone.onnx"));
    let error = load(&source).map(|_| ()).unwrap_err();
    let message = error.to_string();
    assert_eq!(error.kind(), ModelErrorKind::Failed);
    assert!(message.starts_with("cannot read `gone.onnx`: "), "{message}");
    assert!(!message.contains(&*folder.path().to_string_lossy()), "{message}");
    assert!(backend().supports(&source).is_err());
}

#[test]
fn a_lacking_operator_is_named() {
    let source = Sample::new()
        .input("x", DataType::FLOAT, [symbol("batch"), fixed(3)])
        .node("NoSuchThing", ["x"], "h")
        .node("com.example/Magic", ["h"], "y")
        .output("y", DataType::FLOAT, [symbol("batch"), fixed(2)])
        .source();
    let Support::No(reasons) = backend().supports(&source).unwrap() else { panic!("supported") };
    assert!(reasons[0].contains("NoSuchThing") || reasons[0].contains("com.example"), "{reasons:?}");
    let error = load(&source).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Unsupported);
    let message = error.to_string();
    assert!(message.starts_with("ONNX Runtime cannot run the model: "), "{message}");
    assert_eq!(backend().supports(&relu().source()).unwrap(), Support::Yes);
}

#[test]
fn other_inputs_than_tensors_are_named() {
    let source = Sample::new()
        .input("x", DataType::FLOAT, [fixed(3)])
        .input("c", DataType::COMPLEX64, [fixed(3)])
        .node("Relu", ["x"], "y")
        .output("y", DataType::FLOAT, [fixed(3)])
        .source();
    let reasons = vec!["input `c` is a tensor of COMPLEX64".into()];
    assert_eq!(backend().supports(&source).unwrap(), Support::No(reasons));
    assert_eq!(load(&source).map(|_| ()).unwrap_err().kind(), ModelErrorKind::Unsupported);
}

#[test]
fn providers_are_those_of_the_library() {
    let backend = backend();
    assert_eq!(backend.runtime().providers().last(), Some(&"cpu"));
    let load = |provider: &str| {
        let own = OrtOptions { providers: vec![provider.into()], ..OrtOptions::default() };
        let special = SpecialOptions::default().with(own);
        load_with(&relu().source(), &BackendOptions { special, ..BackendOptions::default() })
    };
    assert!(load("cpu").is_ok());
    let error = load("abacus").map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ModelErrorKind::Unsupported);
    assert!(error.to_string().starts_with("execution provider `abacus` is not available: "), "{error}");
}

#[test]
fn weights_in_a_second_file_are_found_or_missed_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let bytes = Sample::new()
        .input("x", DataType::FLOAT, [symbol("batch"), fixed(8)])
        .external_weight("w", &[8, 8], "weights.bin")
        .node("MatMul", ["x", "w"], "y")
        .output("y", DataType::FLOAT, [symbol("batch"), fixed(8)])
        .bytes();
    std::fs::write(&path, bytes).unwrap();
    let error = load(&ModelSource::File(path.clone())).map(|_| ()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("`model.onnx`") && message.contains("weights.bin"), "{message}");
    assert!(!message.contains(&*folder.path().to_string_lossy()), "{message}");
    let ones: Vec<u8> = (0..64).flat_map(|_| 1.0_f32.to_le_bytes()).collect();
    std::fs::write(folder.path().join("weights.bin"), ones).unwrap();
    let model = load(&ModelSource::File(path)).unwrap();
    let answer = run(&model, Tensors::new().with("x", Tensor::filled(&[2, 8], 1.0_f32).unwrap())).unwrap();
    assert_eq!(answer.get("y"), Some(&Tensor::filled(&[2, 8], 8.0_f32).unwrap()));
}

#[test]
fn malformed_bytes_are_errors_and_nothing_worse() {
    let whole = Sample::new()
        .input("x", DataType::FLOAT, [symbol("batch"), fixed(8)])
        .weight("w", &[8, 8])
        .node("MatMul", ["x", "w"], "y")
        .output("y", DataType::FLOAT, [symbol("batch"), fixed(8)])
        .bytes();
    assert!(load(&ModelSource::Memory(whole.clone().into())).is_ok());
    // Without its end a file may still say all there is to say: the version of an operator set that it does not use.
    for length in 0..whole.len() - 16 {
        let cut = whole[..length].to_vec();
        assert!(load(&ModelSource::Memory(cut.into())).is_err(), "cut to {length}");
    }
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..500 {
        let mut noise = vec![0; random.usize(..200)];
        random.fill(&mut noise);
        assert!(load(&ModelSource::Memory(noise.into())).is_err());
        let mut hurt = whole.clone();
        let at = random.usize(..hurt.len());
        hurt[at] = random.u8(..);
        // May still be a model, but must not end the process.
        let _ = load(&ModelSource::Memory(hurt.into()));
    }
}

#[test]
fn there_is_one_library_in_a_process() {
    let first = backend();
    let again = OrtRuntime::find(&OrtSearch::default().only_given()).unwrap();
    assert_eq!(again.path(), first.runtime().path());
    let named = OrtSearch::default().with_library(first.runtime().path());
    assert_eq!(OrtRuntime::find(&named).unwrap().path(), first.runtime().path());
    let other = OrtSearch::default().with_variable("ORT_DYLIB_PATH", "/other/libonnxruntime.so");
    let error = OrtRuntime::find(&other).unwrap_err();
    assert!(error.is_named() && error.to_string().contains("there can be one only"), "{error}");
    let version = first.runtime().version();
    assert!(version.starts_with("1.") && version.split('.').count() == 3, "{version}");
}
