//! One broken rule: where, what, and what to do about it.

use std::fmt;

use crate::terminal::{BAD, NOTE};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// 0 where the finding is about the whole file.
    pub(crate) line: usize,
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

impl Finding {
    pub(crate) fn new(
        path: &str,
        line: usize,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Finding { path: path.to_owned(), line, problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { path, line, problem, remedy } = self;
        let place = if *line == 0 { path.clone() } else { format!("{path}:{line}") };
        write!(f, "{BAD}{place}{BAD:#}: {problem}\n    {NOTE}remedy{NOTE:#}: {remedy}")
    }
}

/// For tests of rules: the findings as `path:line: problem`, so that one assertion shows all of them.
#[cfg(test)]
#[track_caller]
pub(crate) fn assert_findings(findings: &[Finding], expected: &[&str]) {
    let found: Vec<String> =
        findings.iter().map(|one| format!("{}:{}: {}", one.path, one.line, one.problem)).collect();
    assert_eq!(found, expected);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_names_place_and_remedy() {
        let finding = Finding::new("a.rs", 3, "is long", "split it");
        let text = crate::terminal::plain(&finding.to_string());
        assert_eq!(text, "a.rs:3: is long\n    remedy: split it");
    }
}
