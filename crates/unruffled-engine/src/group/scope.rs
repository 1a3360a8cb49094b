//! A group that is being run: which of its requests are with their models, and what of them still goes on.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::item::{Ended, Item, Outcome};
use super::terms::Terms;
use crate::handle::Stopped;

/// So many answers are taken before the executor's other tasks have their turn.
const IN_A_ROW: usize = 32;

/// The requests of a group, from the first that is sent until nothing of them goes on. Dropping it cancels them.
pub(super) struct Scope<O: Send + 'static> {
    terms: Terms,
    in_flight: usize,
    /// Not sent yet.
    waiting: std::iter::Enumerate<std::vec::IntoIter<Box<dyn Item<O>>>>,
    /// With their models.
    asked: FuturesUnordered<Asked<O>>,
    /// Answered, in runs that still go on.
    ending: FuturesUnordered<Stopped>,
    in_a_row: usize,
}

/// What became of those that were not answered when their scope was stopped.
pub(super) struct StoppedScope<O> {
    /// Answered at that very moment.
    pub(super) answered: Vec<(usize, Outcome<O>)>,
    /// Cancelled, sent or not.
    pub(super) cancelled: Vec<usize>,
}

/// One request that was sent.
struct Asked<O> {
    at: usize,
    item: Box<dyn Item<O>>,
}

impl<O> Future for Asked<O> {
    type Output = (usize, Ended<O>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let at = self.at;
        self.item.poll(cx).map(|ended| (at, ended))
    }
}

impl<O: Send + 'static> Scope<O> {
    pub(super) fn new(items: Vec<Box<dyn Item<O>>>, terms: Terms, in_flight: usize) -> Self {
        Self {
            terms,
            in_flight,
            waiting: items.into_iter().enumerate(),
            asked: FuturesUnordered::new(),
            ending: FuturesUnordered::new(),
            in_a_row: 0,
        }
    }

    /// The next outcome; `None` once all are answered and nothing goes on any more.
    pub(super) async fn next(&mut self) -> Option<(usize, Outcome<O>)> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Outcome<O>)>> {
        if self.in_a_row >= IN_A_ROW {
            self.in_a_row = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // First those that make room for others.
        let ended = self.poll_ended(cx);
        while self.asked.len() + self.ending.len() < self.in_flight
            && let Some((at, mut item)) = self.waiting.next()
        {
            item.enter(&self.terms);
            self.asked.push(Asked { at, item });
        }
        match self.asked.poll_next_unpin(cx) {
            Poll::Ready(Some((at, (outcome, end)))) => {
                self.ending.extend(end);
                self.in_a_row += 1;
                Poll::Ready(Some((at, outcome)))
            }
            Poll::Ready(None) => ended.map(|()| None),
            Poll::Pending => {
                self.in_a_row = 0;
                Poll::Pending
            }
        }
    }

    /// Ready once nothing goes on of those that are answered.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(ended) = self.ending.poll_next_unpin(cx) {
            if ended.is_none() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Cancels all that are not answered, at once, and completes when nothing goes on any more.
    pub(super) async fn stop(mut self) -> StoppedScope<O> {
        let (mut answered, mut cancelled) = (Vec::new(), Vec::new());
        for Asked { at, mut item } in std::mem::take(&mut self.asked) {
            let (outcome, end) = item.stop();
            self.ending.extend(end);
            match outcome {
                Some(outcome) => answered.push((at, outcome)),
                None => cancelled.push(at),
            }
        }
        cancelled.extend(self.waiting.by_ref().map(|(at, _)| at));
        cancelled.sort_unstable();
        poll_fn(|cx| self.poll_ended(cx)).await;
        StoppedScope { answered, cancelled }
    }
}
