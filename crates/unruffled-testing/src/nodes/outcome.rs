//! [`Outcome`] of one test, and the [`Tally`] of many.

use std::collections::BTreeMap;
use std::fmt;

use super::case::Case;

/// What came of one test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The right answer.
    Passed,
    /// The backend does not take the model, and says so when it is asked or when it loads it.
    Unsupported,
    /// The test's values are of a kind that tensors here cannot hold.
    Unfit,
    /// The model was loaded, but its inputs were refused.
    Refused,
    /// The run ended with another error.
    Failed,
    /// A wrong answer, a panic, a run without end, or a broken contract.
    Wrong,
}

/// What came of one test, and why.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it was.
    pub verdict: Verdict,
    /// Why it was no pass, in words.
    pub reason: String,
}

impl Outcome {
    pub(super) fn passed() -> Self {
        Self::new(Verdict::Passed, "")
    }

    pub(super) fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into() }
    }
}

impl Verdict {
    /// All of them, from good to bad.
    pub const ALL: [Verdict; 6] = [
        Verdict::Passed,
        Verdict::Unsupported,
        Verdict::Unfit,
        Verdict::Refused,
        Verdict::Failed,
        Verdict::Wrong,
    ];

    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Unsupported => "unsupported",
            Verdict::Unfit => "unfit",
            Verdict::Refused => "refused",
            Verdict::Failed => "failed",
            Verdict::Wrong => "wrong",
        }
    }
}

/// What came of many tests; shown as a table of counts and reasons.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<String, Outcome>);

impl Tally {
    /// Takes down what came of a test.
    pub fn add(&mut self, case: &Case, outcome: Outcome) {
        self.0.insert(case.name().to_owned(), outcome);
    }

    /// How many came to this.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.of(verdict).count()
    }

    /// The tests that came to this, and why.
    pub fn of(&self, verdict: Verdict) -> impl Iterator<Item = (&str, &str)> {
        let of = self.0.iter().filter(move |(_, outcome)| outcome.verdict == verdict);
        of.map(|(name, outcome)| (name.as_str(), outcome.reason.as_str()))
    }

    /// What came of the test of this name.
    pub fn get(&self, name: &str) -> Option<&Outcome> {
        self.0.get(name)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verdict in Verdict::ALL {
            writeln!(f, "{:<12} {:>5}", verdict.name(), self.count(verdict))?;
        }
        for verdict in Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Passed) {
            let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (name, reason) in self.of(verdict) {
                reasons.entry(reason).or_default().push(name);
            }
            let mut reasons: Vec<_> = reasons.into_iter().collect();
            reasons.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
            for (reason, names) in reasons {
                writeln!(f, "{} {:>4} x {reason} ({})", verdict.name(), names.len(), shown(&names))?;
            }
        }
        Ok(())
    }
}

/// The first few names.
fn shown(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let first = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{first}, ...") } else { first }
}
