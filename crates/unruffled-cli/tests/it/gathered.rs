//! The real models, gathered into `models/`: what people would ask of them.

use std::f32::consts::TAU;
use std::path::{Path, PathBuf};

use serde_json::Value;
use unruffled_testing::npy;

use crate::program::{repository, run, typed};

/// The folder of gathered models; what is not there fails a test, with the remedy.
#[track_caller]
fn models(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    assert!(
        folder.join(name).join("1/model.onnx").is_file(),
        "models/{name} is not there: run `cargo xtask models` first"
    );
    folder.canonicalize().unwrap().display().to_string()
}

fn output<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let outputs = answer["outputs"].as_array().unwrap();
    outputs.iter().find(|output| output["name"] == name).unwrap()
}

/// Gives a model recorded inputs, and compares its answer with the recorded one.
#[track_caller]
fn check_recorded(model: &str, case: &str) {
    let models = models(model);
    let folder = repository(&format!("assets/conformance/{model}/{case}"));
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let (inputs, outputs): (Vec<PathBuf>, Vec<PathBuf>) =
        files.partition(|file| name(file).starts_with("in."));
    let inputs: Vec<String> = inputs
        .iter()
        .map(|file| format!("--input={}=@{}", name(file).strip_prefix("in.").unwrap(), file.display()))
        .collect();
    let mut arguments = vec!["infer", model, "--models", &models, "--json"];
    arguments.extend(inputs.iter().map(String::as_str));
    let answer = run(&arguments).json();
    assert!(!outputs.is_empty());
    for file in outputs {
        let given = output(&answer, name(&file).strip_prefix("out.").unwrap())["data"].as_array().unwrap();
        let recorded = npy::read_file(&file).unwrap();
        let recorded = recorded.elements::<f32>().unwrap();
        assert_eq!(given.len(), recorded.len());
        for (given, recorded) in given.iter().zip(recorded) {
            let apart = (given.as_f64().unwrap() - f64::from(*recorded)).abs();
            assert!(apart < 1e-3, "{}: {given} is not {recorded}", file.display());
        }
    }
}

/// The name of a tensor's file, without its ending.
fn name(file: &Path) -> &str {
    file.file_stem().unwrap().to_str().unwrap()
}

#[test]
fn magika_tells_the_types_of_files() {
    let models = models("magika");
    for (file, expected) in [
        ("digit.png", "png"),
        ("note.pdf", "pdf"),
        ("words.rs", "rust"),
        ("moving_average.py", "python"),
        ("bundle.zip", "zip"),
    ] {
        let file = format!("@{}", typed(&format!("assets/samples/{file}")));
        let answer = run(&["infer", "magika", "--models", &models, "--input", &file, "--json"]).json();
        assert_eq!(output(&answer, "target_label")["classes"][0][0]["label"], expected, "{file}");
    }
}

#[test]
fn minilm_answers_as_recorded() {
    for case in ["one-sentence", "three-sentences-padded"] {
        check_recorded("minilm", case);
    }
}

#[test]
fn minilm_needs_no_more_than_tokens() {
    let models = models("minilm");
    let answer = run(&["infer", "minilm", "--models", &models, "-i", "101,7592,2088,102", "--json"]).json();
    let vector = output(&answer, "sentence_embedding")["data"].as_array().unwrap();
    let length: f64 = vector.iter().map(|part| part.as_f64().unwrap().powi(2)).sum();
    assert_eq!(vector.len(), 384);
    assert!((length - 1.0).abs() < 1e-3, "{length}");
}

#[test]
fn silero_answers_as_recorded() {
    for case in ["buzz-step-1", "buzz-step-2", "noise-batch-3"] {
        check_recorded("silero-vad", case);
    }
}

#[test]
fn silero_hears_a_file() {
    let models = models("silero-vad");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tone.wav");
    std::fs::write(&file, wav(44_100)).unwrap();
    let input = format!("@{}", file.display());
    let answer = run(&["infer", "silero-vad", "--models", &models, "-i", &input, "--json"]).json();
    let speech = output(&answer, "output")["data"][0].as_f64().unwrap();
    assert!((0.0..0.5).contains(&speech), "a tone is no speech: {speech}");
}

/// A tenth of a second of a plain tone, 16 bits.
fn wav(rate: u32) -> Vec<u8> {
    let samples = (0..rate / 10).map(|at| (8000.0 * (TAU * 440.0 * at as f32 / rate as f32).sin()) as i16);
    let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(rate.to_le_bytes());
    file.extend((2 * rate).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

#[test]
fn what_sessions_keep_is_told() {
    let models = models("silero-vad");
    let page = run(&["inspect", "silero-vad", "--models", &models]).ok();
    for part in ["stateN comes back as state, the last 64 of input before the next", "requests are joined"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
}
