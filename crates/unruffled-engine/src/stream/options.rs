//! [`StreamOptions`]: how a stream of inputs is collected, bounded and submitted.

use std::time::{Duration, Instant};

use unruffled_model::{Caller, Priority, RequestContext, RequestId};

use crate::request::RequestOptions;

/// How the items of a source become requests: collected by size and by time, and bounded.
#[derive(Clone, Debug)]
#[must_use]
pub struct StreamOptions {
    pub(super) size: usize,
    pub(super) every: Duration,
    in_flight: Option<usize>,
    pub(super) bytes: Option<usize>,
    pub(super) order: Order,
    timeout: Option<Duration>,
    pub(super) request: RequestOptions,
}

/// In which order answers are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Source,
    Completion,
}

impl Default for StreamOptions {
    /// Batches of up to 32 items, made of what is there.
    fn default() -> Self {
        Self::batch(32)
    }
}

impl StreamOptions {
    /// Submits up to so many items together, so that they may share a run; 0 counts as 1.
    ///
    /// Unless [`every`](Self::every) says otherwise, nobody waits for company: what the source has at once goes together.
    pub fn batch(size: usize) -> Self {
        Self {
            size: size.max(1),
            every: Duration::ZERO,
            in_flight: None,
            bytes: None,
            order: Order::Source,
            timeout: None,
            request: RequestOptions::default(),
        }
    }

    /// Lets an item wait so long for others to fill its batch; with a deadline, half of what it leaves at most.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Asks the source for more only while fewer than so many items are in flight: collected, queued, running, or answered
    /// and not yet taken. Four batches unless set; 0 counts as 1. No batch is larger.
    pub fn in_flight(mut self, items: usize) -> Self {
        self.in_flight = Some(items.max(1));
        self
    }

    /// Asks the source for more only while the inputs in flight weigh less than so many bytes, as the model weighs them: one
    /// more than that may be held. What the model's queue takes, unless set.
    pub fn in_flight_bytes(mut self, bytes: usize) -> Self {
        self.bytes = Some(bytes.max(1));
        self
    }

    /// Gives answers as they come, not in the order of the source: a slow item holds nobody up.
    pub fn by_completion(mut self) -> Self {
        self.order = Order::Completion;
        self
    }

    /// Gives an item up so long after the source gave it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Says who goes first when work waits.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.request.edit(|context| context.with_priority(priority));
        self
    }

    /// Says on whose behalf the requests are made: callers of one class share the model fairly.
    pub fn caller(mut self, caller: Caller) -> Self {
        self.request.edit(|context| context.with_caller(caller));
        self
    }

    /// Takes a whole context over, for every item: priority, caller, trace, baggage, and a deadline for the stream as a
    /// whole. The requests are named after it: `name/0`, `name/1`, and so on.
    pub fn context(mut self, context: RequestContext) -> Self {
        self.request.named = true;
        self.request.context = Some(context);
        self
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.in_flight.unwrap_or_else(|| self.size.saturating_mul(4))
    }

    /// When an item is given up that came at this time.
    pub(super) fn deadline(&self, arrived: Instant) -> Option<Instant> {
        let whole = self.request.context.as_ref().and_then(RequestContext::deadline);
        let own = self.timeout.and_then(|timeout| arrived.checked_add(timeout));
        whole.into_iter().chain(own).min()
    }

    /// What the request of an item asks for.
    pub(super) fn request(&self, seq: u64, deadline: Option<Instant>) -> RequestOptions {
        let mut request = RequestOptions { patient: true, ..self.request.clone() };
        if deadline.is_some() {
            request.edit(|context| context.with_deadline(deadline));
        }
        if request.named {
            request.edit(|context| {
                let name = format!("{}/{seq}", context.id());
                context.with_id(RequestId::Text(name.into()))
            });
        }
        request
    }
}
