//! The judges: each reads a trace and knows nothing of the engine but its promises.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use unruffled_model::{Batching, Footprint};

use super::trace::{Event, Id, Micros, Trace};
use super::world::answer_to;
use crate::error::ErrorKind;
use crate::request::Priority;

/// Judges one trace.
pub(super) type Checker = fn(&Trace) -> Result<(), String>;

/// A request without a deadline counts as due so long after its arrival.
const PATIENCE: Micros = 1_000_000;

/// Every request ends exactly once: refused, answered, or dropped by its caller.
pub(super) fn one_answer(trace: &Trace) -> Result<(), String> {
    let mut open = BTreeSet::new();
    for (_, event) in &trace.events {
        match event {
            Event::Submitted { id, refused: None, .. } => {
                open.insert(*id);
            }
            Event::Dropped(id) | Event::Answered(id, _) if !open.remove(id) => {
                return Err(format!("request {id} ended twice"));
            }
            Event::End { waiting, .. } if !waiting.is_empty() || !open.is_empty() => {
                return Err(format!("requests {open:?} were never answered"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The queue as it must look by the promises alone.
#[derive(Default)]
struct Expected {
    waiting: BTreeMap<(Priority, Micros, Id), Waiting>,
    running: HashMap<usize, Vec<Id>>,
    gone: BTreeSet<Id>,
    deadlines: HashMap<Id, Micros>,
    closed: bool,
}

#[derive(Clone, Copy)]
struct Waiting {
    deadline: Option<Micros>,
    footprint: Footprint,
}

impl Expected {
    fn follow(&mut self, at: Micros, event: &Event) {
        let late = |deadline: &Micros| *deadline <= at;
        self.waiting.retain(|_, waiting| !waiting.deadline.as_ref().is_some_and(late));
        self.gone.extend(self.deadlines.iter().filter(|(_, deadline)| late(deadline)).map(|(id, _)| *id));
        match event {
            Event::Submitted { id, class, deadline, footprint, refused: None } => {
                let due = deadline.unwrap_or(at + PATIENCE);
                self.waiting
                    .insert((*class, due, *id), Waiting { deadline: *deadline, footprint: *footprint });
                self.deadlines.extend(deadline.map(|deadline| (*id, deadline)));
            }
            Event::Dropped(id) => {
                self.waiting.retain(|(_, _, waiting), _| waiting != id);
                self.gone.insert(*id);
            }
            Event::Taken { slot, ids } => {
                self.waiting.retain(|(_, _, id), _| !ids.contains(id));
                self.running.insert(*slot, ids.clone());
            }
            Event::Ended { slot, .. } => {
                self.running.remove(slot);
            }
            Event::BuildFailed { others: false } => self.waiting.clear(),
            Event::Closed => {
                self.waiting.clear();
                self.closed = true;
                self.gone.extend(self.running.values().flatten());
            }
            _ => {}
        }
    }

    fn bytes(&self) -> usize {
        self.waiting.values().map(|waiting| waiting.footprint.bytes).sum()
    }
}

/// Queue and runs stay within their limits, count what is there, and refuse only what does not fit.
pub(super) fn bounds(trace: &Trace) -> Result<(), String> {
    let mut expected = Expected::default();
    for (at, event) in &trace.events {
        if let Event::Submitted { id, footprint, refused: Some(ErrorKind::Overloaded), .. } = event
            && expected.waiting.len() < trace.items
            && expected.bytes() + footprint.bytes <= trace.bytes
        {
            return Err(format!("request {id} was refused although there was room"));
        }
        expected.follow(*at, event);
        if let Event::Status { queued, bytes, running } = event {
            if *queued > trace.items || *bytes > trace.bytes || *running > trace.instances {
                return Err(format!(
                    "at {at} us {queued} requests and {bytes} bytes wait, {running} runs go on"
                ));
            }
            let counted = (expected.waiting.len(), expected.bytes(), expected.running.len());
            if (*queued, *bytes, *running) != counted {
                return Err(format!(
                    "at {at} us the pool counts {queued}, {bytes}, {running}; it should {counted:?}"
                ));
            }
        }
    }
    Ok(())
}

/// A batch is the most urgent request and those behind it that may share its run, in order.
pub(super) fn order(trace: &Trace) -> Result<(), String> {
    let mut expected = Expected::default();
    for (at, event) in &trace.events {
        let before: Vec<_> = expected.waiting.iter().map(|((_, _, id), waiting)| (*id, *waiting)).collect();
        if let Event::Taken { ids, .. } = event {
            let mut candidates =
                before.iter().filter(|(_, w)| w.deadline.is_none_or(|deadline| deadline > *at));
            let Some((head, first)) = candidates.next() else {
                return Err(format!("at {at} us {ids:?} were taken out of an empty queue"));
            };
            let mut fitting = vec![*head];
            let mut rows = first.footprint.rows;
            for (id, waiting) in candidates.filter(|(_, w)| w.footprint.bucket == first.footprint.bucket) {
                let full = match trace.batching {
                    Batching::Single => true,
                    Batching::Sequential => false,
                    Batching::Joint => {
                        fitting.len() == trace.max_batch || rows + waiting.footprint.rows > trace.max_batch
                    }
                };
                if full {
                    break;
                }
                rows += waiting.footprint.rows;
                fitting.push(*id);
            }
            let right = match trace.batching {
                // How many rows share a hand-over depends on what they cost.
                Batching::Sequential => fitting.starts_with(ids) && !ids.is_empty(),
                Batching::Single | Batching::Joint => *ids == fitting,
            };
            if !right {
                return Err(format!("at {at} us {ids:?} were taken; the queue says {fitting:?}"));
            }
        }
        expected.follow(*at, event);
    }
    Ok(())
}

/// Every caller gets what was computed from its own input, from a run that it was part of.
pub(super) fn own_row(trace: &Trace) -> Result<(), String> {
    let mut ran = BTreeSet::new();
    for (_, event) in &trace.events {
        match event {
            Event::Taken { ids, .. } => {
                for id in ids {
                    if !ran.insert(*id) {
                        return Err(format!("request {id} ran twice"));
                    }
                }
            }
            Event::Answered(id, Ok(answer)) if *answer != answer_to(*id) || !ran.contains(id) => {
                return Err(format!("request {id} got {answer}, which is not its own"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Deadlines are neither early nor missed; a run is told to stop when nobody waits for it, and only then.
pub(super) fn cancellation(trace: &Trace) -> Result<(), String> {
    let mut expected = Expected::default();
    for (at, event) in &trace.events {
        match event {
            Event::Answered(id, outcome) => {
                let deadline = expected.deadlines.get(id);
                match outcome {
                    Ok(_) if deadline.is_some_and(|deadline| deadline < at) => {
                        return Err(format!("request {id} was answered at {at} us, after its deadline"));
                    }
                    Err(ErrorKind::DeadlineExceeded) if deadline.is_none_or(|deadline| deadline > at) => {
                        return Err(format!("request {id} was called late at {at} us, before its deadline"));
                    }
                    _ => {}
                }
            }
            Event::Ended { slot, told_to_stop, .. } => {
                let company = &expected.running[slot];
                let abandoned = company.iter().all(|id| {
                    expected.gone.contains(id)
                        || expected.deadlines.get(id).is_some_and(|deadline| deadline <= at)
                });
                if abandoned != *told_to_stop {
                    return Err(format!(
                        "at {at} us the run of {company:?} was told to stop: {told_to_stop}; nobody waited: {abandoned}"
                    ));
                }
            }
            _ => {}
        }
        expected.follow(*at, event);
    }
    Ok(())
}

/// At the end nothing waits, nothing runs and nothing is remembered.
pub(super) fn all_home(trace: &Trace) -> Result<(), String> {
    match trace.events.as_slice() {
        [
            ..,
            (_, Event::Status { queued: 0, bytes: 0, running: 0 }),
            (_, Event::End { waiting: _, deadlines: 0 }),
        ] => Ok(()),
        [.., status, end] => Err(format!("left behind: {status:?}, {end:?}")),
        _ => Err("the trace has no end".into()),
    }
}
