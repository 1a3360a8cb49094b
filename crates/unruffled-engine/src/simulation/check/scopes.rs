//! Scopes and streams: every outcome in its place, nothing lost, nothing left behind.

use std::collections::HashMap;

use super::ledger::Ledger;
use crate::error::ErrorKind;
use crate::simulation::played::answer_to;
use crate::simulation::trace::{Event, Id, Trace};

/// A scope tells each of its requests' outcomes in order, and nothing of it goes on when it ends.
pub(super) fn groups(trace: &Trace) -> Result<(), String> {
    Ledger::read(trace, |ledger, _, event| {
        let Event::ScopeEnded { ids, outcomes, fail_fast } = event else { return Ok(()) };
        if let Some(id) = ids.iter().find(|id| ledger.run_of(**id).is_some()) {
            return Err(format!("a scope has ended, and its request {id} runs on"));
        }
        if outcomes.len() != ids.len() || outcomes.iter().any(Option::is_none) {
            return Err(format!("a scope of {} tells {outcomes:?}", ids.len()));
        }
        let wrong = |(id, outcome): &(&Id, &Option<Result<u64, ErrorKind>>)| matches!(outcome, Some(Ok(answer)) if *answer != answer_to(**id));
        if let Some((id, outcome)) = ids.iter().zip(outcomes).find(wrong) {
            return Err(format!("in a scope, {id} got {outcome:?}"));
        }
        let failed = outcomes.iter().flatten().any(Result::is_err);
        let cancelled = outcomes.contains(&Some(Err(ErrorKind::Cancelled)));
        match (fail_fast, failed, cancelled) {
            (false, _, true) => Err(format!("nobody cancelled anything in {ids:?}")),
            (true, false, true) => Err(format!("siblings were cancelled without a failure in {ids:?}")),
            _ => Ok(()),
        }
    })
}

/// A stream gives one item for each that it was given, in order if so asked, and ends with the last.
pub(super) fn streams(trace: &Trace) -> Result<(), String> {
    let mut streamed: HashMap<Id, Vec<(u64, Id)>> = HashMap::new();
    for (at, event) in &trace.events {
        match event {
            Event::Streamed { stream, seq, id, outcome } => {
                if matches!(outcome, Ok(answer) if *answer != answer_to(*id)) {
                    return Err(format!("at {at} us stream {stream} gave {outcome:?} for {id}"));
                }
                streamed.entry(*stream).or_default().push((*seq, *id));
            }
            Event::StreamEnded { stream, given, dropped, ordered, .. } => {
                let mut items = streamed.remove(stream).unwrap_or_default();
                if *ordered && !items.is_sorted() {
                    return Err(format!("stream {stream} gave {items:?} out of order"));
                }
                items.sort_unstable();
                let expected: Vec<_> = given.iter().enumerate().map(|(seq, id)| (seq as u64, *id)).collect();
                let complete = if *dropped { items.len() <= expected.len() } else { items == expected };
                if !complete {
                    return Err(format!("stream {stream} was given {expected:?} and gave {items:?}"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}
