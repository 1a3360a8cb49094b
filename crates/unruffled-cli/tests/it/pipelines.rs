//! The gathered pipelines: what people would ask of them, end to end.

use std::path::Path;

use serde_json::Value;

use crate::program::{repository, run, typed};

/// The folder of gathered models; what is not there fails a test, with the remedy.
#[track_caller]
fn models(pipeline: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let is_here = folder.join(pipeline).join("pipeline.toml").is_file();
    assert!(is_here, "models/{pipeline} is not there: run `cargo xtask models` first");
    folder.canonicalize().unwrap().display().to_string()
}

const LINES: [&str; 5] = ["Invoice 2026-1129", "Total", "184.50", "Thank you for waiting", "never blocked"];

/// The JSON documents of an answer that comes piece by piece.
fn pieces(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn outputs<'a>(pieces: &'a [Value], name: &str) -> Vec<&'a Value> {
    let all = pieces.iter().filter_map(|piece| piece["outputs"].as_array()).flatten();
    all.filter(|output| output["name"] == name).collect()
}

#[test]
fn a_page_is_read_line_by_line() {
    let (models, page) = (models("ocr"), format!("@{}", typed("assets/steps/page.png")));
    let shown = run(&["infer", "ocr", "--models", &models, "--input", &page, "--timings"]).ok();
    let mut rest = shown.as_str();
    for line in LINES {
        let at = rest.find(line).unwrap_or_else(|| panic!("no `{line}` in {shown}"));
        rest = &rest[at..];
    }
    for step in ["picture", "detect", "read", "spell", "requests"] {
        assert!(shown.contains(step), "{step} is not in {shown}");
    }
    let told = pieces(&run(&["infer", "ocr", "--models", &models, "--input", &page, "--json"]).ok());
    let texts = outputs(&told, "text");
    let texts: Vec<_> = texts.iter().map(|text| text["text"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, LINES);
    let progress: Vec<_> = outputs(&told, "progress").iter().map(|told| told["data"].clone()).collect();
    assert_eq!(progress.last(), Some(&serde_json::json!([5, 5])));
    assert_eq!(outputs(&told, "boxes")[0]["shape"], serde_json::json!([5, 4, 2]));
    let steps = told.last().unwrap()["timings"]["steps"].as_array().unwrap();
    let read = steps.iter().find(|step| step["name"] == "read").unwrap();
    assert_eq!(read["requests"], 5);
}

#[test]
fn speech_is_found_in_a_recording() {
    let models = models("speech");
    let made = Path::new(&models).join(".cache/pipelines");
    let spoken = std::fs::read_to_string(made.join("speech.json"))
        .expect("the recording is not there: run `cargo xtask models pipelines` first");
    let spoken: Value = serde_json::from_str(&spoken).unwrap();
    let recording = format!("@{}", made.join("speech.wav").display());
    let told = pieces(&run(&["infer", "speech", "--models", &models, "--input", &recording, "--json"]).ok());
    let mut found: Vec<[f64; 2]> = Vec::new();
    for segments in outputs(&told, "segments") {
        let times: Vec<f64> =
            segments["data"].as_array().unwrap().iter().map(|time| time.as_f64().unwrap()).collect();
        for span in times.chunks_exact(2) {
            // A sentence may pause for breath.
            match found.last_mut() {
                Some(last) if span[0] - last[1] < 0.6 => last[1] = span[1],
                _ => found.push([span[0], span[1]]),
            }
        }
    }
    let spans = spoken["speech"].as_array().unwrap().iter();
    let expected: Vec<[f64; 2]> = spans.map(|span| [0, 1].map(|at| span[at].as_f64().unwrap())).collect();
    assert_eq!(found.len(), expected.len(), "{found:?} for {expected:?}");
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 0.35;
    assert!(found.iter().flatten().zip(expected.iter().flatten()).all(near), "{found:?} for {expected:?}");
    // The first is told before the last frame was heard.
    let first = outputs(&told, "progress").first().map(|told| told["data"].clone()).unwrap();
    assert!(first[0].as_i64() < first[1].as_i64(), "{first}");
    let shown = run(&["infer", "speech", "--models", &models, "--input", &recording]).ok();
    assert!(shown.matches(" s to ").count() >= expected.len(), "{shown}");
}

#[test]
fn sentences_become_vectors() {
    let models = models("sentence-embedding");
    let ask = |texts: &[&str]| {
        let inputs: Vec<String> = texts.iter().map(|text| format!("--input=text={text}")).collect();
        let mut arguments = vec!["infer", "sentence-embedding", "--models", &models, "--json"];
        arguments.extend(inputs.iter().map(String::as_str));
        run(&arguments).json()
    };
    let answer = ask(&["A cat sits on the mat.", "A cat is sitting on a rug.", "Stock prices fell."]);
    let vectors = answer["outputs"][0]["data"].as_array().unwrap();
    let row = |at: usize| vectors.chunks_exact(384).nth(at).unwrap().iter();
    let dot = |a: usize, b: usize| {
        let pairs = row(a).zip(row(b));
        pairs.map(|(a, b)| a.as_f64().unwrap() * b.as_f64().unwrap()).sum::<f64>()
    };
    assert!((dot(0, 0) - 1.0).abs() < 1e-3, "{}", dot(0, 0));
    assert!(dot(0, 1) > 0.6 && dot(0, 2) < 0.3, "{} and {}", dot(0, 1), dot(0, 2));
    let steps = answer["timings"]["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["requests"] == 3), "{steps:?}");
}

#[test]
fn the_steps_of_a_pipeline_are_drawn() {
    let models = models("ocr");
    let page = run(&["inspect", "ocr", "--models", &models]).ok();
    for part in [
        "model ppocr-rec, for each of x",
        "<- picture.picture, boxes.boxes",
        "as it comes",
        "image: bytes [1]",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let told = run(&["inspect", "ocr", "--models", &models, "--json"]).json();
    let names: Vec<_> =
        told["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["picture", "pixels", "detect", "boxes", "crop", "read", "spell"]);
    let wrong = format!("@{}", repository("Cargo.toml").display());
    let said = run(&["infer", "ocr", "--models", &models, "--input", &wrong]);
    assert!(said.code != 0 && said.err.contains("step `picture`"), "{}", said.err);
}
