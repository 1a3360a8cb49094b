//! What callers are told: once, in time, their own, and only what is so.

use std::collections::{BTreeSet, HashMap};

use super::ledger::Ledger;
use crate::error::ErrorKind;
use crate::simulation::played::answer_to;
use crate::simulation::trace::{Event, Id, Kind, Micros, Trace};

/// Every request ends exactly once: refused, answered, or given up by its caller.
pub(super) fn one_answer(trace: &Trace) -> Result<(), String> {
    let mut open = BTreeSet::new();
    for (_, event) in &trace.events {
        match event {
            Event::Submitted(id, _, None) | Event::Planned(id, _) => {
                open.insert(*id);
            }
            // What a stream had not taken yet, or a scope had not sent, ends with it.
            Event::StreamEnded { planned, dropped: true, .. } => {
                open.retain(|id| !planned.contains(id));
            }
            Event::Dropped(id) | Event::Stopping(id) | Event::Answered(id, _) if !open.remove(id) => {
                return Err(format!("request {id} ended twice"));
            }
            Event::End { waiting, .. } if !waiting.is_empty() || !open.is_empty() => {
                return Err(format!("requests {open:?} were never answered, {waiting:?} wait"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every caller gets what was computed from its own input, from a run that it was part of.
pub(super) fn own_row(trace: &Trace) -> Result<(), String> {
    let mut ran = BTreeSet::new();
    Ledger::read(trace, |ledger, _, event| {
        match event {
            Event::Taken { ids, .. } => {
                for id in ids {
                    if ledger.run_of(*id).is_some() {
                        return Err(format!("request {id} runs twice at the same time"));
                    }
                    let reruns = trace.models[ledger.model_of(*id)].reruns_leftovers();
                    if !ran.insert(*id) && !reruns {
                        return Err(format!("request {id} ran twice"));
                    }
                }
            }
            // Whoever asks for an instance gets that.
            Event::Inline(id) | Event::Leased { id, .. } => {
                ran.insert(*id);
            }
            Event::Answered(id, Ok(answer)) if *answer != answer_to(*id) || !ran.contains(id) => {
                return Err(format!("request {id} got {answer}, which is not its own"));
            }
            _ => {}
        }
        Ok(())
    })
}

/// Queue and runs stay within their limits and count what is there.
pub(super) fn bounds(trace: &Trace) -> Result<(), String> {
    Ledger::read(trace, |ledger, _, event| {
        let Event::Status { model, queued, bytes, running, leased, wanted } = event else { return Ok(()) };
        let (facts, expected) = (&trace.models[*model], &ledger.models[*model]);
        if !(facts.instances..=facts.instances_max).contains(wanted) {
            return Err(format!("model {model} wants {wanted} instances"));
        }
        if facts.scoped {
            return Ok(());
        }
        // What was forgotten is counted until somebody else has it.
        if *leased > expected.leased.len() {
            return Err(format!("model {model}: {leased} are leased; it should {}", expected.leased.len()));
        }
        // What comes back from a run has had its place.
        let back = expected.waiting.values().filter(|waiting| waiting.suspect).count();
        if *queued > facts.items + back || *running > facts.instances_max {
            return Err(format!("model {model}: {queued} requests wait, {running} runs go on"));
        }
        let counted = (expected.waiting.len(), expected.bytes(), expected.running.len());
        if (*queued, *bytes, *running) != counted {
            return Err(format!("model {model} counts {queued}, {bytes}, {running}; it should {counted:?}"));
        }
        Ok(())
    })
}

/// Deadlines are not missed, and nobody is called late who is not, or is not about to be.
pub(super) fn deadlines(trace: &Trace) -> Result<(), String> {
    Ledger::read(trace, |ledger, at, event| {
        let Event::Answered(id, outcome) = event else { return Ok(()) };
        let deadline = ledger.facts[id].deadline;
        // What happens within a scope is told at its end.
        if trace.models[ledger.model_of(*id)].scoped && deadline.is_some() {
            return Ok(());
        }
        match outcome {
            Ok(_) if deadline.is_some_and(|deadline| deadline < at) => {
                Err(format!("request {id} was answered after its deadline"))
            }
            Err(ErrorKind::DeadlineExceeded) => match deadline {
                None => Err(format!("request {id} was called late and has no deadline")),
                Some(deadline) if deadline <= at => Ok(()),
                Some(deadline) => {
                    let left = deadline - at;
                    let longest = ledger.expected_of(*id).map_or(0, |expected| expected.longest);
                    match left < longest && ledger.run_of(*id).is_none() {
                        true => Ok(()),
                        false => Err(format!(
                            "request {id} was given up with {left} us left; no run took longer than {longest} us"
                        )),
                    }
                }
            },
            _ if deadline.is_some_and(|deadline| deadline < at) => {
                Err(format!("request {id} heard of its end after its deadline"))
            }
            _ => Ok(()),
        }
    })
}

/// Requests are refused only when there is no room, no hope, or nobody to run them.
pub(super) fn refusals(trace: &Trace) -> Result<(), String> {
    Ledger::read(trace, |ledger, at, event| {
        let Event::Submitted(id, facts, Some(kind)) = event else { return Ok(()) };
        let (model, expected) = (&trace.models[facts.model], &ledger.models[facts.model]);
        let no_room =
            expected.waiting.len() >= model.items || expected.bytes() + facts.footprint.bytes > model.bytes;
        // Calls on a lease have a line of their own.
        let no_room = match facts.kind {
            Kind::Call(lease) => {
                let bytes: usize = expected.line_of(lease).map(|(_, facts)| facts.footprint.bytes).sum();
                expected.line_of(lease).count() >= model.items || bytes + facts.footprint.bytes > model.bytes
            }
            Kind::Run | Kind::Lease => no_room,
        };
        let left = facts.deadline.map(|deadline| deadline.saturating_sub(at));
        let is_idle = expected.waiting.is_empty() && expected.running.is_empty();
        match kind {
            ErrorKind::Overloaded if no_room => Ok(()),
            // By what is ahead of it: then there must be something, and it must have run before.
            ErrorKind::Overloaded if left.is_some() && !is_idle && (expected.runs > 0 || model.cheap) => {
                Ok(())
            }
            ErrorKind::DeadlineExceeded if left == Some(0) => Ok(()),
            ErrorKind::DeadlineExceeded if left.is_some_and(|left| left < expected.longest) => Ok(()),
            ErrorKind::Overloaded | ErrorKind::DeadlineExceeded => {
                Err(format!("request {id} was refused as {kind:?} without a reason"))
            }
            _ => Ok(()),
        }
    })
}

/// Of the requests of one key to one model, only the newest is alive.
pub(super) fn newest(trace: &Trace) -> Result<(), String> {
    let mut newest: HashMap<(usize, u32), Id> = HashMap::new();
    // Superseded, and not yet told so.
    let mut superseded: HashMap<Id, Micros> = HashMap::new();
    Ledger::read(trace, |ledger, at, event| {
        if let Some((id, since)) = superseded.iter().find(|(_, since)| **since < at) {
            return Err(format!("request {id} was superseded at {since} us and not told"));
        }
        match event {
            Event::Submitted(id, facts, None) => {
                let Some(key) = facts.key else { return Ok(()) };
                if let Some(older) = newest.insert((facts.model, key), *id)
                    && !ledger.is_gone(older, at)
                {
                    superseded.insert(older, at);
                }
            }
            Event::Answered(id, outcome) => {
                let cancelled = *outcome == Err(ErrorKind::Cancelled);
                if superseded.remove(id).is_some() && !cancelled {
                    return Err(format!("request {id} was superseded and got {outcome:?}"));
                }
            }
            Event::Dropped(id) | Event::Stopping(id) => {
                superseded.remove(id);
            }
            _ => {}
        }
        Ok(())
    })
}

/// At the end nothing waits, nothing runs, nothing is remembered, and no core is held.
pub(super) fn all_home(trace: &Trace) -> Result<(), String> {
    let status =
        |event: &Event| matches!(event, Event::Status { queued: 0, bytes: 0, running: 0, leased: 0, .. });
    let models = trace.models.len();
    match trace.events.as_slice() {
        [.., (_, Event::End { remembered: 0, free_cores, .. })] if *free_cores == trace.cores => {
            let last = trace.events.iter().rev().skip(1).take(models);
            match last.into_iter().find(|(_, event)| !status(event)) {
                Some((_, event)) => Err(format!("left behind: {event:?}")),
                None => Ok(()),
            }
        }
        [.., (_, end)] => Err(format!("left behind: {end:?}")),
        [] => Err("the trace is empty".into()),
    }
}
