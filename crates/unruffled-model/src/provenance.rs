//! [`Provenance`]: where an answer comes from, if not simply from a run of the model that was asked.

use std::time::Duration;

use crate::tensors::Name;

/// Where an answer comes from, if not simply from a run of the model that was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Provenance {
    /// It is not what was asked for but what could be had instead.
    pub degraded: Option<Degraded>,
    /// Whether it was computed for another request with the same input.
    pub cached: bool,
    /// The version of the model that gave it, where there are several.
    pub version: Option<Name>,
    /// What each part took, of an answer that several models gave together; in the order in which they ended.
    pub steps: Vec<Step>,
}

/// Why an answer is not the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Degraded {
    /// Who gave it: the name of a model, or `default`.
    pub by: Name,
    /// Who was tried before, and why each did not answer, in the order in which they were tried.
    pub why: Vec<(Name, Name)>,
}

impl Degraded {
    /// Given by this one; nobody was tried before.
    pub fn new(by: impl Into<Name>) -> Self {
        Self { by: by.into(), why: Vec::new() }
    }

    /// After this one was tried, for this reason in vain.
    #[must_use]
    pub fn after(mut self, model: impl Into<Name>, reason: impl Into<Name>) -> Self {
        self.why.push((model.into(), reason.into()));
        self
    }
}

/// One part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// What it is called where the parts are put together.
    pub name: Name,
    /// How many requests it was.
    pub requests: usize,
    /// How long they waited, all together.
    pub queue: Duration,
    /// How long they ran, all together.
    pub run: Duration,
    /// From the first one's start to the last one's answer.
    pub total: Duration,
}

impl Step {
    /// A part that has taken no time yet.
    pub fn new(name: impl Into<Name>) -> Self {
        let zero = Duration::ZERO;
        Self { name: name.into(), requests: 0, queue: zero, run: zero, total: zero }
    }
}
