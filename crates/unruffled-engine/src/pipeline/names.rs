//! What names mean, and in which order steps can be looked at: before any type or shape is.

use std::sync::Arc;

use unruffled_model::{Name, TensorSpec};

use super::ask::Ask;
use super::draft::{Feed, Pipeline, PipelineStep, Repeat};
use super::error::{PipelineError, PipelineErrorKind as Kind};

/// What a reference means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// An input of the pipeline.
    Input(Name),
    /// An output of a step, by their places.
    Output(usize, usize),
    /// How far a loop has come.
    Progress(usize),
    /// Which item it is.
    Index,
    /// Whether it is the last.
    Last,
}

/// A pipeline beside the models that its steps ask.
#[derive(Clone, Copy)]
pub(super) struct Cast<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) asks: &'a [Arc<dyn Ask>],
}

impl Cast<'_> {
    /// The names of the steps are names, each once.
    pub(super) fn check_steps(&self) -> Result<(), PipelineError> {
        let steps = &self.pipeline.steps;
        if steps.is_empty() {
            return Err(PipelineError::invalid("a pipeline without steps; add one"));
        }
        if self.pipeline.outputs.is_empty() {
            return Err(PipelineError::invalid("gives nothing; add an output, such as STEP.NAME"));
        }
        for (at, step) in steps.iter().enumerate() {
            let why = match &*step.name {
                "" => "it is empty",
                "input" | "item" => "references use it otherwise",
                name if name.contains(['.', '/']) => "it has a dot or a slash",
                _ => "",
            };
            if !why.is_empty() {
                let message = format!("`{}` cannot be a step's name: {why}; rename it", step.name);
                return Err(PipelineError::invalid(message));
            }
            if steps[..at].iter().any(|other| other.name == step.name) {
                let message = "two steps have this name; rename one";
                return Err(PipelineError::new(Kind::Duplicate, message).in_step(&step.name));
            }
        }
        Ok(())
    }

    /// What a reference means.
    pub(super) fn find(&self, reference: &Name) -> Result<Reference, PipelineError> {
        let unknown = |message: String| Err(PipelineError::new(Kind::UnknownName, message));
        let Some((place, name)) = reference.split_once('.').filter(|(_, name)| !name.is_empty()) else {
            return unknown(format!("`{reference}` names no value; write input.NAME or STEP.NAME"));
        };
        match (place, name) {
            ("input", name) => return Ok(Reference::Input(name.into())),
            ("item", "index") => return Ok(Reference::Index),
            ("item", "last") => return Ok(Reference::Last),
            ("item", _) => {
                return unknown(format!("there is no `{reference}`; there are item.index and item.last"));
            }
            _ => {}
        }
        let steps = &self.pipeline.steps;
        let Some(step) = steps.iter().position(|step| *step.name == *place) else {
            return unknown(format!(
                "`{reference}`: there is no step `{place}`; there are {}",
                listed(steps.iter().map(|step| &*step.name))
            ));
        };
        let info = self.asks[step].info();
        let outputs = &info.signature.outputs;
        match outputs.iter().position(|output| *output.name == *name) {
            Some(output) => Ok(Reference::Output(step, output)),
            None if name == "progress" && is_loop(&steps[step]) => Ok(Reference::Progress(step)),
            None => unknown(format!(
                "`{reference}`: model `{}` gives no `{name}`; it gives {}",
                self.asks[step].name(),
                listed(outputs.iter().map(|output| &*output.name))
            )),
        }
    }

    /// The description of an input that a step is given.
    pub(super) fn spec(&self, step: usize, input: &Name) -> Result<TensorSpec, PipelineError> {
        let info = self.asks[step].info();
        let inputs = &info.signature.inputs;
        inputs.iter().find(|spec| spec.name == *input).cloned().ok_or_else(|| {
            let known = listed(inputs.iter().map(|spec| &*spec.name));
            let message = format!("model `{}` takes no such input; it takes {known}", self.asks[step].name());
            PipelineError::new(Kind::UnknownName, message).at(input)
        })
    }

    /// The steps, each after those whose outputs it takes.
    pub(super) fn order(&self) -> Result<Vec<usize>, PipelineError> {
        let steps = &self.pipeline.steps;
        let mut before = Vec::with_capacity(steps.len());
        for step in steps {
            let mut needed = Vec::new();
            for (input, feed) in &step.inputs {
                let Feed::Value(reference) = feed else { continue };
                let found = self.find(reference).map_err(|error| error.in_step(&step.name).at(input))?;
                if let Reference::Output(other, _) = found {
                    needed.push(other);
                }
            }
            before.push(needed);
        }
        let (mut order, mut seen) = (Vec::with_capacity(steps.len()), vec![Seen::No; steps.len()]);
        for step in 0..steps.len() {
            self.visit(step, &before, &mut seen, &mut order, &mut Vec::new())?;
        }
        Ok(order)
    }

    fn visit(
        &self,
        step: usize,
        before: &[Vec<usize>],
        seen: &mut [Seen],
        order: &mut Vec<usize>,
        path: &mut Vec<usize>,
    ) -> Result<(), PipelineError> {
        match seen[step] {
            Seen::Done => return Ok(()),
            Seen::OnPath => {
                let begin = path.iter().position(|other| *other == step).unwrap_or_default();
                let round = path[begin..].iter().chain([&step]);
                let names: Vec<_> = round.map(|at| &*self.pipeline.steps[*at].name).collect();
                let message = format!("waits for itself: {}; cut the circle", names.join(" <- "));
                return Err(PipelineError::new(Kind::Cycle, message).in_step(&self.pipeline.steps[step].name));
            }
            Seen::No => {}
        }
        seen[step] = Seen::OnPath;
        path.push(step);
        for &other in &before[step] {
            self.visit(other, before, seen, order, path)?;
        }
        path.pop();
        seen[step] = Seen::Done;
        order.push(step);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    No,
    OnPath,
    Done,
}

pub(super) fn is_loop(step: &PipelineStep) -> bool {
    matches!(step.repeat, Repeat::Each(_) | Repeat::Scan(_))
}

/// Names for a message.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
