//! Whether two answers are the same, as far as floats go.

use std::fmt;

use unruffled_model::{Data, Tensor, Tensors};

use crate::floats::floats;

/// How far floats were apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    /// The largest distance.
    pub absolute: f64,
    /// The largest distance as a part of what is allowed: above 1 is a failure.
    pub of_allowed: f64,
}

impl Difference {
    /// The larger of both, for each measure.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            absolute: self.absolute.max(other.absolute),
            of_allowed: self.of_allowed.max(other.of_allowed),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.absolute {
            0.0 => f.write_str("none"),
            absolute => write!(f, "{absolute:.1e}"),
        }
    }
}

/// Compares an answer with the expected one.
///
/// `inputs` are what was asked: an output that equals one of them bit for bit was passed on, and must be so again.
///
/// # Errors
///
/// What differs, in words.
pub(super) fn compare(expected: &Tensors, given: &Tensors, inputs: &Tensors) -> Result<Difference, String> {
    let names = |tensors: &Tensors| {
        let mut names: Vec<_> = tensors.iter().map(|(name, _)| name.to_string()).collect();
        names.sort_unstable();
        names
    };
    if names(expected) != names(given) {
        return Err(format!("outputs {:?} instead of {:?}", names(given), names(expected)));
    }
    let mut worst = Difference::default();
    for (name, expected) in expected.iter() {
        let Some(given) = given.get(name) else { continue };
        let passed_on = inputs.iter().any(|(_, input)| is_same(input, expected));
        if passed_on && !is_same(expected, given) {
            return Err(format!("`{name}` is only passed on, but changed"));
        }
        let difference = distance(expected, given).map_err(|error| format!("`{name}`: {error}"))?;
        worst = worst.max(difference);
    }
    Ok(worst)
}

/// Equal bit for bit.
fn is_same(a: &Tensor, b: &Tensor) -> bool {
    let bits = a.shape() == b.shape() && a.dtype() == b.dtype();
    bits && match (a.data(), b.data()) {
        (Data::F32(a), Data::F32(b)) => a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits())),
        (Data::F64(a), Data::F64(b)) => a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits())),
        _ => a == b,
    }
}

fn distance(expected: &Tensor, given: &Tensor) -> Result<Difference, String> {
    let what = |tensor: &Tensor| format!("{} {:?}", tensor.dtype(), tensor.shape());
    if (expected.dtype(), expected.shape()) != (given.dtype(), given.shape()) {
        return Err(format!("{} instead of {}", what(given), what(expected)));
    }
    let Some((expected, given)) = floats(expected).zip(floats(given)) else {
        return if expected == given {
            Ok(Difference::default())
        } else {
            Err(format!("{given:?} instead of {expected:?}"))
        };
    };
    let mut worst = Difference::default();
    for (i, (&expected, &given)) in expected.iter().zip(&given).enumerate() {
        if expected == given || (expected.is_nan() && given.is_nan()) {
            continue;
        }
        let absolute = (expected - given).abs();
        let of_allowed = absolute / (1e-5 + 1e-4 * expected.abs());
        // Not a number, if only one of them is not.
        if !(of_allowed <= 1.0 && expected.is_finite()) {
            return Err(format!("element {i} is {given} instead of {expected}"));
        }
        worst = worst.max(Difference { absolute, of_allowed });
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use unruffled_model::{Element, Tensor, Tensors};

    use super::compare;

    #[track_caller]
    fn check<T: Element>(expected: T, given: T, same: bool) {
        let answer = |x: T| Tensors::new().with("y", Tensor::scalar(x));
        let outcome = compare(&answer(expected), &answer(given), &Tensors::new());
        assert_eq!(outcome.is_ok(), same, "{outcome:?}");
    }

    #[test]
    fn floats_may_differ_a_little_and_nothing_else() {
        check(1.0_f32, 1.0001, true);
        check(1.0_f32, 1.0002, false);
        check(0.0_f32, 1e-5, true);
        check(f32::NAN, f32::NAN, true);
        check(f32::INFINITY, f32::INFINITY, true);
        check(f32::INFINITY, f32::MAX, false);
        check(1.0_f32, f32::NAN, false);
        check(1_i64 << 40, (1 << 40) + 1, false);
        check(true, true, true);
        check(true, false, false);
    }

    #[test]
    fn what_is_passed_on_must_not_change() {
        let zero = |x: f32| Tensors::new().with("y", Tensor::scalar(x));
        assert!(compare(&zero(-0.0), &zero(0.0), &Tensors::new()).is_ok());
        assert!(
            compare(&zero(-0.0), &zero(0.0), &Tensors::new().with("x", Tensor::scalar(-0.0_f32))).is_err()
        );
    }
}
