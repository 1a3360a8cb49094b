//! One call's place to be answered: by its session, by whoever gives it up, once.

use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::error::Error;
use crate::request::Response;
use crate::sync::wake;

/// What a call ends with.
pub(super) type Outcome<R> = Result<Response<R>, Error>;

/// Shared by a call's future and its session. Whoever ends it claims it first: only one can.
pub(super) struct Answer<R>(Mutex<State<R>>);

enum State<R> {
    /// It goes on.
    Open(Option<Waker>),
    /// Somebody is about to answer it.
    Claimed(Option<Waker>),
    /// Answered; the caller has not looked yet.
    Given(Outcome<R>),
    /// The caller has its answer, or has gone.
    Closed,
}

impl<R> Answer<R> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::Open(None)))
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(*self.0.lock(), State::Open(_))
    }

    /// Open -> Claimed. True: whoever asks must [`give`](Self::give).
    pub(super) fn claim(&self) -> bool {
        let mut state = self.0.lock();
        let State::Open(waker) = &mut *state else { return false };
        let waker = waker.take();
        *state = State::Claimed(waker);
        true
    }

    /// Claimed -> Given. Runs the caller's waker: hold no lock.
    pub(super) fn give(&self, outcome: Outcome<R>) {
        let mut state = self.0.lock();
        let State::Claimed(waker) = &mut *state else {
            // The caller has gone meanwhile. What nobody takes is dropped without the lock.
            drop(state);
            return crate::sync::discard([outcome]);
        };
        let waker = waker.take();
        *state = State::Given(outcome);
        drop(state);
        if let Some(waker) = waker {
            wake(waker);
        }
    }

    /// Ends an open call with an error. False: it has ended otherwise.
    pub(super) fn fail(&self, error: impl FnOnce() -> Error) -> bool {
        let claimed = self.claim();
        if claimed {
            self.give(Err(error()));
        }
        claimed
    }

    /// Open | Claimed | Given -> Closed: the caller has gone. True: it was open, and must be taken out of where it is.
    pub(super) fn close(&self) -> bool {
        let last = std::mem::replace(&mut *self.0.lock(), State::Closed);
        matches!(last, State::Open(_))
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome<R>> {
        // The last one may own a task, and that anything: it is dropped without the lock.
        let _last;
        let mut state = self.0.lock();
        match &mut *state {
            State::Open(waker) | State::Claimed(waker) => {
                if waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
                    _last = waker.replace(cx.waker().clone());
                }
                Poll::Pending
            }
            State::Given(_) => match std::mem::replace(&mut *state, State::Closed) {
                State::Given(outcome) => Poll::Ready(outcome),
                _ => unreachable!("matched just now, under the lock"),
            },
            State::Closed => panic!("a call was polled after it gave its answer"),
        }
    }
}
