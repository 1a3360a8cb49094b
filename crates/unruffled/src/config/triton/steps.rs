//! The steps of an ensemble: which models it asks, and what goes in and out of them.

use super::field::{Said, note};
use super::text::{Fault, Field};
use crate::config::typed::Note;

/// A model that an ensemble asks.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) model: String,
    /// Inputs of the model, and what they are given.
    pub(super) inputs: Vec<(String, Said<String>)>,
    /// Outputs of the model, and what they are called.
    pub(super) outputs: Vec<(String, Said<String>)>,
}

/// The most steps of an ensemble.
const STEPS_MAX: usize = 256;

pub(super) fn ensemble(field: &Field, notes: &mut Vec<Note>) -> Result<Vec<Step>, Fault> {
    let mut steps = Vec::new();
    for part in field.message()? {
        match &*part.name {
            "step" => steps.push(step(part)?),
            "max_inflight_responses" | "max_inflight_requests" => {
                notes.push(note(part, "what one call holds is bounded in bytes"));
            }
            _ => return Err(part.unknown()),
        }
    }
    match steps.len() {
        0 => Err(field.fault("has no step; add the models that it asks")),
        1..=STEPS_MAX => Ok(steps),
        count => Err(field.fault(format!("has {count} steps; {STEPS_MAX} are done at most"))),
    }
}

fn step(field: &Field) -> Result<Step, Fault> {
    let mut model = None;
    let mut step = Step { line: field.line, model: String::new(), inputs: Vec::new(), outputs: Vec::new() };
    for part in field.message()? {
        match &*part.name {
            "model_name" => part.put(&mut model, part.text()?.to_owned())?,
            "model_version" => match part.whole(-1)? {
                -1 => {}
                version => {
                    let message = format!(
                        "asks version {version}; a step asks the version that answers: write -1, and in that model's \
                         version_policy `specific {{ versions: [{version}] }}`"
                    );
                    return Err(part.fault(message));
                }
            },
            "input_map" => step.inputs.push(mapped(part)?),
            "output_map" => step.outputs.push(mapped(part)?),
            "model_namespace" if part.text()?.is_empty() => {}
            "model_namespace" => {
                return Err(part.fault("names a namespace; a repository has one; take it out"));
            }
            _ => return Err(part.unknown()),
        }
    }
    let model = model.ok_or_else(|| field.fault("names no model; add `model_name`"))?.value;
    Ok(Step { model, ..step })
}

fn mapped(field: &Field) -> Result<(String, Said<String>), Fault> {
    let (key, value) = field.entry()?;
    match value {
        Some(value) if !key.is_empty() => {
            Ok((key.to_owned(), Said { value: value.text()?.to_owned(), line: field.line }))
        }
        _ => Err(field.fault("needs a key and a value: a tensor of the model, and one of the ensemble")),
    }
}
