//! A checked pipeline as a model: calls are polled by instances' threads, as those of any asynchronous function.

use std::sync::Arc;

use unruffled_model::{
    Footprint, Interrupt, LoadedModel, ModelError, ModelInfo, Rerun, Serve, TensorModel, Tensors,
    admit_tensors,
};

use super::ask::Ask;
use super::check::check;
use super::draft::{Pipeline, Target};
use super::error::{PipelineError, PipelineErrorKind};
use super::passage::Passage;
use crate::asynchronous::{AsyncModel, Call, Perhaps};
use crate::error::Error;
use crate::handle::Handle;

/// What runs it, and what it is.
const PIPELINE: &str = "pipeline";

/// Makes a model of a pipeline; `find` gives the models that its steps name.
pub(crate) fn model(
    pipeline: &Pipeline,
    find: impl Fn(&str) -> Result<Handle<Tensors, Tensors>, Error>,
) -> Result<TensorModel, PipelineError> {
    let mut asks: Vec<Arc<dyn Ask>> = Vec::with_capacity(pipeline.steps.len());
    for step in &pipeline.steps {
        asks.push(match &step.model.0 {
            Target::Handle(handle) => Arc::new(handle.clone()),
            Target::Name(name) => Arc::new(find(name).map_err(|error| {
                let message = format!("{error}; load it first");
                PipelineError::new(PipelineErrorKind::UnknownModel, message).in_step(&step.name)
            })?),
        });
    }
    let graph = Arc::new(check(pipeline, &asks)?);
    let info = ModelInfo::new(PIPELINE, PIPELINE)
        .with_signature(graph.signature.clone())
        .with_interrupt(Interrupt::Cooperative)
        .with_rerun(Rerun::Never)
        .with_threads(0);
    let signature = graph.signature.clone();
    let function = async move |inputs: Tensors, call: &mut Call<'_, Tensors>| {
        let inputs = signature.fill(&inputs).map_err(Error::from_model)?.unwrap_or(inputs);
        let mut passage = Passage::new(&graph, inputs, call.context().clone(), call.takes_several());
        let outcome = std::future::poll_fn(|cx| passage.poll(cx, &mut |output| call.emit(output))).await;
        call.provenance().steps = passage.into_steps();
        outcome.map(Perhaps)
    };
    Ok(Arc::new(PipelineModel { info, calls: Arc::new(AsyncModel::new(function)) }))
}

/// A pipeline that is asked like any model.
struct PipelineModel {
    info: ModelInfo,
    calls: TensorModel,
}

impl LoadedModel for PipelineModel {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &Tensors) -> Result<Footprint, ModelError> {
        admit_tensors(&self.info, input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        self.calls.with_instance(serve)
    }
}
