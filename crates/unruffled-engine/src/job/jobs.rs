//! [`Jobs`]: submitted now, run later, fetched at any time.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use unruffled_model::{Caller, Name, Priority, TraceContext};

use super::clock::Clock;
use super::drive::drive;
use super::handle::Job;
use super::id::JobId;
use super::model::JobModel;
use super::models::Models;
use super::options::JobsOptions;
use super::payload::{JobData, JobInput};
use super::queue::{CancelAnswer, JobFilter, JobQueue, Submitted};
use super::runner::{self, CHORES, MUCH, Phase, Shared};
use super::status::JobStatus;
use super::table::unknown;
use super::terms::{JobKey, JobTerms, NewJob};
use crate::error::{Error, ErrorKind};
use crate::registry::Registry;
use crate::thread::{self, Intent};
use crate::timer::Timer;

/// How long runs that were stopped at the end of a runner are waited for.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The jobs of an engine: [`Engine::jobs`](crate::Engine::jobs). Cheap to clone; the clones share their queue.
///
/// A job is submitted, and the answer comes before it is run; its state, its progress and its result are there to be asked for
/// afterwards. It is run by an ordinary request to its model, so that all that holds for requests holds for it: it waits for
/// others, shares a batch with them, and has its deadline, its caller and its place in a trace. The request's name is the job's.
///
/// A thread of its own takes jobs out of the queue; callers need no runtime. It ends with the engine: runs are stopped, and what
/// they ran goes back to its queue.
#[derive(Clone)]
pub struct Jobs(Arc<Shared>);

impl Jobs {
    /// A runner over a queue. Panics if the operating system refuses a thread.
    pub(crate) fn start(
        timer: &Timer,
        registry: &Arc<Registry>,
        queue: Arc<dyn JobQueue>,
        options: JobsOptions,
    ) -> Self {
        let (chores, hands) = mpsc::channel(CHORES);
        let shared = Arc::new(Shared {
            queue,
            models: Models::new(registry),
            clock: Clock::new(timer),
            random: Mutex::new(fastrand::Rng::with_seed(options.seed)),
            options,
            phase: watch::Sender::new(Phase::Open),
            served: watch::Sender::new(0),
            chores,
        });
        let running = Arc::clone(&shared);
        thread::start("unruffled-jobs", Intent::Jobs, move || drive(runner::run(running, hands)))
            .expect("the operating system grants one thread");
        Self(shared)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// A job, to be refined and then awaited: the answer comes as soon as the queue has it.
    ///
    /// ```
    /// # use unruffled_engine::{Engine, Priority};
    /// # async fn example() -> Result<(), unruffled_engine::Error> {
    /// let engine = Engine::new();
    /// let shout = engine.wrap(|text: String| text.to_uppercase()).build()?;
    /// engine.jobs().serve("shout", shout);
    ///
    /// let job = engine.jobs().submit("shout", "hello".to_owned()).key("greeting-1").priority(Priority::Bulk).await?;
    /// println!("{} is {}", job.id(), job.status().await?.state.name());
    /// assert_eq!(job.wait().await?, "HELLO");
    /// # Ok(())
    /// # }
    /// ```
    pub fn submit<I: JobInput>(&self, model: impl Into<Name>, input: I) -> JobRequest<I> {
        let terms = JobTerms::new(model);
        JobRequest { shared: Arc::clone(self.shared()), terms, key: None, wishes: Wishes::default(), input }
    }

    /// Has a model run the jobs of this name, besides those of the engine's models from tensors to tensors, which need not be
    /// told. It is kept until it is [withdrawn](Self::withdraw) or the runner ends; one that holds the engine keeps it alive until
    /// then. One of the same name is replaced; what it runs goes on.
    pub fn serve(&self, name: impl Into<Name>, model: impl JobModel + 'static) {
        let replaced = self.shared().models.serve(name.into(), Arc::new(model));
        drop(replaced);
        self.shared().served.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Takes a model back that was given to [serve](Self::serve): its jobs wait from now on. False: there was none.
    pub fn withdraw(&self, name: &str) -> bool {
        self.shared().models.withdraw(name).is_some()
    }

    /// A job that was submitted before, by whomever.
    ///
    /// # Errors
    ///
    /// `NotFound` if nothing is known of it; `NotReady` if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn attach<O: JobData>(&self, id: JobId) -> Result<Job<O>, Error> {
        self.queue().status(id).await?.ok_or_else(|| unknown(id))?;
        Ok(Job::new(Arc::clone(self.shared()), id))
    }

    /// How jobs are doing, in the order in which they came.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn list(&self, filter: JobFilter) -> Result<Vec<JobStatus>, Error> {
        self.queue().list(filter).await
    }

    /// Asks for the end of a job: what waits is removed at once, what runs is told.
    ///
    /// # Errors
    ///
    /// `NotReady` if the store cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have been asked for or not.
    pub async fn cancel(&self, id: JobId) -> Result<CancelAnswer, Error> {
        self.queue().cancel(self.shared().clock.now(), id).await
    }

    /// Queues a dead letter again, with all its attempts.
    ///
    /// # Errors
    ///
    /// `NotFound`; `InvalidInput` if it has not failed; `Overloaded` if the queue is full.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have been queued or not.
    pub async fn requeue(&self, id: JobId) -> Result<(), Error> {
        self.queue().requeue(self.shared().clock.now(), id).await
    }

    /// Keeps nothing more of a job that has ended.
    ///
    /// # Errors
    ///
    /// `NotFound`; `InvalidInput` if it has not ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may have been dropped or not.
    pub async fn forget(&self, id: JobId) -> Result<(), Error> {
        self.queue().forget(self.shared().clock.now(), id).await
    }

    /// Where the jobs are.
    pub fn queue(&self) -> &Arc<dyn JobQueue> {
        &self.shared().queue
    }

    /// Takes no more jobs out of the queue; those that run go on.
    pub(crate) fn drain(&self) {
        self.shared().advance(Phase::Draining);
    }

    /// Stops what runs, which goes back.
    pub(crate) fn close(&self) {
        self.shared().advance(Phase::Closing);
    }

    /// Waits until all that runs has ended, or `until`, if ever; then stops what is left, which goes back.
    pub(crate) async fn end(&self, until: Option<Instant>) {
        self.drain();
        if self.ended(until).await {
            return;
        }
        self.close();
        let until = self.shared().clock.timer().now() + CLOSE_GRACE;
        if !self.ended(Some(until)).await {
            tracing::warn!("a run of a job does not end; its runner is left behind");
        }
    }

    async fn ended(&self, until: Option<Instant>) -> bool {
        let mut phases = self.shared().phase.subscribe();
        let mut ended = std::pin::pin!(phases.wait_for(|phase| *phase == Phase::Ended));
        let timer = self.shared().clock.timer();
        let mut due = std::pin::pin!(async {
            match until {
                Some(until) => timer.sleep_until(until).await,
                None => std::future::pending().await,
            }
        });
        std::future::poll_fn(|cx| {
            if ended.as_mut().poll(cx).is_ready() {
                return std::task::Poll::Ready(true);
            }
            due.as_mut().poll(cx).map(|()| false)
        })
        .await
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("phase", &*self.shared().phase.borrow()).finish_non_exhaustive()
    }
}

/// A job on its way to its queue: awaiting it submits it.
#[must_use = "a job is submitted when it is awaited"]
pub struct JobRequest<I> {
    shared: Arc<Shared>,
    terms: JobTerms,
    key: Option<Arc<str>>,
    wishes: Wishes,
    input: I,
}

/// What counts from the moment of submission.
#[derive(Clone, Copy, Default)]
struct Wishes {
    delay: Option<Duration>,
    timeout: Option<Duration>,
}

impl<I: JobInput> JobRequest<I> {
    /// The same key with the same input is the same job, however often it is submitted, as long as it is known. What makes it
    /// safe to submit again when the answer was lost.
    pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Says who goes first when work waits.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.terms.priority = priority;
        self
    }

    /// Does not begin before so long after now.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.wishes.delay = Some(delay);
        self
    }

    /// Does not begin earlier.
    pub fn not_before(mut self, at: SystemTime) -> Self {
        self.terms.not_before = Some(at);
        self
    }

    /// Gives up so long after now: queue, attempts and run included.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.wishes.timeout = Some(timeout);
        self
    }

    /// Gives up at this time.
    pub fn deadline(mut self, at: SystemTime) -> Self {
        self.terms.deadline = Some(at);
        self
    }

    /// How often it is begun at most, if its model breaks down; at least once.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.terms.attempts = attempts.max(1);
        self
    }

    /// How long its result is kept.
    pub fn keep(mut self, keep: Duration) -> Self {
        self.terms.keep = keep;
        self
    }

    /// Says on whose behalf it is made.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.terms.caller = Some(caller);
        self
    }

    /// Says where it stands in a distributed trace.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.terms.trace = Some(trace);
        self
    }

    /// Adds a piece of baggage: the model sees it.
    pub fn baggage(mut self, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        self.terms.baggage.push((name.into(), value.into()));
        self
    }

    /// Submits it. What is wrong with it, the future says.
    async fn submit(self) -> Result<Job<I::Output>, Error> {
        let Self { shared, mut terms, key, wishes, input } = self;
        if *shared.phase.borrow() != Phase::Open {
            return Err(Error::new(ErrorKind::ShuttingDown, "jobs are not taken any more"));
        }
        if let Some(error) = shared.models.refuse(&terms.model) {
            return Err(error);
        }
        let (model, much) = (terms.model.clone(), input.payload_bytes() >= MUCH);
        let encode = move || {
            let input = input.to_payload()?;
            let key = key.map(|text| JobKey::new(text, &model, &input));
            Ok::<_, Error>((input, key))
        };
        let (input, key) = if much {
            let encoded = shared.elsewhere(encode).await;
            encoded.ok_or_else(|| Error::new(ErrorKind::ShuttingDown, "jobs are not taken any more"))??
        } else {
            encode()?
        };
        terms.key = key;
        let now = shared.clock.now();
        if let Some(at) = wishes.delay.and_then(|delay| now.checked_add(delay)) {
            terms.not_before = Some(at);
        }
        if let Some(at) = wishes.timeout.and_then(|timeout| now.checked_add(timeout)) {
            terms.deadline = Some(at);
        }
        let id = JobId::new(now);
        let submitted = shared.queue.submit(now, NewJob { id, terms, input }).await?;
        let id = match submitted {
            Submitted::New => id,
            Submitted::Known(known) => known,
        };
        Ok(Job::new(shared, id))
    }
}

impl<I: JobInput> IntoFuture for JobRequest<I> {
    type Output = Result<Job<I::Output>, Error>;
    type IntoFuture = Submit<I::Output>;

    fn into_future(self) -> Submit<I::Output> {
        Submit(Box::pin(self.submit()))
    }
}

/// The answer to one submission, to be awaited on any executor.
///
/// # Cancel safety
///
/// Dropped, the job may have been submitted or not: submit it again with the same [`key`](JobRequest::key).
#[must_use = "a job is submitted when this is polled"]
pub struct Submit<O>(Pin<Box<dyn Future<Output = Result<Job<O>, Error>> + Send>>);

impl<O> Future for Submit<O> {
    type Output = Result<Job<O>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}
