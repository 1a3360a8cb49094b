//! A pipeline in text: its steps, each after those that it takes something of.

use std::fmt::Write as _;

use serde_json::{Value, json};
use unruffled::config::{PipelineConfig, PipelineStepConfig, StepAsks, StepFeed, StepRepeat};

use crate::terminal::{FAINT, NAME};

/// A line for each step: what it is called, what it asks, how often, and what it takes; then what comes out.
pub(super) fn drawing(pipeline: &PipelineConfig) -> String {
    let steps = ordered(pipeline);
    let names = steps.iter().map(|(step, depth)| 2 * depth + step.name.chars().count());
    let width = names.max().unwrap_or(0);
    let asked: Vec<String> = steps.iter().map(|(step, _)| asks(step)).collect();
    let asked_width = asked.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let mut page = String::new();
    for ((step, depth), asked) in steps.iter().zip(&asked) {
        let (indent, name) = (" ".repeat(2 * depth), &step.name);
        let rest = width - indent.len() - name.chars().count();
        let taken: Vec<_> = step.inputs.iter().map(taken).collect();
        let taken = taken.join(", ");
        writeln!(
            page,
            "  {indent}{NAME}{name}{NAME:#}{:rest$}  {asked:asked_width$}  {FAINT}<- {taken}{FAINT:#}",
            ""
        )
        .expect("a String takes everything");
    }
    for (name, value) in &pipeline.outputs {
        let live = if pipeline.emit.contains(name) { ", as it comes" } else { "" };
        writeln!(page, "  {FAINT}->{FAINT:#} {NAME}{name}{NAME:#}  {FAINT}{value}{live}{FAINT:#}")
            .expect("a String takes everything");
    }
    page
}

pub(super) fn json(pipeline: &PipelineConfig) -> Value {
    let step = |(step, _): &(&PipelineStepConfig, usize)| {
        let inputs = step.inputs.iter().map(|(name, feed)| {
            let feed = match feed {
                StepFeed::Value(value) => json!(value),
                StepFeed::Number(number) => json!(number),
            };
            (name.clone(), feed)
        });
        let (key, asked) = match &step.asks {
            StepAsks::Model(model) => ("model", model.as_str()),
            StepAsks::Step(own) => ("step", own.step.kind()),
        };
        let mut told = json!({ "name": step.name, "inputs": inputs.collect::<serde_json::Map<_, _>>() });
        told[key] = json!(asked);
        match &step.repeat {
            StepRepeat::Once => {}
            StepRepeat::Several => told["several"] = json!(true),
            StepRepeat::Each { items, .. } => told["each"] = json!(items),
            StepRepeat::Scan { items, .. } => told["scan"] = json!(items),
        }
        told
    };
    ordered(pipeline).iter().map(step).collect()
}

/// The steps, each behind those that it waits for, and how many are before it at least.
fn ordered(pipeline: &PipelineConfig) -> Vec<(&PipelineStepConfig, usize)> {
    let depth_in = |known: &[(&PipelineStepConfig, usize)], step: &PipelineStepConfig| {
        let before = step.inputs.iter().filter_map(|(_, feed)| match feed {
            StepFeed::Value(value) => value.split_once('.').map(|(place, _)| place),
            StepFeed::Number(_) => None,
        });
        let mut depth = 0;
        for place in before.filter(|place| pipeline.steps.iter().any(|step| step.name == **place)) {
            let (_, other) = known.iter().find(|(step, _)| step.name == place)?;
            depth = depth.max(other + 1);
        }
        Some(depth)
    };
    let mut ordered: Vec<(&PipelineStepConfig, usize)> = Vec::new();
    let mut left: Vec<&PipelineStepConfig> = pipeline.steps.iter().collect();
    while let Some(at) = left.iter().position(|step| depth_in(&ordered, step).is_some()) {
        let step = left.remove(at);
        let depth = depth_in(&ordered, step).unwrap_or_default();
        ordered.push((step, depth));
    }
    // Those that wait for each other are shown nevertheless: loading says what is wrong with them.
    ordered.extend(left.into_iter().map(|step| (step, 0)));
    ordered
}

fn asks(step: &PipelineStepConfig) -> String {
    let asked = match &step.asks {
        StepAsks::Model(model) => format!("model {model}"),
        StepAsks::Step(own) => own.step.kind().to_owned(),
    };
    let often = match &step.repeat {
        StepRepeat::Once => String::new(),
        StepRepeat::Several => ", several outputs".into(),
        StepRepeat::Each { items, .. } => format!(", for each of {}", items.join(" and ")),
        StepRepeat::Scan { items, .. } => format!(", along {}", items.join(" and ")),
    };
    asked + &often
}

fn taken((input, feed): &(String, StepFeed)) -> String {
    match feed {
        StepFeed::Value(value) if value.rsplit_once('.').is_some_and(|(_, name)| name == input) => {
            value.clone()
        }
        StepFeed::Value(value) => format!("{input} = {value}"),
        StepFeed::Number(number) => format!("{input} = {number}"),
    }
}
