//! A loaded Python model, and its instances.

use std::borrow::Cow;

use unruffled_model::{
    Batch, Batching, Footprint, Interrupt, LoadedModel, Model, ModelError, ModelErrorKind, ModelInfo, Rerun,
    Row, RunContext, SequenceSpec, Serve, Signature, Tensors, admit_tensors,
};

use crate::batch::{Gathered, filled, gather, row_count, scatter};
use crate::message::RowContext;
use crate::nursery::Nursery;
use crate::worker::Worker;

/// A model whose instances are processes.
#[derive(Debug)]
pub(crate) struct PythonModel {
    nursery: Nursery,
    info: ModelInfo,
    /// The outputs, as something that tensors can be checked against.
    outputs: Signature,
}

impl PythonModel {
    pub(crate) fn new(nursery: Nursery, signature: Signature) -> Self {
        let batching = if nursery.description().is_joint { Batching::Joint } else { Batching::Sequential };
        let outputs = Signature { inputs: signature.outputs.clone(), outputs: Vec::new() };
        let state = &nursery.description().state;
        let sequence =
            state.iter().fold(SequenceSpec::new(), |spec, name| spec.with_state(name.clone(), name.clone()));
        let mut info = ModelInfo::new("python", "python")
            .with_signature(signature)
            .with_batching(batching)
            .with_interrupt(Interrupt::Kill)
            .with_rerun(nursery.settings().python.rerun)
            .with_threads(nursery.settings().threads);
        info.sequence = (!state.is_empty()).then_some(sequence);
        Self { nursery, info, outputs }
    }

    fn check_outputs(&self, outputs: Tensors) -> Result<Tensors, ModelError> {
        match self.outputs.check(&outputs) {
            Ok(()) => Ok(outputs),
            Err(error) => {
                let (place, told) = (error.tensor().unwrap_or_default(), error.to_string());
                let wrong = told.strip_prefix(&format!("`{place}`: ")).unwrap_or(&told);
                Err(ModelError::failed(format!("is not what the model said it gives: {wrong}")).at(place))
            }
        }
    }
}

impl LoadedModel for PythonModel {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, inputs: &Tensors) -> Result<Footprint, ModelError> {
        admit_tensors(&self.info, inputs)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        let worker = self.nursery.take(&|| false)?;
        serve(&mut Instance { model: self, worker });
        Ok(())
    }
}

/// One worker, lent to one thread.
struct Instance<'a> {
    model: &'a PythonModel,
    worker: Worker,
}

impl Instance<'_> {
    /// Has a worker to run on: with the newest files, and also after the last one has died while it had nothing to do, for
    /// which no row is to blame.
    fn revive(&mut self, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        if let Some(newer) = self.model.nursery.newer(&self.worker) {
            self.worker = newer;
        }
        if !self.worker.is_alive() {
            let (model, pid) = (&*self.model.nursery.settings().name, self.worker.id());
            tracing::warn!(model, pid, "worker has died while it was idle, and is replaced");
            self.worker = self.model.nursery.take(&|| ctx.is_cancelled()).map_err(|error| {
                ModelError::crashed(format!("the worker {pid} has died, and there is no other: {error}"))
            })?;
        }
        Ok(())
    }

    /// Runs the rows of several requests at once.
    fn run_joint(
        &mut self,
        rows: &mut [Row<Tensors, Tensors>],
        ctx: &RunContext<'_>,
    ) -> Result<(), ModelError> {
        let signature = &self.model.info.signature;
        let (outputs, counts) = {
            let requests = rows
                .iter()
                .map(|row| filled(signature, row))
                .collect::<Result<Vec<Cow<'_, Tensors>>, _>>()?;
            let counts: Vec<usize> = requests.iter().map(|inputs| row_count(inputs)).collect();
            let contexts = rows.iter().zip(&counts).filter_map(|(row, count)| context(ctx, row, *count));
            (self.run_whole(&gather(&requests)?, contexts.collect(), ctx)?, counts)
        };
        match rows {
            [row] => {
                row.finish(Ok(outputs));
                Ok(())
            }
            rows => scatter(rows, &counts, &outputs),
        }
    }

    /// A run that gives one output.
    fn run_whole(
        &mut self,
        inputs: &[Gathered<'_>],
        contexts: Vec<RowContext<'_>>,
        ctx: &RunContext<'_>,
    ) -> Result<Tensors, ModelError> {
        let single =
            |_| Err(ModelError::failed("`predict_batch` yields: only `predict` may give several outputs"));
        let outputs = self.worker.run(inputs, contexts, ctx, &mut { single })?;
        let outputs = outputs.ok_or_else(|| ModelError::failed("gave no outputs"))?;
        self.model.check_outputs(outputs)
    }

    /// Runs one row by itself.
    fn run_row(&mut self, row: &mut Row<Tensors, Tensors>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        let model = self.model;
        let contexts = context(ctx, row, 1).into_iter().collect();
        if model.info.rerun == Rerun::Never {
            row.spend();
        }
        let signature = &model.info.signature;
        // What is sent is a cheap copy, so that outputs can be given while the input is still there for another try.
        let requests = [Cow::Owned(filled(signature, row)?.into_owned())];
        let (_, mut emitter) = row.split();
        let mut emit = |outputs| emitter.emit(model.check_outputs(outputs)?);
        match self.worker.run(&gather(&requests)?, contexts, ctx, &mut emit)? {
            Some(outputs) => row.finish(Ok(model.check_outputs(outputs)?)),
            None => row.end(),
        }
        Ok(())
    }
}

fn context<'a>(ctx: &RunContext<'a>, row: &Row<Tensors, Tensors>, count: usize) -> Option<RowContext<'a>> {
    Some(RowContext::new(ctx.requests().get(row.index())?, count))
}

impl Model for Instance<'_> {
    type Input = Tensors;
    type Output = Tensors;

    fn run(&mut self, batch: &mut Batch<Tensors, Tensors>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        if batch.is_empty() {
            return Ok(());
        }
        if ctx.is_cancelled() {
            return Err(ModelError::cancelled());
        }
        self.revive(ctx)?;
        if self.model.info.batching == Batching::Joint {
            return self.run_joint(batch.rows_mut(), ctx);
        }
        for row in batch.rows_mut() {
            match self.run_row(row, &ctx.of_row(row.index())) {
                Ok(()) => {}
                Err(error) if ctx.is_cancelled() => return Err(error),
                // The process was running this row and no other: the rest may be run on the next one.
                Err(error) if error.kind() == ModelErrorKind::Crashed => {
                    row.finish(Err(error.clone()));
                    return Err(error);
                }
                Err(error) => row.finish(Err(error)),
            }
        }
        Ok(())
    }
}
