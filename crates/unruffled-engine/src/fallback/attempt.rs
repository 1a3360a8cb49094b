//! [`ChainRequest`] and [`Attempt`]: one request to a chain, and the future of its answer.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use unruffled_model::{Caller, Priority, Provenance, RequestContext, RequestId, TraceContext};

use super::ask::Asked;
use super::course::{Course, Next};
use super::link::Hedge;
use super::tally::Fate;
use super::{Chain, Links};
use crate::breaker::{Pass, Verdict};
use crate::error::{Error, ErrorKind};
use crate::request::{RequestOptions, Response, Timings};
use crate::timer::Sleep;

/// A request on its way to a chain: awaiting it sends it, and gives an [`Attempt`].
///
/// It is refined as a [`Request`](crate::Request) is. Needs no runtime.
#[must_use = "a request is sent when it is awaited or submitted"]
pub struct ChainRequest<'a, I, O> {
    chain: &'a Chain<I, O>,
    input: I,
    options: RequestOptions,
}

impl<'a, I: Send + 'static, O: Send + 'static> ChainRequest<'a, I, O> {
    pub(super) fn new(chain: &'a Chain<I, O>, input: I) -> Self {
        Self { chain, input, options: RequestOptions::default() }
    }

    /// Gives up at this instant: all that the chain tries is included.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.edit(|context| context.with_deadline(Some(deadline)));
        self
    }

    /// Gives up so long after now.
    pub fn timeout(self, timeout: Duration) -> Self {
        // A timeout beyond what the clock can count is none.
        match self.chain.0.timer.now().checked_add(timeout) {
            Some(deadline) => self.deadline(deadline),
            None => self,
        }
    }

    /// Says who goes first when work waits.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.edit(|context| context.with_priority(priority));
        self
    }

    /// Names the request, with every model that is asked; without it, each numbers its own.
    pub fn id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.options.named = true;
        self.options.edit(|context| context.with_id(RequestId::Text(id.into())));
        self
    }

    /// Says on whose behalf it is made.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.options.edit(|context| context.with_caller(caller));
        self
    }

    /// Says where it stands in a distributed trace.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.options.edit(|context| context.with_trace(trace));
        self
    }

    /// Adds a piece of baggage: every model that is asked sees it.
    pub fn baggage(mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        self.options.edit(|context| context.with_baggage(name, value));
        self
    }

    /// Takes the whole context over, the name included.
    pub fn context(mut self, context: RequestContext) -> Self {
        self.options.named = true;
        self.options.context = Some(context);
        self
    }

    /// Sends the request to the first model now, without awaiting it. Needs no runtime.
    ///
    /// What comes after the first model is done where the future is polled: one that nobody polls does not fall back.
    pub fn submit(self) -> Attempt<I, O> {
        let Self { chain, input, options } = self;
        let links = &chain.0;
        let begun = links.timer.now();
        let deadline = options.context.as_ref().and_then(RequestContext::deadline);
        let names = links.links.iter().map(|(link, _)| link.name()).collect();
        let course = Course::new(links.order, names, deadline, links.default.is_some());
        let id = match &options.context {
            Some(context) if options.named => context.id().clone(),
            _ => links.next_id(),
        };
        let links = Arc::clone(links);
        let inner =
            Inner { links, input, options, deadline, begun, id, course, asked: Vec::new(), sleep: None };
        let mut attempt = Attempt(Some(inner));
        if let Some(inner) = &mut attempt.0 {
            inner.begin_what_is_due(begun);
        }
        attempt
    }
}

impl<I: Send + 'static, O: Send + 'static> IntoFuture for ChainRequest<'_, I, O> {
    type Output = Result<Response<O>, Error>;
    type IntoFuture = Attempt<I, O>;

    fn into_future(self) -> Attempt<I, O> {
        self.submit()
    }
}

impl<I, O> fmt::Debug for ChainRequest<'_, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainRequest").field("chain", &self.chain.name()).finish_non_exhaustive()
    }
}

/// The answer of a chain, to be awaited on any executor: needs no runtime and no thread.
///
/// Whoever loses is stopped before the answer is given: queued, its request is out of the queue; running, its model has
/// been told. A model that cannot be stopped goes on, in a slot that is not given away meanwhile; nobody waits for it.
///
/// # Errors
///
/// What the first model says if the input is wrong; `Cancelled`; `DeadlineExceeded` when the time of the whole is over;
/// otherwise, if all models have failed and there is no default, what the last one said, with the reasons of all.
///
/// # Cancel safety
///
/// Dropping it cancels whatever it has asked. The result is lost.
#[must_use = "dropping an answer cancels the request"]
pub struct Attempt<I, O>(Option<Inner<I, O>>);

struct Inner<I, O> {
    links: Arc<Links<I, O>>,
    input: I,
    options: RequestOptions,
    deadline: Option<Instant>,
    begun: Instant,
    id: RequestId,
    course: Course,
    /// Those that were asked and have not answered, in their order.
    asked: Vec<Running<O>>,
    /// Until the next begins beside those.
    sleep: Option<(Instant, Sleep)>,
}

/// A link that was asked.
struct Running<O> {
    at: usize,
    begun: Instant,
    budget: Option<Duration>,
    request: Box<dyn Asked<O>>,
    pass: Option<Pass>,
}

impl<I, O> Inner<I, O> {
    /// Asks those whose turn it is. What is to be done when none is.
    fn begin_what_is_due(&mut self, now: Instant) -> Next {
        loop {
            match self.course.next(now) {
                Next::Begin(at) => self.begin(at, now),
                other => return other,
            }
        }
    }

    fn begin(&mut self, at: usize, now: Instant) {
        let links = Arc::clone(&self.links);
        let (link, tally) = &links.links[at];
        let pass_over = |course: &mut Course, error| {
            tally.count(Fate::PassedOver);
            // A wrong input is wrong though nobody is asked: it is not for the others, nor for the default.
            if at == 0
                && let Some(Err(invalid)) = link.ask.admit(&self.input)
            {
                course.refuse(Error::from_model(invalid));
            }
            course.passed_over(at, error);
        };
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(now));
        let allowed = [left, link.budget].into_iter().flatten().min();
        let needs_expectation = self.course.minds_slack() || link.hedge == Hedge::WhenLate;
        let expected =
            if needs_expectation { link.ask.expected(now, &self.input, &self.options) } else { None };
        if self.course.minds_slack()
            && !self.course.is_last(at)
            && let (Some(expected), Some(allowed)) = (expected, allowed)
            && expected > allowed
        {
            let message = format!("would take about {expected:.1?} and {allowed:.1?} are left");
            return pass_over(&mut self.course, Error::new(ErrorKind::DeadlineExceeded, message));
        }
        let pass = match link.breaker.as_ref().map(|breaker| breaker.ask(now)).transpose() {
            Ok(pass) => pass,
            Err(wait) => {
                let message = match wait {
                    Some(wait) => format!("its breaker is open for another {wait:.0?}"),
                    None => "its breaker waits for what a probe says".to_owned(),
                };
                let error = Error::new(ErrorKind::NotReady, message).retry_after_wait(wait);
                return pass_over(&mut self.course, error);
            }
        };
        let mut options = self.options.clone();
        if let Some(until) = link.budget.and_then(|budget| now.checked_add(budget)) {
            let until = self.deadline.map_or(until, |deadline| deadline.min(until));
            options.edit(|context| context.with_deadline(Some(until)));
        }
        let budget = link.budget.filter(|budget| left.is_none_or(|left| *budget < left));
        let request = link.ask.ask(now, &self.input, options);
        tally.count(Fate::Asked);
        let hedge = match link.hedge {
            Hedge::Never => None,
            Hedge::After(delay) => now.checked_add(delay),
            Hedge::WhenLate => expected.and_then(|expected| now.checked_add(expected)),
        };
        self.course.began(at, hedge);
        self.asked.push(Running { at, begun: now, budget, request, pass });
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<O>, Error>> {
        loop {
            // The first in the chain is asked first: of two that have answered, the better one counts.
            let mut place = 0;
            while let Some(running) = self.asked.get_mut(place) {
                match running.request.poll(cx) {
                    Poll::Pending => place += 1,
                    Poll::Ready(Ok(response)) => return Poll::Ready(Ok(self.won(place, response))),
                    Poll::Ready(Err(error)) => {
                        if let Some(error) = self.lost(place, error) {
                            return Poll::Ready(Err(error));
                        }
                    }
                }
            }
            let begun = self.asked.len();
            let now = self.links.timer.now();
            let next = self.begin_what_is_due(now);
            // Those that have just been asked may have been refused at once.
            if self.asked.len() > begun {
                continue;
            }
            match next {
                Next::Begin(_) => unreachable!("all of these have begun"),
                Next::Default => return Poll::Ready(Ok(self.default_answer(now))),
                Next::Fail(error) => return Poll::Ready(Err(error)),
                Next::Wait(None) => return Poll::Pending,
                Next::Wait(Some(until)) => {
                    if self.sleep.as_ref().is_none_or(|(known, _)| *known != until) {
                        self.sleep = Some((until, self.links.timer.sleep_until(until)));
                    }
                    let (_, sleep) = self.sleep.as_mut().expect("set just now");
                    if Pin::new(sleep).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.sleep = None;
                }
            }
        }
    }

    fn won(&mut self, place: usize, response: Response<O>) -> Response<O> {
        let now = self.links.timer.now();
        let Running { at, begun, pass, .. } = self.asked.remove(place);
        if let Some(pass) = pass {
            pass.tell(now, Verdict::Success);
        }
        self.links.links[at].1.count(Fate::Answered);
        // Before the answer is given: whoever has it may take the losers for stopped.
        self.stop();
        let Response { output, mut timings, mut provenance, .. } = response;
        timings.queue += begun.saturating_duration_since(self.begun);
        if let Some(mut degraded) = self.course.degraded(at) {
            let provenance = provenance.get_or_insert_default();
            // It may itself be a chain that has fallen back.
            if let Some(inner) = provenance.degraded.take() {
                degraded.by = inner.by;
                degraded.why.extend(inner.why);
            }
            provenance.degraded = Some(degraded);
        }
        Response { output, id: self.id.clone(), timings, provenance }
    }

    /// One has failed. `Some`: the whole has.
    fn lost(&mut self, place: usize, error: Error) -> Option<Error> {
        let now = self.links.timer.now();
        let Running { at, budget, request, pass, .. } = self.asked.remove(place);
        if let Some(pass) = pass {
            pass.tell(now, verdict(&error, request.is_refused()));
        }
        self.links.links[at].1.count(Fate::Failed);
        let is_late = self.deadline.is_some_and(|deadline| deadline <= now);
        let error = match (error.kind(), budget) {
            (ErrorKind::DeadlineExceeded, Some(budget)) if !request.is_refused() && !is_late => {
                let message = format!("has used up its budget of {budget:.1?}");
                Error::new(ErrorKind::DeadlineExceeded, message)
            }
            _ => error,
        };
        tracing::debug!(chain = &*self.links.name, link = at, %error, "a link has failed");
        let error = self.course.failed_at(at, error)?;
        self.stop();
        Some(error)
    }

    fn default_answer(&mut self, now: Instant) -> Response<O> {
        self.links.count_default();
        let default = self.links.default.as_ref().expect("a course that ends so has one");
        let output = default(&self.input);
        let mut provenance = Provenance::default();
        provenance.degraded = Some(self.course.degraded_to_default());
        let timings = Timings {
            queue: now.saturating_duration_since(self.begun),
            run: Duration::ZERO,
            batch_requests: 1,
            batch_rows: 1,
            instance: 0,
            attempts: 0,
        };
        Response { output, id: self.id.clone(), timings, provenance: Some(Box::new(provenance)) }
    }

    /// Stops whoever has been asked and has not answered.
    fn stop(&mut self) {
        for Running { at, request, pass, .. } in self.asked.drain(..) {
            self.links.links[at].1.count(Fate::Stopped);
            drop(request);
            drop(pass);
        }
    }
}

/// What a failure says of the model. Nothing, if the model was never tried, or if others are to blame.
fn verdict(error: &Error, was_refused: bool) -> Verdict {
    match error.kind() {
        ErrorKind::ModelFailed | ErrorKind::ModelCrashed | ErrorKind::NotReady => Verdict::Failure,
        // It was let in because it could make it, by all that was known.
        ErrorKind::DeadlineExceeded if !was_refused => Verdict::Failure,
        _ => Verdict::Nothing,
    }
}

impl<I, O> Drop for Inner<I, O> {
    fn drop(&mut self) {
        self.stop();
    }
}

// Nothing in it is ever pinned.
impl<I, O> Unpin for Attempt<I, O> {}

impl<I, O> Future for Attempt<I, O> {
    type Output = Result<Response<O>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.0.as_mut().expect("an answer was polled after it was given");
        let name = inner.links.name.clone();
        let answer = std::task::ready!(inner.poll(cx));
        self.0 = None;
        Poll::Ready(answer.map_err(|error| error.of_model(&name)))
    }
}

impl<I, O> fmt::Debug for Attempt<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.0.as_ref().map(|inner| inner.asked.iter().map(|one| one.at).collect::<Vec<_>>());
        f.debug_struct("Attempt").field("asked", &asked).finish()
    }
}
