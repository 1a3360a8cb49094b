//! The end of a check: what comes out of the pipeline, and all of it as a [`Graph`].

use unruffled_model::{DType, Name, Signature, Tensor, TensorSpec};

use super::{Checker, Facts};
use crate::pipeline::error::{PipelineError, PipelineErrorKind as Kind};
use crate::pipeline::graph::{Given, Graph, Node, Output, Value, ValueAt};
use crate::pipeline::names::{Reference, is_loop, listed};
use crate::pipeline::sizes::{Names, Size};

impl Checker<'_> {
    /// The outputs, and all of it.
    pub(super) fn graph(mut self, mut steps: Vec<Node>) -> Result<Graph, PipelineError> {
        let (outputs, emits, specs) = self.outputs()?;
        if let Some((unused, ..)) = self.inputs.iter().find(|(_, facts, _)| facts.wholes + facts.readers == 0)
        {
            return Err(PipelineError::invalid("no step takes this input; take it away").at(unused));
        }
        let mut names = Names::default();
        let input = |(name, facts, default): &(Name, Facts, Option<Tensor>)| TensorSpec {
            name: name.clone(),
            dtype: facts.dtype,
            dims: facts.whole.as_ref().map(|sizes| names.dims(&self.sizes, sizes)),
            default: default.clone(),
        };
        let inputs: Vec<_> = self.inputs.iter().map(input).collect();
        let output = |(name, dtype, sizes): (Name, DType, Option<Vec<Size>>)| {
            let dims = sizes.map(|sizes| names.dims(&self.sizes, &sizes));
            TensorSpec { name, dtype, dims, default: None }
        };
        let signature = Signature { inputs, outputs: specs.into_iter().map(output).collect() };

        let count = 2 * self.inputs.len().max(self.given.len()) + 1;
        let emitted = |at: ValueAt| {
            let is_of = |output: &&Output| matches!(output.from, Given::Value(value) if value == at);
            outputs.iter().filter(|output| output.emitted).filter(is_of).count()
        };
        let value = |at: ValueAt| {
            let place = if at.is_multiple_of(2) {
                self.inputs.get(at / 2).is_some()
            } else {
                at / 2 < self.given.len()
            };
            if !place {
                return Value { wholes: 0, readers: 0, none: (DType::U8, vec![0]), emitted: 0 };
            }
            let facts = self.facts(at);
            let size = |size: &Size| match self.sizes.look(*size) {
                Size::Fixed(number) => number,
                Size::Same(_) | Size::Any => 0,
            };
            let rest = facts.whole.as_deref().and_then(|sizes| sizes.get(1..)).unwrap_or_default();
            let none = std::iter::once(0).chain(rest.iter().map(size)).collect();
            Value {
                wholes: facts.wholes,
                readers: facts.readers,
                none: (facts.dtype, none),
                emitted: emitted(at),
            }
        };
        let values: Vec<_> = (0..count).map(value).collect();
        for (place, ((step, output), _)) in self.given.iter().enumerate() {
            let at = 2 * place + 1;
            if values[at].wholes + values[at].readers + values[at].emitted > 0 {
                let name = self.cast.asks[*step].info().signature.outputs[*output].name.clone();
                steps[*step].gives.push((name, at));
            }
        }
        let inputs = self.inputs.iter().enumerate().map(|(at, (name, ..))| (name.clone(), 2 * at)).collect();
        let bytes = self.cast.pipeline.bytes;
        Ok(Graph { signature, inputs, values, steps, outputs, emits, bytes })
    }

    /// What the pipeline gives, which loop gives it item by item, and what it is.
    #[allow(clippy::type_complexity, reason = "three things that are found together, once")]
    fn outputs(
        &mut self,
    ) -> Result<(Vec<Output>, Option<usize>, Vec<(Name, DType, Option<Vec<Size>>)>), PipelineError> {
        let pipeline = self.cast.pipeline;
        let (mut outputs, mut emits, mut specs) = (Vec::<Output>::new(), None, Vec::new());
        for (name, reference) in &pipeline.outputs {
            if outputs.iter().any(|output| output.name == *name) {
                return Err(PipelineError::new(Kind::Duplicate, "is given twice; rename one").at(name));
            }
            let emitted = pipeline.emitted.contains(name);
            let found = self.cast.find(reference).map_err(|error| error.at(name))?;
            let (from, of) = match found {
                Reference::Progress(step) => {
                    specs.push((name.clone(), DType::I64, Some(vec![Size::Fixed(2)])));
                    (Given::Progress(step), Some(step))
                }
                Reference::Index | Reference::Last => {
                    let message = format!("`{reference}` is there inside of a loop only");
                    return Err(PipelineError::invalid(message).at(name));
                }
                found => {
                    let Some(at) = self.known(&found) else {
                        let message = format!("no step takes `{reference}`: nothing says what it is");
                        return Err(PipelineError::new(Kind::UnknownName, message).at(name));
                    };
                    let facts = self.facts_mut(at);
                    facts.wholes += usize::from(!emitted);
                    specs.push((name.clone(), facts.dtype, facts.whole.clone()));
                    let of = match found {
                        Reference::Output(step, _) => {
                            Some(step).filter(|step| is_loop(&pipeline.steps[*step]))
                        }
                        _ => None,
                    };
                    (Given::Value(at), of)
                }
            };
            if emitted {
                let Some(step) = of else {
                    let message =
                        format!("cannot be emitted: `{reference}` comes all at once, not from a loop");
                    return Err(PipelineError::invalid(message).at(name));
                };
                if *emits.get_or_insert(step) != step {
                    let message = "cannot be emitted: it comes from another loop than the others that are";
                    return Err(PipelineError::invalid(message).at(name));
                }
            }
            outputs.push(Output { name: name.clone(), from, emitted });
        }
        if let Some(name) = pipeline.emitted.iter().find(|name| !outputs.iter().any(|one| one.name == **name))
        {
            let known = listed(outputs.iter().map(|output| &*output.name));
            let message = format!("cannot be emitted: there is no such output; there are {known}");
            return Err(PipelineError::new(Kind::UnknownName, message).at(name));
        }
        Ok((outputs, emits, specs))
    }
}
