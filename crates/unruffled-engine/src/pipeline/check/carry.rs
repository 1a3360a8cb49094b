//! What a scan hands on from item to item.

use unruffled_model::{Name, Tensor};

use super::{Checker, Wanted};
use crate::pipeline::draft::Repeat;
use crate::pipeline::error::{PipelineError, PipelineErrorKind as Kind};
use crate::pipeline::graph::{Carry, Fed};
use crate::pipeline::names::listed;
use crate::pipeline::sizes::{Size, Symbols};

impl Checker<'_> {
    /// What a scan hands on from item to item; what it is given the first time is taken out of `feeds`.
    pub(super) fn carry(
        &mut self,
        at: usize,
        symbols: &mut Symbols,
        feeds: &mut Vec<(Name, Fed)>,
    ) -> Result<Vec<Carry>, PipelineError> {
        let step = &self.cast.pipeline.steps[at];
        let Repeat::Scan(items) = &step.repeat else { return Ok(Vec::new()) };
        let mut pairs = step.carry.clone();
        // A model with sessions says itself what it wants back.
        if let (true, Some(sequence)) = (pairs.is_empty(), &self.cast.asks[at].info().sequence) {
            let feedback = sequence.feedback().iter();
            pairs.extend(feedback.map(|pair| (pair.output.clone(), pair.input.clone())));
        }
        let mut carried: Vec<Carry> = Vec::new();
        for (output, input) in &pairs {
            let info = self.cast.asks[at].info();
            let outputs = &info.signature.outputs;
            let Some(given) = outputs.iter().find(|spec| spec.name == *output) else {
                let known = listed(outputs.iter().map(|spec| &*spec.name));
                let message = format!("cannot carry `{output}`: the model gives {known}");
                return Err(PipelineError::new(Kind::UnknownName, message).at(input));
            };
            let spec = self.cast.spec(at, input)?;
            if items.contains(input) || carried.iter().any(|other| other.input == *input) {
                let message = "is carried, and given by something else as well; take one away";
                return Err(PipelineError::new(Kind::Duplicate, message).at(input));
            }
            let wanted = spec.dims.as_deref().map(|dims| symbols.sizes(&mut self.sizes, dims));
            let sizes = given.dims.as_deref().map(|dims| symbols.sizes(&mut self.sizes, dims));
            let wanted = Wanted { spec: &spec, sizes: wanted };
            self.fit(&wanted, output, given.dtype, sizes.as_deref()).map_err(|error| error.at(input))?;
            let first = match feeds.iter().position(|(fed, _)| fed == input) {
                Some(place) => Some(feeds.remove(place).1),
                None if spec.default.is_some() => None,
                None => Some(Fed::Constant(self.zeros(&wanted).map_err(|error| error.at(input))?)),
            };
            carried.push(Carry { output: output.clone(), input: input.clone(), first });
        }
        Ok(carried)
    }

    /// What a state begins with of which nothing is said.
    fn zeros(&self, wanted: &Wanted<'_>) -> Result<Tensor, PipelineError> {
        let unknown = || {
            let message =
                format!("nothing says what it begins with; expected {}: give a constant", wanted.spec);
            PipelineError::new(Kind::Missing, message)
        };
        let sizes = wanted.sizes.as_ref().ok_or_else(unknown)?;
        let size = |size: &Size| match self.sizes.look(*size) {
            Size::Fixed(number) => Ok(number),
            // One item at a time.
            Size::Same(_) => Ok(1),
            Size::Any => Err(unknown()),
        };
        let shape = sizes.iter().map(size).collect::<Result<Vec<_>, _>>()?;
        Tensor::zeros(wanted.spec.dtype, &shape).map_err(|error| PipelineError::invalid(error.to_string()))
    }
}
