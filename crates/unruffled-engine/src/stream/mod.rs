//! [`InferStream`]: a live source of inputs, collected into batches, and a stream of answers.

mod options;

mod collector;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_core::Stream;
use futures_util::stream::FuturesUnordered;

use crate::error::Error;
use crate::handle::{Handle, Infer};
use crate::pool::Demand;
use crate::request::Response;
use crate::timer::Sleep;
use crate::version::Hold;
use collector::{Collector, Item};
use options::Order;
pub use options::StreamOptions;

/// How many items the source is asked for before others get their turn on the caller's thread.
const TURN: usize = 128;

impl<I: Send + 'static, O: Send + 'static> Handle<I, O> {
    /// Answers a live source item by item: collects its items by size and by time, submits them together so that they may
    /// share a run, and gives every item's own outcome in the order of the source.
    ///
    /// The source is polled only while fewer than [`in_flight`](StreamOptions::in_flight) items are in flight and none of
    /// them waits for room in the queue. When it ends, what is left is submitted at once. Everything happens while the
    /// stream is polled, on any executor; waits are timed by the engine, which needs no runtime. The stream holds the
    /// handle, and so keeps the model.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use futures_util::{StreamExt as _, stream};
    /// use unruffled_engine::{Engine, StreamOptions};
    ///
    /// # async fn example() -> Result<(), unruffled_engine::Error> {
    /// let shout = Engine::new().wrap(|text: String| text.to_uppercase()).build()?;
    /// let source = stream::iter(["a", "b", "c"]).map(str::to_owned);
    /// let options = StreamOptions::batch(32).every(Duration::from_millis(50));
    /// let mut answers = shout.stream(source, options);
    /// while let Some(item) = answers.next().await {
    ///     println!("{}: {}", item.seq, *item.result?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Each item has its own, and none ends the stream. A full queue is no error: the item waits for room, within its
    /// deadline. When the model is gone for good, whatever the source still gives is answered with the reason, so stop a
    /// source that never ends.
    pub fn stream<S: Stream<Item = I>>(&self, source: S, options: StreamOptions) -> InferStream<S, O> {
        InferStream {
            handle: self.clone(),
            source: Some(Box::pin(source)),
            collector: Collector::new(options.size, options.every),
            alarm: None,
            asked: FuturesUnordered::new(),
            answers: Answers { order: options.order, next: 0, ready: BTreeMap::new() },
            seq: 0,
            in_flight: Load::default(),
            most: Load {
                items: options.most_in_flight(),
                bytes: options.bytes.unwrap_or_else(|| self.queue_limits().bytes.max(1)),
            },
            options,
            _hold: self.hold(),
        }
    }
}

/// One item's outcome.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamItem<O> {
    /// Which item of the source it is, counted from 0.
    pub seq: u64,
    /// When the source gave it.
    pub arrived: Instant,
    /// When the model had answered it; for an error, when the stream heard of it.
    pub answered: Instant,
    /// Its answer, or its own error.
    pub result: Result<Response<O>, Error>,
}

/// A stream of answers to a stream of inputs; see [`Handle::stream`].
///
/// Holds at most [`in_flight`](StreamOptions::in_flight) items, whose inputs weigh at most
/// [`in_flight_bytes`](StreamOptions::in_flight_bytes) and one more: inputs that are collected, queued or running, and
/// answers that have not been taken. Ends when the source has ended and every item of it has been given. Needs no runtime,
/// but for what the source needs.
///
/// # Cancel safety
///
/// An item is taken when it is yielded: a `next` that is dropped loses nothing. Dropping the stream cancels what it began,
/// queued or running, and drops the source.
#[must_use = "streams do nothing unless polled"]
pub struct InferStream<S: Stream, O: Send + 'static>
where
    S::Item: Send + 'static,
{
    asked: FuturesUnordered<Asked<S::Item, O>>,
    answers: Answers<O>,
    collector: Collector<S::Item>,
    /// `None` once it has ended.
    source: Option<Pin<Box<S>>>,
    alarm: Option<(Instant, Sleep)>,
    /// The number of the next item.
    seq: u64,
    /// Items that the source gave and that have not been yielded.
    in_flight: Load,
    most: Load,
    options: StreamOptions,
    handle: Handle<S::Item, O>,
    /// The model stays in memory meanwhile, however long the source pauses.
    _hold: Hold,
}

// Nothing in it is ever pinned: the source has a box of its own.
impl<S: Stream, O: Send + 'static> Unpin for InferStream<S, O> where S::Item: Send + 'static {}

/// How many items, and what their inputs weigh.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    items: usize,
    bytes: usize,
}

/// An item that the model has been asked, and its answer to come.
struct Asked<I: Send + 'static, O: Send + 'static> {
    seq: u64,
    arrived: Instant,
    bytes: usize,
    submitted: Instant,
    infer: Infer<I, O>,
}

impl<I: Send + 'static, O: Send + 'static> Future for Asked<I, O> {
    type Output = Answer<O>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = std::task::ready!(Pin::new(&mut self.infer).poll(cx));
        let spent = result.as_ref().ok().map(|response| response.timings.queue + response.timings.run);
        let answered = spent.map(|spent| self.submitted + spent);
        Poll::Ready(Answer { seq: self.seq, arrived: self.arrived, bytes: self.bytes, answered, result })
    }
}

/// An item that has been answered.
struct Answer<O> {
    seq: u64,
    arrived: Instant,
    bytes: usize,
    /// When, if the answer says so.
    answered: Option<Instant>,
    result: Result<Response<O>, Error>,
}

/// Answers until it is their turn.
struct Answers<O> {
    order: Order,
    next: u64,
    /// What each item's input weighed, and the item.
    ready: BTreeMap<u64, (usize, StreamItem<O>)>,
}

impl<O> Answers<O> {
    fn add(&mut self, answer: Answer<O>, now: Instant) {
        let Answer { seq, arrived, bytes, answered, result } = answer;
        let item = StreamItem { seq, arrived, answered: answered.unwrap_or(now), result };
        self.ready.insert(seq, (bytes, item));
    }

    /// The next one, if it is there.
    fn next(&mut self) -> Option<(usize, StreamItem<O>)> {
        let first = self.ready.first_entry()?;
        if self.order == Order::Source && *first.key() != self.next {
            return None;
        }
        self.next += 1;
        Some(first.remove())
    }
}

/// Whether the source could be asked again at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// It has given something, or has not been asked.
    Willing,
    /// It will wake whoever asked.
    Waiting,
}

impl<S: Stream, O: Send + 'static> InferStream<S, O>
where
    S::Item: Send + 'static,
{
    /// Takes from the source and submits, as far as the bounds allow. Says whether there is more to do at once.
    fn feed(&mut self, cx: &mut Context<'_>) -> bool {
        let (mut turn, mut source) = (TURN, Source::Willing);
        loop {
            if let Some(bytes) = self.collector.wants_room() {
                // Also without room an item whose deadline has passed is told so.
                let room = self.handle.poll_room(cx, &self.options.request, bytes);
                if room.is_pending() && !self.is_due(cx) {
                    return false;
                }
                self.submit();
                continue;
            }
            while source == Source::Willing && self.has_place() && !self.collector.is_full() {
                let Some(items) = &mut self.source else { break };
                if turn == 0 {
                    return true;
                }
                turn -= 1;
                match items.as_mut().poll_next(cx) {
                    Poll::Ready(Some(input)) => self.collect(input),
                    Poll::Ready(None) => self.source = None,
                    Poll::Pending => source = Source::Waiting,
                }
            }
            // Nothing will come before something is submitted.
            let is_alone = !self.has_place() && self.collector.len() == self.in_flight.items;
            let go = self.collector.is_full() || self.source.is_none() || is_alone || self.is_due(cx);
            if self.collector.is_empty() || !go {
                return false;
            }
            self.submit();
        }
    }

    /// Whether one more item may be in flight.
    fn has_place(&self) -> bool {
        self.in_flight.items < self.most.items && self.in_flight.bytes < self.most.bytes
    }

    fn collect(&mut self, input: S::Item) {
        let arrived = self.handle.now();
        let deadline = self.options.deadline(arrived);
        // What the model does not take is answered soon.
        let bytes = self.handle.weigh(&input);
        self.collector.push(Item { seq: self.seq, arrived, deadline, bytes, input });
        self.seq += 1;
        self.in_flight.items += 1;
        self.in_flight.bytes = self.in_flight.bytes.saturating_add(bytes);
    }

    /// Whether those that are collected must wait no longer; otherwise has the caller woken when that is so.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(due) = self.collector.due() else {
            self.alarm = None;
            return false;
        };
        if due <= self.handle.now() {
            self.alarm = None;
            return true;
        }
        let known = self.alarm.take().filter(|(at, _)| *at == due);
        let (_, sleep) = self
            .alarm
            .insert(known.unwrap_or_else(|| (due, self.handle.environment().timer.sleep_until(due))));
        Pin::new(sleep).poll(cx).is_ready()
    }

    /// Asks the model for all that is collected. What finds the queue full stays.
    fn submit(&mut self) {
        let now = self.handle.now();
        let items = self.collector.take();
        let (mut labels, mut demands) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for Item { seq, arrived, deadline, bytes, input } in items {
            labels.push((seq, arrived, deadline, bytes));
            demands.push(Demand { input, options: self.options.request(seq, deadline), outlet: None });
        }
        let outcomes = self.handle.send_all(now, demands);
        for ((seq, arrived, deadline, bytes), outcome) in labels.into_iter().zip(outcomes) {
            let infer = match outcome {
                Ok(accepted) => Infer::of(accepted),
                Err(refusal) => match refusal.input {
                    Some(input) => {
                        let item = Item { seq, arrived, deadline, bytes, input };
                        self.collector.put_back(item, refusal.bytes);
                        continue;
                    }
                    None => Infer::refused(refusal.error),
                },
            };
            self.asked.push(Asked { seq, arrived, bytes, submitted: now, infer });
        }
    }
}

impl<S: Stream, O: Send + 'static> Stream for InferStream<S, O>
where
    S::Item: Send + 'static,
{
    type Item = StreamItem<O>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // The model first: it works while the caller looks at what it gets.
        let more = this.feed(cx);
        loop {
            if let Some((bytes, item)) = this.answers.next() {
                this.in_flight.items -= 1;
                this.in_flight.bytes = this.in_flight.bytes.saturating_sub(bytes);
                return Poll::Ready(Some(item));
            }
            match Pin::new(&mut this.asked).poll_next(cx) {
                Poll::Ready(Some(answer)) => this.answers.add(answer, this.handle.now()),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if this.source.is_none() && this.in_flight.items == 0 {
            return Poll::Ready(None);
        }
        if more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.source.as_ref().map_or((0, Some(0)), Stream::size_hint);
        let own = self.in_flight.items;
        (least.saturating_add(own), most.and_then(|most| most.checked_add(own)))
    }
}

impl<S: Stream, O: Send + 'static> Drop for InferStream<S, O>
where
    S::Item: Send + 'static,
{
    fn drop(&mut self) {
        if self.collector.wants_room().is_some() {
            self.handle.forget_room();
        }
    }
}

impl<S: Stream, O: Send + 'static> fmt::Debug for InferStream<S, O>
where
    S::Item: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InferStream")
            .field("model", self.handle.name())
            .field("in_flight", &self.in_flight.items)
            .field("ended", &self.source.is_none())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
