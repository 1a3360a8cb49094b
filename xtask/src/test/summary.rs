//! What test runners say at their end, added up.

use std::fmt;
use std::ops::{AddAssign, Sub};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Summary {
    /// The closing line of `cargo test` or of nextest, or one of the two of Node's runner, if this is one.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let line = line.trim();
        if let Some(count) = line.strip_prefix("# pass ") {
            return Some(Summary { passed: count.parse().ok()?, failed: 0 });
        }
        if let Some(count) = line.strip_prefix("# fail ") {
            return Some(Summary { passed: 0, failed: count.parse().ok()? });
        }
        let counts = match line.strip_prefix("test result: ") {
            Some(rest) => rest.split_once(". ")?.1,
            // `Summary [   0.5s] 12 tests run: 10 passed (1 slow), 2 failed, 0 skipped`
            None => line.strip_prefix("Summary [")?.split_once(" run: ")?.1,
        };
        let mut summary = Summary::default();
        for part in counts.split([';', ',']) {
            let mut words = part.split_whitespace();
            let Some(count) = words.next().and_then(|count| count.parse::<u64>().ok()) else {
                continue;
            };
            match words.next() {
                Some("passed") => summary.passed += count,
                // Nextest tells tests that ran too long or could not be started from those that failed.
                Some("failed" | "timed" | "exec") => summary.failed += count,
                _ => {}
            }
        }
        Some(summary)
    }

    pub(crate) fn count(self) -> u64 {
        self.passed + self.failed
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl Sub for Summary {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Summary { passed: self.passed - before.passed, failed: self.failed - before.failed }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_read() {
        for (line, expected) in [
            (
                "test result: ok. 46 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.21s",
                Some((46, 1)),
            ),
            ("test result: FAILED. 0 passed; 3 failed; 0 ignored", Some((0, 3))),
            ("     Summary [   0.512s] 12 tests run: 12 passed, 0 skipped", Some((12, 0))),
            (
                "Summary [1.0s] 9 tests run: 5 passed (1 slow, 2 leaky), 2 failed, 1 timed out, 1 exec failed, 3 skipped",
                Some((5, 4)),
            ),
            ("     Summary [   0.512s] 1 test run: 1 passed, 0 skipped", Some((1, 0))),
            ("     Summary [   0.512s] 3/9 tests run: 2 passed, 1 failed, 0 skipped", Some((2, 1))),
            ("# pass 99", Some((99, 0))),
            ("# fail 2", Some((0, 2))),
            ("# passes all", None),
            ("running 3 tests", None),
            ("12 passed, 0 failed", None),
        ] {
            let found = Summary::read(line).map(|summary| (summary.passed, summary.failed));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn sums_are_one_plain_line() {
        let mut sum = Summary { passed: 2, failed: 0 };
        sum += Summary { passed: 3, failed: 1 };
        assert_eq!(sum.to_string(), "5 passed, 1 failed");
        assert_eq!(sum.count(), 6);
    }
}
