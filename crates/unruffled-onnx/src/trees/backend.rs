//! [`TreesBackend`]: from a file to a loaded model.

use std::sync::Arc;

use unruffled_model::{Backend, BackendOptions, LoadContext, ModelError, ModelSource, Support, TensorModel};

use super::draft::plan;
use super::loaded::Loaded;
use super::operators::{CLASSICAL, find};
use super::plan::Plan;
use crate::graph::{OnnxFile, WholeGraph};
use crate::source::{guarded, unsupported};

/// Runs classical models: trees, linear models, support vectors and what converters of scikit-learn, LightGBM and XGBoost put
/// around them, in pure Rust.
///
/// - It takes graphs with operators of the domain `ai.onnx.ml`, if it knows all operators, and if they leave every row of a
///   batch to itself; it leaves plain neural networks to others.
/// - Answers are those of ONNX Runtime on one thread: classes exactly, scores but for the last digits.
/// - All instances share one copy of the model, and any thread may run it. A run uses the thread that asks for it and no
///   other; it stops between blocks of rows when it is cancelled.
/// - A sequence of maps, as `ZipMap` makes it, is two outputs: the values have its name, the keys `.keys` behind it.
/// - Outputs have the shapes that the operators compute, whatever the file declares.
#[derive(Clone, Copy, Debug, Default)]
pub struct TreesBackend;

/// What errors call it.
const NAME: &str = "trees";

impl Backend for TreesBackend {
    fn name(&self) -> &'static str {
        "trees"
    }

    fn formats(&self) -> &'static [&'static str] {
        &["onnx"]
    }

    fn supports(&self, source: &ModelSource) -> Result<Support, ModelError> {
        let file = OnnxFile::read(source)?;
        if !is_classical(&file) {
            return Ok(Support::No(Vec::new()));
        }
        let reasons = unknown(&file);
        if !reasons.is_empty() {
            return Ok(Support::No(reasons));
        }
        Ok(match read(source)? {
            Ok(_) => Support::Yes,
            Err(reasons) => Support::No(reasons),
        })
    }

    fn load(
        &self,
        source: &ModelSource,
        options: &BackendOptions,
        ctx: &LoadContext<'_>,
    ) -> Result<TensorModel, ModelError> {
        ctx.step(0.0)?;
        let file = OnnxFile::read(source)?;
        let mut reasons = unknown(&file);
        if !is_classical(&file) {
            reasons.push(format!("it has no operators of the domain {CLASSICAL}"));
        }
        if !reasons.is_empty() {
            return Err(unsupported(NAME, source, &reasons));
        }
        ctx.step(0.2)?;
        let mut plan = read(source)?.map_err(|reasons| unsupported(NAME, source, &reasons))?;
        options.defaults.iter().try_for_each(|default| plan.signature.set_default(default))?;
        ctx.step(1.0)?;
        Ok(Arc::new(Loaded::new(plan)))
    }
}

/// Whether it is a model of the kind that this backend is for: others are left to others.
fn is_classical(file: &OnnxFile) -> bool {
    file.nodes.iter().any(|node| node.domain.as_deref() == Some(CLASSICAL))
}

/// The operators that are not known here, each once: with one of them, the weights need not be read.
fn unknown(file: &OnnxFile) -> Vec<String> {
    let mut reasons = Vec::new();
    for node in &file.nodes {
        let domain = node.domain.as_deref().filter(|domain| *domain != "ai.onnx").unwrap_or_default();
        let operator = node.op_type.as_deref().unwrap_or("?");
        if find(domain, operator).is_none() {
            let prefix = if domain.is_empty() { String::new() } else { format!("{domain}/") };
            let reason = format!("{prefix}{operator} is not known here");
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    reasons
}

fn read(source: &ModelSource) -> Result<Result<Plan, Vec<String>>, ModelError> {
    let graph = WholeGraph::read(source)?;
    guarded(source, || Ok(plan(&graph)))
}
