//! [`Reading`]: what the numbers of an output mean, by the settings of the output.

use unruffled_model::Tensor;

use super::numbers;
use crate::config::fit::is_scores;
use crate::config::{Decode, OutputConfig};

/// What an output means.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reading {
    /// For each row, its best classes, the best first; a single one without a score where the model names it itself.
    Classes(Vec<Vec<Class>>),
    /// For each row, the text that it spells.
    Text(Vec<Line>),
    /// Stretches of time: begin and end of each, in seconds.
    Spans(Vec<[f64; 2]>),
    /// Nothing is known but the numbers.
    Plain,
}

/// One class of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Which one, counted from 0.
    pub index: i64,
    /// What it is called; its index where it has no label.
    pub label: String,
    /// What the model gave it, as it stands; nothing where the output is the class itself.
    pub score: Option<f64>,
}

/// One row of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The text.
    pub text: String,
    /// The mean score of its characters; 0 for an empty text.
    pub score: f64,
}

pub(super) fn read(tensor: &Tensor, config: Option<&OutputConfig>, top: Option<usize>) -> Reading {
    let Some(config) = config else {
        return Reading::Plain;
    };
    let Some(values) = numbers::floats(tensor) else {
        return Reading::Plain;
    };
    let labels = config.labels.as_deref().unwrap_or_default();
    match (config.decode, tensor.shape()) {
        (Decode::Ctc, &[_, steps, classes]) if steps * classes > 0 => {
            let lines = values.chunks_exact(steps * classes).map(|row| line(row, classes, labels));
            Reading::Text(lines.collect())
        }
        (Decode::Classes, _) if !is_scores(tensor.dtype()) => {
            let row = |value: f64| vec![class(value as i64, None, labels)];
            Reading::Classes(values.into_iter().map(row).collect())
        }
        (Decode::Classes, &[.., classes]) if classes > 0 => {
            let top = top.unwrap_or(config.top.get());
            let rows = values.chunks_exact(classes).map(|row| best(row, top, labels));
            Reading::Classes(rows.collect())
        }
        _ => Reading::Plain,
    }
}

/// The best classes of a row; of equals, the first.
fn best(scores: &[f64], top: usize, labels: &[String]) -> Vec<Class> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let rank = |index: &usize| {
        if scores[*index].is_nan() { f64::NEG_INFINITY } else { scores[*index] }
    };
    order.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    order.truncate(top);
    order.into_iter().map(|index| class(index as i64, Some(scores[index]), labels)).collect()
}

fn class(index: i64, score: Option<f64>, labels: &[String]) -> Class {
    let label = usize::try_from(index).ok().and_then(|index| labels.get(index));
    Class { index, label: label.cloned().unwrap_or_else(|| index.to_string()), score }
}

/// The best class of each step, without repetitions and without class 0, the blank.
fn line(row: &[f64], classes: usize, labels: &[String]) -> Line {
    let (mut text, mut sum, mut count, mut before) = (String::new(), 0.0, 0_u32, 0);
    for step in row.chunks_exact(classes) {
        let (index, score) = step.iter().enumerate().fold((0, f64::NEG_INFINITY), |best, (index, score)| {
            if *score > best.1 { (index, *score) } else { best }
        });
        if index != 0 && index != before {
            match labels.get(index) {
                Some(label) => text.push_str(label),
                None => text.push('\u{fffd}'),
            }
            sum += score;
            count += 1;
        }
        before = index;
    }
    Line { text, score: if count == 0 { 0.0 } else { sum / f64::from(count) } }
}
