//! Fairness: between the callers of a class, and between the models of an engine.

use std::collections::HashMap;

use unruffled_model::{Batching, Priority};

use super::ledger::{Expected, Ledger};
use crate::simulation::trace::{At, Event, Id, Micros, Trace};

/// Rows, by its weight, that a caller may be ahead of another.
const LEAD: f64 = 8.0;

/// Rows that one request brings at most.
const MOST: f64 = 3.0;

type Line = (At, Priority, Option<u32>);

/// No caller is served much more than another that waits all the while, in proportion to their weights.
pub(super) fn callers(trace: &Trace) -> Result<(), String> {
    // For two callers of a class that both wait: how much more the first was given since then, by weight.
    let mut ahead: HashMap<(Line, Line), f64> = HashMap::new();
    Ledger::read(trace, |ledger, _, event| {
        let (model, ids) = match event {
            Event::Taken { model, ids, .. } => (model, ids.as_slice()),
            Event::Leased { model, id, .. } => (model, std::slice::from_ref(id)),
            _ => return Ok(()),
        };
        let (facts, expected) = (&trace.models[*model], &ledger.models[*model]);
        // What fills up a batch goes by shape before it goes by caller.
        if facts.scoped || facts.batching != Batching::Single {
            return Ok(());
        }
        let line = |class: Priority, caller: Option<u32>| (*model, class, caller);
        let waits = |line: &Line| {
            expected
                .waiting
                .values()
                .any(|waiting| (waiting.facts.class, waiting.facts.caller) == (line.1, line.2))
        };
        ahead.retain(|(first, second), _| first.0 != *model || (waits(first) && waits(second)));
        let lines: Vec<Line> = [None, Some(1), Some(2), Some(3)]
            .into_iter()
            .flat_map(|caller| Priority::ALL.map(|class| line(class, caller)))
            .filter(waits)
            .collect();
        let weight = |line: &Line| f64::from(line.2.unwrap_or(1));
        for id in ids {
            let Some(waiting) = expected.waiting.get(id) else { continue };
            let own = line(waiting.facts.class, waiting.facts.caller);
            let rows = waiting.facts.footprint.rows.max(1) as f64 / weight(&own);
            for other in lines.iter().filter(|other| other.1 == own.1 && **other != own) {
                *ahead.entry((own, *other)).or_default() += rows;
                *ahead.entry((*other, own)).or_default() -= rows;
                // Either may have been ahead as far when both began to wait, and have owed one more from before.
                if ahead[&(own, *other)] > 2.0 * (LEAD + MOST) + MOST {
                    return Err(format!("{own:?} was given {} more than {other:?}", ahead[&(own, *other)]));
                }
            }
        }
        Ok(())
    })
}

/// A core goes to a model with interactive work before one without, unless that has waited for too long.
pub(super) fn models(trace: &Trace) -> Result<(), String> {
    // Since when each asks, and for which lease's calls, if for any's.
    let mut asking: HashMap<(At, usize), (Micros, Option<Id>)> = HashMap::new();
    // Given a core just now, since when each had asked: several may be given at once, in whatever order.
    let mut granted: Vec<(At, (Micros, Option<Id>))> = Vec::new();
    Ledger::read(trace, |ledger, at, event| {
        // Who asks on a leased instance does so for its next call; without one, the lease was forgotten.
        let lease = |model: &At, slot: &usize| {
            let expected = &ledger.models[*model];
            expected.leased.get(slot).copied().filter(|lease| expected.line_of(*lease).next().is_some())
        };
        if let Event::Granted { model, slot } = event {
            let asked = asking.remove(&(*model, *slot)).unwrap_or((at, lease(model, slot)));
            granted.push((*model, asked));
            return Ok(());
        }
        let urgent = |model: At, lease: Option<Id>| match lease {
            Some(lease) => {
                let next = ledger.models[model].line_of(lease).next();
                next.is_some_and(|(_, facts)| facts.class == Priority::Interactive)
            }
            None => {
                let mut waiting = ledger.models[model].waiting.values();
                waiting.any(|waiting| waiting.facts.class == Priority::Interactive)
            }
        };
        let aged =
            |expected: &Expected| expected.passed_over.values().any(|since| at - since >= trace.ageing);
        for (model, (since, lease)) in granted.drain(..) {
            let excused =
                at - since >= trace.ageing || aged(&ledger.models[model]) || trace.models[model].scoped;
            let passed_over =
                asking.iter().find(|((other, _), (_, own))| *other != model && urgent(*other, *own));
            if let Some(((other, _), _)) = passed_over.filter(|_| !excused && !urgent(model, lease)) {
                return Err(format!("model {model} was given a core that model {other} needed more"));
            }
        }
        match event {
            Event::Asks { model, slot } => {
                asking.insert((*model, *slot), (at, lease(model, slot)));
            }
            Event::Leaves { model, slot } => {
                asking.remove(&(*model, *slot));
            }
            _ => {}
        }
        Ok(())
    })
}
