//! [`Plan`]: the operators of a graph in order, ready to run.

use unruffled_model::{ModelError, Name, RunContext, Signature, Tensor, Tensors};

use super::kernel::Kernel;

/// A graph that is ready to run: one copy for all who run it.
pub(super) struct Plan {
    pub(super) signature: Signature,
    pub(super) steps: Vec<Step>,
    pub(super) constants: Vec<Tensor>,
    /// Where the outputs come from.
    pub(super) outputs: Vec<(Name, Source)>,
    /// How many values the steps compute.
    pub(super) slots: usize,
}

/// One operator at its place.
pub(super) struct Step {
    pub(super) kernel: Box<dyn Kernel>,
    pub(super) inputs: Vec<Source>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Input(usize),
    Constant(usize),
    Slot(usize),
}

impl Plan {
    /// Runs the plan over inputs that fit its signature.
    ///
    /// # Errors
    ///
    /// `Cancelled`, or what an operator says.
    pub(super) fn run(&self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let given = self.signature.inputs.iter().map(|spec| {
            let given = inputs.get(&spec.name);
            given.ok_or_else(|| ModelError::invalid_input("input is missing").at(&spec.name))
        });
        let given: Vec<&Tensor> = given.collect::<Result<_, _>>()?;
        let mut slots: Vec<Tensor> = Vec::with_capacity(self.slots);
        let mut fresh = Vec::new();
        for step in &self.steps {
            if ctx.is_cancelled() {
                return Err(ModelError::cancelled());
            }
            let operands = step.inputs.iter().map(|source| self.look_up(*source, &given, &slots));
            let operands: Vec<&Tensor> = operands.collect();
            step.kernel.run(&operands, ctx, &mut fresh).map_err(|error| match step.inputs.first() {
                Some(Source::Input(input)) if error.tensor().is_none() => {
                    error.at(&self.signature.inputs[*input].name)
                }
                _ => error,
            })?;
            slots.append(&mut fresh);
        }
        let outputs = self.outputs.iter();
        Ok(outputs
            .map(|(name, source)| (name.clone(), self.look_up(*source, &given, &slots).clone()))
            .collect())
    }

    fn look_up<'a>(&'a self, source: Source, given: &[&'a Tensor], slots: &'a [Tensor]) -> &'a Tensor {
        match source {
            Source::Input(input) => given[input],
            Source::Constant(constant) => &self.constants[constant],
            Source::Slot(slot) => &slots[slot],
        }
    }
}
