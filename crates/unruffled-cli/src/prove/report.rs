//! What a proof found out: figures, what was missed, and how both are shown.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::terminal::{BAD, FAINT, GOOD, NAME, WARN, milliseconds, size};

/// The figures of a proof, and what in them is not as promised.
#[derive(Debug, Default)]
pub(super) struct Findings {
    figures: Vec<Figure>,
    misses: Vec<String>,
}

/// One line of figures.
#[derive(Debug)]
struct Figure {
    /// For programs; the unit stands at its end.
    key: &'static str,
    /// For people.
    label: &'static str,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Count(u64),
    Bytes(u64),
    Time(Duration),
    Factor(f64),
    Share(f64),
    Rate(f64),
    Spread(Spread),
    /// What was not tried, and why.
    LeftOut(String),
}

impl Findings {
    /// Nothing of the proof could be tried on this machine.
    pub(super) fn left_out(key: &'static str, label: &'static str, why: String) -> Self {
        let mut findings = Self::default();
        findings.leave_out(key, label, why);
        findings
    }

    /// Says that a part of the proof could not be tried on this machine.
    pub(super) fn leave_out(&mut self, key: &'static str, label: &'static str, why: String) {
        self.add(key, label, Value::LeftOut(why));
    }

    pub(super) fn count(&mut self, key: &'static str, label: &'static str, count: impl TryInto<u64>) {
        self.add(key, label, Value::Count(count.try_into().unwrap_or(u64::MAX)));
    }

    pub(super) fn bytes(&mut self, key: &'static str, label: &'static str, bytes: u64) {
        self.add(key, label, Value::Bytes(bytes));
    }

    pub(super) fn time(&mut self, key: &'static str, label: &'static str, time: Duration) {
        self.add(key, label, Value::Time(time));
    }

    /// So many times as much.
    pub(super) fn factor(&mut self, key: &'static str, label: &'static str, factor: f64) {
        self.add(key, label, Value::Factor(factor));
    }

    /// A part of 1.
    pub(super) fn share(&mut self, key: &'static str, label: &'static str, share: f64) {
        self.add(key, label, Value::Share(share));
    }

    /// So many per second.
    pub(super) fn rate(&mut self, key: &'static str, label: &'static str, rate: f64) {
        self.add(key, label, Value::Rate(rate));
    }

    /// How many times were spread.
    pub(super) fn spread(&mut self, key: &'static str, label: &'static str, times: &Times) -> Spread {
        let spread = times.spread();
        self.add(key, label, Value::Spread(spread));
        spread
    }

    fn add(&mut self, key: &'static str, label: &'static str, value: Value) {
        self.figures.push(Figure { key, label, value });
    }

    /// Holds the proof to something; what was missed is said.
    pub(super) fn require(&mut self, kept: bool, missed: impl FnOnce() -> String) {
        if !kept {
            self.misses.push(missed());
        }
    }
}

/// Times as they were taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(super) fn extend(&mut self, others: &Times) {
        self.0.extend_from_slice(&others.0);
    }

    pub(super) fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All zero if there are none.
    pub(super) fn spread(&self) -> Spread {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // The nearest rank: a time that was really taken.
        let quantile = |part: f64| {
            let rank = (part * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        Spread { count: sorted.len(), p50: quantile(0.5), p99: quantile(0.99), max: quantile(1.0) }
    }
}

/// How times were spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) count: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) max: Duration,
}

/// What is said of one proof.
pub(super) struct Report {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) pass_line: &'static str,
    pub(super) findings: Findings,
    pub(super) took: Duration,
}

/// What became of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed,
    /// Nothing of it could be tried here.
    LeftOut,
}

impl Report {
    pub(super) fn verdict(&self) -> Verdict {
        let Findings { figures, misses } = &self.findings;
        let is_figure = |figure: &Figure| !matches!(figure.value, Value::LeftOut(_));
        match (misses.is_empty(), figures.iter().any(is_figure)) {
            (false, _) => Verdict::Failed,
            (true, true) => Verdict::Passed,
            (true, false) => Verdict::LeftOut,
        }
    }

    /// What failed, for one that came to no end.
    pub(super) fn failed(why: String) -> Findings {
        Findings { figures: Vec::new(), misses: vec![why] }
    }

    pub(super) fn page(&self) -> String {
        let Findings { figures, misses } = &self.findings;
        let mut page = format!("{NAME}{}{NAME:#}  {}\n", self.name, self.what);
        let width = figures.iter().map(|figure| figure.label.chars().count()).max().unwrap_or(0);
        let width = width.max("promised".len());
        let mut line = |label: &str, text: &str| {
            writeln!(page, "  {FAINT}{label:width$}{FAINT:#}  {text}").expect("a String takes everything");
        };
        for Figure { label, value, .. } in figures {
            line(label, &value.shown());
        }
        line("promised", self.pass_line);
        let took = milliseconds(self.took);
        let verdict = match self.verdict() {
            Verdict::Passed => format!("  {GOOD}PASS{GOOD:#}  {FAINT}in {took}{FAINT:#}\n"),
            Verdict::Failed => format!("  {BAD}FAIL{BAD:#}  {FAINT}in {took}{FAINT:#}\n"),
            Verdict::LeftOut => format!("  {WARN}LEFT OUT{WARN:#}\n"),
        };
        page.push_str(&verdict);
        for miss in misses {
            writeln!(page, "        {miss}").expect("a String takes everything");
        }
        page
    }

    pub(super) fn json(&self) -> Json {
        let Findings { figures, misses } = &self.findings;
        let figures: serde_json::Map<_, _> =
            figures.iter().map(|figure| (figure.key.to_owned(), figure.value.json())).collect();
        json!({
            "name": self.name,
            "passed": match self.verdict() {
                Verdict::Passed => json!(true),
                Verdict::Failed => json!(false),
                Verdict::LeftOut => Json::Null,
            },
            "figures": figures,
            "pass_line": self.pass_line,
            "missed": misses,
            "seconds": rounded(self.took.as_secs_f64()),
        })
    }
}

impl Value {
    fn shown(&self) -> String {
        match self {
            Value::Count(count) => grouped(*count),
            Value::Bytes(bytes) => size(*bytes),
            Value::Time(time) => milliseconds(*time),
            Value::Factor(factor) => format!("{factor:.2} times"),
            Value::Share(share) => format!("{:.1} %", share * 100.0),
            Value::Rate(rate) => format!("{rate:.0} per second"),
            Value::Spread(Spread { count, p50, p99, max }) => {
                let [p50, p99, max] = [p50, p99, max].map(|time| milliseconds(*time));
                format!("p50 {p50:>8}   p99 {p99:>8}   max {max:>8}   of {}", grouped(*count as u64))
            }
            Value::LeftOut(why) => format!("{WARN}left out{WARN:#}: {why}"),
        }
    }

    fn json(&self) -> Json {
        match self {
            Value::Count(count) | Value::Bytes(count) => json!(count),
            Value::Time(time) => json!(in_ms(*time)),
            Value::Factor(number) | Value::Share(number) | Value::Rate(number) => json!(rounded(*number)),
            Value::Spread(Spread { count, p50, p99, max }) => {
                json!({ "count": count, "p50": in_ms(*p50), "p99": in_ms(*p99), "max": in_ms(*max) })
            }
            Value::LeftOut(why) => json!({ "left_out": why }),
        }
    }
}

fn in_ms(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3)
}

/// As many places as mean anything.
fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// Thousands apart: 100,000.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Times, grouped};

    #[test]
    fn thousands_are_kept_apart() {
        assert_eq!(
            [7, 123, 1_000, 100_000, 1_234_567].map(grouped),
            ["7", "123", "1,000", "100,000", "1,234,567"]
        );
    }

    #[test]
    fn quantiles_are_times_that_were_taken() {
        let mut times = Times::default();
        assert_eq!(times.spread().max, Duration::ZERO);
        (1..=200).rev().for_each(|ms| times.add(Duration::from_millis(ms)));
        let spread = times.spread();
        assert_eq!([spread.p50, spread.p99, spread.max], [100, 198, 200].map(Duration::from_millis));
    }
}
