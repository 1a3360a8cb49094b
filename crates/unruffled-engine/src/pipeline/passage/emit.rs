//! What a call gives before its end: the items of one loop, as they come, and how far it is.

use unruffled_model::{Name, Tensor, Tensors};

use super::{Emit, Passage};
use crate::error::Error;
use crate::pipeline::graph::{Given, Graph, ValueAt};

/// How often progress is told where nothing else is: so many times from beginning to end.
const TOLD: usize = 100;

impl Passage {
    /// Emits the items that are there, in order, and how far it is.
    pub(super) fn emit_ready(&mut self, graph: &Graph, emit: &mut Emit<'_>) -> Result<bool, Error> {
        let Some(step) = graph.emits.filter(|_| self.emitting) else { return Ok(false) };
        let emitted = || graph.outputs.iter().filter(|output| output.emitted);
        let values: Vec<(&Name, ValueAt)> = emitted()
            .filter_map(|output| match output.from {
                Given::Value(at) => Some((&output.name, at)),
                Given::Progress(_) => None,
            })
            .collect();
        let mut changed = false;
        while !values.is_empty() && values.iter().all(|(_, at)| self.values.has_item(*at, self.emitted)) {
            let mut output = Tensors::new();
            for (name, at) in &values {
                let taken = self.values.take_item(*at, self.emitted).expect("it was looked for just now");
                self.values.release(taken.charge);
                output.insert((*name).clone(), taken.tensor);
            }
            self.emitted += 1;
            changed = true;
            // An item that gave nothing is nothing to be told.
            if output.iter().any(|(_, tensor)| !tensor.is_empty()) {
                self.tell_progress(graph, step, &mut output);
                emit(output)?;
            }
        }
        let (done, total) = self.progress[step];
        let every = total.map_or(usize::MAX, |total| (total / TOLD).max(1));
        if done >= self.told.saturating_add(every) || (total == Some(done) && done > self.told) {
            let mut output = Tensors::new();
            self.tell_progress(graph, step, &mut output);
            if !output.is_empty() {
                emit(output)?;
            }
        }
        Ok(changed)
    }

    fn tell_progress(&mut self, graph: &Graph, step: usize, output: &mut Tensors) {
        self.told = self.progress[step].0;
        for told in
            graph.outputs.iter().filter(|told| told.emitted && matches!(told.from, Given::Progress(_)))
        {
            output.insert(told.name.clone(), self.progress_of(step));
        }
    }

    pub(super) fn progress_of(&self, step: usize) -> Tensor {
        let (done, total) = self.progress[step];
        let total = total.map_or(-1, |total| total as i64);
        Tensor::new(&[2], vec![done as i64, total]).expect("two numbers are two")
    }
}
