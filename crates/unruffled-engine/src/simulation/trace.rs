//! What happened in one history: the only thing that the checkers see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use unruffled_model::{Batching, Footprint, Priority};

use crate::error::ErrorKind;

/// Names one request of a history.
pub(super) type Id = u64;

/// A point in virtual time.
pub(super) type Micros = u64;

/// A model of the history, by its place among them.
pub(super) type At = usize;

/// One history: its settings, and its events in order.
pub(super) struct Trace {
    pub(super) cores: usize,
    pub(super) ageing: Micros,
    pub(super) models: Vec<ModelFacts>,
    pub(super) events: Vec<(Micros, Event)>,
}

/// What is settled about a model before anything happens.
#[derive(Clone, Debug)]
pub(super) struct ModelFacts {
    pub(super) batching: Batching,
    pub(super) instances: usize,
    pub(super) instances_max: usize,
    /// How long a lease may lie idle.
    pub(super) lease_idle: Micros,
    pub(super) max_batch: usize,
    pub(super) items: usize,
    pub(super) bytes: usize,
    /// Cores that each run holds.
    pub(super) threads: usize,
    /// Whether runs watch for cancellation.
    pub(super) stops: bool,
    /// Whether rows may be run twice.
    pub(super) reruns: bool,
    /// Whether bulk runs give way.
    pub(super) yields: bool,
    /// Whether runs fail for no reason.
    pub(super) moody: bool,
    /// Its runs cost next to nothing, which is known from the start.
    pub(super) cheap: bool,
    /// Most of its requests come from one caller.
    pub(super) greedy: bool,
    /// Asked by scopes and streams only, whose single requests nobody sees coming.
    pub(super) scoped: bool,
}

impl ModelFacts {
    /// Whether a row that was left with its input is run again.
    pub(super) fn reruns_leftovers(&self) -> bool {
        self.reruns || self.batching == Batching::Sequential
    }
}

/// What one request is like.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) model: At,
    pub(super) class: Priority,
    pub(super) deadline: Option<Micros>,
    pub(super) footprint: Footprint,
    pub(super) caller: Option<u32>,
    pub(super) key: Option<u32>,
    /// Any run that it is part of fails.
    pub(super) poison: bool,
    /// Its own answer is an error.
    pub(super) poor: bool,
    pub(super) kind: Kind,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A run.
    Run,
    /// An instance of its own.
    Lease,
    /// A run on the instance of this lease.
    Call(Id),
}

impl Facts {
    /// The lease that it is a call on.
    pub(super) fn lease(&self) -> Option<Id> {
        if let Kind::Call(lease) = self.kind { Some(lease) } else { None }
    }
}

/// How one run ended.
#[derive(Clone, Debug)]
pub(super) struct RunFacts {
    pub(super) model: At,
    pub(super) slot: usize,
    /// It saw its cancellation.
    pub(super) told_to_stop: bool,
    /// It was told to let something more urgent go first.
    pub(super) yielding: bool,
    pub(super) failed: bool,
    pub(super) panicked: bool,
    /// Rows without an answer that could be run again.
    pub(super) left: Vec<Id>,
    /// Whether a row without an answer could not.
    pub(super) culprit: bool,
    /// Requests that the model saw beside another's input.
    pub(super) mixed: Vec<Id>,
}

#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A request came; refused at once, or taken in.
    Submitted(Id, Facts, Option<ErrorKind>),
    /// Its caller went.
    Dropped(Id),
    /// Its caller went, and waits until nothing of it goes on.
    Stopping(Id),
    /// Nothing of it goes on, it is said.
    Stopped(Id),
    /// It was cancelled by its handle.
    #[allow(dead_code, reason = "read where a history is printed")]
    Cancelled(Id),
    /// Its caller was given this answer, or this kind of an error.
    Answered(Id, Result<u64, ErrorKind>),
    /// It ran on its caller's thread.
    Inline(Id),
    /// An instance with work asks for a core.
    Asks { model: At, slot: usize },
    /// It was given one.
    Granted { model: At, slot: usize },
    /// It needs none any more.
    Leaves { model: At, slot: usize },
    /// An instance was given to whoever asked for one.
    Leased { model: At, slot: usize, id: Id },
    /// Its holder lets it go, and with it all calls that are not answered.
    Released(Id),
    /// An instance took a batch.
    Taken { model: At, slot: usize, ids: Vec<Id> },
    /// A run ended.
    Ended(RunFacts),
    /// A run ended with its instance, and nobody told whom it belonged to.
    Abandoned { model: At, slot: usize },
    /// No instance could be built.
    BuildFailed { model: At, others: bool },
    /// No more requests are taken in.
    #[allow(dead_code, reason = "read where a history is printed")]
    Drained(At),
    /// Everything is ended.
    Closed(At),
    /// A scope or a stream has this request, and will send it.
    Planned(Id, Facts),
    /// A scope has come to its end: its requests in order, and whether each has a result.
    ScopeEnded { ids: Vec<Id>, outcomes: Vec<Option<Result<u64, ErrorKind>>>, fail_fast: bool },
    /// A stream gave an item: its sequence number, and which request it was.
    Streamed { stream: Id, seq: u64, id: Id, outcome: Result<u64, ErrorKind> },
    /// A stream has come to its end, having been given these.
    StreamEnded { stream: Id, planned: Vec<Id>, given: Vec<Id>, dropped: bool, ordered: bool },
    /// What a pool says of itself.
    Status { model: At, queued: usize, bytes: usize, running: usize, leased: usize, wanted: usize },
    /// The end: who still waits for an answer, what is still remembered, and the cores that nobody holds.
    End { waiting: Vec<Id>, remembered: usize, free_cores: usize, extra_runs: Vec<u64> },
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, ageing, models, events } = self;
        writeln!(f, "{cores} cores, ageing {ageing} us")?;
        models.iter().enumerate().try_for_each(|(at, model)| writeln!(f, "model {at}: {model:?}"))?;
        events.iter().try_for_each(|(at, event)| writeln!(f, "{at:>8} us  {event:?}"))
    }
}

/// How often each kind of event and outcome occurred over many histories.
#[derive(Default)]
pub(super) struct Census(BTreeMap<String, u64>);

impl Census {
    pub(super) fn count(&mut self, trace: &Trace) {
        let mut began: BTreeMap<(At, usize), usize> = BTreeMap::new();
        let mut grown: BTreeSet<At> = BTreeSet::new();
        for (_, event) in &trace.events {
            let name: String = match event {
                Event::Submitted(_, Facts { kind: Kind::Call(_), .. }, None) => "calls".into(),
                Event::Submitted(_, Facts { kind: Kind::Call(_), .. }, Some(ErrorKind::ModelCrashed)) => {
                    "broken leases".into()
                }
                Event::Submitted(_, Facts { kind: Kind::Call(_), .. }, Some(ErrorKind::Cancelled)) => {
                    "forgotten leases".into()
                }
                Event::Submitted(_, _, None) => "accepted".into(),
                Event::Submitted(_, facts, Some(kind)) if *kind == ErrorKind::Overloaded => {
                    if facts.deadline.is_some() { "refused with a deadline" } else { "refused, full" }.into()
                }
                Event::Submitted(_, _, Some(kind)) => format!("refused {}", kind.code()),
                Event::Dropped(_) => "dropped".into(),
                Event::Stopped(_) => "stopped".into(),
                Event::Cancelled(_) => "cancelled".into(),
                Event::Answered(_, Ok(_)) => "answered".into(),
                Event::Answered(_, Err(kind)) => kind.code().into(),
                Event::Inline(_) => "inline runs".into(),
                Event::Leased { .. } => "leases".into(),
                Event::Released(_) => "released".into(),
                Event::Status { model, wanted, .. } => {
                    let more = *wanted > trace.models[*model].instances;
                    if more && grown.insert(*model) {
                        "grown".into()
                    } else if !more && grown.remove(model) {
                        "shrunk".into()
                    } else {
                        continue;
                    }
                }
                Event::Taken { model, slot, ids } => {
                    began.insert((*model, *slot), ids.len());
                    if ids.len() > 1 { "joint runs" } else { "single runs" }.into()
                }
                Event::Ended(run) if run.yielding => "preempted runs".into(),
                Event::Ended(run) if run.told_to_stop => "cancelled runs".into(),
                Event::Ended(run) if run.failed && run.left.len() > 1 => "split runs".into(),
                Event::Ended(run) if run.panicked => "panics".into(),
                Event::Abandoned { .. } => "abandoned runs".into(),
                Event::BuildFailed { .. } => "failed builds".into(),
                Event::Drained(_) => "drains".into(),
                Event::Closed(_) => "closes".into(),
                Event::ScopeEnded { fail_fast: true, .. } => "fail-fast scopes".into(),
                Event::ScopeEnded { .. } => "scopes".into(),
                Event::Streamed { .. } => "streamed".into(),
                Event::StreamEnded { dropped: true, .. } => "dropped streams".into(),
                Event::StreamEnded { .. } => "streams".into(),
                Event::Asks { .. }
                | Event::Granted { .. }
                | Event::Leaves { .. }
                | Event::Planned(..)
                | Event::Stopping(_)
                | Event::Ended(_)
                | Event::End { .. } => continue,
            };
            *self.0.entry(name).or_default() += 1;
        }
    }

    /// Panics unless every kind of event has occurred.
    pub(super) fn assert_varied(&self) {
        let wanted = [
            "abandoned runs",
            "accepted",
            "answered",
            "broken leases",
            "calls",
            "cancelled",
            "cancelled runs",
            "closes",
            "deadline_exceeded",
            "drains",
            "dropped",
            "dropped streams",
            "fail-fast scopes",
            "failed builds",
            "forgotten leases",
            "grown",
            "inline runs",
            "joint runs",
            "leases",
            "model_crashed",
            "model_failed",
            "panics",
            "preempted runs",
            "refused deadline_exceeded",
            "refused invalid_input",
            "refused not_ready",
            "refused shutting_down",
            "refused with a deadline",
            "refused, full",
            "released",
            "scopes",
            "shrunk",
            "shutting_down",
            "single runs",
            "split runs",
            "stopped",
            "streamed",
            "streams",
        ];
        let missing: Vec<_> = wanted.iter().filter(|name| !self.0.contains_key(**name)).collect();
        assert!(missing.is_empty(), "the simulation never met: {missing:?}");
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.0.iter().map(|(name, count)| format!("{count} {name}")).collect();
        f.write_str(&counts.join(", "))
    }
}
