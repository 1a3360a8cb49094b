//! What each step of a pipeline took.

use std::fmt::Write as _;

use serde_json::{Value, json};
use unruffled::engine::Step;

use super::in_ms;
use crate::terminal::{FAINT, milliseconds};

/// A line for each step, in the order in which they ended; nothing if there are none.
pub(super) fn table(steps: &[Step]) -> String {
    let mut table = String::new();
    if steps.is_empty() {
        return table;
    }
    let width = steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0).max("step".len());
    let mut line = |cells: [&str; 5]| {
        let [name, requests, total, queue, run] = cells;
        let text = format!("{name:width$}  {requests:>8}  {total:>9}  {queue:>9}  {run:>9}");
        writeln!(table, "  {FAINT}{}{FAINT:#}", text.trim_end()).expect("a String takes everything");
    };
    line(["step", "requests", "took", "waited", "ran"]);
    for step in steps {
        let [total, queue, run] = [step.total, step.queue, step.run].map(milliseconds);
        line([&step.name, &step.requests.to_string(), &total, &queue, &run]);
    }
    table
}

pub(super) fn json(steps: &[Step]) -> Value {
    let step = |step: &Step| {
        json!({
            "name": &*step.name,
            "requests": step.requests,
            "total_ms": in_ms(step.total),
            "queue_ms": in_ms(step.queue),
            "run_ms": in_ms(step.run),
        })
    };
    steps.iter().map(step).collect()
}
