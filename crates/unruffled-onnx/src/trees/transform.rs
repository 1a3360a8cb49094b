//! [`PostTransform`]: what scores go through at the end, and how they come to be two where only one was computed.

use std::f32::consts::SQRT_2;

/// What becomes of raw scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PostTransform {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

/// What a single score says of two classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Second {
    /// Nothing of the other.
    Absent,
    /// It is a probability: the other is what is left of one.
    Complement,
    /// It is a margin: the other is its opposite.
    Opposite,
}

impl PostTransform {
    /// The transform of a name.
    ///
    /// # Errors
    ///
    /// A reason, if there is none of that name.
    pub(super) fn named(name: Option<&str>) -> Result<Self, String> {
        Ok(match name {
            None | Some("NONE") => Self::None,
            Some("SOFTMAX") => Self::Softmax,
            Some("LOGISTIC") => Self::Logistic,
            Some("SOFTMAX_ZERO") => Self::SoftmaxZero,
            Some("PROBIT") => Self::Probit,
            Some(other) => return Err(format!("has the transform `{other}`, which is not known")),
        })
    }

    /// The transform of a number, as newer operators have it.
    ///
    /// # Errors
    ///
    /// A reason, if there is none of that number.
    pub(super) fn numbered(number: i64) -> Result<Self, String> {
        Ok(match number {
            0 => Self::None,
            1 | 2 => {
                return Err(format!(
                    "has transform {number}, which ONNX and ONNX Runtime understand differently"
                ));
            }
            3 => Self::SoftmaxZero,
            4 => Self::Probit,
            other => return Err(format!("has transform {other}, which is not known")),
        })
    }

    /// Transforms the scores of one row, two or more.
    pub(super) fn apply(self, scores: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Softmax => softmax(scores),
            Self::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::SoftmaxZero => softmax_zero(scores),
            Self::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
        }
    }

    /// Makes the scores of two classes out of one.
    pub(super) fn pair(self, score: f32, second: Second) -> [f32; 2] {
        match (second, self) {
            (Second::Absent, _) => [score, 0.0],
            (_, Self::Logistic) => [logistic(-score), logistic(score)],
            (Second::Complement, _) => [1.0 - score, score],
            (Second::Opposite, _) => [-score, score],
        }
    }
}

pub(super) fn logistic(x: f32) -> f32 {
    let v = 1.0 / (1.0 + (-x.abs()).exp());
    if x < 0.0 { 1.0 - v } else { v }
}

fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::MIN, |max, score| if score > max { score } else { max });
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// A softmax in which scores of zero stay zero.
fn softmax_zero(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::MIN, |max, score| if score > max { score } else { max });
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        if score.abs() > 1e-7 {
            *score = (*score - max).exp();
            sum += *score;
        } else {
            *score *= (-max).exp();
        }
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// The quantile of the normal distribution, by the usual short approximation of the inverse error function.
#[allow(clippy::approx_constant, reason = "ONNX Runtime has it in six digits")]
pub(super) fn probit(x: f32) -> f32 {
    let y = 2.0 * x - 1.0;
    let sign = if y < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - y) * (1.0 + y)).ln();
    let v = 2.0 / (3.141_59 * 0.147) + 0.5 * log;
    // Near the middle little is left of this difference: in 32 bits the root would be another than ONNX Runtime's.
    let root = (f64::from(v) * f64::from(v) - f64::from(log / 0.147)).sqrt() as f32;
    SQRT_2 * sign * (root - v).sqrt()
}

#[cfg(test)]
mod tests {
    use super::{PostTransform, Second, logistic, probit};

    #[track_caller]
    fn check(transform: PostTransform, scores: &[f32], expected: &[f32]) {
        let mut given = scores.to_vec();
        transform.apply(&mut given);
        let close = given.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close, "{transform:?} of {scores:?} is {given:?}");
    }

    #[test]
    fn scores_become_what_the_transform_says() {
        check(PostTransform::None, &[1.0, -2.0], &[1.0, -2.0]);
        check(PostTransform::Softmax, &[0.0, 0.0, 1000.0], &[0.0, 0.0, 1.0]);
        check(PostTransform::Softmax, &[1.0, 1.0], &[0.5, 0.5]);
        check(PostTransform::Logistic, &[0.0, 2.0, -2.0], &[0.5, 0.880_797, 0.119_203]);
        check(PostTransform::SoftmaxZero, &[0.0, 1.0, 1.0], &[0.0, 0.5, 0.5]);
        // The approximation is good to two digits.
        assert!((probit(0.975) - 1.96).abs() < 0.01 && probit(0.5).abs() < 1e-6);
    }

    #[test]
    fn one_score_becomes_two() {
        assert_eq!(PostTransform::None.pair(0.25, Second::Complement), [0.75, 0.25]);
        assert_eq!(PostTransform::None.pair(-2.0, Second::Opposite), [2.0, -2.0]);
        assert_eq!(PostTransform::Logistic.pair(2.0, Second::Complement), [logistic(-2.0), logistic(2.0)]);
    }

    #[test]
    fn unknown_transforms_are_refused() {
        assert!(PostTransform::named(Some("CUBE")).is_err() && PostTransform::numbered(5).is_err());
        assert_eq!(PostTransform::numbered(3), Ok(PostTransform::SoftmaxZero));
    }
}
