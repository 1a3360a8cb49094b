//! `pipeline.toml`: models of a repository chained and branched by name.
//!
//! ```toml
//! description = "Reads the text of a picture."
//!
//! [[step]]
//! name = "picture"
//! step = { kind = "decode-image" }             # a step in pure Rust, whose files lie beside pipeline.toml
//! inputs = { image = "input.image" }
//!
//! [[step]]
//! name = "read"
//! model = "ppocr-rec"                          # a model of the same repository
//! inputs = { x = "crop.crops" }                # a value: input.NAME, STEP.NAME, item.index, item.last; or a number
//! each = "x"                                   # once for each row, or for each item of what comes item by item
//! in_flight = 32                               # items that are with the model at a time
//!
//! [outputs]
//! text = "text.text"
//! ```
//!
//! Beside `each`, a step may say `scan` (one item after the other), with `carry = { OUTPUT = "INPUT" }` (what is handed on from item
//! to item), `rows` (rows of an item), `several = true` (the model gives several outputs for one input) and `instances` (of a
//! step in pure Rust). At the top, `emit = ["NAME"]` names outputs that are given as they come; `[run]` may have `instances` (calls
//! that go on side by side), `queue_items`, `queue_bytes` and `call_bytes` (what one call may hold); `[inputs.NAME]` may have
//! `dtype`, `dims`, `default` and `shape`, as in `model.toml`.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;
use toml::Spanned;

use super::check::Checker;
use super::place::line_at;
use super::raw::RawInput;
use super::typed::{
    InputConfig, ModelConfig, PipelineConfig, PipelineStepConfig, RunConfig, StepAsks, StepFeed, StepRepeat,
};
use crate::error::{Error, ErrorKind};

/// What the file is called.
pub const PIPELINE_FILE_NAME: &str = "pipeline.toml";

/// Calls that go on side by side unless the file says otherwise: they mostly wait for others.
pub(super) const CALLS: NonZeroUsize = NonZeroUsize::new(16).expect("it is not 0");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    description: Option<String>,
    license: Option<String>,
    source: Option<String>,
    #[serde(default)]
    emit: Vec<String>,
    #[serde(default)]
    run: RawRun,
    #[serde(default)]
    inputs: IndexMap<String, Spanned<RawInput>>,
    #[serde(default)]
    step: Vec<Spanned<RawStep>>,
    #[serde(default)]
    outputs: IndexMap<String, Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRun {
    instances: Option<NonZeroUsize>,
    queue_items: Option<NonZeroUsize>,
    queue_bytes: Option<NonZeroUsize>,
    call_bytes: Option<NonZeroUsize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    name: String,
    model: Option<Spanned<String>>,
    step: Option<Spanned<IndexMap<String, Spanned<toml::Value>>>>,
    #[serde(default)]
    inputs: IndexMap<String, Spanned<RawFeed>>,
    each: Option<Spanned<Words>>,
    scan: Option<Spanned<Words>>,
    rows: Option<Spanned<NonZeroUsize>>,
    in_flight: Option<Spanned<NonZeroUsize>>,
    carry: Option<Spanned<IndexMap<String, String>>>,
    several: Option<Spanned<bool>>,
    instances: Option<Spanned<NonZeroUsize>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "an input is given a value, such as \"input.x\", or a number")]
enum RawFeed {
    Value(String),
    Number(f64),
    Whole(i64),
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected the name of an input, or several in a list")]
enum Words {
    One(String),
    Several(Vec<String>),
}

impl Words {
    fn into_list(self) -> Vec<String> {
        match self {
            Words::One(word) => vec![word],
            Words::Several(words) => words,
        }
    }
}

impl ModelConfig {
    /// Reads the `pipeline.toml` of a folder; `None` if there is none.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, or with one that it names.
    pub fn read_pipeline(folder: &Path) -> Result<Option<Self>, Error> {
        let file = folder.join(PIPELINE_FILE_NAME);
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let message = format!("cannot be read: {error}");
                return Err(Error::new(ErrorKind::InvalidConfig, message).in_file(&file).caused_by(error));
            }
        };
        Self::parse_pipeline(&text, &file).map(Some)
    }

    /// Parses a pipeline that need not be in a file; `file` is what messages call it.
    ///
    /// # Errors
    ///
    /// What is wrong, with line and key.
    pub fn parse_pipeline(text: &str, file: &Path) -> Result<Self, Error> {
        let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        let checker = Checker { text, file, read_beside: &nothing };
        let raw: Raw = toml::from_str(text).map_err(|error| checker.refuse(error.span(), error.message()))?;
        checker.pipeline(raw)
    }
}

impl Checker<'_> {
    fn pipeline(&self, raw: Raw) -> Result<ModelConfig, Error> {
        let mut lines = Vec::new();
        let mut line_of =
            |name: &str, offset: usize| lines.push((name.to_owned(), line_at(self.text, offset)));
        let mut inputs: Vec<InputConfig> = Vec::new();
        for (name, input) in raw.inputs {
            let (span, input) = (input.span(), input.into_inner());
            if input.from.is_some() {
                let message = "a pipeline takes what its steps take; add a step that decodes it";
                return Err(self.refuse(Some(span), message));
            }
            line_of(&name, span.start);
            inputs.push(self.input(name, input)?);
        }
        let mut outputs = Vec::new();
        for (name, value) in raw.outputs {
            line_of(&name, value.span().start);
            outputs.push((name, value.into_inner()));
        }
        let steps = raw.step.into_iter().map(|step| self.pipeline_step(step)).collect::<Result<_, _>>()?;
        let RawRun { instances, queue_items, queue_bytes, call_bytes } = raw.run;
        let pipeline = PipelineConfig { steps, outputs, emit: raw.emit, call_bytes, lines };
        Ok(ModelConfig {
            description: raw.description,
            license: raw.license,
            source: raw.source,
            run: RunConfig {
                instances: Some(instances.unwrap_or(CALLS)),
                queue_items,
                queue_bytes,
                ..RunConfig::default()
            },
            inputs,
            pipeline: Some(Arc::new(pipeline)),
            file: Some(self.file.to_owned()),
            ..ModelConfig::default()
        })
    }

    fn pipeline_step(&self, raw: Spanned<RawStep>) -> Result<PipelineStepConfig, Error> {
        let (table, raw) = (raw.span(), raw.into_inner());
        let refuse = |span, message: &str| Err(self.refuse(Some(span), message));
        let asks = match (raw.model, &raw.step) {
            (Some(model), None) => StepAsks::Model(model.into_inner()),
            (None, Some(step)) => StepAsks::Step(self.step(step)?),
            (Some(model), Some(_)) => {
                return refuse(model.span(), "has a model and a step; take one of them away");
            }
            (None, None) => {
                let message = "asks nothing; add model = \"NAME\", or step = { kind = \"KIND\" }";
                return refuse(table, message);
            }
        };
        if let (StepAsks::Model(_), Some(instances)) = (&asks, &raw.instances) {
            return refuse(
                instances.span(),
                "is for the model's own model.toml; it is shared by all who ask it",
            );
        }
        let is_several = raw.several.as_ref().is_some_and(|several| *several.get_ref());
        let rows = raw.rows.as_ref().map(|rows| *rows.get_ref());
        let in_flight = raw.in_flight.as_ref().map(|in_flight| *in_flight.get_ref());
        if let (Some(carry), None) = (&raw.carry, &raw.scan) {
            return refuse(
                carry.span(),
                "hands on from item to item: only a scan does; add scan = \"INPUT\"",
            );
        }
        if let (Some(in_flight), None) = (&raw.in_flight, &raw.each) {
            return refuse(in_flight.span(), "is for a loop; add each = \"INPUT\"");
        }
        let repeat = match (raw.each, raw.scan) {
            (Some(each), Some(_)) => {
                return refuse(each.span(), "repeats in two ways; take `each` or `scan` away");
            }
            (Some(again), None) | (None, Some(again)) if is_several => {
                return refuse(again.span(), "a loop takes one answer for each item; take `several` away");
            }
            (Some(each), None) => StepRepeat::Each { items: each.into_inner().into_list(), rows, in_flight },
            (None, Some(scan)) => {
                let carry = raw.carry.map(Spanned::into_inner).unwrap_or_default().into_iter().collect();
                StepRepeat::Scan { items: scan.into_inner().into_list(), rows, carry }
            }
            (None, None) => match raw.rows {
                Some(rows) => {
                    return refuse(rows.span(), "is for a loop; add each = \"INPUT\" or scan = \"INPUT\"");
                }
                None if is_several => StepRepeat::Several,
                None => StepRepeat::Once,
            },
        };
        let mut lines = Vec::new();
        let mut inputs = Vec::new();
        for (name, feed) in raw.inputs {
            lines.push((name.clone(), line_at(self.text, feed.span().start)));
            inputs.push((
                name,
                match feed.into_inner() {
                    RawFeed::Value(value) => StepFeed::Value(value),
                    RawFeed::Number(number) => StepFeed::Number(number),
                    RawFeed::Whole(number) => StepFeed::Number(number as f64),
                },
            ));
        }
        let line = line_at(self.text, table.start);
        let instances = raw.instances.map(Spanned::into_inner);
        Ok(PipelineStepConfig { name: raw.name, asks, inputs, repeat, instances, line, lines })
    }
}
