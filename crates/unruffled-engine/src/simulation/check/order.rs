//! Who goes when, and with whom.

use unruffled_model::{Batching, Priority};

use super::ledger::{Expected, Ledger, Waiting};
use crate::simulation::trace::{Event, Id, Micros, ModelFacts, Trace};

/// Rows that run one after the other share a hand-over up to this many.
const SEQUENTIAL_MAX: usize = 16;

/// So long a bulk run may be that nobody can stop.
const BULK: Micros = 100_000;

pub(super) fn order(trace: &Trace) -> Result<(), String> {
    Ledger::read(trace, |ledger, at, event| {
        if let Event::Leased { model, id, .. } = event {
            let expected = &ledger.models[*model];
            let Some(waiting) = expected.waiting.get(id) else {
                return Err(format!("{id} was given an instance and did not wait"));
            };
            class_of_head(expected, waiting, at, trace.ageing)?;
            return first_of_its_caller(expected, *id, waiting, at);
        }
        let Event::Taken { model, ids, .. } = event else { return Ok(()) };
        let (facts, expected) = (&trace.models[*model], &ledger.models[*model]);
        let is_call = ids.first().is_some_and(|id| ledger.facts[id].lease().is_some());
        if facts.scoped || is_call {
            return Ok(());
        }
        let batch: Vec<(Id, &Waiting)> = ids
            .iter()
            .map(|id| {
                Ok((*id, expected.waiting.get(id).ok_or_else(|| format!("{id} was taken and did not wait"))?))
            })
            .collect::<Result<_, String>>()?;
        let Some(((_, head), _)) = batch.split_first() else {
            return Err("an empty batch was taken".into());
        };
        class_of_head(expected, head, at, trace.ageing)?;
        earliest_of_each_caller(expected, &batch, at)?;
        company(facts, &batch)?;
        fullness(facts, expected, &batch)
    })
}

/// The class that was passed over for too long, or else the most urgent that waits.
fn class_of_head(expected: &Expected, head: &Waiting, at: Micros, ageing: Micros) -> Result<(), String> {
    let aged = expected.passed_over.iter().filter(|(_, since)| at - **since >= ageing);
    let due = aged.min_by_key(|(class, since)| (**since, **class)).map(|(class, _)| *class);
    let most_urgent = expected.waiting.values().map(|waiting| waiting.facts.class).min();
    match due.or(most_urgent) {
        Some(class) if class == head.facts.class => Ok(()),
        class => Err(format!("a batch of {:?} was taken; it was the turn of {class:?}", head.facts.class)),
    }
}

/// Of each caller's requests in a class that could run in this batch, the earliest due go first.
fn earliest_of_each_caller(expected: &Expected, batch: &[(Id, &Waiting)], at: Micros) -> Result<(), String> {
    let bucket = batch[0].1.facts.footprint.bucket;
    for (id, taken) in batch {
        let passed_over = expected.waiting.iter().find(|(other, waiting)| {
            let same_line =
                waiting.facts.class == taken.facts.class && waiting.facts.caller == taken.facts.caller;
            let could_join = waiting.facts.footprint.bucket == bucket && !waiting.suspect && !taken.suspect;
            let late = waiting.facts.deadline.is_some_and(|deadline| deadline <= at);
            let earlier = (waiting.due, **other) < (taken.due, *id);
            same_line && could_join && earlier && !late && !batch.iter().any(|(id, _)| id == *other)
        });
        if let Some((other, waiting)) = passed_over {
            let (due, own) = (waiting.due, taken.due);
            return Err(format!("{id}, due at {own}, went before {other} of its caller, due at {due}"));
        }
    }
    Ok(())
}

/// Who gets an instance comes before all that its caller has waiting in its class.
fn first_of_its_caller(expected: &Expected, id: Id, taken: &Waiting, at: Micros) -> Result<(), String> {
    let earlier = expected.waiting.iter().find(|(other, waiting)| {
        let same_line =
            waiting.facts.class == taken.facts.class && waiting.facts.caller == taken.facts.caller;
        let late = waiting.facts.deadline.is_some_and(|deadline| deadline <= at);
        same_line && !late && !waiting.suspect && (waiting.due, **other) < (taken.due, id)
    });
    match earlier {
        Some((other, waiting)) => Err(format!(
            "{id}, due at {}, was given an instance before {other} of its caller, due at {}",
            taken.due, waiting.due
        )),
        None => Ok(()),
    }
}

/// A batch holds what may meet, and no more than it may.
fn company(facts: &ModelFacts, batch: &[(Id, &Waiting)]) -> Result<(), String> {
    let ids: Vec<Id> = batch.iter().map(|(id, _)| *id).collect();
    let bucket = batch[0].1.facts.footprint.bucket;
    if batch.iter().any(|(_, waiting)| waiting.facts.footprint.bucket != bucket) {
        return Err(format!("{ids:?} are of different shapes"));
    }
    if batch.iter().any(|(_, waiting)| waiting.suspect != batch[0].1.suspect)
        && facts.batching == Batching::Joint
    {
        let yielded_only = !facts.moody && batch.iter().all(|(_, waiting)| !waiting.facts.poison);
        if !yielded_only && !facts.yields {
            return Err(format!("{ids:?} were not suspected together"));
        }
    }
    let rows: usize = batch.iter().map(|(_, waiting)| waiting.facts.footprint.rows).sum();
    let fits = match facts.batching {
        Batching::Single => batch.len() == 1,
        Batching::Sequential => batch.len() <= SEQUENTIAL_MAX,
        Batching::Joint => batch.len() == 1 || (batch.len() <= facts.max_batch && rows <= facts.max_batch),
    };
    if fits { Ok(()) } else { Err(format!("{ids:?} are too many")) }
}

/// Without deadlines, a batch takes along whoever fits.
fn fullness(facts: &ModelFacts, expected: &Expected, batch: &[(Id, &Waiting)]) -> Result<(), String> {
    let rows: usize = batch.iter().map(|(_, waiting)| waiting.facts.footprint.rows).sum();
    let simple = |waiting: &Waiting| waiting.facts.deadline.is_none() && !waiting.suspect;
    if facts.batching != Batching::Joint || batch.len() >= facts.max_batch {
        return Ok(());
    }
    // A larger one might have been expected to keep an instance for too long.
    let largest = expected.longest * facts.max_batch as Micros;
    if batch[0].1.facts.class == Priority::Bulk && !facts.yields && largest > BULK {
        return Ok(());
    }
    // Any that waits and is out of the ordinary may have ended the batch.
    let bucket = batch[0].1.facts.footprint.bucket;
    let mut candidates = expected.waiting.iter().filter(|(id, waiting)| {
        let same = waiting.facts.footprint.bucket == bucket && waiting.facts.class == batch[0].1.facts.class;
        same && !batch.iter().any(|(own, _)| own == *id)
    });
    if !batch.iter().all(|(_, waiting)| simple(waiting))
        || !candidates.clone().all(|(_, waiting)| simple(waiting))
    {
        return Ok(());
    }
    let smallest = candidates.clone().map(|(_, waiting)| waiting.facts.footprint.rows).max();
    let fits = smallest.is_some_and(|most| rows + most <= facts.max_batch);
    match candidates.next() {
        Some((id, _)) if fits => {
            Err(format!("{id} was left behind; {rows} of {} rows were taken", facts.max_batch))
        }
        _ => Ok(()),
    }
}
