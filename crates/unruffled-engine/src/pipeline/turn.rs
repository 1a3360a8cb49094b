//! [`Turn`]: how far one step of one call has come.

use std::time::{Duration, Instant};

use unruffled_model::{Name, Step, Tensor, Tensors};

use super::ask::{Asked, Told};
use super::graph::{Counter, Each, Loop};
use super::values::{Taken, Values};

/// How far one step has come.
pub(super) enum Turn {
    /// Not all that it needs is there.
    Waiting,
    /// It has asked once.
    Asked {
        flight: Flight,
        tally: Tally,
        several: usize,
    },
    /// It goes from item to item.
    Looping(Box<Round>),
    Over,
}

/// A request that is under way, and what it holds.
pub(super) struct Flight {
    pub(super) index: usize,
    pub(super) asked: Box<dyn Asked>,
    pub(super) charge: usize,
}

/// A loop under way.
pub(super) struct Round {
    pub(super) sources: Vec<Source>,
    /// What is the same each time, and its bytes.
    pub(super) fixed: Tensors,
    pub(super) charge: usize,
    /// What the last item has handed on, and its bytes.
    pub(super) carried: Vec<(Name, Taken)>,
    /// The next item to be begun.
    pub(super) next: usize,
    pub(super) flights: Vec<Flight>,
    /// How many have been answered.
    pub(super) done: usize,
    pub(super) tally: Tally,
}

/// Where the items of one input come from.
pub(super) enum Source {
    /// They are rows of this.
    Rows { tensor: Tensor, charge: usize },
    /// They come one by one.
    Items,
}

/// Whether a loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next item is there; it is the last, or it is not, or that is not known.
    Here { last: Option<bool> },
    /// It is not there yet.
    Later,
    /// There are no more.
    None,
    /// One input has as many items, another one more.
    Uneven(usize),
}

impl Round {
    /// How many items there are, once that is known.
    pub(super) fn count(&self, plan: &Loop, values: &Values) -> Option<usize> {
        let counts = plan.items.iter().zip(&self.sources);
        counts.filter_map(|(each, source)| source.count(each, plan.rows, values)).min()
    }

    /// Whether there is an item to be begun.
    pub(super) fn look(&self, plan: &Loop, values: &Values) -> Next {
        let sources = || plan.items.iter().zip(&self.sources);
        let has = |index: usize| {
            sources().all(|(each, source)| match source.count(each, plan.rows, values) {
                Some(count) => index < count,
                None => values.has_item(each.value, index),
            })
        };
        let is_behind = |(each, source): (&Each, &Source)| {
            source.count(each, plan.rows, values).is_some_and(|count| count <= self.next)
        };
        let has_next = |(each, source): (&Each, &Source)| match source.count(each, plan.rows, values) {
            Some(count) => count > self.next,
            None => values.has_item(each.value, self.next),
        };
        if sources().any(is_behind) {
            return match (sources().any(has_next), sources().all(is_behind)) {
                (true, _) => Next::Uneven(self.next),
                (false, true) => Next::None,
                (false, false) => Next::Later,
            };
        }
        let is_here = sources().all(|(each, source)| match source {
            Source::Rows { .. } => true,
            Source::Items => values.has_item(each.value, self.next),
        });
        if !is_here {
            return Next::Later;
        }
        let last = match self.count(plan, values) {
            Some(count) => Some(self.next + 1 == count),
            None => has(self.next + 1).then_some(false),
        };
        Next::Here { last }
    }

    /// The inputs of the next item, and the bytes that it holds alone.
    pub(super) fn inputs(&mut self, plan: &Loop, values: &mut Values, last: bool) -> (Tensors, usize) {
        let (mut inputs, mut charge) = (self.fixed.clone(), 0);
        let index = self.next;
        for (each, source) in plan.items.iter().zip(&self.sources) {
            let tensor = match source {
                Source::Rows { tensor, .. } => {
                    let begin = index * plan.rows;
                    let rows = tensor.rows(begin..tensor.shape()[0].min(begin + plan.rows));
                    let squeezed =
                        if each.squeezed { rows.reshaped(&tensor.shape()[1..]).ok() } else { None };
                    squeezed.unwrap_or(rows)
                }
                Source::Items => {
                    let taken = values.take_item(each.value, index).expect("it was looked for just now");
                    charge += taken.charge;
                    taken.tensor
                }
            };
            inputs.insert(each.input.clone(), tensor);
        }
        for (input, taken) in self.carried.drain(..) {
            charge += taken.charge;
            inputs.insert(input, taken.tensor);
        }
        for (input, counter) in &plan.counters {
            let tensor = match counter {
                Counter::Index(shape) => Tensor::filled(shape, index as i64),
                Counter::Last(shape) => Tensor::filled(shape, last),
            };
            inputs.insert(input.clone(), tensor.expect("one element is not too many"));
        }
        self.next += 1;
        (inputs, charge)
    }

    /// All that it still holds.
    pub(super) fn let_go(&mut self, values: &mut Values) {
        let rows = self.sources.iter().map(|source| match source {
            Source::Rows { charge, .. } => *charge,
            Source::Items => 0,
        });
        let carried = self.carried.iter().map(|(_, taken)| taken.charge);
        values.release(rows.chain(carried).sum::<usize>() + self.charge);
    }
}

impl Source {
    fn count(&self, each: &Each, rows: usize, values: &Values) -> Option<usize> {
        match self {
            Source::Rows { tensor, .. } => Some(tensor.shape()[0].div_ceil(rows)),
            Source::Items => values.count(each.value),
        }
    }
}

/// What a step has taken so far.
pub(super) struct Tally {
    /// When its first request was sent.
    begun: Option<Instant>,
    step: Step,
}

impl Tally {
    pub(super) fn new(name: &Name) -> Self {
        Self { begun: None, step: Step::new(name.clone()) }
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.begun.get_or_insert(now);
        self.step.requests += 1;
    }

    pub(super) fn heard(&mut self, told: &Told) {
        if let Some(timings) = &told.timings {
            self.step.queue += timings.queue;
            self.step.run += timings.run;
        }
    }

    pub(super) fn end(mut self, now: Instant) -> Step {
        self.step.total = self.begun.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun));
        self.step
    }
}
