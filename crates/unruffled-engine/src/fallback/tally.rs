//! What a chain has done so far, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use unruffled_model::Name;

use crate::breaker::BreakerStatus;

/// What one link has done.
#[derive(Debug, Default)]
pub(super) struct Tally {
    asked: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    stopped: AtomicU64,
    passed_over: AtomicU64,
}

/// What may become of a link.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Asked,
    Answered,
    Failed,
    /// Another was first, or nobody wanted an answer any more.
    Stopped,
    PassedOver,
}

impl Tally {
    pub(super) fn count(&self, fate: Fate) {
        let counter = match fate {
            Fate::Asked => &self.asked,
            Fate::Answered => &self.answered,
            Fate::Failed => &self.failed,
            Fate::Stopped => &self.stopped,
            Fate::PassedOver => &self.passed_over,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn report(&self, name: Name, breaker: Option<BreakerStatus>) -> LinkStatus {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LinkStatus {
            name,
            asked: count(&self.asked),
            answered: count(&self.answered),
            failed: count(&self.failed),
            stopped: count(&self.stopped),
            passed_over: count(&self.passed_over),
            breaker,
        }
    }
}

/// How a chain stands, and what it has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainStatus {
    /// Link by link, in their order.
    pub links: Vec<LinkStatus>,
    /// How often the default was given.
    pub defaults: u64,
}

/// How one link of a chain stands, and what it has done so far. Each request that it was asked ends as one of answered,
/// failed and stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStatus {
    /// The name of its model.
    pub name: Name,
    /// How often it was asked.
    pub asked: u64,
    /// How often its answer was given.
    pub answered: u64,
    /// How often it failed, its budget used up included.
    pub failed: u64,
    /// How often it was stopped, because another was first or nobody wanted an answer any more.
    pub stopped: u64,
    /// How often it was not asked when it was its turn: its breaker was open, or it would have been late.
    pub passed_over: u64,
    /// How its breaker stands, if it has one.
    pub breaker: Option<BreakerStatus>,
}
