//! What becomes of the scores of a row when all trees have been asked: answers and classes as ONNX Runtime gives them,
//! odd cases included.

use super::scores::{Aggregate, Score};
use crate::trees::transform::{PostTransform, Second, probit};

/// The end of a regression.
#[derive(Clone, Debug)]
pub(super) struct Regression<S> {
    pub(super) aggregate: Aggregate,
    /// None, or one for each target.
    pub(super) base: Vec<S>,
    pub(super) transform: PostTransform,
    pub(super) trees: usize,
}

impl<S: Score> Regression<S> {
    /// Turns the scores of a row into answers. A target that no leaf had a weight for is zero, base value or not, unless
    /// it is transformed or alone.
    pub(super) fn finish(&self, scores: &mut [S], seen: &[bool], answers: &mut [f64]) {
        for (i, (score, answer)) in scores.iter_mut().zip(answers.iter_mut()).enumerate() {
            if self.aggregate == Aggregate::Average {
                *score = score.over(self.trees);
            }
            let base = self.base.get(i).copied().unwrap_or(S::ZERO);
            let is_zero = !seen[i] && seen.len() > 1 && self.transform == PostTransform::None;
            *answer = if is_zero { 0.0 } else { score.plus(base).to_f64() };
        }
        match (answers, self.transform) {
            (_, PostTransform::None) => {}
            // Of a single answer, all transforms but this one are passed over.
            ([answer], PostTransform::Probit) => *answer = probit(*answer as f32).into(),
            ([_], _) => {}
            (answers, transform) => {
                let mut narrow: Vec<f32> = answers.iter().map(|&answer| answer as f32).collect();
                transform.apply(&mut narrow);
                answers.iter_mut().zip(narrow).for_each(|(answer, narrow)| *answer = narrow.into());
            }
        }
    }
}

/// The end of a classification.
#[derive(Clone, Debug)]
pub(super) struct Classification<S> {
    /// None, one, or one for each class.
    pub(super) base: Vec<S>,
    pub(super) transform: PostTransform,
    /// Two classes, and scores for one of them only.
    pub(super) is_binary: bool,
    /// No weight of any leaf is negative: scores are probabilities, and not margins.
    pub(super) all_positive: bool,
}

impl<S: Score> Classification<S> {
    /// Turns the scores of a row into those that are answered, and gives the class.
    pub(super) fn finish(&self, scores: &[S], seen: &[bool], answers: &mut [f32]) -> usize {
        match (scores, seen, answers) {
            (&[first, second, ..], &[first_seen, second_seen], [a, b]) => {
                let (answer, class) = self.finish_two([first, second], [first_seen, second_seen]);
                [*a, *b] = answer;
                class
            }
            (scores, seen, answers) => self.finish_many(scores, seen, answers),
        }
    }

    fn finish_many(&self, scores: &[S], seen: &[bool], answers: &mut [f32]) -> usize {
        let mut best: Option<(usize, S)> = None;
        for (class, answer) in answers.iter_mut().enumerate() {
            let (mut score, mut seen) = (scores[class], seen[class]);
            if let Some(base) = self.base.get(class) {
                score = if seen { score.plus(*base) } else { *base };
                seen = true;
            }
            if seen && best.is_none_or(|(_, highest)| score > highest) {
                best = Some((class, score));
            }
            *answer = score.to_f32();
        }
        self.transform.apply(answers);
        best.map_or(0, |(class, _)| class)
    }

    fn finish_two(&self, [mut first, mut second]: [S; 2], seen: [bool; 2]) -> ([f32; 2], usize) {
        let [first_seen, second_seen] = seen;
        let is_one = match self.base[..] {
            [_, base] if second_seen => {
                second = base.plus(first);
                first = S::from_f64(-second.to_f64());
                false
            }
            [one, other] => {
                (first, second) = (first.plus(one), second.plus(other));
                false
            }
            [base] => {
                first = first.plus(base);
                !second_seen
            }
            _ => !second_seen,
        };
        let weight = match (second_seen, first_seen) {
            (true, _) => second,
            (false, true) => first,
            (false, false) => S::ZERO,
        };
        let weight = weight.to_f64();
        let (class, pair) = match (self.is_binary, self.all_positive) {
            (true, true) => (usize::from(weight > 0.5), Second::Complement),
            (true, false) => (usize::from(weight > 0.0), Second::Opposite),
            (false, _) if self.base.is_empty() => (usize::from(weight > 0.0), Second::Opposite),
            (false, _) => (usize::from(weight > 0.0), Second::Absent),
        };
        if is_one {
            return (self.transform.pair(first.to_f32(), pair), class);
        }
        let mut answers = [first.to_f32(), second.to_f32()];
        if self.transform == PostTransform::None {
            // A class that no leaf had a weight for is zero, base value or not.
            answers = [0, 1].map(|class| if seen[class] { answers[class] } else { 0.0 });
        }
        self.transform.apply(&mut answers);
        (answers, class)
    }
}
