//! [`Passage`]: one call on its way through the graph. A future in all but name: whoever polls it carries it on.

mod emit;

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use unruffled_model::{Name, RequestContext, RequestId, Step, Tensor, Tensors};

use super::ask::Told;
use super::graph::{Fed, Given, Graph, Loop, Node, Turning};
use super::turn::{Flight, Next, Round, Source, Tally, Turn};
use super::values::{Refused, Taken, Values};
use crate::error::{Error, ErrorKind};
use crate::handle::Stopped;

/// How many items a loop is ahead of those that take them: so many times what it has under way.
const AHEAD: usize = 2;

/// How many items of several outputs wait to be taken.
const SEVERAL_AHEAD: usize = 16;

/// Takes outputs before the end; an error says that nobody wants more.
pub(crate) type Emit<'a> = dyn FnMut(Tensors) -> Result<(), Error> + 'a;

/// One call on its way. Dropping it cancels whatever it has asked.
pub(crate) struct Passage {
    graph: Arc<Graph>,
    context: RequestContext,
    values: Values,
    turns: Vec<Turn>,
    /// How far each loop has come.
    progress: Vec<(usize, Option<usize>)>,
    emitting: bool,
    /// Items that were emitted, and the last progress that was told.
    emitted: usize,
    told: usize,
    /// Why it ends, if not well, and what is waited for.
    failure: Option<Error>,
    ends: Vec<Stopped>,
    steps: Vec<Step>,
}

impl Passage {
    /// A call with inputs that were checked. `emitting` says whether the caller takes several outputs.
    pub(crate) fn new(
        graph: &Arc<Graph>,
        mut inputs: Tensors,
        context: RequestContext,
        emitting: bool,
    ) -> Self {
        let emitting = emitting && graph.emits.is_some();
        let mut all = Self {
            values: Values::new(graph, emitting),
            turns: graph.steps.iter().map(|_| Turn::Waiting).collect(),
            progress: vec![(0, None); graph.steps.len()],
            graph: Arc::clone(graph),
            context,
            emitting,
            emitted: 0,
            told: 0,
            failure: None,
            ends: Vec::new(),
            steps: Vec::new(),
        };
        for (name, at) in &graph.inputs {
            let Some(input) = inputs.remove(name) else { continue };
            if let Err(refused) = all.values.put(*at, input) {
                all.failure.get_or_insert(all.refusal(&refused, &format!("input `{name}`")));
            }
        }
        all
    }

    /// The bytes of what it holds.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.values.held()
    }

    /// What each step took, in the order in which they ended.
    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Goes as far as it can. Ready with what is left to be given, or with why there is nothing, once nothing that was asked
    /// goes on any more.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        emit: &mut Emit<'_>,
    ) -> Poll<Result<Option<Tensors>, Error>> {
        while self.failure.is_none() {
            match self.advance_all(cx, emit) {
                Ok(true) => {}
                Ok(false) if self.turns.iter().all(|turn| matches!(turn, Turn::Over)) => {
                    return Poll::Ready(Ok(self.outputs()));
                }
                Ok(false) => return Poll::Pending,
                Err(error) => {
                    // What was complete before it is given; whether anybody takes it no longer matters.
                    let _ = self.emit_ready(&Arc::clone(&self.graph), emit);
                    self.failure = Some(error);
                }
            }
        }
        self.stop();
        self.ends.retain_mut(|end| Pin::new(end).poll(cx).is_pending());
        match self.ends.is_empty() {
            true => Poll::Ready(Err(self.failure.clone().expect("it has failed"))),
            false => Poll::Pending,
        }
    }

    /// Lets every step do what it can. True: something has changed.
    fn advance_all(&mut self, cx: &mut Context<'_>, emit: &mut Emit<'_>) -> Result<bool, Error> {
        let graph = Arc::clone(&self.graph);
        let mut changed = false;
        for (at, node) in graph.steps.iter().enumerate() {
            let turn = std::mem::replace(&mut self.turns[at], Turn::Over);
            // What is under way is kept if it fails: it is still to be stopped.
            let (turn, outcome) = self.advance(at, node, turn, cx);
            self.turns[at] = turn;
            changed |= outcome?;
        }
        Ok(self.emit_ready(&graph, emit)? || changed)
    }

    fn advance(
        &mut self,
        at: usize,
        node: &Node,
        turn: Turn,
        cx: &mut Context<'_>,
    ) -> (Turn, Result<bool, Error>) {
        match turn {
            // Waiting -> Asked | Looping.
            Turn::Waiting if self.can_begin(node) => (self.begin(node), Ok(true)),
            Turn::Waiting => (Turn::Waiting, Ok(false)),
            // Asked -> Asked | Over.
            Turn::Asked { mut flight, mut tally, mut several } => {
                let is_over = self.hear(node, &mut flight, &mut tally, &mut several, cx);
                match is_over {
                    Ok(Some(true)) => {
                        self.steps.push(tally.end(node.ask.now()));
                        (Turn::Over, Ok(true))
                    }
                    outcome => {
                        let changed = outcome.map(|heard| heard.is_some());
                        (Turn::Asked { flight, tally, several }, changed)
                    }
                }
            }
            // Looping -> Looping | Over.
            Turn::Looping(mut round) => {
                let Turning::Loop(plan) = &node.turn else { unreachable!("only loops loop") };
                match self.go_round(at, node, plan, &mut round, cx) {
                    Ok((true, _)) => {
                        round.let_go(&mut self.values);
                        self.steps.push(round.tally.end(node.ask.now()));
                        (Turn::Over, Ok(true))
                    }
                    Ok((false, changed)) => (Turn::Looping(round), Ok(changed)),
                    Err(error) => (Turn::Looping(round), Err(error)),
                }
            }
            Turn::Over => (Turn::Over, Ok(false)),
        }
    }

    /// Whether all is there that a step takes as a whole. The items of a loop may come later.
    fn can_begin(&self, node: &Node) -> bool {
        let is_here = |fed: &Fed| match fed {
            Fed::Constant(_) => true,
            Fed::Value(at) => self.values.has(*at),
        };
        let feeds = node.feeds.iter().all(|(_, fed)| is_here(fed));
        let Turning::Loop(plan) = &node.turn else { return feeds };
        let items = plan.items.iter().all(|each| each.is_items || self.values.has(each.value));
        feeds && items && plan.carry.iter().filter_map(|carry| carry.first.as_ref()).all(is_here)
    }

    fn begin(&mut self, node: &Node) -> Turn {
        let (mut fixed, mut charge) = (Tensors::new(), 0);
        for (input, fed) in &node.feeds {
            let Taken { tensor, charge: own } = self.fed(fed);
            charge += own;
            fixed.insert(input.clone(), tensor);
        }
        let mut tally = Tally::new(&node.name);
        let plan = match &node.turn {
            Turning::Loop(plan) => plan,
            once => {
                tally.sent(node.ask.now());
                let context = self.named(&node.name, None);
                let asked = match once {
                    Turning::Several => node.ask.several(fixed, context),
                    _ => node.ask.one(fixed, context),
                };
                return Turn::Asked { flight: Flight { index: 0, asked, charge }, tally, several: 0 };
            }
        };
        let sources = plan.items.iter().map(|each| match each.is_items {
            true => {
                self.values.begun(each.value);
                Source::Items
            }
            false => {
                let Taken { tensor, charge } = self.fed(&Fed::Value(each.value));
                Source::Rows { tensor, charge }
            }
        });
        let sources = sources.collect();
        let first = plan.carry.iter().filter_map(|carry| Some((carry.input.clone(), carry.first.as_ref()?)));
        let carried = first.map(|(input, fed)| (input, self.fed(fed))).collect();
        let (next, done, flights) = (0, 0, Vec::new());
        Turn::Looping(Box::new(Round { sources, fixed, charge, carried, next, flights, done, tally }))
    }

    /// Hears of what a step has asked once. Nothing: not yet. True: that was all.
    fn hear(
        &mut self,
        node: &Node,
        flight: &mut Flight,
        tally: &mut Tally,
        several: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<Option<bool>, Error> {
        let is_several = matches!(node.turn, Turning::Several);
        // Whoever is slow to take outputs holds the model that gives them.
        if is_several && self.is_ahead(node, *several, SEVERAL_AHEAD) {
            return Ok(None);
        }
        let Poll::Ready(told) = flight.asked.poll(cx) else { return Ok(None) };
        match told {
            Some(told) if is_several => {
                tally.heard(&told);
                let output = self.answer(node, told)?;
                self.keep_items(node, *several, output)?;
                *several += 1;
                Ok(Some(false))
            }
            Some(told) => {
                tally.heard(&told);
                let mut output = self.answer(node, told)?;
                self.values.release(flight.charge);
                for (name, at) in &node.gives {
                    let tensor = output.remove(name).ok_or_else(|| lacks(node, name))?;
                    self.values
                        .put(*at, tensor)
                        .map_err(|refused| self.refusal(&refused, &of(node, name)))?;
                }
                Ok(Some(true))
            }
            None => {
                self.values.release(flight.charge);
                self.end_items(node)?;
                Ok(Some(true))
            }
        }
    }

    /// Hears of the items of a loop, and begins others. Over, and whether anything has changed.
    fn go_round(
        &mut self,
        at: usize,
        node: &Node,
        plan: &Loop,
        round: &mut Round,
        cx: &mut Context<'_>,
    ) -> Result<(bool, bool), Error> {
        let (mut changed, mut failure) = (false, None);
        let mut place = 0;
        while place < round.flights.len() {
            let Poll::Ready(told) = round.flights[place].asked.poll(cx) else {
                place += 1;
                continue;
            };
            let flight = round.flights.swap_remove(place);
            // Those who were answered beside one that has failed are heard, too.
            if let Err(error) = self.hear_item(node, plan, round, &flight, told) {
                failure.get_or_insert(error);
            }
            changed = true;
        }
        if let Some(error) = failure {
            return Err(error);
        }
        while round.flights.len() < plan.in_flight && !self.is_ahead(node, round.next, AHEAD * plan.in_flight)
        {
            let last = match round.look(plan, &self.values) {
                Next::Here { last: None } if plan.asks_for_last() => break,
                Next::Here { last } => last.unwrap_or(false),
                Next::Later | Next::None => break,
                Next::Uneven(count) => {
                    let message = format!(
                        "step `{}`: one of the inputs that it repeats for has {count} items, another more",
                        node.name
                    );
                    return Err(Error::new(ErrorKind::ModelFailed, message));
                }
            };
            let index = round.next;
            let (inputs, charge) = round.inputs(plan, &mut self.values, last);
            round.tally.sent(node.ask.now());
            let asked = node.ask.one(inputs, self.named(&node.name, Some(index)));
            round.flights.push(Flight { index, asked, charge });
            changed = true;
        }
        let count = round.count(plan, &self.values);
        self.progress[at] = (round.done, count);
        if let Some(count) = count {
            // Whoever goes over what this one gives knows his last item early.
            node.gives.iter().for_each(|(_, at)| self.values.expect(*at, count));
        }
        if round.flights.is_empty() && round.look(plan, &self.values) == Next::None {
            self.end_items(node)?;
            return Ok((true, true));
        }
        Ok((false, changed))
    }

    /// Hears of one item of a loop.
    fn hear_item(
        &mut self,
        node: &Node,
        plan: &Loop,
        round: &mut Round,
        flight: &Flight,
        told: Option<Told>,
    ) -> Result<(), Error> {
        self.values.release(flight.charge);
        let told = told.expect("a request for one answer gets one");
        round.tally.heard(&told);
        let output = self.answer(node, told)?;
        for carry in &plan.carry {
            let tensor = output.get(&carry.output).ok_or_else(|| lacks(node, &carry.output))?.clone();
            let charge = tensor.byte_len();
            let charged = self.values.charge(charge);
            charged.map_err(|refused| self.refusal(&refused, &of(node, &carry.output)))?;
            round.carried.push((carry.input.clone(), Taken { tensor, charge }));
        }
        self.keep_items(node, flight.index, output)?;
        round.done += 1;
        Ok(())
    }

    /// Whether a step has given so much that it waits for others to take it.
    fn is_ahead(&self, node: &Node, next: usize, most: usize) -> bool {
        node.gives.iter().filter_map(|(_, at)| self.values.ahead(*at, next)).any(|ahead| ahead >= most)
    }

    fn keep_items(&mut self, node: &Node, index: usize, mut output: Tensors) -> Result<(), Error> {
        for (name, at) in &node.gives {
            let tensor = output.remove(name).ok_or_else(|| lacks(node, name))?;
            let kept = self.values.put_item(*at, index, tensor);
            kept.map_err(|refused| self.refusal(&refused, &of(node, name)))?;
        }
        Ok(())
    }

    fn end_items(&mut self, node: &Node) -> Result<(), Error> {
        for (name, at) in &node.gives {
            let (dtype, shape) = &self.graph.values[*at].none;
            let (dtype, shape) = (*dtype, shape.clone());
            let ended = self.values.end(*at, || Tensor::zeros(dtype, &shape));
            ended.map_err(|refused| self.refusal(&refused, &of(node, name)))?;
        }
        Ok(())
    }

    fn fed(&mut self, fed: &Fed) -> Taken {
        match fed {
            Fed::Constant(tensor) => Taken { tensor: tensor.clone(), charge: 0 },
            Fed::Value(at) => self.values.take(*at).expect("a step begins when all is there"),
        }
    }

    /// The caller's context, the step's name behind that of the request.
    fn named(&self, step: &Name, item: Option<usize>) -> RequestContext {
        let id = self.context.id();
        let name = match item {
            None => format!("{id}/{step}"),
            Some(item) => format!("{id}/{step}/{item}"),
        };
        self.context.clone().with_id(RequestId::Text(name.into()))
    }

    /// What a step was told, or why it was not.
    fn answer(&mut self, node: &Node, told: Told) -> Result<Tensors, Error> {
        self.ends.extend(told.end.filter(|_| told.outcome.is_err()));
        told.outcome.map_err(|error| {
            let message = format!("step `{}`: {error}", node.name);
            Error::new(error.kind(), message).retry_after_wait(error.retry_after())
        })
    }

    fn refusal(&self, refused: &Refused, what: &str) -> Error {
        match refused {
            Refused::TooMuch(bytes) => {
                let most = self.graph.bytes;
                let message = format!(
                    "{what}: with it a call would hold {bytes} bytes, more than the {most} that one may; give less, or \
                     let the pipeline have more"
                );
                Error::new(ErrorKind::InvalidInput, message)
            }
            Refused::Ragged(error) => {
                let message = format!("{what}: its items cannot be joined: {error}; take them one by one");
                Error::new(ErrorKind::ModelFailed, message)
            }
        }
    }

    /// What is given at the end.
    fn outputs(&mut self) -> Option<Tensors> {
        let graph = Arc::clone(&self.graph);
        let mut outputs = Tensors::new();
        for output in &graph.outputs {
            if self.emitting && output.emitted {
                continue;
            }
            let tensor = match output.from {
                Given::Value(at) => self.fed(&Fed::Value(at)).tensor,
                Given::Progress(step) => self.progress_of(step),
            };
            outputs.insert(output.name.clone(), tensor);
        }
        (!self.emitting || !outputs.is_empty()).then_some(outputs)
    }

    /// Cancels all that is under way.
    fn stop(&mut self) {
        for turn in self.turns.iter_mut().map(|turn| std::mem::replace(turn, Turn::Over)) {
            let flights = match turn {
                Turn::Asked { flight, .. } => vec![flight],
                Turn::Looping(round) => round.flights,
                Turn::Waiting | Turn::Over => continue,
            };
            self.ends.extend(flights.into_iter().filter_map(|flight| flight.asked.stop()));
        }
    }
}

fn of(node: &Node, output: &Name) -> String {
    format!("step `{}`, output `{output}`", node.name)
}

fn lacks(node: &Node, output: &Name) -> Error {
    let message = format!("step `{}`: model `{}` gave no `{output}`", node.name, node.ask.name());
    Error::new(ErrorKind::ModelFailed, message)
}
