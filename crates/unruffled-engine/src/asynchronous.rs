//! [`Call`]: an asynchronous function as a model, so that what asks several models is itself asked like one.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use unruffled_model::{
    Batch, Emitter, Footprint, Interrupt, LoadedModel, Model, ModelError, ModelErrorKind, ModelInfo,
    Provenance, RequestContext, RequestId, Rerun, Row, RunContext, Serve,
};

use crate::error::{Error, ErrorKind};

/// One call of an asynchronous function that is a model: for whom it is, and the way out for what comes before its end.
pub struct Call<'a, O> {
    context: RequestContext,
    emitter: Emitter<'a, O>,
    provenance: Option<Provenance>,
}

impl<O> Call<'_, O> {
    /// For whom it is. Give it to the requests that are made in turn, so that they keep its deadline, priority, trace, caller
    /// and baggage: [`Request::context`](crate::Request::context).
    pub fn context(&self) -> &RequestContext {
        &self.context
    }

    /// Whether its caller takes several outputs, as they are [emitted](Self::emit).
    pub fn takes_several(&self) -> bool {
        self.emitter.is_open()
    }

    /// Gives one output before the end; blocks this call's thread, and nothing else, while its caller is behind.
    ///
    /// # Errors
    ///
    /// `Cancelled` when nobody wants any more; `InvalidInput` if the caller asked for one answer.
    pub fn emit(&mut self, output: O) -> Result<(), Error> {
        self.emitter.emit(output).map_err(Error::from_model)
    }

    /// Says where the answer comes from: it reaches the caller as [`Response::provenance`](crate::Response::provenance).
    pub fn provenance(&mut self) -> &mut Provenance {
        self.provenance.get_or_insert_default()
    }
}

impl<O> fmt::Debug for Call<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("context", &self.context).finish_non_exhaustive()
    }
}

/// What an asynchronous function may come to: its one output, or the end of those that it has emitted.
pub(crate) trait Conclusion<O> {
    fn into_output(self) -> Option<O>;
}

/// The one output of a call.
pub(crate) struct Single<O>(pub(crate) O);

impl<O> Conclusion<O> for Single<O> {
    fn into_output(self) -> Option<O> {
        Some(self.0)
    }
}

/// The last output of a call, if there is one behind those that it has emitted.
pub(crate) struct Perhaps<O>(pub(crate) Option<O>);

impl<O> Conclusion<O> for Perhaps<O> {
    fn into_output(self) -> Option<O> {
        self.0
    }
}

impl<O> Conclusion<O> for () {
    fn into_output(self) -> Option<O> {
        None
    }
}

/// An asynchronous function as a model. Each instance's thread polls one call at a time; it needs no core, since the models
/// that it asks have theirs.
pub(crate) struct AsyncModel<I, O, F> {
    function: F,
    info: ModelInfo,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O, F> AsyncModel<I, O, F> {
    pub(crate) fn new(function: F) -> Self {
        let info = ModelInfo::new("async", "rust")
            .with_interrupt(Interrupt::Cooperative)
            .with_rerun(Rerun::Never)
            .with_threads(0);
        Self { function, info, types: PhantomData }
    }
}

impl<I, O, C, F> LoadedModel for AsyncModel<I, O, F>
where
    I: Send + 'static,
    O: Send + 'static,
    C: Conclusion<O>,
    F: AsyncFn(I, &mut Call<'_, O>) -> Result<C, Error> + Send + Sync,
{
    type Input = I;
    type Output = O;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, _: &I) -> Result<Footprint, ModelError> {
        Ok(Footprint::single(size_of::<I>()))
    }

    fn with_instance(&self, serve: &mut Serve<'_, I, O>) -> Result<(), ModelError> {
        serve(&mut Instance(self));
        Ok(())
    }
}

struct Instance<'a, I, O, F>(&'a AsyncModel<I, O, F>);

impl<I, O, C, F> Model for Instance<'_, I, O, F>
where
    I: Send + 'static,
    O: Send + 'static,
    C: Conclusion<O>,
    F: AsyncFn(I, &mut Call<'_, O>) -> Result<C, Error> + Send + Sync,
{
    type Input = I;
    type Output = O;

    fn run(&mut self, batch: &mut Batch<I, O>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        for row in batch.rows_mut() {
            self.call(row, &ctx.of_row(row.index()))?;
        }
        Ok(())
    }
}

impl<I, O, C, F> Instance<'_, I, O, F>
where
    C: Conclusion<O>,
    F: AsyncFn(I, &mut Call<'_, O>) -> Result<C, Error>,
{
    fn call(&self, row: &mut Row<I, O>, ctx: &RunContext<'_>) -> Result<(), ModelError> {
        let Some(input) = row.take_input() else { return Ok(()) };
        let context = ctx.request().cloned().unwrap_or_else(|| RequestContext::new(RequestId::Number(0)));
        let (outcome, provenance) = {
            let mut call = Call { context, emitter: row.split().1, provenance: None };
            let outcome = block_on((self.0.function)(input, &mut call), ctx);
            (outcome, call.provenance)
        };
        if let Some(provenance) = provenance {
            row.came_from(provenance);
        }
        match outcome.ok_or_else(ModelError::cancelled)?.map(Conclusion::into_output) {
            Ok(Some(output)) => row.finish(Ok(output)),
            Ok(None) => row.end(),
            Err(error) if ctx.is_cancelled() && error.kind() == ErrorKind::Cancelled => {
                return Err(ModelError::cancelled());
            }
            Err(error) => row.finish(Err(into_model(error))),
        }
        Ok(())
    }
}

/// An error of a request that was made in turn, as this model's own; the kind survives in its source.
fn into_model(error: Error) -> ModelError {
    // Never `Crashed`: what broke down is another model's instance, not this one's.
    let own = match error.kind() {
        ErrorKind::InvalidInput => ModelError::invalid_input(error.to_string()),
        _ => ModelError::failed(error.to_string()),
    };
    debug_assert!(own.kind() != ModelErrorKind::Crashed);
    own.caused_by(error)
}

/// Polls a future to its end on this thread; `None` if the run was cancelled first, and the future is dropped then.
fn block_on<F: Future>(future: F, ctx: &RunContext<'_>) -> Option<F::Output> {
    let mut future = pin!(future);
    let alarm = Arc::new(Alarm { thread: thread::current(), is_due: AtomicBool::new(false) });
    let hook = Arc::clone(&alarm);
    let _guard = ctx.on_cancel(move || hook.wake_by_ref());
    let waker = Waker::from(Arc::clone(&alarm));
    let mut cx = Context::from_waker(&waker);
    while !ctx.is_cancelled() {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        alarm.sleep();
    }
    None
}

/// Wakes a thread that polls; remembers it if the thread is not asleep yet.
struct Alarm {
    thread: Thread,
    is_due: AtomicBool,
}

impl Alarm {
    fn sleep(&self) {
        // Whoever else parks on this thread may take the wake-up, but not the flag.
        while !self.is_due.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
