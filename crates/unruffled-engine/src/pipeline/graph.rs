//! [`Graph`]: a pipeline that was checked. Names have become places.

use std::sync::Arc;

use unruffled_model::{DType, Name, Signature, Tensor};

use super::ask::Ask;

/// A value, by its place.
pub(crate) type ValueAt = usize;

/// A pipeline that was checked.
pub(crate) struct Graph {
    pub(crate) signature: Signature,
    pub(super) inputs: Vec<(Name, ValueAt)>,
    pub(super) values: Vec<Value>,
    pub(super) steps: Vec<Node>,
    pub(super) outputs: Vec<Output>,
    /// The loop whose items are given as they come, and how many outputs of it are.
    pub(super) emits: Option<usize>,
    pub(super) bytes: usize,
}

/// A value that is used.
pub(super) struct Value {
    /// How often it is taken as a whole.
    pub(super) wholes: usize,
    /// How many loops take it item by item.
    pub(super) readers: usize,
    /// What no items at all are, joined.
    pub(super) none: (DType, Vec<usize>),
    /// The output of a pipeline that gives it item by item, if it was asked to.
    pub(super) emitted: usize,
}

/// A step.
pub(super) struct Node {
    pub(super) name: Name,
    pub(super) ask: Arc<dyn Ask>,
    /// The inputs that are the same each time.
    pub(super) feeds: Vec<(Name, Fed)>,
    pub(super) turn: Turning,
    /// The outputs that somebody uses.
    pub(super) gives: Vec<(Name, ValueAt)>,
}

/// What an input is given.
#[derive(Clone)]
pub(super) enum Fed {
    Constant(Tensor),
    Value(ValueAt),
}

/// How often a step asks.
pub(super) enum Turning {
    Once,
    Several,
    Loop(Loop),
}

/// What a loop is.
pub(super) struct Loop {
    pub(super) items: Vec<Each>,
    /// Rows that make an item, of what is no item by itself.
    pub(super) rows: usize,
    /// Items that are with the model at a time.
    pub(super) in_flight: usize,
    /// Outputs that are inputs the next time, and what these are the first time; nothing for the model's default.
    pub(super) carry: Vec<Carry>,
    /// Inputs that say which item it is.
    pub(super) counters: Vec<(Name, Counter)>,
}

impl Loop {
    /// Whether an item is only begun once it is known whether it is the last.
    pub(super) fn asks_for_last(&self) -> bool {
        self.counters.iter().any(|(_, counter)| matches!(counter, Counter::Last(_)))
    }
}

/// An input that each item has its own of.
pub(super) struct Each {
    pub(super) input: Name,
    pub(super) value: ValueAt,
    /// Whether the value comes item by item.
    pub(super) is_items: bool,
    /// Whether a row loses its first dimension.
    pub(super) squeezed: bool,
}

pub(super) struct Carry {
    pub(super) output: Name,
    pub(super) input: Name,
    pub(super) first: Option<Fed>,
}

/// What is said of an item, in this shape.
pub(super) enum Counter {
    Index(Vec<usize>),
    Last(Vec<usize>),
}

/// What the pipeline gives.
pub(super) struct Output {
    pub(super) name: Name,
    pub(super) from: Given,
    /// Whether it is given item by item to those who ask for that.
    pub(super) emitted: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Given {
    Value(ValueAt),
    /// How far a loop has come.
    Progress(usize),
}
