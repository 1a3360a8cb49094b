//! What pipelines give whose last steps have decoded it already: texts beside their scores, stretches of time.

use unruffled_model::Bytes;

use super::reading::{Line, Reading};
use super::{OutputAnswer, numbers};

/// The output that has the scores of the texts beside it.
pub(super) const SCORE: &str = "score";

/// The output that has stretches of time.
const SEGMENTS: &str = "segments";

/// Whether an output is texts whose scores are in another one.
pub(super) fn is_scored(output: &OutputAnswer) -> bool {
    matches!(output.reading, Reading::Text(_)) && output.tensor.elements::<Bytes>().is_ok()
}

/// Reads what no settings speak of, by names: texts with one `score` each, `segments` of two times each.
pub(super) fn read(outputs: &mut [OutputAnswer]) {
    let scores = outputs.iter().find(|output| &*output.name == SCORE);
    let scores = scores.filter(|output| output.tensor.shape().len() == 1);
    let scores = scores.and_then(|output| numbers::floats(&output.tensor));
    for output in outputs.iter_mut().filter(|output| output.reading == Reading::Plain) {
        if let (Ok(texts), Some(scores)) = (output.tensor.elements::<Bytes>(), &scores)
            && output.tensor.shape() == [scores.len()]
        {
            let line = |(text, score): (&Bytes, &f64)| Line {
                text: String::from_utf8_lossy(text).into_owned(),
                score: *score,
            };
            output.reading = Reading::Text(texts.iter().zip(scores).map(line).collect());
        } else if let (SEGMENTS, [_, 2], Ok(times)) =
            (&*output.name, output.tensor.shape(), output.tensor.elements::<f64>())
        {
            let (spans, _) = times.as_chunks::<2>();
            output.reading = Reading::Spans(spans.to_vec());
        }
    }
}
