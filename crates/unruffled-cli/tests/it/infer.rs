//! `unruffled infer` with the built-in model: answers, and what is said when there is none.

use serde_json::Value;

use crate::program::{Server, run, run_in, typed};

fn label(answer: &Value) -> &str {
    let outputs = answer["outputs"].as_array().unwrap();
    let label = outputs.iter().find(|output| output["name"] == "label").unwrap();
    label["classes"][0][0]["label"].as_str().unwrap()
}

#[track_caller]
fn check_refused(arguments: &[&str], code: i32, message: &str) {
    let said = run(arguments);
    assert_eq!((said.code, said.out.as_str()), (code, ""), "{}", said.err);
    assert!(said.err.contains(message), "{}", said.err);
}

#[test]
fn without_a_word_it_recognises_a_seven_and_says_what_to_try_next() {
    let page = run(&["infer"]).ok();
    assert!(page.contains("██"), "a drawing: {page}");
    let label = page.lines().find(|line| line.trim_start().starts_with("label")).unwrap();
    assert_eq!(label.split_whitespace().collect::<Vec<_>>(), ["label", "7"]);
    assert!(page.contains("answered in") && page.contains("unruffled serve"), "{page}");
    assert!(!page.contains('\u{1b}'), "no colours into a pipe: {page}");
}

#[test]
fn pictures_are_recognised() {
    for (name, digit) in [("three", "3"), ("seven", "7"), ("nine", "9")] {
        let picture = format!("image=@{}", typed(&format!("assets/models/digits/samples/{name}.png")));
        let answer = run(&["infer", "digits", "--input", &picture, "--json"]).json();
        assert_eq!((label(&answer), &answer["version"]), (digit, &Value::from("1")), "{name}");
        assert!(answer["outputs"][0]["classes"][0][0]["score"].as_f64().unwrap() > 0.9);
    }
}

#[test]
fn one_model_many_ways_to_name_it() {
    let folder = typed("assets/models/digits");
    let file = typed("assets/models/digits/1/model.onnx");
    let seven = format!("@{}", typed("assets/models/digits/samples/seven.json"));
    for model in ["digits", &folder, &file] {
        let answer = run(&["infer", model, "--input", &seven, "--json"]).json();
        assert_eq!(label(&answer), "7", "{model}");
    }
    let models = typed("assets/models");
    assert_eq!(label(&run(&["infer", "digits", "--models", &models, "-i", &seven, "--json"]).json()), "7");
    // A folder called `models` is found by itself.
    let here = tempfile::tempdir().unwrap();
    let own = here.path().join("models/own");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::copy(&file, own.join("model.onnx")).unwrap();
    let answer = run_in(here.path(), &["infer", "own", "-i", &seven, "--json"]).json();
    assert_eq!(answer["outputs"][1]["data"], serde_json::json!([7]), "without model.toml, numbers");
}

#[test]
fn several_rows_and_as_many_classes_as_asked() {
    let picture = |name: &str| format!("@{}", typed(&format!("assets/models/digits/samples/{name}.png")));
    let (three, nine) = (picture("three"), picture("nine"));
    let answer = run(&["infer", "digits", "-i", &three, "-i", &nine, "--top", "2", "--json"]).json();
    let rows = answer["outputs"][0]["classes"].as_array().unwrap();
    let best: Vec<_> = rows.iter().map(|row| row[0]["label"].as_str().unwrap()).collect();
    assert_eq!(best, ["3", "9"]);
    assert!(rows.iter().all(|row| row.as_array().unwrap().len() == 2));
}

#[test]
fn numbers_may_be_typed() {
    let seven = "0,0,3,16,12,12,7,0,0,0,12,13,13,16,6,0,0,0,2,0,6,14,0,0,0,0,1,4,13,10,1,0,0,0,9,16,16,16,8,0,0,0,4,12,12,7,1,0,0,0,0,14,6,0,0,0,0,0,4,16,2,0,0,0";
    assert_eq!(label(&run(&["infer", "digits", "-i", seven, "--json"]).json()), "7");
    let models = typed("assets/conformance/models");
    let sum =
        run(&["infer", "add-mul", "--models", &models, "-i", "a=1,2,3,4", "-i", "b=[[-1,0,1,0.5]]"]).ok();
    assert!(sum.contains("[0, 2, 4, 4.5]") && sum.contains("[-1, 0, 3, 2]"), "{sum}");
}

#[test]
fn a_server_answers_as_the_model_does_here() {
    let server = Server::start(&[]);
    let picture = format!("@{}", typed("assets/models/digits/samples/nine.png"));
    let here = run(&["infer", "digits", "-i", &picture, "--json"]).json();
    let there = run(&["infer", "digits", "-i", &picture, "--json", "--url", server.url()]).json();
    assert_eq!(here["outputs"], there["outputs"]);
    let page = run(&["infer", "--url", server.url(), "--timings"]).ok();
    assert!(page.contains("the server says queue;dur="), "{page}");
    let gone = run(&["infer", "nosuch", "-i", "1", "--url", server.url()]);
    assert_eq!(gone.code, 3, "{}", gone.err);
    assert!(gone.err.contains("nosuch"), "{}", gone.err);
}

#[test]
fn a_model_that_is_not_there_says_where_to_look() {
    check_refused(&["infer", "nosuch"], 3, "there is no model `nosuch`; there is digits");
    check_refused(
        &["infer", "/etc"],
        3,
        "has neither model.onnx, .py, .skops, .joblib or .pkl nor a folder 1",
    );
    check_refused(&["infer", "gone.onnx"], 3, "there is no such file or folder");
    check_refused(&["infer", "/etc/passwd"], 3, "expected a folder, or a file that ends in .onnx, .py");
    check_refused(&["infer", "x", "--models", "gone"], 3, "NAME/1/model.onnx");
}

#[test]
fn inputs_that_do_not_fit_are_named_with_what_is_expected() {
    check_refused(
        &["infer", "digits", "-i", "picture=1"],
        4,
        "`picture`: no such input; the model takes image: f32 [batch, 8, 8]",
    );
    check_refused(&["infer", "digits", "-i", "one,two"], 4, "`image`: `one` is not a number");
    check_refused(
        &["infer", "digits", "-i", "image=1,2,3"],
        4,
        "3 numbers do not fill image: f32 [batch, 8, 8]; give 64",
    );
    check_refused(
        &["infer", "digits", "-i", "[[1,2],[3,4]]"],
        4,
        "has the shape [2, 2]; expected image: f32 [batch, 8, 8]",
    );
    check_refused(&["infer", "digits", "-i", "@gone.png"], 4, "gone.png: `image`: there is no such file");
    let models = typed("assets/conformance/models");
    check_refused(&["infer", "add-mul", "--models", &models], 4, "--input a=1,2,3 --input b=1,2,3");
    check_refused(
        &["infer", "add-mul", "--models", &models, "-i", "a=1,2,3,4"],
        4,
        "`b`: input is missing; expected b: f32 [batch, 4]",
    );
}

#[test]
fn other_failures_have_codes_of_their_own() {
    check_refused(&["infer", "--timeout", "0"], 5, "deadline");
    check_refused(&["infer", "--url", "http://127.0.0.1:1"], 6, "check the address");
    check_refused(&["infer", "--url", "https://127.0.0.1:1"], 2, "only http:// is spoken");
    check_refused(&["infer", "--timeout", "soon"], 2, "expected a time such as 250ms");
    check_refused(&["infer", "--log", "a=b=c"], 2, "--log a=b=c");
    assert!(run(&["--help"]).ok().contains("Exit codes:"));
}
