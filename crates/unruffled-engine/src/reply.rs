//! One request's place to be answered, exactly once, and the run that it shares with its neighbours.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use unruffled_model::{CancelToken, Footprint, RequestContext};

use crate::error::Error;
use crate::queue::Key;
use crate::request::Response;
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};

/// What a request ends with.
pub(crate) type Outcome<O> = Result<Response<O>, Error>;

/// A run in progress: counts who still waits for it, and cancels it when nobody does.
pub(crate) struct Run {
    waiting: AtomicUsize,
    cancel: CancelToken,
}

impl Run {
    /// A run that is being put together: whoever does so holds it until it [`leave`](Self::leave)s, lest the first to join
    /// be the last to leave.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { waiting: AtomicUsize::new(1), cancel: CancelToken::new() })
    }

    pub(crate) fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    fn join(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// One caller less; the last one stops the model. Runs the model's hooks: hold no lock.
    pub(crate) fn leave(&self) {
        if self.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.cancel.cancel();
        }
    }
}

/// One request from admission to answer, shared by its caller and the engine.
pub(crate) struct Ticket<O> {
    pub(crate) key: Key,
    pub(crate) arrived: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) footprint: Footprint,
    pub(crate) context: RequestContext,
    state: Mutex<State<O>>,
}

enum State<O> {
    /// In the queue, or on its way into a run.
    Queued(Option<Waker>),
    /// In a run.
    Running(Arc<Run>, Option<Waker>),
    /// Answered; the caller has not looked yet.
    Answered(Outcome<O>),
    /// The caller has its answer, or has gone.
    Closed,
}

/// Where a request was when it was given up.
pub(crate) enum Left {
    /// In the queue: it must be taken out there.
    Queue,
    /// In a run, which must be left.
    Run(Arc<Run>),
    /// It was answered already.
    Nowhere,
}

impl<O> Ticket<O> {
    pub(crate) fn new(
        key: Key,
        arrived: Instant,
        deadline: Option<Instant>,
        footprint: Footprint,
        context: RequestContext,
    ) -> Arc<Self> {
        Arc::new(Self { key, arrived, deadline, footprint, context, state: Mutex::new(State::Queued(None)) })
    }

    /// Queued -> Running. False if the request was given up or answered meanwhile.
    pub(crate) fn join(&self, run: &Arc<Run>) -> bool {
        let mut state = self.state.lock();
        let State::Queued(waker) = &mut *state else {
            return false;
        };
        run.join();
        *state = State::Running(Arc::clone(run), waker.take());
        true
    }

    /// Queued | Running -> Answered, by the instance that ran it. A request given up meanwhile stays as it is. Returns
    /// whom to wake.
    pub(crate) fn answer(&self, outcome: Outcome<O>) -> Option<Waker> {
        let mut state = self.state.lock();
        match &mut *state {
            State::Queued(waker) | State::Running(_, waker) => {
                let waker = waker.take();
                *state = State::Answered(outcome);
                waker
            }
            State::Answered(_) | State::Closed => None,
        }
    }

    /// Queued | Running -> Answered, by anybody else: the request must then be taken out of where it was.
    pub(crate) fn give_up(&self, error: impl FnOnce() -> Error) -> (Left, Option<Waker>) {
        self.end(|| State::Answered(Err(error())))
    }

    /// Queued | Running | Answered -> Closed: the caller has gone.
    pub(crate) fn close(&self) -> Left {
        self.end(|| State::Closed).0
    }

    fn end(&self, next: impl FnOnce() -> State<O>) -> (Left, Option<Waker>) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Closed) {
            State::Queued(waker) => {
                *state = next();
                (Left::Queue, waker)
            }
            State::Running(run, waker) => {
                *state = next();
                (Left::Run(run), waker)
            }
            State::Answered(outcome) => {
                let next = next();
                // Only the caller's going throws an answer away.
                let unread = match next {
                    State::Closed => Some(outcome),
                    _ => {
                        *state = State::Answered(outcome);
                        None
                    }
                };
                // Dropped without the lock: it is the caller's, and its end may do anything.
                drop(state);
                drop(unread);
                (Left::Nowhere, None)
            }
            State::Closed => (Left::Nowhere, None),
        }
    }

    /// Answered -> Closed, for the caller; otherwise remembers whom to wake.
    ///
    /// # Panics
    ///
    /// If the answer has been taken before.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome<O>> {
        // The last one may own a task, and that anything: it is dropped without the lock.
        let _last;
        let mut state = self.state.lock();
        match &mut *state {
            State::Queued(waker) | State::Running(_, waker) => {
                if waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
                    _last = waker.replace(cx.waker().clone());
                }
                Poll::Pending
            }
            State::Answered(_) => match std::mem::replace(&mut *state, State::Closed) {
                State::Answered(outcome) => Poll::Ready(outcome),
                _ => unreachable!("matched just now, under the lock"),
            },
            State::Closed => panic!("a request was polled after it gave its answer"),
        }
    }
}

#[cfg(all(test, unruffled_loom))]
mod loom_tests {
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};
    use std::time::{Duration, Instant};

    use loom::thread;
    use unruffled_model::{Footprint, RequestContext, RequestId};

    use super::{Left, Outcome, Run, Ticket};
    use crate::error::{Error, ErrorKind};
    use crate::queue::Key;
    use crate::request::{Priority, Response, Timings};

    fn ticket() -> Arc<Ticket<u32>> {
        let now = Instant::now();
        let key = Key::new(Priority::Normal, None, now, 0);
        let footprint = Footprint { rows: 1, bytes: 0, bucket: 0 };
        Ticket::new(key, now, None, footprint, RequestContext::new(RequestId::Number(0)))
    }

    fn answer(output: u32) -> Outcome<u32> {
        let none = Duration::ZERO;
        let timings = Timings { queue: none, run: none, batch_requests: 1, batch_rows: 1, instance: 0 };
        Ok(Response { output, id: RequestId::Number(0), timings })
    }

    fn leave(left: Left) {
        if let Left::Run(run) = left {
            run.leave();
        }
    }

    /// An instance answers while the deadline fires: one of them wins, and the caller hears of one.
    #[test]
    fn loom_answer_and_deadline_end_a_request_once() {
        loom::model(|| {
            let (ticket, run) = (ticket(), Run::new());
            let instance = thread::spawn({
                let (ticket, run) = (Arc::clone(&ticket), Arc::clone(&run));
                move || {
                    ticket.join(&run) && {
                        drop(ticket.answer(answer(7)));
                        true
                    }
                }
            });
            let late = || Error::new(ErrorKind::DeadlineExceeded, "late");
            let (left, _) = ticket.give_up(late);
            let won = !matches!(left, Left::Nowhere);
            leave(left);
            let ran = instance.join().unwrap();
            let Poll::Ready(outcome) = ticket.poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("nobody answered");
            };
            assert_eq!(outcome.is_err(), won, "the caller hears of whoever came first");
            assert!(ran || won);
        });
    }

    /// The first to join leaves before the second has joined: the second's run goes on.
    #[test]
    fn loom_who_leaves_early_stops_nobody_else() {
        loom::model(|| {
            let (first, second, run) = (ticket(), ticket(), Run::new());
            let instance = thread::spawn({
                let (first, second, run) = (Arc::clone(&first), Arc::clone(&second), Arc::clone(&run));
                move || {
                    let _ = first.join(&run);
                    assert!(second.join(&run));
                    run.leave();
                }
            });
            leave(first.close());
            instance.join().unwrap();
            assert!(!run.cancel_token().is_cancelled(), "the second still waits");
        });
    }

    /// Both callers of a run go, one while it is being joined: the run is told to stop exactly if both were in it.
    #[test]
    fn loom_a_run_stops_when_its_last_caller_leaves() {
        loom::model(|| {
            let (first, second, run) = (ticket(), ticket(), Run::new());
            assert!(first.join(&run));
            let instance = thread::spawn({
                let (second, run) = (Arc::clone(&second), Arc::clone(&run));
                move || second.join(&run)
            });
            // The second goes while the instance takes it in; the first stays.
            leave(second.close());
            instance.join().unwrap();
            run.leave();
            assert!(!run.cancel_token().is_cancelled(), "the first still waits");
            leave(first.close());
            assert!(run.cancel_token().is_cancelled(), "nobody waits");
        });
    }

    /// Two who give up at the same time are counted once.
    #[test]
    fn loom_a_request_is_given_up_once() {
        loom::model(|| {
            let (ticket, neighbour, run) = (ticket(), ticket(), Run::new());
            assert!(ticket.join(&run) && neighbour.join(&run));
            run.leave();
            let timer = thread::spawn({
                let ticket = Arc::clone(&ticket);
                move || leave(ticket.give_up(|| Error::new(ErrorKind::DeadlineExceeded, "late")).0)
            });
            leave(ticket.close());
            timer.join().unwrap();
            assert!(!run.cancel_token().is_cancelled(), "the neighbour still waits");
        });
    }
}
