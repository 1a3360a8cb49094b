//! [`Handle`]: a model as its callers see it, and [`Infer`], the future of one answer.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use unruffled_model::{ModelInfo, Name, RequestId};

use crate::error::{Error, ErrorKind};
use crate::pool::{Pool, PoolStatus};
use crate::reply::{Outcome, Ticket};
use crate::request::{Priority, RequestOptions};

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
        Request { pool: self.pool(), input, options: RequestOptions::default() }
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

/// A request on its way to a model: awaiting it sends it.
#[must_use = "a request is sent when it is awaited or submitted"]
pub struct Request<'a, I: Send + 'static, O: Send + 'static> {
    pool: &'a Arc<Pool<I, O>>,
    input: I,
    options: RequestOptions,
}

impl<I: Send + 'static, O: Send + 'static> Request<'_, I, O> {
    /// Gives up at this instant: queue, batch and run included.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// Gives up so long after now.
    pub fn timeout(self, timeout: Duration) -> Self {
        // A timeout beyond what the clock can count is none.
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.deadline(deadline),
            None => self,
        }
    }

    /// Says who goes first when work waits.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options.priority = priority;
        self
    }

    /// Names the request; without it, the engine numbers it.
    pub fn id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.options.id = Some(RequestId::Text(id.into()));
        self
    }

    /// Sends the request now, without awaiting it. What is wrong with it, the future says.
    ///
    /// Takes microseconds: the check of the input and a place in the queue. Needs no runtime.
    pub fn submit(self) -> Infer<I, O> {
        Infer::new(self.pool, Instant::now(), self.input, self.options)
    }
}

impl<I: Send + 'static, O: Send + 'static> IntoFuture for Request<'_, I, O> {
    type Output = Outcome<O>;
    type IntoFuture = Infer<I, O>;

    fn into_future(self) -> Infer<I, O> {
        self.submit()
    }
}

/// The answer to one request, to be awaited on any executor.
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
    pub(crate) fn new(pool: &Arc<Pool<I, O>>, now: Instant, input: I, options: RequestOptions) -> Self {
        let state = match pool.submit(now, input, options) {
            Ok(ticket) => State::Waiting(Arc::clone(pool), ticket),
            Err(error) => State::Refused(error),
        };
        Self { state }
    }
}

// Nothing in it is ever pinned.
impl<I: Send + 'static, O: Send + 'static> Unpin for Infer<I, O> {}

impl<I: Send + 'static, O: Send + 'static> Future for Infer<I, O> {
    type Output = Outcome<O>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<O>> {
        let outcome = match &self.state {
            State::Refused(error) => Err(error.clone()),
            State::Waiting(_, ticket) => std::task::ready!(ticket.poll(cx)),
            State::Done => panic!("an answer was polled after it was given"),
        };
        self.state = State::Done;
        Poll::Ready(outcome)
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
