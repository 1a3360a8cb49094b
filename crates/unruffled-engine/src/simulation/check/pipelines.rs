//! Pipelines: right answers, loops in order and within their bounds, and nothing left behind.

use std::collections::HashMap;

use super::ledger::Ledger;
use crate::error::ErrorKind;
use crate::simulation::pipelines::Told;
use crate::simulation::trace::{Event, Id, Trace};

/// A call ends with what its plan says or with the error of one of its requests, and then nothing of it goes on.
pub(super) fn ends(trace: &Trace) -> Result<(), String> {
    let mut answers: HashMap<Id, Result<u64, ErrorKind>> = HashMap::new();
    Ledger::read(trace, |ledger, _, event| {
        if let Event::Answered(id, outcome) = event {
            answers.insert(*id, *outcome);
        }
        let Event::Pipeline(call, Told::Ended { asked, outcome, bounded }) = event else { return Ok(()) };
        let failed = |id: &&Id| !answers.get(id).is_some_and(Result::is_ok);
        if let Some(id) = asked.iter().filter(failed).find(|id| ledger.run_of(**id).is_some()) {
            return Err(format!("pipeline {call} has ended with {outcome:?}, and its request {id} runs on"));
        }
        let kinds = || asked.iter().filter_map(|id| answers.get(id)?.err());
        match outcome {
            Ok(true) if asked.iter().any(|id| failed(&id)) => {
                Err(format!("pipeline {call} has an answer, and not all of its requests have"))
            }
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("pipeline {call} gave something else than its plan says")),
            Err(ErrorKind::InvalidInput) if *bounded => Ok(()),
            Err(kind) if kinds().any(|failed| failed == *kind) => Ok(()),
            Err(kind) => Err(format!(
                "pipeline {call} failed with {kind:?}; its requests with {:?}",
                kinds().collect::<Vec<_>>()
            )),
        }
    })
}

/// The items of a loop are asked for in order, no more of them at a time than may be, and none after a failure.
pub(super) fn loops(trace: &Trace) -> Result<(), String> {
    /// One step of one call.
    #[derive(Default)]
    struct Seen {
        next: usize,
        open: usize,
    }
    let mut steps: HashMap<(Id, usize), Seen> = HashMap::new();
    let mut owners: HashMap<Id, (Id, usize)> = HashMap::new();
    let mut failed: Vec<Id> = Vec::new();
    for (at, event) in &trace.events {
        match event {
            Event::Pipeline(call, Told::Asked { id, step, item, most }) => {
                let seen = steps.entry((*call, *step)).or_default();
                if seen.next != *item || seen.open >= *most || failed.contains(call) {
                    let (next, open) = (seen.next, seen.open);
                    return Err(format!(
                        "at {at} us pipeline {call} asks for item {item} of step {step}: {next} is next, {open} of {most} under way"
                    ));
                }
                (seen.next, seen.open) = (seen.next + 1, seen.open + 1);
                owners.insert(*id, (*call, *step));
            }
            Event::Answered(id, outcome) => {
                let Some(owner) = owners.remove(id) else { continue };
                steps.entry(owner).or_default().open -= 1;
                if outcome.is_err() {
                    failed.push(owner.0);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
