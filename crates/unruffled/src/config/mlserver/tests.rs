//! What a `model-settings.json` becomes, and what is said about the rest.

use std::path::Path;

use proptest::prelude::proptest;

use super::{Source, parse};
use crate::Error;
use crate::config::ModelConfig;

fn read(text: &str, all: Option<&str>) -> Result<ModelConfig, Error> {
    let source = Source { text, file: Path::new("m/model-settings.json") };
    let all = all.map(|text| Source { text, file: Path::new("settings.json") });
    parse(source, all, &|name| name == "model.skops")
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    assert_eq!(read(text, None).unwrap_err().to_string(), format!("m/model-settings.json:{expected}"));
}

const IRIS: &str = r#"{
  "name": "iris",
  "implementation": "mlserver_sklearn.SKLearnModel",
  "platform": "sklearn",
  "max_batch_size": 16,
  "max_batch_time": 0.5,
  "cache_enabled": true,
  "inputs": [
    {"name": "x", "datatype": "FP32", "shape": [-1, 4], "parameters": {"content_type": "np"}}
  ],
  "outputs": [{"name": "predict", "datatype": "INT64", "shape": [-1]}],
  "parameters": {
    "uri": "./iris.joblib",
    "version": "3",
    "extra": {"trust_pickle": true}
  }
}"#;

#[test]
fn all_that_has_its_place_is_taken() {
    let config =
        read(IRIS, Some(r#"{"parallel_workers": 2, "cache_enabled": true, "http_port": 8080}"#)).unwrap();
    assert_eq!((config.name.as_deref(), config.model_file.as_deref()), (Some("iris"), Some("iris.joblib")));
    let run = config.run;
    assert_eq!([run.instances, run.max_batch].map(|number| number.map(usize::from)), [Some(2), Some(16)]);
    assert_eq!((config.version, config.cache.is_some(), config.python.trust_pickle), (Some(3), true, true));
    assert!(config.estimator.is_some());
    let signature = config.declared().unwrap();
    assert_eq!(signature.inputs[0].to_string(), "x: f32 [?, 4]");
    let notes: Vec<_> = config.notes.iter().map(|note| format!("{} {}", note.line, note.key)).collect();
    assert_eq!(notes, ["4 platform", "6 max_batch_time"]);
    let nothing = IRIS.replace("\"sklearn\"", "null").replace("\"3\"", "null");
    let nothing = read(&nothing, None).unwrap();
    assert_eq!((nothing.version, nothing.notes.len()), (None, 1), "null is what is not said");
    let alone = read(IRIS, None).unwrap();
    assert_eq!((alone.run.instances, alone.cache), (None, None), "the cache is the repository's to allow");
    let own =
        read(&IRIS.replace("\"platform\": \"sklearn\"", "\"parallel_workers\": 3"), Some("{}")).unwrap();
    assert_eq!(own.run.instances.map(usize::from), Some(3));
    let found =
        read(r#"{"implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./"}}"#, None);
    assert_eq!(found.unwrap().model_file.as_deref(), Some("model.skops"));
}

#[test]
fn what_cannot_be_kept_is_refused_with_line_and_remedy() {
    let check = |from: &str, to: &str, expected: &str| refused(&IRIS.replace(from, to), expected);
    check(
        "mlserver_sklearn.SKLearnModel",
        "models.MyModel",
        "3: `implementation`: \"models.MyModel\" is not run here; write a class `Model` with `predict` in a model.py, or \
         convert the model to ONNX, and take the settings away",
    );
    check(
        "true}",
        "false}",
        "13: `parameters.uri`: reading `iris.joblib` runs whatever code is in it; if it is your own, write \"extra\": \
         {\"trust_pickle\": true} under \"parameters\", or save it as model.skops",
    );
    check(
        "iris.joblib",
        "iris.bst",
        "13: `parameters.uri`: `iris.bst` is no file in which an estimator can be read here; expected .joblib, .pkl, .skops: \
         save it anew, or load it in a model.py",
    );
    for uri in ["/mnt/models/iris.joblib", "../iris.joblib", "s3://bucket/iris.joblib"] {
        let message = format!(
            "13: `parameters.uri`: \"{uri}\" is not in the model's own folder; put the file there, and write its name alone"
        );
        check("./iris.joblib", uri, &message);
    }
    check(
        "\"version\": \"3\"",
        "\"content_type\": \"pd\"",
        "14: `parameters.content_type`: \"pd\" makes something else than numbers of an input, which is not done here; do so \
         in a model.py, or write \"np\"",
    );
    check(
        "\"version\": \"3\"",
        "\"environment_tarball\": \"env.tar.gz\"",
        "14: `parameters.environment_tarball`: is not unpacked here; unpack it, and write its folder as `environment_path`",
    );
    check("FP32", "FLOAT", "9: `inputs`: unknown datatype \"FLOAT\"; expected one such as FP32");
    check("16", "\"many\"", "5: `max_batch_size`: invalid type: string \"many\", expected usize");
    refused("{\n \"name\": \"m\"\n}", "1: needs `implementation`, such as \"mlserver_sklearn.SKLearnModel\"");
    let error = read("{\n \"name\": ", None).unwrap_err();
    assert_eq!(error.line(), Some(2));
}

proptest! {
    #[test]
    fn no_change_is_too_much(at in 0..IRIS.len(), with in "\\PC{0,3}", drop in 0..9_usize) {
        let end = (at + drop).min(IRIS.len());
        let _ = read(&format!("{}{with}{}", &IRIS[..at], &IRIS[end..]), None);
    }

    #[test]
    fn no_text_is_too_much(text in "\\PC{0,100}") {
        let _ = read(&text, Some(&text));
    }
}
