//! Sessions: one call at a time, each from what the one before has left, and an end exactly when it is due.

use std::collections::HashMap;

use super::ledger::Ledger;
use crate::error::ErrorKind;
use crate::simulation::sessions::{Told, state_after};
use crate::simulation::trace::{Event, Id, Micros, Trace};

/// One session as it must be.
struct Kept {
    idle: Micros,
    state: u64,
    steps: u64,
    /// Calls that go on, in order.
    open: Vec<Id>,
    /// Since when it has nothing to do.
    idle_since: Micros,
    ended: bool,
}

/// A call: its session, and when that would have expired without it.
struct Call {
    session: Id,
    expires: Option<Micros>,
    called: Micros,
}

/// State goes from call to call and nowhere else, in order; what fails, is given up or is late leaves it as it was.
pub(super) fn states(trace: &Trace) -> Result<(), String> {
    let mut sessions: HashMap<Id, Kept> = HashMap::new();
    let mut calls: HashMap<Id, Call> = HashMap::new();
    Ledger::read(trace, |_, at, event| {
        match event {
            Event::Session(session, Told::Began { idle, state, steps }) => {
                let (idle, state, steps) = (*idle, *state, *steps);
                let kept = Kept { idle, state, steps, open: Vec::new(), idle_since: at, ended: false };
                sessions.insert(*session, kept);
            }
            Event::Session(session, Told::Called(id)) => {
                let kept = sessions.get_mut(session).ok_or("it never began")?;
                let expires = kept.open.is_empty().then_some(kept.idle_since + kept.idle);
                kept.open.push(*id);
                calls.insert(*id, Call { session: *session, expires, called: at });
            }
            Event::Session(session, Told::Kept { state, steps }) => {
                let kept = &sessions[session];
                if (kept.state, kept.steps) != (*state, *steps) {
                    return Err(format!(
                        "session {session} keeps {state} after {steps} steps; it should {} after {}",
                        kept.state, kept.steps
                    ));
                }
            }
            Event::Session(session, Told::Ended) => {
                sessions.get_mut(session).ok_or("it never began")?.ended = true;
            }
            Event::Taken { ids, .. } => {
                for id in ids {
                    let Some(call) = calls.get(id) else { continue };
                    let first = sessions[&call.session].open.first();
                    if first.is_some_and(|first| first < id) {
                        return Err(format!(
                            "call {id} of session {} runs before {first:?} is over",
                            call.session
                        ));
                    }
                }
            }
            Event::Answered(id, _) | Event::Dropped(id) => {
                let Some(Call { session, expires, called }) = calls.remove(id) else { return Ok(()) };
                let kept = sessions.get_mut(&session).ok_or("it never began")?;
                let place = kept.open.iter().position(|open| open == id).ok_or("it is not open")?;
                kept.open.remove(place);
                let is_late = expires.is_some_and(|expires| expires <= called);
                match event {
                    Event::Answered(_, Err(ErrorKind::NotFound)) if is_late || kept.ended => {
                        // It had gone before it was called.
                        return Ok(());
                    }
                    Event::Answered(_, Err(ErrorKind::NotFound)) => {
                        return Err(format!(
                            "session {session} was gone at {called} us; it expires at {expires:?}"
                        ));
                    }
                    Event::Answered(_, Ok(_)) if is_late => {
                        return Err(format!("session {session} should have expired at {expires:?}"));
                    }
                    Event::Answered(_, Ok(_)) if place > 0 => {
                        return Err(format!("call {id} of session {session} was answered before its turn"));
                    }
                    Event::Answered(_, Ok(_)) => {
                        (kept.state, kept.steps) = (state_after(kept.state, *id), kept.steps + 1);
                    }
                    _ => {}
                }
                // Whoever was refused at once has woken nobody.
                if kept.open.is_empty() && !is_late {
                    kept.idle_since = at;
                }
            }
            _ => {}
        }
        Ok(())
    })
}

/// Sessions, their calls and what they hold stay within their limits, and all of it is gone with its model.
pub(super) fn bounds(trace: &Trace) -> Result<(), String> {
    let mut last = HashMap::new();
    for (at, event) in &trace.events {
        let Event::Session(_, Told::Status { model, limits, status }) = event else { continue };
        let most = limits.sessions * limits.waiting;
        if status.sessions > limits.sessions || status.bytes > limits.bytes || status.waiting > most {
            return Err(format!("at {at} us the sessions of model {model} hold {status:?}, {limits:?}"));
        }
        if status.running > status.sessions {
            return Err(format!("at {at} us {} calls of {} sessions run", status.running, status.sessions));
        }
        last.insert(*model, *status);
    }
    let left = |status: &crate::sequence::SequenceStatus| {
        status.sessions + status.waiting + status.running + status.bytes > 0
    };
    match last.iter().find(|(_, status)| left(status)) {
        Some((model, status)) => Err(format!("model {model} has gone, and its sessions hold {status:?}")),
        None => Ok(()),
    }
}
