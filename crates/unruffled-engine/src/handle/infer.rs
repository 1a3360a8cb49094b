//! [`Infer`]: the future of one answer, and how it is given up.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use super::Handle;
use crate::error::{Error, ErrorKind};
use crate::pool::{Demand, Pool};
use crate::reply::{Outcome, Run, Ticket};
use crate::request::Response;
use crate::version::{Accepted, Parked};

/// The answer to one request, to be awaited on any executor: needs no runtime and no timer of its own.
///
/// # Cancel safety
///
/// Dropping it cancels the request: queued, it is taken out at once; running, the model is told to stop as soon as
/// nobody else of its batch waits. The result is lost.
#[must_use = "dropping an answer cancels the request"]
pub struct Infer<I: Send + 'static, O: Send + 'static> {
    state: State<I, O>,
}

enum State<I: Send + 'static, O: Send + 'static> {
    Refused(Error),
    /// Until its model is in memory.
    Parked(Arc<Parked<I, O>>),
    Waiting(Waiting<I, O>),
    Done,
}

/// A request that a pool has taken in. The pool is not kept alive, nor is its model's memory: a pool answers all that it has
/// before it goes.
struct Waiting<I: Send + 'static, O: Send + 'static> {
    pool: Weak<Pool<I, O>>,
    ticket: Arc<Ticket<O>>,
    /// By which a canceller knows it that was made before.
    _parked: Option<Arc<Parked<I, O>>>,
}

impl<I: Send + 'static, O: Send + 'static> Waiting<I, O> {
    fn withdraw(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.withdraw(&self.ticket);
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Infer<I, O> {
    pub(crate) fn send(handle: &Handle<I, O>, demand: Demand<I, O>) -> Self {
        match handle.send(handle.now(), demand) {
            Ok(accepted) => Self::of(accepted),
            Err(refusal) => Self::refused(refusal.error),
        }
    }

    /// The future of a request that was taken in.
    pub(crate) fn of(accepted: Accepted<I, O>) -> Self {
        let state = match accepted {
            Accepted::In(pool, ticket) => State::Waiting(Waiting { pool, ticket, _parked: None }),
            Accepted::Parked(parked) => State::Parked(parked),
        };
        Self { state }
    }

    /// The future of a request that was not.
    pub(crate) fn refused(error: Error) -> Self {
        Self { state: State::Refused(error) }
    }

    /// Whether the request was not let in.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused(_))
    }

    /// A handle by which the request can be cancelled from elsewhere: whoever awaits it then hears `Cancelled`.
    pub fn canceller(&self) -> Canceller {
        match &self.state {
            State::Waiting(Waiting { pool, ticket, .. }) => {
                Canceller::of(Arc::new(Cancellable { pool: pool.clone(), ticket: Arc::downgrade(ticket) }))
            }
            State::Parked(parked) => Canceller::of(Arc::new(Arc::downgrade(parked))),
            State::Refused(_) | State::Done => Canceller::of_nothing(),
        }
    }

    /// Cancels the request, and completes when nothing of it goes on any more: when the run that it was part of, if any,
    /// has come to its end and its slot is free. Needs no runtime.
    ///
    /// # Cancel safety
    ///
    /// The request is cancelled when this is called; dropping the future only stops waiting for the end.
    pub fn stop(mut self) -> Stopped {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Waiting(waiting) => {
                waiting.withdraw();
                Stopped(waiting.ticket.run())
            }
            State::Parked(parked) => Stopped(parked.withdraw().and_then(|ticket| ticket.run())),
            State::Refused(_) | State::Done => Stopped(None),
        }
    }

    /// As polling, for a caller that also waits until nothing of the request goes on any more.
    pub(crate) fn poll_with_end(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<(Result<Response<O>, Error>, Stopped)> {
        if self.advance(cx).is_pending() {
            return Poll::Pending;
        }
        // Asked for while the request is still known, but after its answer: before that, it may be in no run yet.
        let ticket = match &self.state {
            State::Waiting(Waiting { ticket, .. }) => Some(Arc::clone(ticket)),
            State::Refused(_) | State::Parked(_) | State::Done => None,
        };
        let answer = std::task::ready!(Pin::new(self).poll(cx));
        Poll::Ready((answer, Stopped(ticket.and_then(|ticket| ticket.run()))))
    }

    /// As polling, for a caller that takes several outputs.
    pub(crate) fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<Outcome<O>> {
        std::task::ready!(self.advance(cx));
        let outcome = match &self.state {
            State::Refused(error) => Err(error.clone()),
            State::Waiting(Waiting { ticket, .. }) => std::task::ready!(ticket.poll(cx)),
            State::Parked(_) => unreachable!("it was until just now"),
            State::Done => panic!("an answer was polled after it was given"),
        };
        self.state = State::Done;
        Poll::Ready(outcome)
    }

    /// Ready unless it waits for its model. Parked -> Waiting | Refused.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Parked(parked) = &self.state else { return Poll::Ready(()) };
        self.state = match std::task::ready!(parked.poll(cx)) {
            Ok((pool, ticket)) => State::Waiting(Waiting { pool, ticket, _parked: Some(Arc::clone(parked)) }),
            Err(error) => State::Refused(error),
        };
        Poll::Ready(())
    }
}

// Nothing in it is ever pinned.
impl<I: Send + 'static, O: Send + 'static> Unpin for Infer<I, O> {}

impl<I: Send + 'static, O: Send + 'static> Future for Infer<I, O> {
    type Output = Result<Response<O>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_last(cx).map(|outcome| {
            let Response { output, id, timings, provenance } = outcome?;
            match output {
                Some(output) => Ok(Response { output, id, timings, provenance }),
                None => Err(Error::new(
                    ErrorKind::ModelFailed,
                    "ended without an output; if it gives several, ask with `outputs`",
                )),
            }
        })
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for Infer<I, O> {
    fn drop(&mut self) {
        match &self.state {
            State::Waiting(waiting) => waiting.withdraw(),
            State::Parked(parked) => drop(parked.withdraw()),
            State::Refused(_) | State::Done => {}
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> fmt::Debug for Infer<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Refused(_) => "refused",
            State::Parked(_) => "waiting for its model",
            State::Waiting(_) => "waiting",
            State::Done => "done",
        };
        f.debug_struct("Infer").field("state", &state).finish()
    }
}

/// Cancels one request, from any thread. Cheap to clone; keeps nothing alive.
#[derive(Clone)]
pub struct Canceller(Option<Arc<dyn Cancel>>);

/// A request of any kind, as far as it can be cancelled.
pub(crate) trait Cancel: Send + Sync {
    fn cancel(&self);
}

struct Cancellable<I, O> {
    pool: Weak<Pool<I, O>>,
    ticket: Weak<Ticket<O>>,
}

impl<I: Send + 'static, O: Send + 'static> Cancel for Cancellable<I, O> {
    fn cancel(&self) {
        if let (Some(pool), Some(ticket)) = (self.pool.upgrade(), self.ticket.upgrade()) {
            pool.cancel(&ticket, "cancelled");
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Cancel for Weak<Parked<I, O>> {
    fn cancel(&self) {
        if let Some(parked) = self.upgrade() {
            parked.cancel("cancelled");
        }
    }
}

impl Canceller {
    pub(crate) fn of(request: Arc<dyn Cancel>) -> Self {
        Self(Some(request))
    }

    /// For a request that has ended already.
    pub(crate) fn of_nothing() -> Self {
        Self(None)
    }

    /// Ends the request with `Cancelled`, unless it has ended already. Takes microseconds.
    pub fn cancel(&self) {
        if let Some(request) = &self.0 {
            request.cancel();
        }
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canceller")
    }
}

/// Completes when nothing of a request goes on any more; see [`Infer::stop`]. Needs no runtime.
///
/// # Cancel safety
///
/// Dropping it loses nothing.
#[must_use = "futures do nothing unless awaited"]
pub struct Stopped(Option<Arc<Run>>);

impl Stopped {
    /// Completes with this run, or at once if there is none.
    pub(crate) fn of(run: Option<Arc<Run>>) -> Self {
        Self(run)
    }

    /// Whether nothing of the request goes on any more.
    pub(crate) fn is_over(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.0.as_ref().is_none_or(|run| run.poll_ended(&mut cx).is_ready())
    }
}

impl Future for Stopped {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_ref().map_or(Poll::Ready(()), |run| run.poll_ended(cx))
    }
}

impl fmt::Debug for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopped").field("running", &self.0.is_some()).finish()
    }
}
