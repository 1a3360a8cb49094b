//! A model of whatever types, as a link of a chain asks it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use unruffled_model::{Footprint, ModelError, ModelInfo, Name};

use crate::error::Error;
use crate::handle::{Handle, Infer};
use crate::pool::Demand;
use crate::request::{RequestOptions, Response};

/// A model that can be asked with the inputs of a chain.
pub(super) trait Ask<I, O>: Send + Sync {
    fn name(&self) -> Name;
    fn info(&self) -> ModelInfo;

    /// Checks and weighs an input; `None` if that would take more than a look.
    fn admit(&self, input: &I) -> Option<Result<Footprint, ModelError>>;

    /// When an answer is to be expected, by what runs have cost and by what is ahead; `None` as long as nothing is known.
    fn expected(&self, now: Instant, input: &I, options: &RequestOptions) -> Option<Duration>;

    fn ask(&self, input: &I, options: RequestOptions) -> Box<dyn Asked<O>>;
}

/// A request that one link has made. Dropped, it is cancelled.
pub(super) trait Asked<O>: Send {
    /// Whether it was not let in.
    fn is_refused(&self) -> bool;

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<O>, Error>>;
}

/// A model that takes what the chain takes.
pub(super) struct Same<I: Send + 'static, O: Send + 'static>(pub(super) Handle<I, O>);

impl<I: Clone + Send + 'static, O: Send + 'static> Ask<I, O> for Same<I, O> {
    fn name(&self) -> Name {
        self.0.name().clone()
    }

    fn info(&self) -> ModelInfo {
        (*self.0.info()).clone()
    }

    fn admit(&self, input: &I) -> Option<Result<Footprint, ModelError>> {
        // One that is not in memory says so when it is asked.
        Some(self.0.pool_for(&RequestOptions::default()).ok()?.model().admit(input))
    }

    fn expected(&self, now: Instant, input: &I, options: &RequestOptions) -> Option<Duration> {
        self.0.pool_for(options).ok()?.expected(now, input, options.context.as_ref())
    }

    fn ask(&self, input: &I, options: RequestOptions) -> Box<dyn Asked<O>> {
        Box::new(send(&self.0, input.clone(), options))
    }
}

/// A model of other types, and how to get there and back.
pub(super) struct Converted<J: Send + 'static, P: Send + 'static, To, From> {
    pub(super) handle: Handle<J, P>,
    pub(super) to: To,
    pub(super) from: From,
}

impl<I, O, J, P, To, From> Ask<I, O> for Converted<J, P, To, From>
where
    O: 'static,
    J: Send + 'static,
    P: Send + 'static,
    To: Fn(&I) -> J + Send + Sync,
    From: Fn(P) -> O + Clone + Send + Sync + 'static,
{
    fn name(&self) -> Name {
        self.handle.name().clone()
    }

    fn info(&self) -> ModelInfo {
        (*self.handle.info()).clone()
    }

    fn admit(&self, _: &I) -> Option<Result<Footprint, ModelError>> {
        None
    }

    fn expected(&self, now: Instant, input: &I, options: &RequestOptions) -> Option<Duration> {
        self.handle.pool_for(options).ok()?.expected(now, &(self.to)(input), options.context.as_ref())
    }

    fn ask(&self, input: &I, options: RequestOptions) -> Box<dyn Asked<O>> {
        let infer = send(&self.handle, (self.to)(input), options);
        Box::new(ConvertedInfer { infer, from: self.from.clone() })
    }
}

struct ConvertedInfer<J: Send + 'static, P: Send + 'static, From> {
    infer: Infer<J, P>,
    from: From,
}

fn send<I: Send + 'static, O: Send + 'static>(
    handle: &Handle<I, O>,
    input: I,
    options: RequestOptions,
) -> Infer<I, O> {
    Infer::send(handle, Demand { input, options, outlet: None })
}

impl<I: Send + 'static, O: Send + 'static> Asked<O> for Infer<I, O> {
    fn is_refused(&self) -> bool {
        Infer::is_refused(self)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<O>, Error>> {
        Future::poll(Pin::new(self), cx)
    }
}

impl<O, J, P, From> Asked<O> for ConvertedInfer<J, P, From>
where
    J: Send + 'static,
    P: Send + 'static,
    From: Fn(P) -> O + Send,
{
    fn is_refused(&self) -> bool {
        self.infer.is_refused()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<O>, Error>> {
        Future::poll(Pin::new(&mut self.infer), cx).map_ok(|response| {
            let Response { output, id, timings, provenance } = response;
            Response { output: (self.from)(output), id, timings, provenance }
        })
    }
}
