//! [`Link`]: one model of a chain, and on what terms it is asked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use unruffled_model::Name;

use super::ask::{Ask, Converted, Same};
use crate::breaker::{Breaker, BreakerOptions};
use crate::handle::Handle;

/// When the next link begins although this one has not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hedge {
    Never,
    After(Duration),
    /// When it takes longer than nearly all of what it has taken lets expect.
    WhenLate,
}

/// One model of a chain, and on what terms it is asked. Cheap to clone.
///
/// Unless said otherwise it may use all the time that the request has, is not hedged, and has a [`Breaker`] of its own.
#[must_use = "a link does nothing unless it is part of a chain"]
pub struct Link<I, O> {
    pub(super) ask: Arc<dyn Ask<I, O>>,
    pub(super) budget: Option<Duration>,
    pub(super) hedge: Hedge,
    pub(super) breaker: Option<Breaker>,
}

impl<I: Send + 'static, O: Send + 'static> Link<I, O> {
    /// A model that takes and gives what the chain does. Each link that is asked gets a clone of the input.
    pub fn new(model: &Handle<I, O>) -> Self
    where
        I: Clone,
    {
        Self::of(Arc::new(Same(model.clone())))
    }

    /// A model of other types, with what makes its inputs of the chain's and the chain's outputs of its own.
    ///
    /// Both functions run where the chain is polled, and must be as quick as whatever else runs there; what takes longer is a
    /// model of its own.
    pub fn converting<J, P>(
        model: &Handle<J, P>,
        to: impl Fn(&I) -> J + Send + Sync + 'static,
        from: impl Fn(P) -> O + Clone + Send + Sync + 'static,
    ) -> Self
    where
        J: Send + 'static,
        P: Send + 'static,
    {
        Self::of(Arc::new(Converted { handle: model.clone(), to, from }))
    }

    fn of(ask: Arc<dyn Ask<I, O>>) -> Self {
        let breaker = Some(Breaker::new(ask.name(), BreakerOptions::default()));
        Self { ask, budget: None, hedge: Hedge::Never, breaker }
    }

    /// How long it may take, of the time that the request has: a model that has used it up is stopped, and the next is asked.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Has the next link begin, beside this one, so long after this one did. The first answer counts.
    pub fn hedge_after(mut self, delay: Duration) -> Self {
        self.hedge = Hedge::After(delay);
        self
    }

    /// As [`hedge_after`](Self::hedge_after), once it is later than the model is 19 times out of 20, by what its runs have cost
    /// and what was ahead. Before it has run, nothing is expected of it, and nothing begins beside it.
    pub fn hedge_when_late(mut self) -> Self {
        self.hedge = Hedge::WhenLate;
        self
    }

    /// With a breaker that other chains may use, too, or one with options of its own.
    pub fn breaker(mut self, breaker: &Breaker) -> Self {
        self.breaker = Some(breaker.clone());
        self
    }

    /// Without a breaker: it is asked each time, however often it has failed.
    pub fn without_breaker(mut self) -> Self {
        self.breaker = None;
        self
    }

    /// The name of its model.
    pub fn name(&self) -> Name {
        self.ask.name()
    }
}

impl<I, O> Clone for Link<I, O> {
    fn clone(&self) -> Self {
        let Self { ask, budget, hedge, breaker } = self;
        Self { ask: Arc::clone(ask), budget: *budget, hedge: *hedge, breaker: breaker.clone() }
    }
}

impl<I: Clone + Send + 'static, O: Send + 'static> From<&Handle<I, O>> for Link<I, O> {
    fn from(model: &Handle<I, O>) -> Self {
        Self::new(model)
    }
}

impl<I, O> fmt::Debug for Link<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("model", &self.ask.name())
            .field("budget", &self.budget)
            .field("hedge", &self.hedge)
            .field("breaker", &self.breaker)
            .finish()
    }
}
