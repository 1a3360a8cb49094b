//! Segments of speech against silero-vad's own function.

use serde_json::Value;
use unruffled_model::{Tensor, Tensors};
use unruffled_steps::{NoFiles, Segment, SpeechSegments, Step};

use crate::{answer, recorded};

fn options(settings: &Value) -> SpeechSegments {
    let number = |key: &str, usual: f64| settings.get(key).and_then(Value::as_f64).unwrap_or(usual);
    let usual = SpeechSegments::default();
    SpeechSegments {
        threshold: number("threshold", 0.5) as f32,
        silence_threshold: settings.get("neg_threshold").and_then(Value::as_f64).map(|at| at as f32),
        speech_min_ms: number("min_speech_duration_ms", usual.speech_min_ms),
        silence_min_ms: number("min_silence_duration_ms", usual.silence_min_ms),
        pad_ms: number("speech_pad_ms", usual.pad_ms),
        ..usual
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn segments_are_those_of_silero_frame_by_frame_and_at_once() {
    let cases = recorded("segments.json");
    let mut found = 0;
    for (at, case) in cases.as_array().unwrap().iter().enumerate() {
        let options = options(&case["settings"]);
        let probabilities: Vec<f32> =
            numbers(&case["probabilities"]).into_iter().map(|number| number as f32).collect();
        let length = case["length"].as_u64().unwrap() as usize;
        let expected: Vec<Segment> = case["segments"]
            .as_array()
            .unwrap()
            .iter()
            .map(numbers)
            .map(|ends| Segment { start: ends[0] as usize, end: ends[1] as usize })
            .collect();

        let mut gate = options.gate();
        let mut told: Vec<Segment> = probabilities.iter().filter_map(|one| gate.push(*one)).collect();
        told.extend(gate.finish(Some(length)));
        assert_eq!(told, expected, "case {at}, {}", case["settings"]);

        let inputs = Tensors::new()
            .with("probabilities", Tensor::new(&[probabilities.len(), 1], probabilities).unwrap())
            .with("length", Tensor::new(&[1], vec![length as i64]).unwrap());
        let out = answer(&Step::SpeechSegments(options).load(&NoFiles).unwrap(), inputs).unwrap();
        let seconds: Vec<f64> = expected.iter().flat_map(|segment| segment.seconds(16_000)).collect();
        let segments = out.get("segments").unwrap();
        assert_eq!(segments.elements::<f64>().unwrap(), seconds);
        assert_eq!(segments.shape(), [expected.len(), 2]);
        found += expected.len();
    }
    assert!(found > 50, "{found} segments prove little");
}
