//! [`PipelineConfig`]: a pipeline as its file says, checked as far as a file alone can be.

use std::num::NonZeroUsize;

use super::StepConfig;

/// The steps of a `pipeline.toml`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PipelineConfig {
    /// The steps, as they are written.
    pub steps: Vec<PipelineStepConfig>,
    /// The outputs, and the values that they are.
    pub outputs: Vec<(String, String)>,
    /// The outputs that are given as they come.
    pub emit: Vec<String>,
    /// The bytes that one call may hold; `None` is the engine's default.
    pub call_bytes: Option<NonZeroUsize>,
    /// The lines of outputs and of what is said about inputs.
    pub(crate) lines: Vec<(String, usize)>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PipelineStepConfig {
    /// What it is called.
    pub name: String,
    /// What it asks.
    pub asks: StepAsks,
    /// What it is given.
    pub inputs: Vec<(String, StepFeed)>,
    /// How often it asks.
    pub repeat: StepRepeat,
    /// Copies of a step in pure Rust.
    pub instances: Option<NonZeroUsize>,
    /// Its line, and those of its inputs.
    pub(crate) line: usize,
    pub(crate) lines: Vec<(String, usize)>,
}

/// What a step asks.
#[derive(Clone, Debug, PartialEq)]
pub enum StepAsks {
    /// A model of the repository.
    Model(String),
    /// A step that stands in the file.
    Step(StepConfig),
}

/// What an input of a step is given.
#[derive(Clone, Debug, PartialEq)]
pub enum StepFeed {
    /// A value.
    Value(String),
    /// This number, whatever the type.
    Number(f64),
}

/// How often a step asks.
#[derive(Clone, Debug, PartialEq)]
pub enum StepRepeat {
    /// Once.
    Once,
    /// Once, for several outputs.
    Several,
    /// For each item of these inputs.
    Each {
        /// The inputs.
        items: Vec<String>,
        /// Rows of an item.
        rows: Option<NonZeroUsize>,
        /// Items that are with the model at a time.
        in_flight: Option<NonZeroUsize>,
    },
    /// For each item of these inputs, one after the other.
    Scan {
        /// The inputs.
        items: Vec<String>,
        /// Rows of an item.
        rows: Option<NonZeroUsize>,
        /// Outputs, and the inputs that they are the next time.
        carry: Vec<(String, String)>,
    },
}

impl PipelineConfig {
    /// The models of the repository that it asks, each once, in the order in which they are named.
    pub fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = Vec::new();
        for step in &self.steps {
            if let StepAsks::Model(model) = &step.asks
                && !models.contains(&model.as_str())
            {
                models.push(model);
            }
        }
        models
    }
}
