//! A plan as a model: one copy, which any thread may run.

use unruffled_model::{
    Batch, Batching, Footprint, Interrupt, JointModel, LoadedModel, Model, ModelError, ModelInfo, RunContext,
    Serve, Stateless, TensorRun, Tensors, admit_tensors,
};

use super::plan::Plan;

/// A model in memory.
pub(super) struct Loaded {
    plan: Plan,
    info: ModelInfo,
}

impl Loaded {
    /// A model over `plan`. Rows are joined unless their number is fixed: the plan leaves each to itself.
    pub(super) fn new(plan: Plan) -> Self {
        let batching = if plan.signature.is_batchable() { Batching::Joint } else { Batching::Single };
        let info = ModelInfo::new("trees", "onnx_trees")
            .with_signature(plan.signature.clone())
            .with_batching(batching)
            .with_interrupt(Interrupt::Cooperative);
        Self { plan, info }
    }
}

impl LoadedModel for Loaded {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &Tensors) -> Result<Footprint, ModelError> {
        admit_tensors(&self.info, input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        serve(&mut JointModel::new(&self.info, Run(&self.plan)));
        Ok(())
    }

    fn stateless(&self) -> Option<&dyn Stateless<Tensors, Tensors>> {
        Some(self)
    }
}

impl Stateless<Tensors, Tensors> for Loaded {
    fn run(&self, batch: &mut Batch<Tensors, Tensors>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        JointModel::new(&self.info, Run(&self.plan)).run(batch, ctx)
    }
}

struct Run<'a>(&'a Plan);

impl TensorRun for Run<'_> {
    fn run(&mut self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        self.0.run(inputs, ctx)
    }
}
