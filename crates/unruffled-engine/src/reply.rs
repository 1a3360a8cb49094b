//! One request's place to be answered, exactly once, and the run that it shares with its neighbours.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tracing::Span;
use unruffled_model::{CancelToken, Footprint, Name, RequestContext};

use crate::error::Error;
use crate::queue::Key;
use crate::recorder::Arrival;
use crate::request::Response;
use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicUsize, Mutex, Ordering, Wakers, fence};

/// What a request ends with: for a caller that takes several outputs, the last of them or none.
pub(crate) type Outcome<O> = Result<Response<Option<O>>, Error>;

/// Something that blocks on behalf of a request, to be let go when the request is given up.
pub(crate) trait Stop: Send + Sync {
    fn stop(&self);
}

/// A run in progress: counts who still waits for it, and cancels it when nobody does.
pub(crate) struct Run {
    waiting: AtomicUsize,
    cancel: CancelToken,
    yielding: AtomicBool,
    ended: Mutex<Ended>,
    began: Instant,
}

#[derive(Default)]
struct Ended {
    done: bool,
    wakers: Vec<Waker>,
}

impl Run {
    /// A run that is being put together: whoever does so holds it until it [`leave`](Self::leave)s, lest the first to join
    /// be the last to leave.
    pub(crate) fn new(began: Instant) -> Arc<Self> {
        Arc::new(Self {
            began,
            waiting: AtomicUsize::new(1),
            cancel: CancelToken::new(),
            yielding: AtomicBool::new(false),
            ended: Mutex::new(Ended::default()),
        })
    }

    /// When it took its requests.
    pub(crate) fn began(&self) -> Instant {
        self.began
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

    /// Stops the model to let something more urgent go first. Runs the model's hooks: hold no lock.
    pub(crate) fn preempt(&self) {
        // Before the model can hear of it: whoever sees it stopped must know why.
        self.yielding.store(true, Ordering::Relaxed);
        self.cancel.cancel();
    }

    /// Whether it was told to let something more urgent go first.
    pub(crate) fn is_yielding(&self) -> bool {
        // Whoever has seen the cancellation sees the reason: the token is set with release ordering.
        fence(Ordering::Acquire);
        self.yielding.load(Ordering::Relaxed)
    }

    /// The model has returned and its slot is free.
    pub(crate) fn end(&self, wakers: &mut Wakers) {
        let mut ended = self.ended.lock();
        ended.done = true;
        ended.wakers.drain(..).for_each(|waker| wakers.add(Some(waker)));
    }

    /// Ready once nothing of the run goes on any more.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ended = self.ended.lock();
        if ended.done {
            return Poll::Ready(());
        }
        if !ended.wakers.iter().any(|known| known.will_wake(cx.waker())) {
            ended.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// What is known of a request when it comes in.
pub(crate) struct Submission {
    pub(crate) key: Key,
    pub(crate) footprint: Footprint,
    pub(crate) context: RequestContext,
    /// A newer request with this key takes its place.
    pub(crate) supersede: Option<Name>,
    pub(crate) arrival: Arrival,
    pub(crate) span: Span,
    /// Told when nobody waits for the answer any more.
    pub(crate) stop: Option<Arc<dyn Stop>>,
}

/// One request from admission to answer, shared by its caller and the engine.
pub(crate) struct Ticket<O> {
    pub(crate) submission: Submission,
    /// How often its run was stopped for something more urgent.
    preempted: AtomicU32,
    place: Mutex<Place<O>>,
}

struct Place<O> {
    state: State<O>,
    /// The last run that it was part of.
    run: Option<Arc<Run>>,
    /// How many there were.
    attempts: u32,
}

enum State<O> {
    /// In the queue, or on its way into a run.
    Queued(Option<Waker>),
    /// In a run.
    Running(Option<Waker>),
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
    pub(crate) fn new(submission: Submission) -> Arc<Self> {
        let place = Place { state: State::Queued(None), run: None, attempts: 0 };
        Arc::new(Self { submission, preempted: AtomicU32::new(0), place: Mutex::new(place) })
    }

    pub(crate) fn key(&self) -> &Key {
        &self.submission.key
    }

    pub(crate) fn arrived(&self) -> Instant {
        self.submission.arrival.at
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.submission.context.deadline()
    }

    pub(crate) fn context(&self) -> &RequestContext {
        &self.submission.context
    }

    pub(crate) fn footprint(&self) -> Footprint {
        self.submission.footprint
    }

    /// How often it had to let something more urgent go first.
    pub(crate) fn preempted(&self) -> u32 {
        self.preempted.load(Ordering::Relaxed)
    }

    pub(crate) fn count_preemption(&self) {
        self.preempted.fetch_add(1, Ordering::Relaxed);
    }

    /// Queued -> Running. False if the request was given up or answered meanwhile.
    pub(crate) fn join(&self, run: &Arc<Run>) -> bool {
        let mut place = self.place.lock();
        let State::Queued(waker) = &mut place.state else {
            return false;
        };
        let waker = waker.take();
        run.join();
        place.state = State::Running(waker);
        place.run = Some(Arc::clone(run));
        place.attempts += 1;
        true
    }

    /// Running -> Queued: its run ended without an answer for it, and it is to be run again. False if the request was given
    /// up or answered meanwhile.
    pub(crate) fn requeue(&self) -> bool {
        let mut place = self.place.lock();
        let State::Running(waker) = &mut place.state else {
            return false;
        };
        place.state = State::Queued(waker.take());
        true
    }

    /// The run that it is part of now, if any.
    pub(crate) fn current_run(&self) -> Option<Arc<Run>> {
        let place = self.place.lock();
        let runs = matches!(place.state, State::Running(_));
        place.run.clone().filter(|_| runs)
    }

    /// How many runs it has been part of.
    pub(crate) fn attempts(&self) -> u32 {
        self.place.lock().attempts
    }

    /// Queued | Running -> Answered, by the instance that ran it. A request given up meanwhile stays as it is. Returns
    /// whom to wake.
    pub(crate) fn answer(&self, outcome: Outcome<O>) -> Result<Option<Waker>, Outcome<O>> {
        let mut place = self.place.lock();
        match &mut place.state {
            State::Queued(waker) | State::Running(waker) => {
                let waker = waker.take();
                place.state = State::Answered(outcome);
                Ok(waker)
            }
            State::Answered(_) | State::Closed => Err(outcome),
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
        let left = self.end_place(next);
        if let Some(stop) = &self.submission.stop {
            stop.stop();
        }
        left
    }

    fn end_place(&self, next: impl FnOnce() -> State<O>) -> (Left, Option<Waker>) {
        let mut place = self.place.lock();
        match std::mem::replace(&mut place.state, State::Closed) {
            State::Queued(waker) => {
                place.state = next();
                (Left::Queue, waker)
            }
            State::Running(waker) => {
                place.state = next();
                let run = place.run.clone().expect("who runs has joined a run");
                (Left::Run(run), waker)
            }
            State::Answered(outcome) => {
                let next = next();
                // Only the caller's going throws an answer away.
                let unread = match next {
                    State::Closed => Some(outcome),
                    _ => {
                        place.state = State::Answered(outcome);
                        None
                    }
                };
                // Dropped without the lock: it is the caller's, and its end may do anything.
                drop(place);
                drop(unread);
                (Left::Nowhere, None)
            }
            State::Closed => (Left::Nowhere, None),
        }
    }

    /// The last run that it was part of, which may go on although the request has its answer.
    pub(crate) fn run(&self) -> Option<Arc<Run>> {
        self.place.lock().run.clone()
    }

    /// Answered -> Closed, for the caller; otherwise remembers whom to wake.
    ///
    /// # Panics
    ///
    /// If the answer has been taken before.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome<O>> {
        // The last one may own a task, and that anything: it is dropped without the lock.
        let _last;
        let mut place = self.place.lock();
        match &mut place.state {
            State::Queued(waker) | State::Running(waker) => {
                if waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
                    _last = waker.replace(cx.waker().clone());
                }
                Poll::Pending
            }
            State::Answered(_) => match std::mem::replace(&mut place.state, State::Closed) {
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
    use unruffled_model::{Footprint, Priority, RequestContext, RequestId};

    use super::{Left, Outcome, Run, Submission, Ticket};
    use crate::error::{Error, ErrorKind};
    use crate::queue::Key;
    use crate::recorder::Arrival;
    use crate::request::{Response, Timings};
    use crate::sync::Wakers;

    fn ticket() -> Arc<Ticket<u32>> {
        let now = Instant::now();
        Ticket::new(Submission {
            key: Key::new(Priority::Normal, None, now, 0),
            footprint: Footprint::single(0),
            context: RequestContext::new(RequestId::Number(0)),
            supersede: None,
            arrival: Arrival::at(now),
            span: tracing::Span::none(),
            stop: None,
        })
    }

    fn answer(output: u32) -> Outcome<u32> {
        let none = Duration::ZERO;
        let timings =
            Timings { queue: none, run: none, batch_requests: 1, batch_rows: 1, instance: 0, attempts: 1 };
        Ok(Response { output: Some(output), id: RequestId::Number(0), timings, provenance: None })
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
            let (ticket, run) = (ticket(), Run::new(Instant::now()));
            let instance = thread::spawn({
                let (ticket, run) = (Arc::clone(&ticket), Arc::clone(&run));
                move || {
                    ticket.join(&run) && {
                        let _won = ticket.answer(answer(7));
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
            let (first, second, run) = (ticket(), ticket(), Run::new(Instant::now()));
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
            let (first, second, run) = (ticket(), ticket(), Run::new(Instant::now()));
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
            let (ticket, neighbour, run) = (ticket(), ticket(), Run::new(Instant::now()));
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

    /// A request goes back to the queue while its caller leaves: it is either taken out there or not put back.
    #[test]
    fn loom_a_request_that_goes_back_is_lost_to_nobody() {
        loom::model(|| {
            let (ticket, run) = (ticket(), Run::new(Instant::now()));
            assert!(ticket.join(&run));
            let instance = thread::spawn({
                let ticket = Arc::clone(&ticket);
                move || ticket.requeue()
            });
            let left = ticket.close();
            let went_back = instance.join().unwrap();
            assert_eq!(matches!(left, Left::Queue), went_back, "who leaves knows where to look");
        });
    }

    /// A run that is stopped for something more urgent knows why by the time it hears of it.
    #[test]
    fn loom_who_is_stopped_for_another_knows_it() {
        loom::model(|| {
            let run = Run::new(Instant::now());
            let urgent = thread::spawn({
                let run = Arc::clone(&run);
                move || run.preempt()
            });
            if run.cancel_token().is_cancelled() {
                assert!(run.is_yielding());
            }
            urgent.join().unwrap();
        });
    }

    /// Whoever waits for the end of a run is woken, however they meet.
    #[test]
    fn loom_the_end_of_a_run_is_heard_of() {
        loom::model(|| {
            let run = Run::new(Instant::now());
            let instance = thread::spawn({
                let run = Arc::clone(&run);
                move || run.end(&mut Wakers::default())
            });
            let count = Arc::new(Count(std::sync::atomic::AtomicUsize::new(0)));
            let waker = Waker::from(Arc::clone(&count));
            let early = run.poll_ended(&mut Context::from_waker(&waker)).is_ready();
            instance.join().unwrap();
            let woken = count.0.load(std::sync::atomic::Ordering::SeqCst) > 0;
            assert!(early != woken, "told at once, or woken");
        });
    }

    struct Count(std::sync::atomic::AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
}
