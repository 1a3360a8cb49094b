//! An answer as a page for people: labels and scores as bars, texts, and numbers.

use std::fmt::Write as _;

use unruffled::{Answer, Class, OutputAnswer, Reading, Summary};

use crate::terminal::{BAR, FAINT, GOOD, bar};

const BAR_WIDTH: usize = 24;

/// The shades of a drawing, from no ink to full ink; two characters make a square.
const SHADES: [&str; 5] =
    ["  ", "\u{2591}\u{2591}", "\u{2592}\u{2592}", "\u{2593}\u{2593}", "\u{2588}\u{2588}"];

/// The outputs, one below the other, their names aligned.
pub(crate) fn answer(answer: &Answer) -> String {
    let width = answer.outputs.iter().map(|output| output.name.chars().count()).max().unwrap_or(0);
    let mut page = String::new();
    for output in answer.outputs.iter().filter(|output| !answer.is_told_beside(&output.name)) {
        let mut name = &*output.name;
        for line in lines(output) {
            writeln!(page, "  {FAINT}{name:width$}{FAINT:#}  {line}").expect("a String takes everything");
            name = "";
        }
    }
    page
}

/// A picture of ink from 0 to `full`, in rows of `width`.
pub(crate) fn drawing(ink: &[f32], width: usize, full: f32) -> String {
    let mut page = String::new();
    for row in ink.chunks(width) {
        let shade = |ink: &f32| SHADES[((ink / full).clamp(0.0, 1.0) * 4.0).round() as usize];
        let line: String = row.iter().map(shade).collect();
        writeln!(page, "    {}", line.trim_end()).expect("a String takes everything");
    }
    page
}

fn lines(output: &OutputAnswer) -> Vec<String> {
    match &output.reading {
        Reading::Classes(rows) => {
            let labels = rows.iter().flatten().map(|class| shown(&class.label).chars().count());
            let width = labels.max().unwrap_or(0);
            let probabilities = rows
                .iter()
                .flatten()
                .all(|class| class.score.is_none_or(|score| (0.0..=1.0).contains(&score)));
            let several = rows.len() > 1;
            let line = |row: usize, place: usize, class: &Class| {
                let head = match (several, place) {
                    (false, _) => String::new(),
                    (true, 0) => format!("{FAINT}{:>3}{FAINT:#}  ", row + 1),
                    (true, _) => "     ".into(),
                };
                format!("{head}{}", class_line(class, place == 0, width, probabilities))
            };
            rows.iter()
                .enumerate()
                .flat_map(|(row, classes)| {
                    classes.iter().enumerate().map(move |(place, class)| (row, place, class))
                })
                .map(|(row, place, class)| line(row, place, class))
                .collect()
        }
        Reading::Text(texts) => {
            let line = |text: &unruffled::Line| {
                let percent = text.score * 100.0;
                format!("{GOOD}{}{GOOD:#}  {FAINT}{percent:.1} %{FAINT:#}", shown(&text.text))
            };
            texts.iter().map(line).collect()
        }
        Reading::Spans(spans) => {
            let span =
                |[begin, end]: &[f64; 2]| format!("{GOOD}{begin:.2} s{GOOD:#} to {GOOD}{end:.2} s{GOOD:#}");
            spans.iter().map(span).collect()
        }
        _ => {
            let (dtype, shape) = (output.tensor.dtype(), output.tensor.shape());
            let kind = if shape.is_empty() { dtype.to_string() } else { format!("{dtype} {shape:?}") };
            vec![format!("{}  {FAINT}{kind}{FAINT:#}", Summary::of(&output.tensor))]
        }
    }
}

fn class_line(class: &Class, best: bool, width: usize, probabilities: bool) -> String {
    let label = format!("{:width$}", shown(&class.label));
    let label = if best { format!("{GOOD}{label}{GOOD:#}") } else { label };
    match class.score {
        None => label.trim_end().to_owned(),
        Some(score) if probabilities => {
            format!("{label}  {BAR}{}{BAR:#}  {:6.2} %", bar(score, BAR_WIDTH), score * 100.0)
        }
        Some(score) => format!("{label}  {score:>12.4}"),
    }
}

/// A label that can be seen, and that cannot steer the terminal.
fn shown(text: &str) -> String {
    match text {
        "" => "(empty)".into(),
        text if text.trim().is_empty() => format!("{text:?}"),
        text => text
            .chars()
            .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
            .collect(),
    }
}
