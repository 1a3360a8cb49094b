//! Numbers as a person reads them.

use std::fmt;
use std::time::Duration;

use crate::error::ErrorKind;

/// A duration in the unit that suits it, with two or three digits: `0.4 us`, `1.2 ms`, `350 ms`, `1.5 min`.
#[derive(Clone, Copy)]
pub(crate) struct Brief(pub(crate) Duration);

/// Units with their seconds.
const UNITS: [(f64, &str); 5] = [(1e-6, "us"), (1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "h")];

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        for (at, (unit, name)) in UNITS.iter().enumerate() {
            let value = seconds / unit;
            let decimals = usize::from(value < 99.95);
            let rounded = if decimals == 1 { (value * 10.0).round() / 10.0 } else { value.round() };
            // What rounds up to one of the next unit is said in that.
            let is_small = UNITS.get(at + 1).is_none_or(|(next, _)| rounded * unit < next * (1.0 - 1e-9));
            if is_small {
                return f.pad(&format!("{rounded:.decimals$} {name}"));
            }
        }
        unreachable!("the last unit takes all")
    }
}

/// A count with its thousands apart: `10,250`.
#[derive(Clone, Copy)]
pub(super) struct Grouped(pub(super) u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// The kind in plain words: `deadline exceeded`.
pub(crate) fn words(kind: ErrorKind) -> String {
    kind.code().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Brief, Grouped};

    #[test]
    fn durations_are_said_in_the_unit_that_suits_them() {
        let cases = [
            (0, "0.0 us"),
            (430, "0.4 us"),
            (99_949, "99.9 us"),
            (99_951, "100 us"),
            (999_400, "999 us"),
            (999_600, "1.0 ms"),
            (23_140_000, "23.1 ms"),
            (100_000_000, "100 ms"),
            (999_700_000, "1.0 s"),
            (59_900_000_000, "59.9 s"),
            (59_960_000_000, "1.0 min"),
            (90_000_000_000, "1.5 min"),
            (36_000_000_000_000, "10.0 h"),
        ];
        for (nanos, text) in cases {
            assert_eq!(Brief(Duration::from_nanos(nanos)).to_string(), text, "{nanos} ns");
        }
        assert_eq!(format!("{:>8}", Brief(Duration::from_millis(2))), "  2.0 ms");
    }

    #[test]
    fn counts_have_their_thousands_apart() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(Grouped(count).to_string(), text);
        }
    }
}
