//! [`Handle`]: a model as its callers see it, and [`Request`], what is asked of it.

mod infer;

use std::fmt;
use std::future::IntoFuture;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use unruffled_model::{Caller, ModelInfo, Name, Priority, RequestContext, RequestId, TraceContext};

pub(crate) use infer::Cancel;
pub use infer::{Canceller, Infer, Stopped};

use crate::environment::Environment;
use crate::error::Error;
use crate::metrics::ModelMetrics;
use crate::pool::{Demand, Follower, Pool, PoolOptions, PoolStatus};
use crate::queue::QueueLimits;
use crate::recorder::Explanation;
use crate::request::{RequestOptions, Response};
use crate::version::{Hold, Sent, VersionStatus, Versions};

/// A model that can be asked, whichever versions of it come and go meanwhile. Cheap to clone.
///
/// When the last handle of a model goes, and no registry holds it, what is queued is still answered; then its threads end.
pub struct Handle<I: Send + 'static, O: Send + 'static>(Arc<Versions<I, O>>);

impl<I: Send + 'static, O: Send + 'static> Handle<I, O> {
    pub(crate) fn of(versions: Versions<I, O>) -> Self {
        Self(Arc::new(versions))
    }

    /// A model of one version that is there already.
    #[cfg(test)]
    pub(crate) fn new(pool: Arc<Pool<I, O>>) -> Self {
        let common = crate::version::Common::new(pool.name().clone(), pool.environment(), &Arc::default());
        Self::of(Versions::of_pool(common, pool))
    }

    pub(crate) fn versions_of(&self) -> &Arc<Versions<I, O>> {
        &self.0
    }

    /// The pool of the version that answers those who name none, for tests in which it is in memory.
    #[cfg(test)]
    pub(crate) fn pool(&self) -> Arc<Pool<I, O>> {
        self.0.pool().expect("it is in memory")
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.0.common().environment
    }

    pub(crate) fn now(&self) -> Instant {
        self.environment().timer.now()
    }

    /// The pool that a request like this goes to.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such version, `NotReady` while it is not in memory.
    pub(crate) fn pool_for(&self, options: &RequestOptions) -> Result<Arc<Pool<I, O>>, Error> {
        self.0.pool_for(options)
    }

    /// Has somebody hear of the end of the model, unless it has come or the model is not in memory: the end of the version that
    /// answers those who name none, at which another may have taken its place.
    pub(crate) fn follow(&self, follower: Weak<dyn Follower>) -> Result<(), Error> {
        self.pool_for(&RequestOptions::default())?.follow(follower)
    }

    /// Keeps the model in memory, whether or not it is asked: for streams and whatever else uses it with pauses.
    pub(crate) fn hold(&self) -> Hold {
        self.0.hold()
    }

    /// Sends a request, or says why it is not taken in.
    pub(crate) fn send(&self, now: Instant, demand: Demand<I, O>) -> Sent<I, O> {
        self.0.submit(now, demand)
    }

    /// Sends several at once, so that they may share a run.
    pub(crate) fn send_all(
        &self,
        now: Instant,
        demands: impl IntoIterator<Item = Demand<I, O>>,
    ) -> Vec<Sent<I, O>> {
        self.0.submit_all(now, demands)
    }

    /// What an input weighs in the queue, or 0 if the model will not have it or cannot tell as yet.
    pub(crate) fn weigh(&self, input: &I) -> usize {
        self.0.weigh(input)
    }

    /// What may wait for it.
    pub(crate) fn queue_limits(&self) -> QueueLimits {
        self.0.queue_limits()
    }

    /// Ready when so many bytes of a request like this may find room in the queue.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, options: &RequestOptions, bytes: usize) -> Poll<()> {
        self.0.poll_room(cx, options, bytes)
    }

    /// Somebody who wanted room has gone.
    pub(crate) fn forget_room(&self) {
        self.0.forget_room();
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
        self.0.name()
    }

    /// What is known of the model: signature, backend, how it batches and stops. Of a model that has never been in memory
    /// that may be next to nothing: see [`ready`](Self::ready).
    pub fn info(&self) -> Arc<ModelInfo> {
        self.0.info()
    }

    /// The same, unless the model was never in memory and nothing was said of it before.
    pub fn known_info(&self) -> Option<Arc<ModelInfo>> {
        self.0.known_info()
    }

    /// Completes when the model is in memory, and has it loaded if it is not. Needs no runtime.
    ///
    /// # Errors
    ///
    /// Why it cannot be loaded, or is gone.
    ///
    /// # Cancel safety
    ///
    /// A load that has begun goes on; nothing is lost.
    pub async fn ready(&self) -> Result<(), Error> {
        self.0.present().await
    }

    /// Whether it can answer, if need be after it was loaded.
    pub fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    /// Its versions, in the order in which they came.
    pub fn versions(&self) -> Vec<VersionStatus> {
        self.0.statuses()
    }

    /// How it is doing: of several versions the one that answers those who name none.
    pub fn status(&self) -> PoolStatus {
        self.0.status()
    }

    /// What has happened so far, counted and timed: of several versions to the one that answers those who name none.
    pub fn metrics(&self) -> ModelMetrics {
        self.0.main_metrics()
    }

    /// How it is run; of several versions the one that answers those who name none.
    pub fn options(&self) -> PoolOptions {
        self.0.options()
    }

    /// Whether this and the other are handles of the same model: one that was unloaded and loaded again is another, one that was
    /// reloaded is the same.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.versions_of(), other.versions_of())
    }

    /// What became of the newest request of this name, and why: if it is among the last that ended.
    pub fn explain(&self, id: &RequestId) -> Option<Explanation> {
        self.0.explain(id)
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
        match self.handle.now().checked_add(timeout) {
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

    /// Asks one version of the model, whatever others there are. Without it, the version that was promoted answers, or a
    /// canary within its share. A request stays with its version to its end.
    ///
    /// [`supersede`](Self::supersede) works within a version.
    pub fn version(mut self, version: impl Into<Name>) -> Self {
        self.options.version = Some(version.into());
        self
    }

    /// Sends the request now, without awaiting it. What is wrong with it, the future says.
    ///
    /// Takes microseconds: the check of the input and a place in the queue, or the run itself if it is that cheap
    /// ([`Inline`](crate::Inline)). Needs no runtime.
    pub fn submit(self) -> Infer<I, O> {
        Infer::send(self.handle, Demand { input: self.input, options: self.options, outlet: None })
    }

    /// Which model it is for.
    pub(crate) fn model(&self) -> &Name {
        self.handle.name()
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
