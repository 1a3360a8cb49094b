//! Types of one's own as inputs and outputs.

use unruffled::engine::ErrorKind;
use unruffled::{Engine, FromTensors, IntoTensors, Load as _, sample};

#[derive(IntoTensors)]
struct Picture {
    image: Vec<f32>,
}

#[derive(Debug, FromTensors)]
struct Digit {
    label: i64,
    #[tensor(name = "probabilities")]
    scores: Vec<f32>,
}

#[derive(Debug, FromTensors)]
struct Wrong {
    #[tensor(name = "certainty")]
    _certainty: f32,
}

#[tokio::test]
async fn fields_are_inputs_and_outputs() {
    let engine = Engine::new();
    let digits = engine.load_folder(&sample::digits()).unwrap().await.unwrap();
    let image = sample::seven().get("image").unwrap().elements::<f32>().unwrap().to_vec();
    let read = digits.typed::<Picture, Digit>();
    let digit = read.infer(Picture { image: image.clone() }).await.unwrap().output;
    assert_eq!((digit.label, digit.scores.len()), (7, 10));

    let error = digits.typed::<Picture, Wrong>().infer(Picture { image }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelFailed);
    let text = "model `digits`: `certainty`: was not given by the model; there is `probabilities`, `label`";
    assert_eq!(error.to_string(), text);
}
