//! [`Outputs`]: what a model gives for one input, output by output, as it comes.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use parking_lot::{Condvar, Mutex};
use unruffled_model::{ModelError, OutputSink, Provenance};

use crate::error::Error;
use crate::handle::{Canceller, Infer, Request, Stopped};
use crate::pool::{Demand, Outlet};
use crate::reply::Stop;
use crate::request::{Response, Timings};
use crate::sync::wake;

/// How many outputs wait for their caller unless it says otherwise.
const BUFFERED: usize = 16;

impl<I: Send + 'static, O: Send + 'static> Request<'_, I, O> {
    /// Sends the request now, and gives what the model gives for it as it comes: several outputs, or the only one.
    ///
    /// At most 16 outputs wait for their caller; then the model does, its instance with it:
    /// [`outputs_buffered`](Self::outputs_buffered). Such a request runs alone, and is not run a second time once it has
    /// given an output. Its deadline covers the last output. Needs no runtime.
    ///
    /// ```
    /// use futures_util::StreamExt as _;
    /// # use unruffled_engine::Engine;
    /// use unruffled_model::{Emitter, RunContext};
    ///
    /// # async fn example() -> Result<(), unruffled_engine::Error> {
    /// let words = Engine::new()
    ///     .wrap_streaming(|text: &String, out: &mut Emitter<'_, String>, _: &RunContext<'_>| {
    ///         text.split(' ').try_for_each(|word| out.emit(word.to_owned()))
    ///     })
    ///     .build()?;
    /// let mut outputs = words.infer("one at a time".to_owned()).outputs();
    /// while let Some(word) = outputs.next().await {
    ///     println!("{}", word?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As items of the stream: whatever a request may end with comes last, after the outputs that were given before.
    pub fn outputs(self) -> Outputs<I, O> {
        self.outputs_buffered(BUFFERED)
    }

    /// As [`outputs`](Self::outputs), with room for so many outputs that wait for their caller; 0 counts as 1.
    ///
    /// While that many wait, the model is held, and its instance serves nobody else. Whoever may stop asking without
    /// dropping the stream should set a deadline, which lets it go. The bound is in outputs: how many bytes one has, only
    /// the model knows.
    pub fn outputs_buffered(self, outputs: usize) -> Outputs<I, O> {
        let channel = Arc::new(Channel {
            state: Mutex::new(State { outputs: VecDeque::new(), unwanted: false, waker: None }),
            room: Condvar::new(),
            capacity: outputs.max(1),
        });
        let stop = Arc::clone(&channel) as Arc<dyn Stop>;
        let outlet = Some(Outlet { sink: Box::new(Sink(Arc::clone(&channel))), stop });
        let (handle, input, options) = self.into_parts();
        let infer = Infer::send(&handle, Demand { input, options, outlet });
        Outputs { infer, receiver: Receiver(channel), last: Last::Unknown, ended: None }
    }
}

/// The outputs of one request, in the order in which the model gives them, to be polled on any executor.
///
/// Ends after the last output, or after one error; the outputs that were given before the error come before it. Holds at
/// most as many outputs as its buffer has room for, and one more in the model's hand.
///
/// # Cancel safety
///
/// An output is taken when it is yielded: a `next` that is dropped loses nothing. Dropping the stream cancels the request,
/// and lets go a model that waits for room; what was not taken is lost.
#[must_use = "dropping the outputs cancels the request"]
pub struct Outputs<I: Send + 'static, O: Send + 'static> {
    infer: Infer<I, O>,
    receiver: Receiver<O>,
    last: Last<O>,
    /// What is told of a request that has ended well.
    ended: Option<(Timings, Option<Box<Provenance>>)>,
}

/// How a request ended that gives several outputs.
enum Last<O> {
    /// It goes on.
    Unknown,
    /// With this, once what was given before has been taken.
    Known(Option<Result<O, Error>>),
}

impl<I: Send + 'static, O: Send + 'static> Outputs<I, O> {
    /// A handle by which the request can be cancelled from elsewhere: the stream then ends with `Cancelled`.
    pub fn canceller(&self) -> Canceller {
        self.infer.canceller()
    }

    /// Cancels the request, and completes when nothing of it goes on any more; see [`Infer::stop`]. Needs no runtime.
    ///
    /// # Cancel safety
    ///
    /// The request is cancelled when this is called; dropping the future only stops waiting for the end.
    pub fn stop(self) -> Stopped {
        self.infer.stop()
    }

    /// Where the time went, once the request has ended well.
    pub fn timings(&self) -> Option<Timings> {
        self.ended.as_ref().map(|(timings, _)| *timings)
    }

    /// Where the outputs come from, once the request has ended well, if not simply from a run of the model.
    pub fn provenance(&self) -> Option<&Provenance> {
        self.ended.as_ref()?.1.as_deref()
    }
}

// Nothing in it is ever pinned.
impl<I: Send + 'static, O: Send + 'static> Unpin for Outputs<I, O> {}

impl<I: Send + 'static, O: Send + 'static> Stream for Outputs<I, O> {
    type Item = Result<O, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Last::Unknown = self.last {
            if let Some(output) = self.receiver.take_or_wait(cx) {
                return Poll::Ready(Some(Ok(output)));
            }
            let outcome = std::task::ready!(self.infer.poll_last(cx));
            let outcome = outcome.map(|Response { output, timings, provenance, .. }| {
                self.ended = Some((timings, provenance));
                output
            });
            self.last = Last::Known(outcome.transpose());
        }
        // The model may have given more between the two looks.
        if let Some(output) = self.receiver.take() {
            return Poll::Ready(Some(Ok(output)));
        }
        let Last::Known(last) = &mut self.last else { unreachable!("set just now") };
        Poll::Ready(last.take())
    }
}

impl<I: Send + 'static, O: Send + 'static> fmt::Debug for Outputs<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outputs").field("request", &self.infer).finish_non_exhaustive()
    }
}

/// What the model's thread and its caller share. All that either waits for is under the one lock, so that neither looks
/// away at the wrong moment.
struct Channel<O> {
    state: Mutex<State<O>>,
    /// There is room, or nobody wants more: only the model waits here.
    room: Condvar,
    capacity: usize,
}

struct State<O> {
    outputs: VecDeque<O>,
    unwanted: bool,
    waker: Option<Waker>,
}

impl<O: Send> Stop for Channel<O> {
    fn stop(&self) {
        self.state.lock().unwanted = true;
        self.room.notify_one();
    }
}

/// The model's end.
struct Sink<O>(Arc<Channel<O>>);

impl<O: Send> OutputSink<O> for Sink<O> {
    fn send(&mut self, output: O) -> Result<(), ModelError> {
        let mut state = self.0.state.lock();
        while state.outputs.len() >= self.0.capacity && !state.unwanted {
            self.0.room.wait(&mut state);
        }
        if state.unwanted {
            // The output is dropped without the lock: its end is its owner's code.
            drop(state);
            return Err(ModelError::cancelled());
        }
        state.outputs.push_back(output);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            wake(waker);
        }
        Ok(())
    }
}

/// The caller's end.
struct Receiver<O>(Arc<Channel<O>>);

impl<O> Receiver<O> {
    /// The next output, if the model has given one.
    fn take(&self) -> Option<O> {
        let output = self.0.state.lock().outputs.pop_front()?;
        self.0.room.notify_one();
        Some(output)
    }

    /// The next output; without one, remembers whom to wake.
    fn take_or_wait(&self, cx: &mut Context<'_>) -> Option<O> {
        // The last one may own a task, and that anything: it is dropped without the lock.
        let _last;
        let mut state = self.0.state.lock();
        let Some(output) = state.outputs.pop_front() else {
            if state.waker.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
                _last = state.waker.replace(cx.waker().clone());
            }
            return None;
        };
        drop(state);
        self.0.room.notify_one();
        Some(output)
    }
}

impl<O> Drop for Receiver<O> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.unwanted = true;
        // A run that cannot be stopped would keep them long.
        let left = (std::mem::take(&mut state.outputs), state.waker.take());
        drop(state);
        self.0.room.notify_one();
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use unruffled_model::FnModel;

    use crate::environment::{EngineOptions, Environment};
    use crate::handle::Handle;
    use crate::pool::{Pool, PoolOptions};
    use crate::timer::Timer;

    /// A slow caller must not make the model look slow: requests with a deadline would be refused.
    #[test]
    fn the_pace_of_a_caller_is_no_cost_of_the_model() {
        let begin = Instant::now();
        let timer = Timer::manual(begin);
        let environment = Environment::new(timer.clone(), EngineOptions::default());
        let model = Arc::new(FnModel::new(|x: u32| x));
        let pool = Arc::new(Pool::new("slow".into(), model, PoolOptions::default(), &environment));
        let handle = Handle::new(Arc::clone(&pool));
        for _ in 0..20 {
            let outputs = handle.infer(1).outputs();
            let mut work = pool.take(0, timer.now(), None).unwrap();
            work.batch.rows_mut()[0].finish(Ok(1));
            timer.advance_to(timer.now() + Duration::from_secs(10));
            pool.complete(0, work, None, timer.now());
            drop(outputs);
        }
        let _hurried = handle.infer(1).timeout(Duration::from_secs(1)).submit();
        assert_eq!(handle.status().queued, 1);
    }
}
