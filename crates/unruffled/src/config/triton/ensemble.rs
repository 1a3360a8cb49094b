//! An ensemble as a pipeline: its tensors have names of their own there, and those of where they come from here.

use std::sync::Arc;

use super::field::Said;
use super::said::Settings;
use super::steps::Step;
use super::text::Fault;
use crate::config::pipeline::CALLS;
use crate::config::typed::{
    Foreign, ModelConfig, PipelineConfig, PipelineStepConfig, StepAsks, StepFeed, StepRepeat,
};

/// Makes settings those of a pipeline.
pub(super) fn add(
    steps: &[Step],
    said: &Settings,
    config: &mut ModelConfig,
    foreign: &Foreign,
) -> Result<(), Fault> {
    for (key, line) in [
        ("instance_group", said.instances.as_ref().map(|x| x.line)),
        ("sequence_batching", said.sequence.as_ref().map(|x| x.line)),
        ("reshape", said.inputs.iter().chain(&said.outputs).find_map(|x| Some(x.reshape.as_ref()?.line))),
        ("default_model_filename", said.file.as_ref().map(|x| x.line)),
    ] {
        if let Some(line) = line {
            let message = "is for a model of its own, and an ensemble asks others; say it there";
            return Err(Fault { line, key: Some(key.into()), message: message.into() });
        }
    }
    let names = names(steps);
    let values = values(steps, &names, said)?;
    let find = |tensor: &str, line: usize, key: &str| {
        let found = values.iter().find(|(name, _)| name == tensor).map(|(_, value)| value.clone());
        found.ok_or_else(|| {
            let message = format!(
                "`{}` is neither an input of the ensemble nor in the output_map of a step",
                tensor.escape_debug()
            );
            Fault { line, key: Some(key.to_owned()), message }
        })
    };
    let mut made = Vec::new();
    for (step, name) in steps.iter().zip(&names) {
        let (mut inputs, mut lines) = (Vec::new(), Vec::new());
        for (input, Said { value, line }) in &step.inputs {
            inputs.push((
                input.clone(),
                StepFeed::Value(find(value, *line, "ensemble_scheduling.step.input_map")?),
            ));
            lines.push((input.clone(), *line));
        }
        made.push(PipelineStepConfig {
            name: name.clone(),
            asks: StepAsks::Model(step.model.clone()),
            inputs,
            repeat: StepRepeat::Once,
            instances: None,
            line: step.line,
            lines,
        });
    }
    let mut outputs = Vec::new();
    for port in &said.outputs {
        outputs.push((port.name.clone(), find(&port.name, port.line, "output")?));
    }
    let bare = |(key, line): &(String, usize)| {
        key.split_once('.').map(|(_, name)| (name.to_owned(), *line)).unwrap_or_else(|| (key.clone(), *line))
    };
    config.run.instances = Some(CALLS);
    config.run.max_batch = None;
    config.pipeline = Some(Arc::new(PipelineConfig {
        steps: made,
        outputs,
        emit: Vec::new(),
        call_bytes: None,
        lines: foreign.lines.iter().map(bare).collect(),
    }));
    Ok(())
}

/// What each step is called: as its model is, if that can be a step's name and no other is called so.
fn names(steps: &[Step]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for step in steps {
        let plain = step.model.replace(['.', '/'], "-");
        let is_free =
            |name: &String| !names.contains(name) && !["", "input", "item"].contains(&name.as_str());
        let numbered = (2..).map(|number| format!("{plain}-{number}"));
        names.extend([plain.clone()].into_iter().chain(numbered).find(is_free));
    }
    names
}

/// The tensors of the ensemble, and where each comes from.
fn values(steps: &[Step], names: &[String], said: &Settings) -> Result<Vec<(String, String)>, Fault> {
    let mut values: Vec<(String, String)> = Vec::new();
    for port in &said.inputs {
        values.push((port.name.clone(), format!("input.{}", port.name)));
    }
    for (step, name) in steps.iter().zip(names) {
        for (output, Said { value: tensor, line }) in &step.outputs {
            if let Some((_, first)) = values.iter().find(|(known, _)| known == tensor) {
                let message =
                    format!("`{}` is `{first}` already; give it another name", tensor.escape_debug());
                let key = Some("ensemble_scheduling.step.output_map".to_owned());
                return Err(Fault { line: *line, key, message });
            }
            values.push((tensor.clone(), format!("{name}.{output}")));
        }
    }
    Ok(values)
}
