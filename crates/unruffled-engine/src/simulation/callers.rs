//! Those who ask: what they note in the diary of the history, and what scopes and streams do.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::trace::{Event, Facts, Id, Micros};
use crate::error::{Error, ErrorKind};
use crate::request::Response;
use crate::timer::Timer;

/// Where everybody writes down what happens to him, with the time.
pub(super) struct Diary {
    begin: Instant,
    timer: Timer,
    events: RefCell<Vec<(Micros, Event)>>,
    /// Came just now, and it is not known yet whether it was let in.
    fresh: RefCell<HashMap<Id, Facts>>,
}

impl Diary {
    pub(super) fn new(begin: Instant, timer: Timer) -> Self {
        Self { begin, timer, events: RefCell::default(), fresh: RefCell::default() }
    }

    pub(super) fn now(&self) -> Micros {
        (self.timer.now() - self.begin).as_micros() as Micros
    }

    pub(super) fn note(&self, event: Event) {
        self.events.borrow_mut().push((self.now(), event));
    }

    /// A request was submitted: what became of it is known once its future was polled.
    pub(super) fn came(&self, id: Id, facts: Facts) {
        self.fresh.borrow_mut().insert(id, facts);
    }

    /// A request has its answer.
    pub(super) fn answered(&self, id: Id, outcome: &Result<Response<u64>, Error>, fresh: bool) {
        let told = outcome.as_ref().map(|response| response.output).map_err(Error::kind);
        let came = self.fresh.borrow_mut().remove(&id);
        match (came, told) {
            // Only a run has a model's failure: that one was on the caller's thread.
            (Some(facts), Err(kind)) if fresh && !is_models_fault(kind) => {
                self.note(Event::Submitted(id, facts, Some(kind)))
            }
            (Some(facts), told) => {
                self.note(Event::Submitted(id, facts, None));
                self.note(Event::Inline(id));
                self.note(Event::Answered(id, told));
            }
            (None, told) => self.note(Event::Answered(id, told)),
        }
    }

    /// A request was not refused.
    pub(super) fn let_in(&self, id: Id) {
        if let Some(facts) = self.fresh.borrow_mut().remove(&id) {
            self.note(Event::Submitted(id, facts, None));
        }
    }

    pub(super) fn into_events(self) -> Vec<(Micros, Event)> {
        self.events.into_inner()
    }
}

/// An error that tells of the model, not of the request.
pub(super) fn is_models_fault(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ModelFailed | ErrorKind::ModelCrashed)
}

/// Something that has several requests and notes itself what becomes of them.
pub(super) trait Scope {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, diary: &Diary) -> Poll<()>;

    /// It is dropped in the middle of its work.
    fn give_up(self: Pin<Box<Self>>, diary: &Diary);
}
