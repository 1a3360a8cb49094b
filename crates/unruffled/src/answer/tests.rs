//! How outputs read.

use std::path::Path;

use unruffled_model::{Element, Tensor, Tensors};

use super::{Answer, Summary};
use crate::config::ModelConfig;

#[track_caller]
fn check<T: Element>(settings: &str, shape: &[usize], elements: Vec<T>, top: Option<usize>, expected: &str) {
    let config = ModelConfig::parse(settings, Path::new("m"), &|_| Ok("-\na\nb\n".into())).unwrap();
    let outputs = Tensors::new().with("y", Tensor::new(shape, elements).unwrap());
    let mut json = Answer::read(&outputs, &config, top).to_json();
    let told = json[0].as_object_mut().unwrap();
    for key in ["name", "dtype", "shape"] {
        assert!(told.remove(key).is_some());
    }
    assert_eq!(json[0].to_string(), expected);
}

#[test]
fn scores_become_the_best_labels() {
    check(
        "[outputs.y]\nlabels = 'l'\ntop = 2",
        &[2, 3],
        vec![0.5_f64, 0.25, 0.75, 1.0, 2.0, 2.0],
        None,
        r#"{"classes":[[{"index":2,"label":"b","score":0.75},{"index":0,"label":"-","score":0.5}],[{"index":1,"label":"a","score":2.0},{"index":2,"label":"b","score":2.0}]]}"#,
    );
    check(
        "[outputs.y]\ntop = 2",
        &[1, 4],
        vec![0.0_f32, 0.5, f32::NAN, 0.25],
        Some(1),
        r#"{"classes":[[{"index":1,"label":"1","score":0.5}]]}"#,
    );
}

#[test]
fn an_integer_is_a_class() {
    check(
        "[outputs.y]\nlabels = 'l'",
        &[2],
        vec![2_i64, 9],
        None,
        r#"{"classes":[[{"index":2,"label":"b"}],[{"index":9,"label":"9"}]]}"#,
    );
}

#[test]
fn ctc_drops_repetitions_then_blanks() {
    let path = [1, 1, 0, 1, 2, 2, 0];
    let steps =
        path.iter().flat_map(|best| (0..3).map(move |class| if class == *best { 0.5_f64 } else { 0.25 }));
    check(
        "[outputs.y]\nlabels = 'l'\ndecode = 'ctc'",
        &[1, 7, 3],
        steps.collect(),
        None,
        r#"{"text":[{"score":0.5,"text":"aab"}]}"#,
    );
}

#[test]
fn without_settings_all_numbers_are_told() {
    check("", &[3], vec![0.1_f32, 1.0, -2.5], None, r#"{"data":[0.1,1.0,-2.5]}"#);
}

#[test]
fn summaries_stay_short() {
    let short = Tensor::new(&[2], vec![1_i64, 2]).unwrap();
    assert_eq!(Summary::of(&short).to_string(), "[1, 2]");
    assert_eq!(Summary::of(&Tensor::scalar(0.5_f32)).to_string(), "0.5");
    let long = Tensor::new(&[100], (0..100).map(|at| at as f32).collect::<Vec<_>>()).unwrap();
    assert_eq!(Summary::of(&long).to_string(), "min 0, max 99, mean 49.5, begins [0, 1, 2, 3, 4, 5, ...]");
}
