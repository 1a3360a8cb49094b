//! A model in memory and the instances that share it.

use std::cell::LazyCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rten::{Model, NodeId, RunErrorKind, RunOptions, ThreadPool};
use unruffled_model::{
    DType, Footprint, JointModel, LoadedModel, ModelError, ModelInfo, Name, RunContext, Serve, Signature,
    TensorRun, Tensors, admit_tensors,
};

use super::convert::{from_rten, to_rten};
use crate::rows;

/// One copy of the weights, for all instances.
pub(super) struct Loaded {
    model: Model,
    inputs: Vec<(Name, NodeId)>,
    outputs: Vec<(Name, DType)>,
    output_nodes: Vec<NodeId>,
    info: ModelInfo,
}

impl Loaded {
    /// Ties what rten has loaded to the signature that its file declares, and finds out about batches.
    ///
    /// # Errors
    ///
    /// The name of an input or output that rten does not know.
    pub(super) fn new(model: Model, signature: Signature, threads: usize) -> Result<Self, String> {
        let node = |name: &Name| model.find_node(name).ok_or_else(|| name.to_string());
        let inputs = signature
            .inputs
            .iter()
            .map(|spec| Ok((spec.name.clone(), node(&spec.name)?)))
            .collect::<Result<_, String>>()?;
        let output_nodes = signature.outputs.iter().map(|spec| node(&spec.name)).collect::<Result<_, _>>()?;
        let outputs = signature.outputs.iter().map(|spec| (spec.name.clone(), spec.dtype)).collect();
        let mut loaded = Self {
            model,
            inputs,
            outputs,
            output_nodes,
            info: ModelInfo::new("rten", "onnx_rten").with_threads(threads),
        };
        let mut signature = signature;
        let pool = LazyCell::new(|| pool(threads));
        loaded.info.batching = rows::batching(&mut signature, |inputs| {
            // Inputs of no meaning may send a kernel into a panic, which tells nothing about real ones.
            let run = AssertUnwindSafe(|| loaded.run(inputs, &pool));
            catch_unwind(run).unwrap_or_else(|_| Err(ModelError::failed("panicked")))
        });
        loaded.info.signature = signature;
        Ok(loaded)
    }

    fn run(&self, inputs: &Tensors, pool: &Arc<ThreadPool>) -> Result<Tensors, ModelError> {
        let mut values = Vec::with_capacity(self.inputs.len());
        for (name, node) in &self.inputs {
            let tensor =
                inputs.get(name).ok_or_else(|| ModelError::invalid_input("input is missing").at(name))?;
            values.push((*node, to_rten(tensor).map_err(|error| error.at(name))?));
        }
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(pool)));
        let outputs = self.model.run(values, &self.output_nodes, Some(options)).map_err(|error| {
            let message = format!("rten: {error}");
            match error.kind() {
                RunErrorKind::InvalidInput => ModelError::invalid_input(message),
                _ => ModelError::failed(message),
            }
            .caused_by(error)
        })?;
        self.outputs
            .iter()
            .zip(outputs)
            .map(|((name, dtype), output)| {
                let tensor = from_rten(output, *dtype).map_err(|error| error.at(name))?;
                Ok((name.clone(), tensor))
            })
            .collect()
    }
}

/// A pool of the model's own: rten runs in the pool that it is called from, if that is the one it is told to use, and hands
/// the run over to another thread and back if not.
fn pool(threads: usize) -> Arc<ThreadPool> {
    Arc::new(ThreadPool::with_num_threads(threads))
}

impl LoadedModel for Loaded {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &Tensors) -> Result<Footprint, ModelError> {
        let footprint = admit_tensors(&self.info, input)?;
        // Some of rten's kernels divide by the number of rows.
        if footprint.rows == 0 {
            return Err(ModelError::invalid_input("there are no rows; give at least one"));
        }
        Ok(footprint)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        let pool = pool(self.info.threads);
        pool.run(|| {
            let run = Run { loaded: self, pool: Arc::clone(&pool) };
            serve(&mut JointModel::new(&self.info, run));
        });
        Ok(())
    }
}

/// One instance: the shared model, and the threads that run it.
struct Run<'a> {
    loaded: &'a Loaded,
    pool: Arc<ThreadPool>,
}

impl TensorRun for Run<'_> {
    fn run(&mut self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        // Once begun, a run goes to its end: rten has no way to stop one.
        if ctx.is_cancelled() {
            return Err(ModelError::cancelled());
        }
        self.loaded.run(inputs, &self.pool)
    }
}
