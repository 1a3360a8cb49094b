//! [`Ask`]: a model as a step asks it. The simulation asks models of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_core::Stream as _;
use unruffled_model::{ModelInfo, Name, RequestContext, Tensors};

use crate::error::Error;
use crate::group::{Entry, Item};
use crate::handle::{Handle, Stopped};
use crate::outputs::Outputs;
use crate::request::Timings;

/// A model as a step asks it.
pub(crate) trait Ask: Send + Sync {
    fn name(&self) -> &Name;

    fn info(&self) -> Arc<ModelInfo>;

    /// What time it is, by the engine's clock.
    fn now(&self) -> Instant;

    /// A request for one answer; it waits where there is no room for it.
    fn one(&self, inputs: Tensors, context: RequestContext) -> Box<dyn Asked>;

    /// A request for outputs as they come.
    fn several(&self, inputs: Tensors, context: RequestContext) -> Box<dyn Asked>;
}

/// A request of a step.
pub(crate) trait Asked: Send {
    /// The next output; nothing after the last.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Told>>;

    /// Cancels it, unless it is answered, and says what of it still goes on.
    fn stop(self: Box<Self>) -> Option<Stopped>;
}

/// What a step was told.
pub(crate) struct Told {
    pub(crate) outcome: Result<Tensors, Error>,
    /// Where the time went; nothing for outputs that come before the last.
    pub(crate) timings: Option<Timings>,
    /// What still goes on of a request that has failed.
    pub(crate) end: Option<Stopped>,
}

impl Ask for Handle<Tensors, Tensors> {
    fn name(&self) -> &Name {
        self.name()
    }

    fn info(&self) -> Arc<ModelInfo> {
        self.info()
    }

    fn now(&self) -> Instant {
        self.now()
    }

    fn one(&self, inputs: Tensors, context: RequestContext) -> Box<dyn Asked> {
        Box::new(Entry::new(self.infer(inputs).context(context)))
    }

    fn several(&self, inputs: Tensors, context: RequestContext) -> Box<dyn Asked> {
        Box::new(self.infer(inputs).context(context).outputs())
    }
}

impl Asked for Entry<Tensors, Tensors> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Told>> {
        let (outcome, end) = std::task::ready!(Item::poll(self, cx));
        let timings = outcome.as_ref().ok().map(|response| response.timings);
        Poll::Ready(Some(Told { outcome: outcome.map(|response| response.output), timings, end }))
    }

    fn stop(mut self: Box<Self>) -> Option<Stopped> {
        Item::stop(&mut *self).1
    }
}

impl Asked for Outputs<Tensors, Tensors> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Told>> {
        let output = std::task::ready!(Pin::new(&mut *self).poll_next(cx));
        Poll::Ready(output.map(|outcome| Told { outcome, timings: self.timings(), end: None }))
    }

    fn stop(self: Box<Self>) -> Option<Stopped> {
        Some((*self).stop())
    }
}
