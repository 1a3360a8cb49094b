//! [`SessionRequest`] and [`SessionInfer`]: one call of a session, and the future of its answer.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use unruffled_model::{Caller, Carrier, Priority, RequestContext, RequestId, TraceContext};

use super::answer::{Answer, Outcome};
use super::drive::{By, Job, Sessions};
use super::session::Session;
use super::table::{CallId, Key};
use crate::error::{Error, ErrorKind};
use crate::handle::{Cancel, Canceller};
use crate::request::RequestOptions;

/// A call of a session on its way: awaiting it sends it, and gives a [`SessionInfer`].
///
/// What can be said of it is what can be said of a [`Request`](crate::Request), but that nothing supersedes a call: each is
/// a step.
#[must_use = "a call is sent when it is awaited or submitted"]
pub struct SessionRequest<'a, C: Carrier> {
    session: &'a Session<C>,
    item: C::Item,
    options: RequestOptions,
}

impl<C: Carrier> Session<C> {
    /// A call, to be refined and then awaited.
    ///
    /// Those that are [submitted](SessionRequest::submit) ahead wait for each other in the order in which they came.
    pub fn infer(&self, item: C::Item) -> SessionRequest<'_, C> {
        SessionRequest { session: self, item, options: RequestOptions::default() }
    }
}

impl<C: Carrier> SessionRequest<'_, C> {
    /// Gives up at this instant: the calls before it, queue, batch and run included.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.edit(|context| context.with_deadline(Some(deadline)));
        self
    }

    /// Gives up so long after now.
    pub fn timeout(self, timeout: Duration) -> Self {
        // A timeout beyond what the clock can count is none.
        match self.session.seat().sessions.now().checked_add(timeout) {
            Some(deadline) => self.deadline(deadline),
            None => self,
        }
    }

    /// Says who goes first when work waits, once it is this call's turn in its session.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.edit(|context| context.with_priority(priority));
        self
    }

    /// Names the request; without it, the engine numbers it.
    pub fn id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.options.named = true;
        self.options.edit(|context| context.with_id(RequestId::Text(id.into())));
        self
    }

    /// Says on whose behalf it is made: callers of one class share the model fairly.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.options.edit(|context| context.with_caller(caller));
        self
    }

    /// Says where it stands in a distributed trace.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.options.edit(|context| context.with_trace(trace));
        self
    }

    /// Adds a piece of baggage: the model sees it, and so does whatever it passes its context on to.
    pub fn baggage(mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        self.options.edit(|context| context.with_baggage(name, value));
        self
    }

    /// Takes the whole context over, the name included; see [`Request::context`](crate::Request::context).
    pub fn context(mut self, context: RequestContext) -> Self {
        self.options.named = true;
        self.options.context = Some(context);
        self
    }

    /// Sends the call now, without awaiting it: it runs when those before it are over. What is wrong with it, the future
    /// says.
    pub fn submit(self) -> SessionInfer<C> {
        let Self { session, item, options } = self;
        let seat = session.seat();
        let (sessions, now) = (&seat.sessions, seat.sessions.now());
        let answer = Arc::new(Answer::new());
        let deadline = options.context.as_ref().and_then(RequestContext::deadline);
        let bytes = sessions.carrier.item_bytes(&item);
        let job = Job { item, options, answer: Arc::clone(&answer), came: now };
        match sessions.with(|table| table.call(now, seat.key, job, bytes, deadline)) {
            Ok(call) => {
                sessions.drive(seat.key, By::Caller);
                SessionInfer(State::Waiting { session: session.clone(), call, answer })
            }
            Err((error, job)) => {
                drop(job);
                let error = match seat.gone.get() {
                    Some(_) => session.why_gone(),
                    None => error.of_model(sessions.handle.name()),
                };
                SessionInfer(State::Refused(error))
            }
        }
    }
}

impl<C: Carrier> IntoFuture for SessionRequest<'_, C> {
    type Output = Outcome<C::Reply>;
    type IntoFuture = SessionInfer<C>;

    fn into_future(self) -> SessionInfer<C> {
        self.submit()
    }
}

/// The answer to one call of a session, to be awaited on any executor: needs no runtime and no timer of its own.
///
/// The call is driven by the engine: it also runs while nobody polls this, and those behind it do.
///
/// # Cancel safety
///
/// Dropping it cancels the call: the state stays as it was before it, and the next call goes on from there. If the answer was
/// there already, the call has counted: [`Snapshot::steps`](crate::Snapshot::steps) tells.
#[must_use = "dropping an answer cancels the call"]
pub struct SessionInfer<C: Carrier>(State<C>);

enum State<C: Carrier> {
    Refused(Error),
    Waiting { session: Session<C>, call: CallId, answer: Arc<Answer<C::Reply>> },
    Done,
}

impl<C: Carrier> SessionInfer<C> {
    /// A handle by which the call can be cancelled from elsewhere: whoever awaits it then hears `Cancelled`.
    pub fn canceller(&self) -> Canceller {
        match &self.0 {
            State::Waiting { session, call, answer } => {
                let seat = session.seat();
                Canceller::of(Arc::new(Cancellable {
                    sessions: Arc::downgrade(&seat.sessions),
                    key: seat.key,
                    call: *call,
                    answer: Arc::downgrade(answer),
                }))
            }
            State::Refused(_) | State::Done => Canceller::of_nothing(),
        }
    }
}

struct Cancellable<C: Carrier> {
    sessions: Weak<Sessions<C>>,
    key: Key,
    call: CallId,
    answer: Weak<Answer<C::Reply>>,
}

impl<C: Carrier> Cancel for Cancellable<C> {
    fn cancel(&self) {
        if let (Some(sessions), Some(answer)) = (self.sessions.upgrade(), self.answer.upgrade())
            && answer.fail(|| sessions.error(ErrorKind::Cancelled, "cancelled"))
        {
            sessions.give_up(self.key, self.call);
        }
    }
}

// Nothing in it is ever pinned.
impl<C: Carrier> Unpin for SessionInfer<C> {}

impl<C: Carrier> Future for SessionInfer<C> {
    type Output = Outcome<C::Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &self.0 {
            State::Refused(error) => Err(error.clone()),
            State::Waiting { answer, .. } => std::task::ready!(answer.poll(cx)),
            State::Done => panic!("an answer was polled after it was given"),
        };
        self.0 = State::Done;
        Poll::Ready(outcome)
    }
}

impl<C: Carrier> Drop for SessionInfer<C> {
    fn drop(&mut self) {
        if let State::Waiting { session, call, answer } = &self.0
            && answer.close()
        {
            let seat = session.seat();
            seat.sessions.give_up(seat.key, *call);
        }
    }
}

impl<C: Carrier> fmt::Debug for SessionInfer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Refused(_) => "refused",
            State::Waiting { .. } => "waiting",
            State::Done => "done",
        };
        f.debug_struct("SessionInfer").field("state", &state).finish()
    }
}
