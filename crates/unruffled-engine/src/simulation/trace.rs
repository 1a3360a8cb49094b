//! What happened in one history: all that the checkers see.

use std::collections::BTreeMap;
use std::fmt;

use unruffled_model::{Batching, Footprint};

use crate::error::ErrorKind;
use crate::request::Priority;

/// A request's number, given in the order of submission.
pub(super) type Id = u64;

/// Virtual time in microseconds since the beginning.
pub(super) type Micros = u64;

/// How one history was set up, and what happened.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) batching: Batching,
    pub(super) instances: usize,
    pub(super) max_batch: usize,
    pub(super) items: usize,
    pub(super) bytes: usize,
    pub(super) events: Vec<(Micros, Event)>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// A request came, and was accepted or refused.
    Submitted {
        id: Id,
        class: Priority,
        deadline: Option<Micros>,
        footprint: Footprint,
        refused: Option<ErrorKind>,
    },
    /// Its caller dropped the future.
    Dropped(Id),
    /// Its caller got an answer: the number that the model computed, or an error.
    Answered(Id, Result<u64, ErrorKind>),
    /// An instance took a batch.
    Taken { slot: usize, ids: Vec<Id> },
    /// A run ended; whether it had been told to stop.
    Ended { slot: usize, told_to_stop: bool, panicked: bool },
    /// No instance could be built.
    BuildFailed { others: bool },
    /// No more requests are taken in.
    Drained,
    /// Everything is ended.
    Closed,
    /// What the pool says of itself.
    Status { queued: usize, bytes: usize, running: usize },
    /// The end: futures that still wait for an answer, and deadlines that are still remembered.
    End { waiting: Vec<Id>, deadlines: usize },
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batching, instances, max_batch, items, bytes, events } = self;
        writeln!(
            f,
            "{batching:?}, {instances} instances, batches of {max_batch}, queue of {items} / {bytes} bytes"
        )?;
        events.iter().try_for_each(|(at, event)| writeln!(f, "{at:>8} us  {event:?}"))
    }
}

/// How often each kind of event and outcome occurred over many histories.
#[derive(Default)]
pub(super) struct Census(BTreeMap<String, u64>);

impl Census {
    pub(super) fn count(&mut self, trace: &Trace) {
        for (_, event) in &trace.events {
            let name = match event {
                Event::Submitted { refused: None, .. } => "accepted".into(),
                Event::Submitted { refused: Some(kind), .. } => format!("refused {}", kind.code()),
                Event::Dropped(_) => "dropped".into(),
                Event::Answered(_, Ok(_)) => "answered".into(),
                Event::Answered(_, Err(kind)) => kind.code().into(),
                Event::Taken { ids, .. } if ids.len() > 1 => "joint runs".into(),
                Event::Taken { .. } => "single runs".into(),
                Event::Ended { told_to_stop: true, .. } => "cancelled runs".into(),
                Event::Ended { panicked: true, .. } => "panics".into(),
                Event::BuildFailed { .. } => "failed builds".into(),
                Event::Drained => "drains".into(),
                Event::Closed => "closes".into(),
                Event::Ended { .. } | Event::Status { .. } | Event::End { .. } => continue,
            };
            *self.0.entry(name).or_default() += 1;
        }
    }

    /// Panics unless every kind of event has occurred.
    pub(super) fn assert_varied(&self) {
        let wanted = [
            "accepted",
            "answered",
            "cancelled runs",
            "closes",
            "deadline_exceeded",
            "drains",
            "dropped",
            "failed builds",
            "joint runs",
            "model_crashed",
            "model_failed",
            "panics",
            "refused deadline_exceeded",
            "refused invalid_input",
            "refused not_ready",
            "refused overloaded",
            "refused shutting_down",
            "shutting_down",
            "single runs",
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
