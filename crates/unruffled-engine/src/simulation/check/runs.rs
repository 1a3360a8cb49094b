//! What runs do: who is stopped, who is harmed, and how many there are.

use std::collections::{BTreeMap, HashMap};

use unruffled_model::{Batching, Priority};

use super::ledger::{Ledger, Running};
use crate::simulation::callers::is_models_fault;
use crate::simulation::trace::{At, Event, Id, Micros, Trace};

/// A run may be written off, and its cores given away, a second after they were granted: the instance may have picked them
/// up a little later.
const OVERDUE: Micros = 900_000;

/// A run is told to stop when nobody waits for it, or when it may give way and something urgent waits; and only then.
pub(super) fn cancellation(trace: &Trace) -> Result<(), String> {
    let mut last_urgent: Option<Micros> = None;
    let mut gave_way: HashMap<Id, u32> = HashMap::new();
    Ledger::read(trace, |ledger, at, event| {
        if ledger.is_urgent()
            || matches!(event, Event::Submitted(_, facts, None) if facts.class == Priority::Interactive)
        {
            last_urgent = Some(at);
        }
        let Event::Ended(run) = event else { return Ok(()) };
        if trace.models[run.model].scoped {
            return Ok(());
        }
        let running = &ledger.models[run.model].running[&run.slot];
        let abandoned = running.ids.iter().all(|id| ledger.is_gone(*id, at));
        let facts = &trace.models[run.model];
        if run.yielding {
            // What comes back three times stays.
            for id in &run.left {
                let times = gave_way.entry(*id).or_insert(0_u32);
                *times += 1;
                if *times > 3 {
                    return Err(format!("request {id} gave way {times} times"));
                }
            }
            let bulk = running.ids.iter().all(|id| ledger.facts[id].class == Priority::Bulk);
            if !(facts.yields && bulk && run.told_to_stop) {
                return Err(format!("the run of {:?} had to give way and may not", running.ids));
            }
            if last_urgent.is_none_or(|urgent| urgent < running.began) {
                return Err(format!("the run of {:?} had to give way to nobody", running.ids));
            }
        } else if run.told_to_stop != abandoned {
            return Err(format!(
                "the run of {:?} was told to stop: {}; nobody waited: {abandoned}",
                running.ids, run.told_to_stop
            ));
        }
        Ok(())
    })
}

/// Whoever waits for the end of a request is told after its run, not before.
pub(super) fn stops(trace: &Trace) -> Result<(), String> {
    Ledger::read(trace, |ledger, _, event| match event {
        Event::Stopped(id) if ledger.run_of(*id).is_some() => {
            Err(format!("request {id} is said to have stopped, and its run goes on"))
        }
        _ => Ok(()),
    })
}

/// A slot has one run at a time, and no more cores are held than there are, but for those that bulk runs lend which cannot be
/// stopped.
pub(super) fn slots(trace: &Trace) -> Result<(), String> {
    Ledger::read(trace, |ledger, at, event| {
        let Event::Taken { model, slot, ids } = event else { return Ok(()) };
        if ledger.models[*model].running.contains_key(slot) {
            return Err(format!("model {model} began {ids:?} in slot {slot}, which was taken"));
        }
        let young = |began: Micros| at - began < OVERDUE;
        // At least one core each; how many more it was granted depends on how many were free.
        let models = trace.models.iter().zip(&ledger.models).filter(|(facts, _)| facts.threads > 0);
        let held: Vec<&Running> = models
            .flat_map(|(_, expected)| expected.running.values().filter(|running| young(running.began)))
            .collect();
        let is_bulk =
            |running: &&&Running| running.ids.iter().all(|id| ledger.facts[id].class == Priority::Bulk);
        let (held, lent) = (held.len(), held.iter().filter(is_bulk).count());
        if trace.models[*model].threads > 0 && held >= trace.cores + lent {
            return Err(format!(
                "model {model} began {ids:?} beside {held} runs, {lent} of them bulk, on {} cores",
                trace.cores
            ));
        }
        Ok(())
    })
}

/// Only rows that are bad themselves fail, wherever the model lets the others be told apart.
pub(super) fn neighbours(trace: &Trace) -> Result<(), String> {
    // Rows whose run ended with its instance, or failed for no reason.
    let mut excused: HashMap<Id, &str> = HashMap::new();
    Ledger::read(trace, |ledger, _, event| {
        match event {
            Event::Abandoned { model, slot } => {
                let running = &ledger.models[*model].running[slot];
                excused.extend(running.ids.iter().map(|id| (*id, "abandoned")));
                excused.extend(behind(ledger, *model, *slot));
            }
            Event::Ended(run) if run.failed => {
                if run.panicked {
                    excused.extend(behind(ledger, run.model, run.slot));
                }
                let facts = &trace.models[run.model];
                let running = &ledger.models[run.model].running[&run.slot];
                // A model that may not be run again, or fails for no reason, takes them all along.
                if !facts.reruns_leftovers() || facts.moody {
                    excused.extend(running.ids.iter().map(|id| (*id, "moody")));
                }
            }
            Event::Answered(id, outcome) => {
                let facts = &ledger.facts[id];
                let bad = facts.poison || facts.poor;
                match outcome {
                    Err(kind) if is_models_fault(*kind) && !bad && !excused.contains_key(id) => {
                        return Err(format!("request {id} paid for another: {kind:?}"));
                    }
                    Ok(_) if facts.poison => return Err(format!("request {id} is poison and got an answer")),
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    })
}

/// The calls that wait for a leased instance that has just broken: nobody else can answer them.
fn behind<'a>(
    ledger: &'a Ledger<'_>,
    model: At,
    slot: usize,
) -> impl Iterator<Item = (Id, &'static str)> + 'a {
    let expected = &ledger.models[model];
    let lease = expected.leased.get(&slot).copied();
    lease.into_iter().flat_map(|lease| expected.line_of(lease)).map(|(id, _)| (id, "lost its instance"))
}

/// Finding one bad row among n takes 2 log2 n extra runs at most.
pub(super) fn extra_runs(trace: &Trace) -> Result<(), String> {
    // Bad rows of each model, with the size of the largest batch that they spoiled.
    let mut spoiled: BTreeMap<At, HashMap<Id, usize>> = BTreeMap::new();
    Ledger::read(trace, |ledger, _, event| {
        match event {
            Event::Ended(run) if run.failed && !run.yielding => {
                let ids = &ledger.models[run.model].running[&run.slot].ids;
                for id in ids.iter().filter(|id| ledger.facts[*id].poison) {
                    let most = spoiled.entry(run.model).or_default().entry(*id).or_default();
                    *most = ids.len().max(*most);
                }
            }
            Event::End { extra_runs, .. } => {
                for (model, extra) in
                    extra_runs.iter().enumerate().filter(|(model, _)| !trace.models[*model].moody)
                {
                    let log2 = |n: &usize| u64::from(usize::BITS - (n.max(&1) - 1).leading_zeros());
                    let allowed: u64 = spoiled
                        .get(&model)
                        .into_iter()
                        .flat_map(|bad| bad.values())
                        .map(|n| 2 * log2(n))
                        .sum();
                    // One after the other, the rest is run again once for each.
                    let sequential = trace.models[model].batching == Batching::Sequential;
                    let allowed = if sequential {
                        spoiled.get(&model).map_or(0, |bad| 2 * bad.len() as u64)
                    } else {
                        allowed
                    };
                    // A run that was told to stop may fail for that alone.
                    if *extra > allowed && !trace.models[model].stops {
                        return Err(format!("model {model} made {extra} extra runs; {allowed} would do"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    })
}

/// Each row is run beside its own context.
pub(super) fn contexts(trace: &Trace) -> Result<(), String> {
    for (at, event) in &trace.events {
        if let Event::Ended(run) = event
            && !run.mixed.is_empty()
        {
            return Err(format!("at {at} us: {:?} ran beside the context of another", run.mixed));
        }
    }
    Ok(())
}
