//! `unruffled inspect`: what is told of models, sound or broken.

use crate::program::{onnxruntime, program, run, typed};

#[test]
fn a_model_is_described() {
    let page = run(&["inspect", "digits"]).ok();
    for part in [
        "image: f32 [batch, 8, 8]",
        "from a picture, gray, stretched to 8 x 8",
        "10 labels",
        "requests are joined",
        "rten (the first that can run it)",
        "Gemm x3",
        "107.3 kB",
        "licence    MIT",
        "unruffled infer digits --input image=@picture.png",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let json = run(&["inspect", "digits", "--json"]).json();
    assert_eq!(json["inputs"][0]["dims"], serde_json::json!(["batch", 8, 8]));
    assert_eq!((&json["joins_requests"], &json["license"]), (&true.into(), &"MIT".into()));
}

#[test]
fn a_folder_is_listed() {
    let page = run(&["inspect", &typed("assets/conformance/models")]).ok();
    assert!(page.contains("add-mul") && page.contains("a: f32 [batch, 4], b: f32 [batch, 4] -> "), "{page}");
    let page = run(&["inspect"]).ok();
    assert!(page.starts_with("digits  v1 ") && page.contains(" kB  Tells which handwritten digit"), "{page}");
}

#[test]
fn a_model_that_cannot_run_is_still_described() {
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("cut.onnx");
    std::fs::write(&file, "no model at all").unwrap();
    let said = run(&["inspect", &file.display().to_string()]);
    assert_eq!(said.code, 3);
    assert!(said.err.contains("is not a sound ONNX model"), "{}", said.err);

    let own = here.path().join("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::copy(typed("assets/models/digits/1/model.onnx"), own.join("model.onnx")).unwrap();
    std::fs::write(own.join("model.toml"), "backend = 'ort'").unwrap();
    let said = run(&["inspect", &own.display().to_string()]);
    assert_eq!(said.code, 3);
    assert!(
        said.out.contains("image: f32 [batch, 8, 8]") && said.out.contains("does not run"),
        "{}",
        said.out
    );
    assert!(
        said.err.contains("there is no backend \"ort\" for .onnx files; there is trees, rten"),
        "{}",
        said.err
    );
}

#[test]
fn runtimes_are_told_with_what_each_model_is_run_by() {
    let page = run(&["inspect", "--runtimes", "--onnxruntime", &onnxruntime()]).ok();
    for part in [
        "onnxruntime  1.",
        "providers  cpu",
        "libonnxruntime",
        "trees        built in",
        "rten         built in",
        "digits  ort ",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let arguments = ["inspect", "digits", "--runtimes", "--json", "--onnxruntime", &onnxruntime()];
    let document = run(&arguments).json();
    assert_eq!(document["onnxruntime"]["found"], true);
    assert_eq!(document["onnxruntime"]["providers"], serde_json::json!(["cpu"]));
    assert_eq!(document["models"][0]["backend"], "ort");
}

#[test]
fn without_a_runtime_the_remedy_is_told_and_another_backend_taken() {
    let page = run(&["inspect", "--runtimes"]).ok();
    assert!(page.contains("onnxruntime  not looked for") && page.contains("digits  rten "), "{page}");

    let empty = tempfile::tempdir().unwrap();
    let mut program = program();
    program.env_remove("UNRUFFLED_ORT_LIB").env("ORT_DYLIB_PATH", empty.path());
    let said = program.args(["inspect", "--runtimes", "--json"]).current_dir(&empty).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(document["onnxruntime"]["found"], false);
    let error = document["models"][0]["error"].as_str().unwrap();
    assert!(error.contains("cannot load ONNX Runtime") && error.contains("ORT_DYLIB_PATH"), "{error}");
}
