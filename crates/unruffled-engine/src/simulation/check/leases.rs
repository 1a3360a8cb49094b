//! Leases: an instance is its holder's alone, until it is let go, breaks or is forgotten.

use std::collections::HashMap;

use super::ledger::Ledger;
use crate::error::ErrorKind;
use crate::simulation::trace::{At, Event, Facts, Id, Kind, Micros, Trace};

/// When each lease was last used.
#[derive(Default)]
struct Uses(HashMap<Id, Micros>);

impl Uses {
    /// Sees an event that is not counted in the ledger yet.
    fn see(&mut self, ledger: &Ledger<'_>, at: Micros, event: &Event) {
        let lease_of = |id: &Id| ledger.facts.get(id).and_then(Facts::lease);
        let used = match event {
            Event::Leased { id, .. } => Some(*id),
            Event::Submitted(_, facts, None) => facts.lease(),
            Event::Answered(id, _) | Event::Dropped(id) => lease_of(id),
            Event::Ended(run) => {
                let running = ledger.models[run.model].running.get(&run.slot);
                running.and_then(|running| lease_of(running.ids.first()?))
            }
            _ => None,
        };
        self.0.extend(used.map(|lease| (lease, at)));
    }

    /// Whether a lease has been idle for so long that it may be taken back.
    fn may_be_forgotten(&self, lease: Id, at: Micros, idle: Micros) -> bool {
        self.0.get(&lease).is_none_or(|last| at - last >= idle)
    }
}

/// On a leased instance nobody's work is run but its holder's, in order, and nobody else is given it.
pub(super) fn exclusive(trace: &Trace) -> Result<(), String> {
    let mut uses = Uses::default();
    Ledger::read(trace, |ledger, at, event| {
        let free = |model: &At, slot: &usize| match ledger.models[*model].leased.get(slot) {
            Some(lease) if !uses.may_be_forgotten(*lease, at, trace.models[*model].lease_idle) => {
                Some(*lease)
            }
            _ => None,
        };
        match event {
            Event::Leased { model, slot, id } => {
                if let Some(lease) = free(model, slot) {
                    return Err(format!("{id} was given an instance that {lease} has"));
                }
                if ledger.models[*model].running.contains_key(slot) {
                    return Err(format!("{id} was given an instance on which a run goes on"));
                }
            }
            Event::Taken { model, slot, ids } => {
                let called: Vec<_> = ids.iter().filter_map(|id| ledger.facts.get(id)?.lease()).collect();
                match (called.as_slice(), ledger.models[*model].leased.get(slot)) {
                    ([], _) => {
                        if let Some(lease) = free(model, slot) {
                            return Err(format!("{ids:?} ran on the instance that {lease} has"));
                        }
                    }
                    ([lease], Some(holder)) if lease == holder && ids.len() == 1 => {
                        let expected = &ledger.models[*model];
                        // Given up just now, because no run is short enough.
                        let late = |facts: &Facts| {
                            facts.deadline.is_some_and(|deadline| deadline <= at + expected.longest)
                        };
                        let mut before = expected.line_of(*lease).filter(|(id, _)| *id < ids[0]);
                        if let Some((id, _)) = before.find(|(_, facts)| !late(facts)) {
                            return Err(format!("{ids:?} ran before {id}, which was called before it"));
                        }
                    }
                    (_, holder) => return Err(format!("{ids:?} ran in slot {slot}, which {holder:?} has")),
                }
            }
            _ => {}
        }
        uses.see(ledger, at, event);
        Ok(())
    })
}

/// A lease is lost only to its holder's will, a breakdown, the end of the model, or to long idleness.
pub(super) fn forgotten(trace: &Trace) -> Result<(), String> {
    let mut uses = Uses::default();
    Ledger::read(trace, |ledger, at, event| {
        if let Event::Submitted(id, facts, Some(ErrorKind::Cancelled)) = event
            && let Kind::Call(lease) = facts.kind
            && !uses.may_be_forgotten(lease, at, trace.models[facts.model].lease_idle)
        {
            return Err(format!("call {id} found its lease gone, which was in use"));
        }
        uses.see(ledger, at, event);
        Ok(())
    })
}
