//! Those who ask: what they note in the diary of the history, and what scopes and streams do.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_core::Stream;

use super::played::Input;
use super::trace::{Event, Facts, Id, Micros};
use crate::error::{Error, ErrorKind};
use crate::group::Group;
use crate::handle::Handle;
use crate::request::Response;
use crate::stream::{InferStream, StreamOptions};
use crate::timer::{Sleep, Timer};

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
                self.note(Event::Submitted(id, facts, Some(kind)));
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

    /// A request ended with an error, on arrival or later.
    pub(super) fn turned_down(&self, id: Id, kind: ErrorKind) {
        let event = match self.fresh.borrow_mut().remove(&id) {
            Some(facts) => Event::Submitted(id, facts, Some(kind)),
            None => Event::Answered(id, Err(kind)),
        };
        self.note(event);
    }

    pub(super) fn sleep(&self, time: Micros) -> Sleep {
        self.timer.sleep_until(self.timer.now() + Duration::from_micros(time))
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
    fn poll(&mut self, cx: &mut Context<'_>, diary: &Diary) -> Poll<()>;

    /// It is dropped in the middle of its work.
    fn give_up(self: Box<Self>, diary: &Diary);
}

type Outcomes = Vec<Option<Result<u64, ErrorKind>>>;

/// A group of requests.
pub(super) struct Crowd {
    ids: Vec<Id>,
    fail_fast: bool,
    outcomes: Pin<Box<dyn Future<Output = Outcomes>>>,
}

impl Crowd {
    pub(super) fn new(ids: Vec<Id>, group: Group<u64>, fail_fast: bool) -> Self {
        let told = |outcome: &Result<Response<u64>, Error>| {
            Some(outcome.as_ref().map(|response| response.output).map_err(Error::kind))
        };
        let count = ids.len();
        let outcomes: Pin<Box<dyn Future<Output = Outcomes>>> = match fail_fast {
            false => Box::pin(async move { group.run_all().await.outcomes().iter().map(told).collect() }),
            true => Box::pin(async move {
                let mut outcomes = vec![None; count];
                match group.fail_fast().await {
                    Ok(all) => outcomes = all.into_iter().map(|response| Some(Ok(response.output))).collect(),
                    Err(failed) => {
                        outcomes[failed.index()] = Some(Err(failed.error().kind()));
                        let also = failed.also_failed().iter();
                        also.for_each(|(at, error)| outcomes[*at] = Some(Err(error.kind())));
                        let finished = failed.finished().iter();
                        finished.for_each(|(at, response)| outcomes[*at] = Some(Ok(response.output)));
                        let cancelled = failed.cancelled().iter();
                        cancelled.for_each(|at| outcomes[*at] = Some(Err(ErrorKind::Cancelled)));
                    }
                }
                outcomes
            }),
        };
        Self { ids, fail_fast, outcomes }
    }
}

impl Scope for Crowd {
    fn poll(&mut self, cx: &mut Context<'_>, diary: &Diary) -> Poll<()> {
        let Poll::Ready(outcomes) = self.outcomes.as_mut().poll(cx) else { return Poll::Pending };
        for (id, outcome) in self.ids.iter().zip(&outcomes) {
            if let Some(outcome) = outcome {
                diary.note(Event::Answered(*id, *outcome));
            }
        }
        diary.note(Event::ScopeEnded { ids: self.ids.clone(), outcomes, fail_fast: self.fail_fast });
        Poll::Ready(())
    }

    fn give_up(self: Box<Self>, diary: &Diary) {
        self.ids.iter().for_each(|id| diary.note(Event::Dropped(*id)));
    }
}

/// A live source, and the stream of its answers.
pub(super) struct Flow {
    stream: Id,
    planned: Vec<Id>,
    ordered: bool,
    in_flight: usize,
    given: Rc<RefCell<Vec<Id>>>,
    answers: InferStream<Source, u64>,
    streamed: usize,
}

/// Gives what it has, some of it now and some of it later.
pub(super) struct Source {
    left: VecDeque<(Input, Micros)>,
    given: Rc<RefCell<Vec<Id>>>,
    timer: Timer,
    begin: Instant,
    sleep: Option<Sleep>,
}

impl Stream for Source {
    type Item = Input;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Input>> {
        let Some((input, at)) = self.left.front().cloned() else { return Poll::Ready(None) };
        let due = self.begin + Duration::from_micros(at);
        if self.timer.now() < due {
            let mut sleep = self.timer.sleep_until(due);
            let _later = Pin::new(&mut sleep).poll(cx);
            self.sleep = Some(sleep);
            return Poll::Pending;
        }
        self.left.pop_front();
        self.given.borrow_mut().push(input.id);
        Poll::Ready(Some(input))
    }
}

impl Flow {
    pub(super) fn new(
        stream: Id,
        handle: &Handle<Input, u64>,
        items: impl IntoIterator<Item = (Input, Micros)>,
        diary: &Diary,
        options: StreamOptions,
        (ordered, in_flight): (bool, usize),
    ) -> Self {
        let given = Rc::new(RefCell::default());
        let left: VecDeque<_> = items.into_iter().collect();
        let planned = left.iter().map(|(input, _)| input.id).collect();
        let source = Source {
            left,
            given: Rc::clone(&given),
            timer: diary.timer.clone(),
            begin: diary.begin,
            sleep: None,
        };
        let options = options.in_flight(in_flight);
        let options = if ordered { options } else { options.by_completion() };
        Self {
            stream,
            planned,
            ordered,
            in_flight,
            given,
            answers: handle.stream(source, options),
            streamed: 0,
        }
    }

    fn ended(&self, dropped: bool) -> Event {
        let given = self.given.borrow().clone();
        Event::StreamEnded {
            stream: self.stream,
            planned: self.planned.clone(),
            given,
            dropped,
            ordered: self.ordered,
        }
    }
}

impl Scope for Flow {
    fn poll(&mut self, cx: &mut Context<'_>, diary: &Diary) -> Poll<()> {
        loop {
            let next = Pin::new(&mut self.answers).poll_next(cx);
            let ahead = self.given.borrow().len() - self.streamed;
            assert!(
                ahead <= self.in_flight,
                "the source was asked for {ahead} with {} allowed",
                self.in_flight
            );
            match next {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(item)) => {
                    self.streamed += 1;
                    let id = self.given.borrow()[item.seq as usize];
                    let outcome = item.result.map(|response| response.output).map_err(|error| error.kind());
                    diary.note(Event::Answered(id, outcome));
                    diary.note(Event::Streamed { stream: self.stream, seq: item.seq, id, outcome });
                }
                Poll::Ready(None) => {
                    diary.note(self.ended(false));
                    return Poll::Ready(());
                }
            }
        }
    }

    fn give_up(self: Box<Self>, diary: &Diary) {
        diary.note(self.ended(true));
    }
}
