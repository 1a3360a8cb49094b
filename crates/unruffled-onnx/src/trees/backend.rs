//! [`TreesBackend`]: from a file to a loaded model.

use std::sync::Arc;

use unruffled_model::{Backend, BackendOptions, LoadContext, ModelError, ModelSource, Support, TensorModel};

use super::draft::plan;
use super::loaded::Loaded;
use super::operators::{CLASSICAL, find};
use super::plan::Plan;
use crate::graph::{OnnxFile, WholeGraph};
use crate::source::{display_name, guarded};

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

impl Backend for TreesBackend {
    fn name(&self) -> &'static str {
        "trees"
    }

    fn formats(&self) -> &'static [&'static str] {
        &["onnx"]
    }

    fn supports(&self, source: &ModelSource) -> Result<Support, ModelError> {
        let reasons = foreign(&OnnxFile::read(source)?);
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
        let step = |done| {
            ctx.progress(done);
            match ctx.is_cancelled() {
                true => Err(ModelError::cancelled()),
                false => Ok(()),
            }
        };
        step(0.0)?;
        let reasons = foreign(&OnnxFile::read(source)?);
        if !reasons.is_empty() {
            return Err(unsupported(source, &reasons));
        }
        step(0.2)?;
        let mut plan = read(source)?.map_err(|reasons| unsupported(source, &reasons))?;
        options.defaults.iter().try_for_each(|default| plan.signature.set_default(default))?;
        step(1.0)?;
        Ok(Arc::new(Loaded::new(plan)))
    }
}

/// Why the file is none for this backend, as far as its operators tell: then its weights need not be read.
fn foreign(file: &OnnxFile) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut is_classical = false;
    for node in &file.nodes {
        let domain = node.domain.as_deref().filter(|domain| *domain != "ai.onnx").unwrap_or_default();
        let operator = node.op_type.as_deref().unwrap_or("?");
        is_classical |= domain == CLASSICAL;
        if find(domain, operator).is_none() {
            let prefix = if domain.is_empty() { String::new() } else { format!("{domain}/") };
            let reason = format!("{prefix}{operator} is not known here");
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    if !is_classical {
        reasons.push(format!("it has no operators of the domain {CLASSICAL}"));
    }
    reasons
}

fn read(source: &ModelSource) -> Result<Result<Plan, Vec<String>>, ModelError> {
    let graph = WholeGraph::read(source)?;
    guarded(source, || Ok(plan(&graph)))
}

fn unsupported(source: &ModelSource, reasons: &[String]) -> ModelError {
    ModelError::unsupported(format!(
        "trees cannot run {}: {}; run it with another backend, or export it without these",
        display_name(source),
        reasons.join("; ")
    ))
}
