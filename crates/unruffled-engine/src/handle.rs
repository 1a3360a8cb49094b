//! [`Handle`]: a model as its callers see it, and [`Infer`], the future of one answer.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use unruffled_model::{Caller, ModelInfo, Name, Priority, RequestContext, RequestId, TraceContext};

use crate::error::{Error, ErrorKind};
use crate::metrics::ModelMetrics;
use crate::pool::{Demand, Pool, PoolStatus, Refusal};
use crate::recorder::Explanation;
use crate::reply::{Outcome, Run, Ticket};
use crate::request::{RequestOptions, Response};

/// A model that can be asked. Cheap to clone.
///
/// When the last handle of a model goes, and no registry holds it, what is queued is still answered; then its threads end.
pub struct Handle<I: Send + 'static, O: Send + 'static>(Arc<Owner<I, O>>);

/// Ends the pool when nobody can ask it any more.
struct Owner<I: Send + 'static, O: Send + 'static>(Arc<Pool<I, O>>);

impl<I: Send + 'static, O: Send + 'static> Drop for Owner<I, O> {
    fn drop(&mut self) {
        self.0.drain(Error::new(ErrorKind::NotReady, "has been unloaded"));
    }
}

impl<I: Send + 'static, O: Send + 'static> Handle<I, O> {
    pub(crate) fn new(pool: Arc<Pool<I, O>>) -> Self {
        Self(Arc::new(Owner(pool)))
    }

    pub(crate) fn pool(&self) -> &Arc<Pool<I, O>> {
        &self.0.0
    }

    /// A request, to be refined and then awaited.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use unruffled_engine::{Engine, Priority};
    /// # async fn example() -> Result<(), unruffled_engine::Error> {
    /// let engine = Engine::new();
    /// let double = engine.wrap(|x: u32| 2 * x).build()?;
    /// let four = double.infer(2).timeout(Duration::from_millis(100)).priority(Priority::Interactive).await?;
    /// assert_eq!(*four, 4);
    /// # Ok(())
    /// # }
    /// ```
    pub fn infer(&self, input: I) -> Request<'_, I, O> {
        Request { handle: self, input, options: RequestOptions::default() }
    }

    /// The name of the model.
    pub fn name(&self) -> &Name {
        self.pool().name()
    }

    /// What is known of the model: signature, backend, how it batches and stops.
    pub fn info(&self) -> &ModelInfo {
        self.pool().model().info()
    }

    /// How it is doing.
    pub fn status(&self) -> PoolStatus {
        self.pool().status()
    }

    /// What has happened so far, counted and timed.
    pub fn metrics(&self) -> ModelMetrics {
        self.pool().metrics()
    }

    /// What became of the newest request of this name, and why: if it is among the last that ended.
    pub fn explain(&self, id: &RequestId) -> Option<Explanation> {
        self.pool().explain(id)
    }
}

impl<I: Send + 'static, O: Send + 'static> Clone for Handle<I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I: Send + 'static, O: Send + 'static> fmt::Debug for Handle<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("name", self.name()).field("status", &self.status()).finish()
    }
}

/// A request on its way to a model: awaiting it sends it, and gives an [`Infer`].
///
/// Needs no runtime. Before it is awaited or [submitted](Self::submit), dropping it does nothing; afterwards, dropping the
/// future cancels it.
#[must_use = "a request is sent when it is awaited or submitted"]
pub struct Request<'a, I: Send + 'static, O: Send + 'static> {
    handle: &'a Handle<I, O>,
    input: I,
    options: RequestOptions,
}

impl<I: Send + 'static, O: Send + 'static> Request<'_, I, O> {
    /// Gives up at this instant: queue, batch and run included.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.edit(|context| context.with_deadline(Some(deadline)));
        self
    }

    /// Gives up so long after now.
    pub fn timeout(self, timeout: Duration) -> Self {
        // A timeout beyond what the clock can count is none.
        match self.handle.pool().now().checked_add(timeout) {
            Some(deadline) => self.deadline(deadline),
            None => self,
        }
    }

    /// Says who goes first when work waits.
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

    /// Takes the whole context over, the name included: a request made on behalf of another, from inside a model or a
    /// handler, keeps its deadline, priority, trace, caller and baggage.
    pub fn context(mut self, context: RequestContext) -> Self {
        self.options.named = true;
        self.options.context = Some(context);
        self
    }

    /// Takes the place of an older request to this model that has the same key: that one is cancelled, queued or running.
    ///
    /// What a search box or a canvas needs that asks at every keystroke: the key is the box, and only the newest counts.
    pub fn supersede(mut self, key: impl Into<Name>) -> Self {
        self.options.supersede = Some(key.into());
        self
    }

    /// Sends the request now, without awaiting it. What is wrong with it, the future says.
    ///
    /// Takes microseconds: the check of the input and a place in the queue, or the run itself if it is that cheap
    /// ([`Inline`](crate::Inline)). Needs no runtime.
    pub fn submit(self) -> Infer<I, O> {
        let pool = self.handle.pool();
        Infer::send(pool, pool.now(), Demand { input: self.input, options: self.options, outlet: None })
    }

    /// What it is made of.
    pub(crate) fn into_parts(self) -> (Handle<I, O>, I, RequestOptions) {
        (self.handle.clone(), self.input, self.options)
    }
}

impl<I: Send + 'static, O: Send + 'static> IntoFuture for Request<'_, I, O> {
    type Output = Result<Response<O>, Error>;
    type IntoFuture = Infer<I, O>;

    fn into_future(self) -> Infer<I, O> {
        self.submit()
    }
}

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
    Waiting(Arc<Pool<I, O>>, Arc<Ticket<O>>),
    Done,
}

impl<I: Send + 'static, O: Send + 'static> Infer<I, O> {
    pub(crate) fn send(pool: &Arc<Pool<I, O>>, now: Instant, demand: Demand<I, O>) -> Self {
        Self::of(pool, pool.submit(now, demand)).unwrap_or_else(|refusal| Self::refused(refusal.error))
    }

    /// The future of a request that was taken in.
    pub(crate) fn of(
        pool: &Arc<Pool<I, O>>,
        submitted: Result<Arc<Ticket<O>>, Refusal<I>>,
    ) -> Result<Self, Refusal<I>> {
        submitted.map(|ticket| Self { state: State::Waiting(Arc::clone(pool), ticket) })
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
            State::Waiting(pool, ticket) => {
                let request: Arc<dyn Cancel> =
                    Arc::new(Cancellable { pool: Arc::downgrade(pool), ticket: Arc::downgrade(ticket) });
                Canceller(Some(request))
            }
            State::Refused(_) | State::Done => Canceller(None),
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
            State::Waiting(pool, ticket) => {
                pool.withdraw(&ticket);
                Stopped(ticket.run())
            }
            State::Refused(_) | State::Done => Stopped(None),
        }
    }

    /// As polling, for a caller that also waits until nothing of the request goes on any more.
    pub(crate) fn poll_with_end(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<(Result<Response<O>, Error>, Stopped)> {
        // Asked for while the request is still known, but after its answer: before that, it may be in no run yet.
        let ticket = match &self.state {
            State::Waiting(_, ticket) => Some(Arc::clone(ticket)),
            State::Refused(_) | State::Done => None,
        };
        let answer = std::task::ready!(Pin::new(self).poll(cx));
        Poll::Ready((answer, Stopped(ticket.and_then(|ticket| ticket.run()))))
    }

    /// As polling, for a caller that takes several outputs.
    pub(crate) fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<Outcome<O>> {
        let outcome = match &self.state {
            State::Refused(error) => Err(error.clone()),
            State::Waiting(_, ticket) => std::task::ready!(ticket.poll(cx)),
            State::Done => panic!("an answer was polled after it was given"),
        };
        self.state = State::Done;
        Poll::Ready(outcome)
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
        if let State::Waiting(pool, ticket) = &self.state {
            pool.withdraw(ticket);
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> fmt::Debug for Infer<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Refused(_) => "refused",
            State::Waiting(..) => "waiting",
            State::Done => "done",
        };
        f.debug_struct("Infer").field("state", &state).finish()
    }
}

/// Cancels one request, from any thread. Cheap to clone; keeps nothing alive.
#[derive(Clone)]
pub struct Canceller(Option<Arc<dyn Cancel>>);

trait Cancel: Send + Sync {
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

impl Canceller {
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
