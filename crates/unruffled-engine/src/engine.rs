//! [`Engine`]: the models of an application, and their common end.

mod versions;

use std::collections::HashSet;
use std::fmt;
use std::future::Future as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use unruffled_model::{
    CancelToken, Emitter, FnModel, LoadContext, LoadedModel, ModelError, ModelInfo, Name, RequestId,
    RunContext, Sampled, SharedModel, Stateful, StatefulInput, StatefulOutput, TensorModel, Tensors,
};

use crate::asynchronous::{AsyncModel, Call, Single};
use crate::environment::{EngineOptions, Environment};
use crate::error::{Error, ErrorKind};
use crate::fallback::{Chain, Fallback, Link};
use crate::group::Group;
use crate::handle::{Handle, Request};
use crate::job::{JobQueue, Jobs, JobsOptions, MemoryJobs};
use crate::load::Loading;
use crate::metrics::Metrics;
use crate::pipeline::{self, Pipeline, PipelineError};
use crate::pool::{PoolOptions, PoolStatus};
use crate::recorder::Explanation;
use crate::registry::{Named, Registry};
use crate::roster::Member;
use crate::thread::{self, Intent};
use crate::timer::Timer;
use crate::version::{Common, Recipe, VersionStatus, Versions};
use crate::watchdog::{LoopWatch, WatchOptions};

/// How many calls of an asynchronous function go on side by side unless said otherwise.
const CALLS: usize = 16;

/// How long a run that was cancelled is waited for.
const CANCEL_GRACE: Duration = Duration::from_millis(100);

/// Runs synchronous models for asynchronous callers. Cheap to clone; the clones share their models.
///
/// It needs no runtime: models run on threads of their own, deadlines fire from one more, and futures are woken on
/// whatever executor polls them.
///
/// Dropping the last clone lets go of the named models: what is queued is answered, then their threads end. Runs of jobs are
/// stopped, and whoever waits for a job is told. Use [`shutdown`](Self::shutdown) to wait for that, or to bound it.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    registry: Arc<Registry>,
    environment: Environment,
    /// From the first question on.
    jobs: Mutex<Option<Jobs>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(jobs) = self.jobs.get_mut() {
            jobs.close();
        }
    }
}

impl Engine {
    /// An engine without models.
    ///
    /// # Panics
    ///
    /// If the operating system refuses a thread.
    #[allow(clippy::new_without_default, reason = "it starts a thread, which no default should")]
    pub fn new() -> Self {
        Self::with_options(EngineOptions::default())
    }

    /// An engine without models that uses the machine as told.
    ///
    /// # Panics
    ///
    /// If the operating system refuses a thread.
    pub fn with_options(options: EngineOptions) -> Self {
        let timer = Timer::start().expect("the operating system grants one thread");
        let environment = Environment::new(timer, options);
        Self(Arc::new(Inner { registry: Arc::default(), environment, jobs: Mutex::default() }))
    }

    /// Makes a model of a function, without a name in the registry: its [`Handle`] is all there is.
    ///
    /// Of its inputs, only the size of the type counts as waiting in the queue. For inputs that hold much more, say how much:
    /// [`FnModel::with_bytes`], and [`wrap_model`](Self::wrap_model).
    pub fn wrap<I, O, F>(&self, function: F) -> Wrap<I, O>
    where
        I: Send + 'static,
        O: Send + 'static,
        F: Fn(I) -> O + Send + Sync + 'static,
    {
        self.wrap_model(FnModel::new(function))
    }

    /// As [`wrap`](Self::wrap), for a function that may fail.
    pub fn wrap_fallible<I, O, E, F>(&self, function: F) -> Wrap<I, O>
    where
        I: Send + 'static,
        O: Send + 'static,
        F: Fn(I) -> Result<O, E> + Send + Sync + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        self.wrap_model(FnModel::fallible(function))
    }

    /// As [`wrap`](Self::wrap), for a function that watches its run and stops when nobody waits for it.
    pub fn wrap_interruptible<I, O, F>(&self, function: F) -> Wrap<I, O>
    where
        I: Send + 'static,
        O: Send + 'static,
        F: Fn(&I, &RunContext<'_>) -> Result<O, ModelError> + Send + Sync + 'static,
    {
        self.wrap_model(FnModel::interruptible(function))
    }

    /// As [`wrap`](Self::wrap), for a function that gives several outputs for one input, as they come, and stops when
    /// nobody wants more: ask with [`Request::outputs`](crate::Request::outputs).
    ///
    /// ```
    /// # use unruffled_engine::Engine;
    /// use unruffled_model::{Emitter, RunContext};
    ///
    /// # fn example() -> Result<(), unruffled_engine::Error> {
    /// let words = Engine::new()
    ///     .wrap_streaming(|text: &String, out: &mut Emitter<'_, String>, _: &RunContext<'_>| {
    ///         text.split(' ').try_for_each(|word| out.emit(word.to_owned()))
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wrap_streaming<I, O, F>(&self, function: F) -> Wrap<I, O>
    where
        I: Send + 'static,
        O: Send + 'static,
        F: Fn(&I, &mut Emitter<'_, O>, &RunContext<'_>) -> Result<(), ModelError> + Send + Sync + 'static,
    {
        self.wrap_model(FnModel::streaming(function))
    }

    /// Makes a model of an asynchronous function: what asks several models in turn, or something over the network, is then
    /// asked like any model. It is bounded, has a place in the queue, one deadline for all that it does, metrics and streams.
    ///
    /// The function gets the [`Call`], for whom it is. When nobody waits for a call any more it is dropped, and with it
    /// what it awaits. Each of its instances, 16 unless said otherwise, is a thread that polls one call at a time and is
    /// asleep otherwise; it counts as using no core. Its futures need not be `Send`; what they await must need no runtime, or
    /// bring one along.
    ///
    /// ```
    /// use unruffled_engine::{Call, Engine};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), unruffled_engine::Error> {
    /// let engine = Engine::new();
    /// let double = engine.wrap(|x: u32| 2 * x).build()?;
    /// let six_times = engine
    ///     .wrap_async(async move |x: u32, call: &mut Call<'_, u32>| {
    ///         let twice = double.infer(x).context(call.context().clone()).await?;
    ///         let again = double.infer(*twice).context(call.context().clone()).await?;
    ///         Ok(*twice + *again)
    ///     })
    ///     .build()?;
    /// assert_eq!(*six_times.infer(7).await?, 42);
    /// # Ok(())
    /// # }
    /// ```
    pub fn wrap_async<I, O, F>(&self, function: F) -> Wrap<I, O>
    where
        I: Send + 'static,
        O: Send + 'static,
        F: AsyncFn(I, &mut Call<'_, O>) -> Result<O, Error> + Send + Sync + 'static,
    {
        let single = async move |input: I, call: &mut Call<'_, O>| function(input, call).await.map(Single);
        self.wrap_model(AsyncModel::new(single)).instances(CALLS)
    }

    /// As [`wrap_async`](Self::wrap_async), for a function that gives several outputs for one input, as they come, with
    /// [`Call::emit`]: ask with [`Request::outputs`](crate::Request::outputs).
    pub fn wrap_async_streaming<I, O, F>(&self, function: F) -> Wrap<I, O>
    where
        I: Send + 'static,
        O: Send + 'static,
        F: AsyncFn(I, &mut Call<'_, O>) -> Result<(), Error> + Send + Sync + 'static,
    {
        self.wrap_model(AsyncModel::new(function)).instances(CALLS)
    }

    /// Makes a model of models: checked now, and asked like any other. Its calls are those of an asynchronous function
    /// ([`wrap_async`](Self::wrap_async)): 16 go on side by side unless said otherwise, each on a thread that is mostly asleep.
    ///
    /// One deadline and one cancellation cover all that a call asks, and its context goes along, the step's name behind that
    /// of the request. The first failure stops the others, and says which step it was. What each step took is in
    /// [`Provenance::steps`](unruffled_model::Provenance::steps).
    ///
    /// # Errors
    ///
    /// What does not fit together: a model, step, input or output that is not there, something that is given twice or not at
    /// all, a circle, types and shapes.
    pub fn wrap_pipeline(&self, pipeline: &Pipeline) -> Result<Wrap<Tensors, Tensors>, PipelineError> {
        Ok(self.wrap_model(self.check_pipeline(pipeline)?).instances(CALLS))
    }

    /// As [`wrap_pipeline`](Self::wrap_pipeline), without starting it: for what is loaded under a name
    /// ([`load_with`](Self::load_with)).
    ///
    /// # Errors
    ///
    /// As [`wrap_pipeline`](Self::wrap_pipeline).
    pub fn check_pipeline(&self, pipeline: &Pipeline) -> Result<TensorModel, PipelineError> {
        pipeline::model(pipeline, |name| self.get(name))
    }

    /// As [`wrap`](Self::wrap), for a model that remembers: ask for its sessions with
    /// [`Handle::sequences`](crate::Handle::sequences).
    pub fn wrap_stateful<M: Stateful>(&self, model: M) -> Wrap<StatefulInput<M>, StatefulOutput<M>> {
        self.wrap_model(FnModel::stateful(model))
    }

    /// Several models of which one answers, the best that can in the time there is: the first, or whom to ask when it fails.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use unruffled_engine::Engine;
    /// use unruffled_engine::Link;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), unruffled_engine::Error> {
    /// let engine = Engine::new();
    /// let large = engine.wrap_fallible(|_: String| Err::<usize, _>("no memory")).name("large").build()?;
    /// let small = engine.wrap(|text: String| text.len()).name("small").build()?;
    /// let chain = engine
    ///     .fallback(Link::new(&large).budget(Duration::from_millis(80)))
    ///     .then(&small)
    ///     .default(|_| 0)
    ///     .build();
    /// let answer = chain.infer("text".to_owned()).timeout(Duration::from_secs(1)).await?;
    /// assert_eq!(*answer, 4);
    /// let degraded = answer.provenance.as_ref().and_then(|provenance| provenance.degraded.as_ref());
    /// assert_eq!(degraded.map(|degraded| &*degraded.by), Some("small"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn fallback<I: Send + 'static, O: Send + 'static>(
        &self,
        first: impl Into<Link<I, O>>,
    ) -> Fallback<I, O> {
        Fallback::new(self.0.environment.timer.clone(), first.into())
    }

    /// Makes a model of a chain, with a queue and a place in the registry: what its first link takes, it takes. Answers keep
    /// their provenance. Each of its instances, 16 unless said otherwise, follows one request; see
    /// [`wrap_async`](Self::wrap_async).
    pub fn wrap_chain<I: Send + 'static, O: Send + 'static>(&self, chain: &Chain<I, O>) -> Wrap<I, O> {
        let (name, options) = (chain.name().clone(), PoolOptions::default().with_instances(CALLS));
        Wrap { engine: self.clone(), name, model: chain.model(), options }
    }

    /// As [`wrap`](Self::wrap), for a model of any kind.
    pub fn wrap_model<M: LoadedModel + 'static>(&self, model: M) -> Wrap<M::Input, M::Output> {
        let name = model.info().backend.clone();
        Wrap { engine: self.clone(), name, model: Arc::new(model), options: PoolOptions::default() }
    }

    /// Loads a model under a name: `loader` runs on a thread of its own, and says how far it is.
    ///
    /// Awaiting gives the handle once each of the instances that it begins with has run its sample
    /// ([`PoolOptions::with_warm_up`]) and is up, or could not be built: one at least is up then.
    ///
    /// # Errors
    ///
    /// At once: `InvalidInput` if the name is taken, `ShuttingDown`. When awaited: what the loader says, or why no
    /// instance could be built.
    pub fn load_with<I: Send + 'static, O: Send + 'static>(
        &self,
        name: impl Into<Name>,
        options: PoolOptions,
        loader: impl FnOnce(&LoadContext<'_>) -> Result<SharedModel<I, O>, ModelError> + Send + 'static,
    ) -> Result<Loading<I, O>, Error> {
        self.load_from(name, options, Recipe::once(loader))
    }

    fn common(&self, name: &Name) -> Common {
        Common::new(name.clone(), &self.0.environment, self.0.registry.roster())
    }

    /// The model of this name.
    ///
    /// # Errors
    ///
    /// `NotFound`; `NotReady` while it is being loaded; `InvalidInput` if it takes or gives other types.
    pub fn get<I: Send + 'static, O: Send + 'static>(&self, name: &str) -> Result<Handle<I, O>, Error> {
        self.0.registry.get(name)
    }

    /// The model of this name, once it is there if it is being loaded. Needs no runtime.
    ///
    /// # Errors
    ///
    /// `NotFound`, also when its load has failed; `InvalidInput` if it takes or gives other types.
    ///
    /// # Cancel safety
    ///
    /// Dropping it only stops waiting.
    pub async fn loaded<I: Send + 'static, O: Send + 'static>(
        &self,
        name: &str,
    ) -> Result<Handle<I, O>, Error> {
        // Before the first look: what changes behind it is not missed.
        let mut changes = self.0.registry.changes();
        loop {
            match self.get(name) {
                Err(error) if error.kind() == ErrorKind::NotReady => {}
                known => return known,
            }
            // The sender lives in the registry, which this engine holds.
            let _ = changes.changed().await;
        }
    }

    /// For loaders of models that ask others: as [`get`](Self::get), but waits for one that is being loaded. `waiting` is the
    /// model that the loader loads. Blocks.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) for one that is not being loaded; `InvalidInput` if that one, in turn, waits for `waiting`;
    /// `Cancelled` if nobody wants that any more.
    pub fn get_when_loaded<I: Send + 'static, O: Send + 'static>(
        &self,
        name: &str,
        waiting: &Name,
        ctx: &LoadContext<'_>,
    ) -> Result<Handle<I, O>, Error> {
        self.0.registry.wait_for(name, waiting, ctx)?;
        self.0.registry.get(name)
    }

    /// Several requests under one scope, to one model or to several with the same inputs and outputs: all are run, or all that
    /// still run are stopped at the first failure.
    ///
    /// ```
    /// # use unruffled_engine::Engine;
    /// # async fn example() -> Result<(), unruffled_engine::Error> {
    /// let engine = Engine::new();
    /// let parse = engine.wrap_fallible(|text: &str| text.parse::<u32>()).build()?;
    /// let report = engine.group(["1", "two", "3"].map(|text| parse.infer(text))).run_all().await;
    /// for (at, error) in report.failures() {
    ///     println!("the {at}th could not be read: {error}");
    /// }
    /// assert_eq!(report.outcomes()[2].as_ref().map(|response| response.output).ok(), Some(3));
    /// # Ok(())
    /// # }
    /// ```
    pub fn group<'a, I: Send + 'static, O: Send + 'static>(
        &self,
        requests: impl IntoIterator<Item = Request<'a, I, O>>,
    ) -> Group<O> {
        self.empty_group().add_all(requests)
    }

    /// A scope without requests, to which those of any models may be added that give the same type of output.
    pub fn empty_group<O: Send + 'static>(&self) -> Group<O> {
        Group::new(self.0.environment.timer.clone())
    }

    /// Whether every named model can answer, none is being loaded, and the engine is not shutting down.
    pub fn is_ready(&self) -> bool {
        self.0.registry.is_ready()
    }

    /// Every named model, in the order of their names.
    pub fn models(&self) -> Vec<ModelStatus> {
        let status = |(name, named): (Name, Option<Arc<dyn Named>>)| ModelStatus {
            name,
            is_ready: named.as_ref().is_some_and(|named| named.is_ready()),
            pool: named.as_ref().map(|named| named.status()),
            info: named.as_ref().map(|named| (*named.info()).clone()),
            versions: named.map(|named| named.versions()).unwrap_or_default(),
        };
        self.0.registry.list().into_iter().map(status).collect()
    }

    /// What has happened so far, counted and timed, model by model: a value to look into, and a report to read.
    pub fn metrics(&self) -> Metrics {
        let named: Vec<_> = self.0.registry.list().into_iter().filter_map(|(_, named)| named).collect();
        let mut models: Vec<_> = named.iter().flat_map(|named| named.metrics()).collect();
        // And those without a name, or on their way out.
        let counted: HashSet<_> = named.iter().flat_map(|named| named.meters()).collect();
        let others = self.0.registry.roster().running();
        let others = others.iter().filter(|member| !counted.contains(&member.meter()));
        models.extend(others.map(|member| member.metrics()));
        models.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        Metrics { models }
    }

    /// What became of a request, and why: when it came, what it waited for, with whom it was batched, what was predicted
    /// and what was, why it was shed. `None` if it is not among the last that have ended.
    ///
    /// Requests that the caller did not name have numbers that are each model's own: ask its [`Handle::explain`].
    pub fn explain(&self, id: &RequestId) -> Option<Explanation> {
        let running = self.0.registry.roster().running();
        let running = running.iter().find_map(|member| member.explain(id));
        running.or_else(|| self.0.registry.list().iter().find_map(|(_, named)| named.as_ref()?.explain(id)))
    }

    /// What became of the last requests to a named model that ended, so many at most, the newest first; as far back as the
    /// flight recorder remembers ([`EngineOptions::with_recorded`]). Takes a microsecond or so for each.
    ///
    /// ```
    /// # use unruffled_engine::Engine;
    /// # fn example(engine: &Engine) -> Result<(), unruffled_engine::Error> {
    /// for request in engine.recent("digits", 20)? {
    ///     println!("{} took {:?}", request.id, request.total);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `NotFound`, or `NotReady` while it is being loaded for the first time.
    pub fn recent(&self, model: &str, most: usize) -> Result<Vec<Explanation>, Error> {
        Ok(self.0.registry.find(model)?.recent(most))
    }

    /// As [`explain`](Self::explain), for a request to this named model. Requests that the caller did not name are found by
    /// the model's own numbers.
    ///
    /// # Errors
    ///
    /// `NotFound` for the model, or `NotReady` while it is being loaded for the first time.
    pub fn explain_of(&self, model: &str, id: &RequestId) -> Result<Option<Explanation>, Error> {
        Ok(self.0.registry.find(model)?.explain(id))
    }

    /// The jobs of this engine: submitted now, run later, their results kept.
    ///
    /// They wait in memory, within the limits of [`JobLimits::default`](crate::job::JobLimits), unless
    /// [`use_jobs`](Self::use_jobs) said otherwise. Every model from tensors to tensors that has a name runs them; others are
    /// [told to](Jobs::serve).
    ///
    /// # Panics
    ///
    /// If the operating system refuses a thread; it is started when this is first called.
    pub fn jobs(&self) -> Jobs {
        let mut jobs = self.0.jobs.lock();
        jobs.get_or_insert_with(|| self.start_jobs(Arc::new(MemoryJobs::default()), JobsOptions::default()))
            .clone()
    }

    /// Has the jobs of this engine wait in this queue, and begins to run what waits there.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if this engine has jobs already: say it before the first of them.
    ///
    /// # Panics
    ///
    /// If the operating system refuses a thread.
    pub fn use_jobs(&self, queue: Arc<dyn JobQueue>, options: JobsOptions) -> Result<Jobs, Error> {
        let mut jobs = self.0.jobs.lock();
        if jobs.is_some() {
            let message = "the engine has jobs already; choose their queue before the first call of `jobs`";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(jobs.insert(self.start_jobs(queue, options)).clone())
    }

    fn start_jobs(&self, queue: Arc<dyn JobQueue>, options: JobsOptions) -> Jobs {
        let jobs = Jobs::start(&self.0.environment.timer, &self.0.registry, queue, options);
        if self.0.registry.is_closed() {
            jobs.drain();
        }
        jobs
    }

    /// Watches an event loop: how late it is, and who blocks it. The loop may be of any kind; it need not use the engine.
    ///
    /// ```
    /// use unruffled_engine::{Engine, WatchOptions};
    ///
    /// # async fn draw() {}
    /// # fn parse(_: &str) {}
    /// # async fn example() {
    /// let engine = Engine::new();
    /// let watch = engine.watch_loop("window", WatchOptions::default());
    /// tokio::spawn(watch.heartbeat());
    /// tokio::spawn(watch.task("draw", draw()));
    /// {
    ///     let _section = watch.section("parse the settings");
    ///     parse("...");
    /// }
    /// println!("{}", watch.report());
    /// # }
    /// ```
    ///
    /// The watch uses the engine's timer thread and outlives the engine.
    pub fn watch_loop(&self, name: impl Into<Name>, options: WatchOptions) -> LoopWatch {
        LoopWatch::new(&self.0.environment.timer, name.into(), options)
    }

    /// Takes a model out of the engine, with all its versions: new requests are refused at once, those accepted have `grace` to finish, and
    /// what is left is then cancelled. Needs no runtime: the engine times the grace.
    ///
    /// # Errors
    ///
    /// `NotFound`, or `NotReady` while it is being loaded.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the model is out of the registry and goes on draining, without a bound.
    pub async fn unload(&self, name: &str, grace: Duration) -> Result<Drained, Error> {
        let error = Error::new(ErrorKind::NotReady, "has been unloaded");
        let members = self.0.registry.take(name)?.end(&error);
        Ok(self.drain(members, error, grace).await)
    }

    /// Ends everything: new requests are refused at once with `ShuttingDown`, those accepted have `grace` to finish,
    /// and what is left is then cancelled. Needs no runtime: the engine times the grace.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, nothing new is taken in and accepted requests are still answered, without a bound.
    pub async fn shutdown(&self, grace: Duration) -> Drained {
        let error = Error::new(ErrorKind::ShuttingDown, "the engine is shutting down");
        let until = Instant::now().checked_add(grace);
        let members = self.0.registry.close(&error);
        // After the registry: jobs that are begun from here on find it closed. Their queue is not drained: what waits in it goes
        // on elsewhere, or is told that it does not.
        let jobs = self.0.jobs.lock().clone();
        if let Some(jobs) = &jobs {
            jobs.drain();
        }
        let drained = self.drain(members, error, grace).await;
        if let Some(jobs) = jobs {
            jobs.end(until).await;
        }
        drained
    }

    async fn drain(&self, members: Vec<Arc<dyn Member>>, error: Error, grace: Duration) -> Drained {
        let begin = Instant::now();
        for member in &members {
            member.drain(error.clone());
        }
        if self.ended(&members, begin.checked_add(grace)).await {
            let_go(members);
            return Drained { cancelled: false, still_running: Vec::new() };
        }
        for member in &members {
            member.close(error.clone());
        }
        self.ended(&members, Instant::now().checked_add(CANCEL_GRACE)).await;
        let running = members.iter().filter(|member| *member.threads().borrow() > 0);
        let still_running = running.map(|member| member.name().clone()).collect();
        let_go(members);
        Drained { cancelled: true, still_running }
    }

    /// Waits until all threads of these models have ended, or `until`, if ever. True: they have.
    async fn ended(&self, members: &[Arc<dyn Member>], until: Option<Instant>) -> bool {
        let all: Vec<watch::Receiver<usize>> = members.iter().map(|member| member.threads()).collect();
        let mut ended = std::pin::pin!(async {
            for mut threads in all {
                // The sender lives in the member, which outlives this.
                let _ = threads.wait_for(|threads| *threads == 0).await;
            }
        });
        let timeout = until.map(|until| self.0.environment.timer.sleep_until(until));
        let mut timeout = std::pin::pin!(async {
            match timeout {
                Some(timeout) => timeout.await,
                None => std::future::pending().await,
            }
        });
        std::future::poll_fn(|cx| {
            if ended.as_mut().poll(cx).is_ready() {
                return std::task::Poll::Ready(true);
            }
            timeout.as_mut().poll(cx).map(|()| false)
        })
        .await
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("models", &self.models()).finish()
    }
}

/// One named model of an engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelStatus {
    /// Its name.
    pub name: Name,
    /// How it is doing; `None` while it is being loaded for the first time. Of several versions the one that answers those
    /// who name none.
    pub pool: Option<PoolStatus>,
    /// What is known of it; `None` while it is being loaded for the first time.
    pub info: Option<ModelInfo>,
    /// Its versions, in the order in which they came.
    pub versions: Vec<VersionStatus>,
    is_ready: bool,
}

impl ModelStatus {
    /// Whether it can answer, if need be after a load on demand.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }
}

/// How a drain went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Whether the grace ran out and what was left was cancelled.
    pub cancelled: bool,
    /// Models with a run that cannot be stopped: their threads end when it does.
    pub still_running: Vec<Name>,
}

/// A model about to be started.
#[must_use = "`build` starts it"]
pub struct Wrap<I: Send + 'static, O: Send + 'static> {
    engine: Engine,
    name: Name,
    model: SharedModel<I, O>,
    options: PoolOptions,
}

impl<I: Send + 'static, O: Send + 'static> Wrap<I, O> {
    /// What it is called in errors, logs and thread names.
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// How many copies run side by side.
    pub fn instances(self, instances: usize) -> Self {
        let options = self.options.with_instances(instances);
        self.options(options)
    }

    /// An input that every new instance runs before it takes work, made anew for each: the first request then finds the model
    /// warm. How often, [`PoolOptions::with_warm_up`] says.
    pub fn warm_up(mut self, sample: impl Fn() -> I + Send + Sync + 'static) -> Self {
        self.model = Arc::new(Sampled::new(self.model, sample));
        self
    }

    /// All there is to set.
    pub fn options(mut self, options: PoolOptions) -> Self {
        self.options = options;
        self
    }

    /// Starts it. Requests may be sent at once; they wait for the first instance.
    ///
    /// # Errors
    ///
    /// `ShuttingDown`, or `NotReady` if the operating system refuses a thread.
    pub fn build(self) -> Result<Handle<I, O>, Error> {
        let common = self.engine.common(&self.name);
        Ok(Handle::of(Versions::start(common, self.model, self.options)?))
    }

    /// Starts it and puts it under its name, where [`Engine::get`] finds it.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and `InvalidInput` if the name is taken.
    pub fn register(self) -> Result<Handle<I, O>, Error> {
        let reservation = self.engine.0.registry.reserve(&self.name, CancelToken::new())?;
        let handle = self.build()?;
        reservation.publish(&handle);
        Ok(handle)
    }
}

/// Drops models where it keeps nobody waiting: freeing their weights may take a while.
fn let_go(members: Vec<Arc<dyn Member>>) {
    if let Err(error) = thread::start("unruffled-unload", Intent::Load, move || drop(members)) {
        tracing::debug!(%error, "models are freed where they are let go");
    }
}
