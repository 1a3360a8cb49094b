//! [`Lease`]: one instance of a model for one holder, for several calls.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use unruffled_model::{Caller, Priority, RequestContext, RequestId, TraceContext};

use crate::error::Error;
use crate::handle::{Handle, Infer, Stopped};
use crate::pool::{Demand, Hold, Pool};
use crate::reply::Ticket;
use crate::request::{RequestOptions, Response};

impl<I: Send + 'static, O: Send + 'static> Handle<I, O> {
    /// Asks for an instance of this model for several calls, which nobody else's request shares or interrupts.
    ///
    /// The request waits in the queue of the model with the others, by class, deadline and caller, and is refused when that
    /// is full. An instance that is leased takes no other work: a model with one instance answers only its holder until
    /// the lease is dropped.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use unruffled_engine::Engine;
    /// # async fn example() -> Result<(), unruffled_engine::Error> {
    /// let engine = Engine::new();
    /// let model = engine.wrap(|x: u32| x + 1).instances(2).build()?;
    /// let lease = model.acquire().timeout(Duration::from_secs(1)).await?;
    /// let one = lease.infer(0).await?;
    /// let two = lease.infer(*one).timeout(Duration::from_millis(100)).await?;
    /// assert_eq!((*two, two.timings.instance), (2, lease.instance()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn acquire(&self) -> Acquire<'_, I, O> {
        Acquire { handle: self, options: RequestOptions::default() }
    }
}

/// A request for a lease on its way to a model: awaiting it sends it, and gives an [`Acquiring`].
#[must_use = "a request is sent when it is awaited or submitted"]
pub struct Acquire<'a, I: Send + 'static, O: Send + 'static> {
    handle: &'a Handle<I, O>,
    options: RequestOptions,
}

impl<I: Send + 'static, O: Send + 'static> Acquire<'_, I, O> {
    /// Gives up waiting for an instance at this instant; calls on the lease have deadlines of their own.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.edit(|context| context.with_deadline(Some(deadline)));
        self
    }

    /// Gives up waiting for an instance so long after now.
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

    /// Says on whose behalf it is made: callers of one class share the model fairly, a lease counting as one row.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.options.edit(|context| context.with_caller(caller));
        self
    }

    /// Sends the request now, without awaiting it. What is wrong with it, the future says.
    pub fn submit(self) -> Acquiring<I, O> {
        let pool = self.handle.pool();
        let state = match pool.ask_for_lease(pool.now(), &self.options) {
            Ok((ticket, hold)) => State::Waiting { pool: Arc::clone(pool), ticket, hold },
            Err(error) => State::Refused(error),
        };
        Acquiring { state }
    }
}

impl<I: Send + 'static, O: Send + 'static> IntoFuture for Acquire<'_, I, O> {
    type Output = Result<Lease<I, O>, Error>;
    type IntoFuture = Acquiring<I, O>;

    fn into_future(self) -> Acquiring<I, O> {
        self.submit()
    }
}

/// A lease to be: await it on any executor.
///
/// # Errors
///
/// When awaited: `Overloaded` if the queue is full, `DeadlineExceeded`, and whatever else keeps a request from being taken
/// in.
///
/// # Cancel safety
///
/// Dropping it takes the request out of the queue at once; an instance that was given just then goes back to the others.
#[must_use = "dropping it gives the request up"]
pub struct Acquiring<I: Send + 'static, O: Send + 'static> {
    state: State<I, O>,
}

enum State<I: Send + 'static, O: Send + 'static> {
    Refused(Error),
    Waiting { pool: Arc<Pool<I, O>>, ticket: Arc<Ticket<O>>, hold: Arc<Hold> },
    Done,
}

// Nothing in it is ever pinned.
impl<I: Send + 'static, O: Send + 'static> Unpin for Acquiring<I, O> {}

impl<I: Send + 'static, O: Send + 'static> Future for Acquiring<I, O> {
    type Output = Result<Lease<I, O>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &self.state {
            State::Refused(error) => Err(error.clone()),
            State::Waiting { ticket, .. } => std::task::ready!(ticket.poll(cx)),
            State::Done => panic!("a lease was polled after it was given"),
        };
        let state = std::mem::replace(&mut self.state, State::Done);
        Poll::Ready(match (outcome, state) {
            (Ok(Response { timings, .. }), State::Waiting { pool, hold, .. }) => {
                Ok(Lease { pool, hold, instance: timings.instance, waited: timings.queue })
            }
            (Ok(_), _) => unreachable!("only who waits is answered"),
            (Err(error), _) => Err(error),
        })
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for Acquiring<I, O> {
    fn drop(&mut self) {
        if let State::Waiting { pool, ticket, hold } = &self.state {
            pool.withdraw(ticket);
            // It may have been granted, and nobody has looked yet.
            pool.release(hold);
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> fmt::Debug for Acquiring<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Refused(_) => "refused",
            State::Waiting { .. } => "waiting",
            State::Done => "done",
        };
        f.debug_struct("Acquiring").field("state", &state).finish()
    }
}

/// One instance of a model, for its holder alone, until it is dropped.
///
/// Calls go to that very instance, one after the other, in the order in which they are made. Between them it keeps no core.
///
/// Dropping it cancels the calls that wait or run. The instance goes back to the others when nothing runs there any more, not
/// before. It is taken back when it has been idle for long ([`PoolOptions::with_lease_idle_max`](crate::PoolOptions)),
/// and when its instance breaks down, which is replaced: calls are refused then, with the reason.
#[must_use = "dropping a lease gives it back"]
pub struct Lease<I: Send + 'static, O: Send + 'static> {
    pool: Arc<Pool<I, O>>,
    hold: Arc<Hold>,
    instance: usize,
    waited: Duration,
}

impl<I: Send + 'static, O: Send + 'static> Lease<I, O> {
    /// A call on the instance, to be refined and then awaited.
    pub fn infer(&self, input: I) -> LeaseCall<'_, I, O> {
        LeaseCall { lease: self, input, options: RequestOptions::default() }
    }

    /// Which instance of the model it is, counted from 0.
    pub fn instance(&self) -> usize {
        self.instance
    }

    /// How long the request for it waited.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The name of the request for it.
    pub fn id(&self) -> &RequestId {
        self.hold.id()
    }

    /// Why it is over, if it is: its instance broke down, it was idle for too long, or the model was closed.
    pub fn ended(&self) -> Option<&Error> {
        self.hold.ended()
    }

    /// Gives the instance back, and completes when nothing of the lease goes on any more. Needs no runtime.
    ///
    /// # Cancel safety
    ///
    /// The lease is given back when this is called; dropping the future only stops waiting for the end.
    pub fn release(self) -> Stopped {
        Stopped::of(self.pool.release(&self.hold))
    }
}

impl<I: Send + 'static, O: Send + 'static> Drop for Lease<I, O> {
    fn drop(&mut self) {
        self.pool.release(&self.hold);
    }
}

impl<I: Send + 'static, O: Send + 'static> fmt::Debug for Lease<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("model", self.pool.name())
            .field("id", self.id())
            .field("instance", &self.instance)
            .field("ended", &self.ended())
            .finish()
    }
}

/// A call on a leased instance: awaiting it sends it, and gives an [`Infer`].
///
/// Calls of one lease run in the order in which they are made, whatever their priority, which counts when models compete for
/// cores.
#[must_use = "a call is sent when it is awaited or submitted"]
pub struct LeaseCall<'a, I: Send + 'static, O: Send + 'static> {
    lease: &'a Lease<I, O>,
    input: I,
    options: RequestOptions,
}

impl<I: Send + 'static, O: Send + 'static> LeaseCall<'_, I, O> {
    /// Gives up at this instant: waiting and run included.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.edit(|context| context.with_deadline(Some(deadline)));
        self
    }

    /// Gives up so long after now.
    pub fn timeout(self, timeout: Duration) -> Self {
        // A timeout beyond what the clock can count is none.
        match self.lease.pool.now().checked_add(timeout) {
            Some(deadline) => self.deadline(deadline),
            None => self,
        }
    }

    /// Says which model goes first when several wait for a core.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.edit(|context| context.with_priority(priority));
        self
    }

    /// Names the call; without it, the engine numbers it.
    pub fn id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.options.named = true;
        self.options.edit(|context| context.with_id(RequestId::Text(id.into())));
        self
    }

    /// Says where it stands in a distributed trace.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.options.edit(|context| context.with_trace(trace));
        self
    }

    /// Adds a piece of baggage: the model sees it.
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

    /// Sends the call now, without awaiting it. What is wrong with it, the future says.
    ///
    /// # Errors
    ///
    /// When awaited: as any request; `Overloaded` if as many calls wait for this instance as may wait in the model's queue,
    /// and why the lease is over, if it is.
    pub fn submit(self) -> Infer<I, O> {
        let Self { lease, input, options } = self;
        let pool = &lease.pool;
        let submitted = pool.call_leased(pool.now(), &lease.hold, Demand { input, options, outlet: None });
        Infer::of(pool, submitted).unwrap_or_else(|refusal| Infer::refused(refusal.error))
    }
}

impl<I: Send + 'static, O: Send + 'static> IntoFuture for LeaseCall<'_, I, O> {
    type Output = Result<Response<O>, Error>;
    type IntoFuture = Infer<I, O>;

    fn into_future(self) -> Infer<I, O> {
        self.submit()
    }
}
