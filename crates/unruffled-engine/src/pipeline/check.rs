//! From what is written to a [`Graph`]: every name known, every input fed once, every type and size fitting.

mod carry;
mod whole;

use std::sync::Arc;

use unruffled_model::{DType, Dim, Name, Tensor, TensorSpec};

use super::ask::Ask;
use super::draft::{Feed, IN_FLIGHT, Pipeline, PipelineStep, Repeat};
use super::error::{PipelineError, PipelineErrorKind as Kind};
use super::graph::{Counter, Each, Fed, Graph, Loop, Node, Turning, ValueAt};
use super::names::{Cast, Reference, is_loop, listed};
use super::sizes::{Size, Sizes, Symbols};

/// Checks a pipeline whose steps ask these models, in their order.
pub(crate) fn check(pipeline: &Pipeline, asks: &[Arc<dyn Ask>]) -> Result<Graph, PipelineError> {
    let cast = Cast { pipeline, asks };
    cast.check_steps()?;
    let order = cast.order()?;
    let mut checker = Checker { cast, sizes: Sizes::default(), inputs: Vec::new(), given: Vec::new() };
    checker.declare()?;
    let mut nodes: Vec<Option<Node>> = pipeline.steps.iter().map(|_| None).collect();
    for at in order {
        let node = checker.step(at).map_err(|error| error.in_step(&pipeline.steps[at].name))?;
        nodes[at] = Some(node);
    }
    checker.graph(nodes.into_iter().flatten().collect())
}

/// What is known of a value.
#[derive(Clone)]
struct Facts {
    dtype: DType,
    /// As a whole.
    whole: Option<Vec<Size>>,
    /// One of its items, where it comes item by item, and how many there are.
    item: Option<(Option<Vec<Size>>, Size)>,
    wholes: usize,
    readers: usize,
}

impl Facts {
    fn whole(dtype: DType, sizes: Option<Vec<Size>>) -> Self {
        Self { dtype, whole: sizes, item: None, wholes: 0, readers: 0 }
    }
}

struct Checker<'a> {
    cast: Cast<'a>,
    sizes: Sizes,
    /// The inputs of the pipeline that are known by now: declared, or taken by a step.
    inputs: Vec<(Name, Facts, Option<Tensor>)>,
    /// The outputs of the steps that were looked at.
    given: Vec<((usize, usize), Facts)>,
}

impl Checker<'_> {
    /// What is said of inputs beforehand.
    fn declare(&mut self) -> Result<(), PipelineError> {
        let mut symbols = Symbols::default();
        for spec in &self.cast.pipeline.inputs {
            if self.inputs.iter().any(|(known, ..)| *known == spec.name) {
                let message = "is declared twice; take one away";
                return Err(PipelineError::new(Kind::Duplicate, message).at(&spec.name));
            }
            let sizes = spec.dims.as_deref().map(|dims| symbols.sizes(&mut self.sizes, dims));
            self.inputs.push((spec.name.clone(), Facts::whole(spec.dtype, sizes), spec.default.clone()));
        }
        Ok(())
    }

    fn step(&mut self, at: usize) -> Result<Node, PipelineError> {
        let step = &self.cast.pipeline.steps[at];
        let items = match &step.repeat {
            Repeat::Once | Repeat::Several => &[][..],
            Repeat::Each(items) | Repeat::Scan(items) => items,
        };
        let rows = step.rows.unwrap_or(1);
        self.check_items(step, items)?;
        let mut symbols = Symbols::default();
        let (mut feeds, mut each, mut counters) = (Vec::new(), Vec::new(), Vec::new());
        let mut round = Round { count: None, lead: None, rows };
        for (place, (input, feed)) in step.inputs.iter().enumerate() {
            if step.inputs[..place].iter().any(|(other, _)| other == input) {
                return Err(PipelineError::new(Kind::Duplicate, "is given twice; take one away").at(input));
            }
            let spec = self.cast.spec(at, input)?;
            let wanted = spec.dims.as_deref().map(|dims| symbols.sizes(&mut self.sizes, dims));
            let wanted = Wanted { spec: &spec, sizes: wanted };
            let fed = match feed {
                Feed::Constant(tensor) => {
                    self.constant(&wanted, tensor).map(|()| Fed::Constant(tensor.clone()))
                }
                Feed::Value(reference) => match self.cast.find(reference).map_err(|error| error.at(input))? {
                    found @ (Reference::Index | Reference::Last) => {
                        let counter = counter(step, &wanted, &found).map_err(|error| error.at(input))?;
                        counters.push((input.clone(), counter));
                        continue;
                    }
                    Reference::Progress(_) => Err(PipelineError::invalid(format!(
                        "`{reference}` can only be an output of the pipeline"
                    ))),
                    found if items.contains(input) => {
                        let item = self.item(&found, reference, &wanted, &mut round);
                        each.push(item.map_err(|error| error.at(input))?);
                        continue;
                    }
                    found => self.whole(&found, reference, &wanted).map(Fed::Value),
                },
            };
            feeds.push((input.clone(), fed.map_err(|error| error.at(input))?));
        }
        let carry = self.carry(at, &mut symbols, &mut feeds)?;
        for spec in &self.cast.asks[at].info().signature.inputs {
            let is_carried = carry.iter().any(|carry| carry.input == spec.name);
            let is_fed = step.inputs.iter().any(|(input, _)| *input == spec.name) || is_carried;
            if !is_fed && spec.default.is_none() {
                let message = format!("is not given; expected {spec}: say where it comes from");
                return Err(PipelineError::new(Kind::Missing, message).at(&spec.name));
            }
        }
        self.give(at, &mut symbols, &round);
        let turn = match &step.repeat {
            Repeat::Once => Turning::Once,
            Repeat::Several => Turning::Several,
            Repeat::Each(_) | Repeat::Scan(_) => {
                let is_scan = matches!(step.repeat, Repeat::Scan(_));
                let in_flight = if is_scan { 1 } else { step.in_flight.unwrap_or(IN_FLIGHT) };
                Turning::Loop(Loop { items: each, rows, in_flight, carry, counters })
            }
        };
        let ask = Arc::clone(&self.cast.asks[at]);
        Ok(Node { name: step.name.clone(), ask, feeds, turn, gives: Vec::new() })
    }

    /// What is said about a loop is said of one, and what it goes over is there.
    fn check_items(&self, step: &PipelineStep, items: &[Name]) -> Result<(), PipelineError> {
        let stray = match (&step.repeat, &step.rows, &step.in_flight, step.carry.is_empty()) {
            (Repeat::Once | Repeat::Several, Some(_), ..) => "`rows` is for a loop; add `each` or `scan`",
            (Repeat::Once | Repeat::Several | Repeat::Scan(_), _, Some(_), _) => {
                "`in_flight` is for a loop whose items go side by side; add `each`"
            }
            (Repeat::Once | Repeat::Several | Repeat::Each(_), .., false) => {
                "carries something from item to item, which only a scan does; add `scan`"
            }
            _ => "",
        };
        if !stray.is_empty() {
            return Err(PipelineError::invalid(stray));
        }
        if is_loop(step) && items.is_empty() {
            return Err(PipelineError::invalid("repeats for the items of nothing; name one of its inputs"));
        }
        for item in items {
            let fed = step.inputs.iter().find(|(input, _)| input == item);
            match fed {
                Some((_, Feed::Value(reference))) if !reference.starts_with("item.") => {}
                Some(_) => {
                    let message = "is a constant or says which item it is: there are no items of it";
                    return Err(PipelineError::invalid(message).at(item));
                }
                None => {
                    let known = listed(step.inputs.iter().map(|(input, _)| &**input));
                    let message = format!("repeats for an input that is not given; given are {known}");
                    return Err(PipelineError::new(Kind::UnknownName, message).at(item));
                }
            }
        }
        Ok(())
    }

    fn constant(&mut self, wanted: &Wanted<'_>, tensor: &Tensor) -> Result<(), PipelineError> {
        let sizes: Vec<_> = tensor.shape().iter().map(|size| Size::Fixed(*size)).collect();
        self.fit(wanted, "a constant", tensor.dtype(), Some(&sizes))
    }

    /// A value that is taken as it is.
    fn whole(
        &mut self,
        found: &Reference,
        reference: &Name,
        wanted: &Wanted<'_>,
    ) -> Result<ValueAt, PipelineError> {
        let Some(at) = self.known(found) else {
            let Reference::Input(name) = found else { unreachable!("outputs are known in this order") };
            let facts = Facts { wholes: 1, ..Facts::whole(wanted.spec.dtype, wanted.sizes.clone()) };
            self.inputs.push((name.clone(), facts, None));
            return Ok(self.value_at(found));
        };
        self.refine(found, wanted.sizes.as_deref());
        let facts = self.facts(at).clone();
        self.fit(wanted, reference, facts.dtype, facts.whole.as_deref())?;
        self.facts_mut(at).wholes += 1;
        Ok(at)
    }

    /// A value whose items are taken one by one.
    fn item(
        &mut self,
        found: &Reference,
        reference: &Name,
        wanted: &Wanted<'_>,
        round: &mut Round,
    ) -> Result<Each, PipelineError> {
        if self.known(found).is_none() {
            let Reference::Input(name) = found else { unreachable!("outputs are known in this order") };
            let first = wanted.spec.dims.as_deref().and_then(<[Dim]>::first);
            let lead = self.sizes.fresh(match first {
                Some(Dim::Symbolic(symbol)) => Some(symbol),
                _ => None,
            });
            // A row keeps its first dimension if the model has one for it.
            let keeps = match first {
                Some(Dim::Fixed(size)) => *size == round.rows,
                Some(Dim::Symbolic(_) | Dim::Any) => true,
                None => false,
            };
            let rest = |sizes: &Vec<Size>| [&[lead], &sizes[usize::from(keeps)..]].concat();
            let sizes = wanted.sizes.as_ref().map(rest);
            self.inputs.push((name.clone(), Facts::whole(wanted.spec.dtype, sizes), None));
        }
        let at = self.value_at(found);
        let facts = self.facts(at).clone();
        let (sizes, count, is_items) = match &facts.item {
            Some((_, _)) if round.rows > 1 => {
                let message = format!("`{reference}` comes item by item already; leave `rows` out");
                return Err(PipelineError::invalid(message));
            }
            Some((sizes, count)) => (sizes.clone(), *count, true),
            None => {
                let lead = facts.whole.as_ref().map(|sizes| sizes.first().copied());
                let count = match lead {
                    Some(None) => {
                        let message =
                            format!("`{reference}` is a single value: it has no rows to repeat for");
                        return Err(PipelineError::mismatch(message));
                    }
                    Some(Some(lead)) if round.rows == 1 => lead,
                    _ => self.sizes.fresh(None),
                };
                let row = if round.rows == 1 { Size::Fixed(1) } else { Size::Any };
                (facts.whole.as_ref().map(|sizes| [&[row], &sizes[1..]].concat()), count, false)
            }
        };
        let squeezed = !is_items
            && round.rows == 1
            && matches!((&sizes, &wanted.sizes), (Some(row), Some(sizes)) if row.len() == sizes.len() + 1);
        let shown =
            if is_items { format!("an item of `{reference}`") } else { format!("a row of `{reference}`") };
        let sizes = sizes.as_deref().map(|sizes| if squeezed { &sizes[1..] } else { sizes });
        self.fit_named(wanted, &shown, facts.dtype, sizes)?;
        if !self.sizes.unify(*round.count.get_or_insert(count), count) {
            let message = format!("`{reference}` has another number of items than what it goes along with");
            return Err(PipelineError::mismatch(message));
        }
        if round.rows > 1 {
            let lead = wanted.sizes.as_ref().and_then(|sizes| sizes.first().copied());
            round.lead = lead.zip(facts.whole.as_ref().and_then(|sizes| sizes.first().copied()));
        }
        match is_items {
            true => self.facts_mut(at).readers += 1,
            false => self.facts_mut(at).wholes += 1,
        }
        Ok(Each { input: wanted.spec.name.clone(), value: at, is_items, squeezed })
    }

    /// What a step gives.
    fn give(&mut self, at: usize, symbols: &mut Symbols, round: &Round) {
        let step = &self.cast.pipeline.steps[at];
        let outputs = self.cast.asks[at].info().signature.outputs.clone();
        let count = match step.repeat {
            Repeat::Once => None,
            Repeat::Several => Some(self.sizes.fresh(None)),
            Repeat::Each(_) | Repeat::Scan(_) => round.count,
        };
        for (place, spec) in outputs.iter().enumerate() {
            let sizes = spec.dims.as_deref().map(|dims| symbols.sizes(&mut self.sizes, dims));
            let facts = match count {
                None => Facts::whole(spec.dtype, sizes),
                Some(count) => {
                    let whole = sizes.as_ref().map(|sizes| self.joined(sizes, count, round));
                    Facts { item: Some((sizes, count)), ..Facts::whole(spec.dtype, whole) }
                }
            };
            self.given.push(((at, place), facts));
        }
    }

    /// The sizes of items that were joined along their rows.
    fn joined(&mut self, item: &[Size], count: Size, round: &Round) -> Vec<Size> {
        let Some((lead, rest)) = item.split_first() else { return vec![count] };
        let rows = match (self.sizes.look(*lead), round.lead) {
            (Size::Fixed(1), _) if round.rows == 1 => count,
            (lead, Some((taken, whole))) if lead == self.sizes.look(taken) => whole,
            _ => self.sizes.fresh(None),
        };
        [&[rows], rest].concat()
    }

    /// What a step takes says more of an input than was known.
    fn refine(&mut self, found: &Reference, wanted: Option<&[Size]>) {
        let (Reference::Input(name), Some(wanted)) = (found, wanted) else { return };
        let Some((_, facts, _)) = self.inputs.iter_mut().find(|(known, ..)| known == name) else { return };
        match &mut facts.whole {
            None => facts.whole = Some(wanted.to_vec()),
            Some(known) if known.len() == wanted.len() => {
                for (size, wanted) in known.iter_mut().zip(wanted) {
                    if *size == Size::Any {
                        *size = *wanted;
                    }
                }
            }
            Some(_) => {}
        }
    }

    fn fit(
        &mut self,
        wanted: &Wanted<'_>,
        reference: &str,
        dtype: DType,
        sizes: Option<&[Size]>,
    ) -> Result<(), PipelineError> {
        self.fit_named(wanted, &format!("`{reference}`"), dtype, sizes)
    }

    /// Whether a value is one that an input takes; its sizes are known to be equal from now on.
    fn fit_named(
        &mut self,
        wanted: &Wanted<'_>,
        shown: &str,
        dtype: DType,
        sizes: Option<&[Size]>,
    ) -> Result<(), PipelineError> {
        let show = |all: &Sizes, dtype: DType, sizes: Option<&[Size]>| match sizes {
            Some(sizes) => format!("{dtype} {}", all.show(sizes)),
            None => dtype.to_string(),
        };
        let expected = show(&self.sizes, wanted.spec.dtype, wanted.sizes.as_deref());
        let given = show(&self.sizes, dtype, sizes);
        let fits = dtype == wanted.spec.dtype
            && match (wanted.sizes.as_deref(), sizes) {
                (Some(wanted), Some(given)) => self.sizes.unify_all(wanted, given),
                _ => true,
            };
        match fits {
            true => Ok(()),
            false => Err(PipelineError::mismatch(format!("expected {expected}, but {shown} is {given}"))),
        }
    }

    /// The place of a value that something is known of.
    fn known(&self, found: &Reference) -> Option<ValueAt> {
        let is_known = match found {
            Reference::Input(name) => self.inputs.iter().any(|(known, ..)| known == name),
            Reference::Output(step, output) => self.given.iter().any(|(at, _)| *at == (*step, *output)),
            _ => false,
        };
        is_known.then(|| self.value_at(found))
    }

    /// Inputs and outputs are numbered in turn: neither list ever loses anything.
    fn value_at(&self, found: &Reference) -> ValueAt {
        let place = match found {
            Reference::Input(name) => {
                self.inputs.iter().position(|(known, ..)| known == name).map(|at| 2 * at)
            }
            Reference::Output(step, output) => {
                self.given.iter().position(|(at, _)| *at == (*step, *output)).map(|at| 2 * at + 1)
            }
            _ => None,
        };
        place.expect("the value is known")
    }

    fn facts(&self, at: ValueAt) -> &Facts {
        if at.is_multiple_of(2) { &self.inputs[at / 2].1 } else { &self.given[at / 2].1 }
    }

    fn facts_mut(&mut self, at: ValueAt) -> &mut Facts {
        if at.is_multiple_of(2) { &mut self.inputs[at / 2].1 } else { &mut self.given[at / 2].1 }
    }
}

/// What an input takes, in the sizes of its step.
struct Wanted<'a> {
    spec: &'a TensorSpec,
    sizes: Option<Vec<Size>>,
}

/// What the inputs of a loop have in common.
struct Round {
    /// How many items there are.
    count: Option<Size>,
    /// The rows that an item takes, and those that there are.
    lead: Option<(Size, Size)>,
    rows: usize,
}

fn counter(step: &PipelineStep, wanted: &Wanted<'_>, found: &Reference) -> Result<Counter, PipelineError> {
    if !is_loop(step) {
        return Err(PipelineError::invalid("there are no items: the step is no loop; add `each` or `scan`"));
    }
    let dtype = if *found == Reference::Index { DType::I64 } else { DType::Bool };
    let shape = match &wanted.sizes {
        Some(sizes) if sizes.len() > 1 => None,
        Some(sizes) if sizes.is_empty() => Some(vec![]),
        _ => Some(vec![1]),
    };
    match shape {
        Some(shape) if dtype == wanted.spec.dtype && *found == Reference::Index => Ok(Counter::Index(shape)),
        Some(shape) if dtype == wanted.spec.dtype => Ok(Counter::Last(shape)),
        _ => Err(PipelineError::mismatch(format!("expected {}, but it is {dtype} [1]", wanted.spec))),
    }
}
