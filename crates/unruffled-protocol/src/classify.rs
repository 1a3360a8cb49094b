//! Classification: the best few elements of an output instead of all of them.

use std::cmp::Ordering;
use std::io::Write as _;
use std::num::NonZeroUsize;

use unruffled_model::{Bytes, Tensor, for_each_dtype};

use crate::error::{ProtocolError, ProtocolErrorKind};

/// The `classes` greatest elements of each row of `scores`, greatest first, as texts `value:index` or `value:index:label`: BYTES
/// of shape `[rows, classes]`, or `[classes]` if the output has no batch. Rows are told apart by the first dimension if
/// `batched`; equal elements go by their index, and NaN comes last.
///
/// # Errors
///
/// `InvalidOutput` if the elements are no numbers.
pub fn classify(
    scores: &Tensor,
    classes: NonZeroUsize,
    batched: bool,
    labels: &dyn Fn(usize) -> Option<String>,
) -> Result<Tensor, ProtocolError> {
    let rows = if batched { scores.shape().first().copied().unwrap_or(1) } else { 1 };
    let width = scores.len().checked_div(rows).unwrap_or(0);
    let kept = width.min(classes.get());
    let mut texts = Vec::with_capacity(rows * kept);
    for row in 0..rows {
        let range = row * width..(row + 1) * width;
        for_each_dtype!(scores.data(), elements => Ranked::rank(&elements[range], kept, labels, &mut texts))?;
    }
    let shape: &[usize] = if batched { &[rows, kept] } else { &[kept] };
    Tensor::new(shape, texts).map_err(|error| invalid(error.to_string()))
}

fn invalid(message: impl Into<String>) -> ProtocolError {
    ProtocolError::new(ProtocolErrorKind::InvalidOutput, message)
}

/// An element type that may have an order.
trait Ranked: Sized {
    /// Appends the texts of the greatest elements.
    fn rank(
        elements: &[Self],
        kept: usize,
        labels: &dyn Fn(usize) -> Option<String>,
        texts: &mut Vec<Bytes>,
    ) -> Result<(), ProtocolError>;
}

macro_rules! ranked {
    ($($type:ty: $order:expr;)*) => {$(
        impl Ranked for $type {
            fn rank(
                elements: &[Self],
                kept: usize,
                labels: &dyn Fn(usize) -> Option<String>,
                texts: &mut Vec<Bytes>,
            ) -> Result<(), ProtocolError> {
                let order: fn(&$type, &$type) -> Ordering = $order;
                let mut ranks: Vec<usize> = (0..elements.len()).collect();
                let before = |a: &usize, b: &usize| order(&elements[*b], &elements[*a]).then(a.cmp(b));
                if kept < ranks.len() && kept > 0 {
                    ranks.select_nth_unstable_by(kept - 1, before);
                }
                ranks.truncate(kept);
                ranks.sort_unstable_by(before);
                for index in ranks {
                    let mut text = Vec::new();
                    write!(text, "{}:{index}", elements[index]).expect("a Vec takes everything");
                    if let Some(label) = labels(index) {
                        text.push(b':');
                        text.extend_from_slice(label.as_bytes());
                    }
                    texts.push(text.into());
                }
                Ok(())
            }
        }
    )*};
}

/// Which of two numbers is greater; NaN is below all others.
fn floats<T: PartialOrd>(a: &T, b: &T) -> Ordering {
    // Only NaN has no order to itself.
    let is_number = |number: &T| number.partial_cmp(number).is_some();
    a.partial_cmp(b).unwrap_or_else(|| is_number(a).cmp(&is_number(b)))
}

ranked! {
    u8: Ord::cmp; u16: Ord::cmp; u32: Ord::cmp; u64: Ord::cmp;
    i8: Ord::cmp; i16: Ord::cmp; i32: Ord::cmp; i64: Ord::cmp;
    half::f16: floats; half::bf16: floats; f32: floats; f64: floats;
    bool: Ord::cmp;
}

impl Ranked for Bytes {
    fn rank(
        _: &[Self],
        _: usize,
        _: &dyn Fn(usize) -> Option<String>,
        _: &mut Vec<Bytes>,
    ) -> Result<(), ProtocolError> {
        Err(invalid("is BYTES, which have no greatest element; leave `classification` out"))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use unruffled_model::{Bytes, Tensor};

    use super::classify;

    #[track_caller]
    fn check(scores: &Tensor, classes: usize, batched: bool, shape: &[usize], expected: &[&str]) {
        let labels = |index: usize| ["zero", "one"].get(index).map(ToString::to_string);
        let classes = NonZeroUsize::new(classes).unwrap();
        let texts = classify(scores, classes, batched, &labels).unwrap();
        assert_eq!(texts.shape(), shape);
        let given: Vec<_> =
            texts.elements::<Bytes>().unwrap().iter().map(|text| str::from_utf8(text).unwrap()).collect();
        assert_eq!(given, expected);
    }

    #[test]
    fn the_greatest_come_first() {
        let scores = Tensor::new(&[2, 3], vec![0.25_f32, 0.5, 0.25, f32::NAN, -1.0, 2.0]).unwrap();
        check(&scores, 2, true, &[2, 2], &["0.5:1:one", "0.25:0:zero", "2:2", "-1:1:one"]);
        check(
            &scores,
            9,
            true,
            &[2, 3],
            &["0.5:1:one", "0.25:0:zero", "0.25:2", "2:2", "-1:1:one", "NaN:0:zero"],
        );
        let flat = Tensor::new(&[3], vec![7_i64, 9, 8]).unwrap();
        check(&flat, 1, false, &[1], &["9:1:one"]);
        check(&Tensor::new(&[0, 3], Vec::<f32>::new()).unwrap(), 2, true, &[0, 0], &[]);
    }

    #[test]
    fn texts_have_no_greatest() {
        let texts = Tensor::new(&[1], vec![Bytes::from_static(b"a")]).unwrap();
        let refused = classify(&texts, NonZeroUsize::MIN, false, &|_| None).unwrap_err();
        assert!(refused.to_string().contains("BYTES"), "{refused}");
    }
}
