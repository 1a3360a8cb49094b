//! Whether an output is what the standard says, as far as floats go.

use half::{bf16, f16};
use unruffled_model::{DType, Tensor};

use crate::floats::floats;

/// How far a float may be off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    /// As a part of the expected value.
    pub(super) relative: f64,
    /// Beside that.
    pub(super) absolute: f64,
}

/// Compares an output with the expected one. Not a number equals itself.
///
/// # Errors
///
/// What differs, and where by how much.
pub(super) fn compare(expected: &Tensor, given: &Tensor, tolerance: Tolerance) -> Result<(), String> {
    compare_form(expected, given)?;
    let Some((wanted, found)) = floats(expected).zip(floats(given)) else {
        return match expected == given {
            true => Ok(()),
            false => Err(format!("{given:?} instead of {expected:?}")),
        };
    };
    // One step of 16-bit floats is more than most tests allow.
    let step = match expected.dtype() {
        DType::BF16 => bf16::EPSILON.to_f64(),
        DType::F16 => f16::EPSILON.to_f64(),
        _ => 0.0,
    };
    let is_close = |wanted: f64, found: f64| {
        let allowed = tolerance.absolute + tolerance.relative.max(step) * wanted.abs();
        wanted == found
            || (wanted.is_nan() && found.is_nan())
            || (wanted.is_finite() && (wanted - found).abs() <= allowed)
    };
    let pairs = || wanted.iter().zip(&found).enumerate();
    let wrong = pairs().filter(|(_, (wanted, found))| !is_close(**wanted, **found)).count();
    match pairs().find(|(_, (wanted, found))| !is_close(**wanted, **found)) {
        None => Ok(()),
        Some((i, (wanted, found))) => Err(format!(
            "{wrong} of {} elements are wrong: element {i} of shape {:?} is {found} instead of {wanted}",
            expected.len(),
            expected.shape()
        )),
    }
}

/// Compares type and shape alone.
///
/// # Errors
///
/// What differs.
pub(super) fn compare_form(expected: &Tensor, given: &Tensor) -> Result<(), String> {
    if (expected.dtype(), expected.shape()) == (given.dtype(), given.shape()) {
        return Ok(());
    }
    let what = |tensor: &Tensor| format!("{} {:?}", tensor.dtype(), tensor.shape());
    Err(format!("{} instead of {}", what(given), what(expected)))
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use unruffled_model::{Element, Tensor};

    use super::{Tolerance, compare};

    #[track_caller]
    fn check<T: Element>(expected: T, given: T, same: bool) {
        let tolerance = Tolerance { relative: 1e-3, absolute: 1e-7 };
        let outcome = compare(&Tensor::scalar(expected), &Tensor::scalar(given), tolerance);
        assert_eq!(outcome.is_ok(), same, "{outcome:?}");
    }

    #[test]
    fn floats_may_differ_a_little_and_nothing_else() {
        check(1.0_f32, 1.000_9, true);
        check(1.0_f32, 1.002, false);
        check(0.0_f64, 1e-7, true);
        check(f32::NAN, f32::NAN, true);
        check(f32::INFINITY, f32::INFINITY, true);
        check(f32::INFINITY, f32::MAX, false);
        check(1.0_f32, f32::NAN, false);
        check(10_000_i64, 10_001, false);
        check(bf16::from_f32(0.5), bf16::from_f32(0.502), true);
        check(bf16::from_f32(0.5), bf16::from_f32(0.506), false);
    }

    #[test]
    fn what_differs_is_said() {
        let tolerance = Tolerance { relative: 0.0, absolute: 0.0 };
        let tensor = |elements: [f32; 3]| Tensor::new(&[3], elements.to_vec()).unwrap();
        let error = compare(&tensor([1., 2., 3.]), &tensor([1., 5., 6.]), tolerance).unwrap_err();
        assert_eq!(error, "2 of 3 elements are wrong: element 1 of shape [3] is 5 instead of 2");
        let error = compare(&tensor([1., 2., 3.]), &Tensor::scalar(1_u8), tolerance).unwrap_err();
        assert_eq!(error, "u8 [] instead of f32 [3]");
    }
}
