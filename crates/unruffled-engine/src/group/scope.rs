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

/// So many requests are sent at a time before the executor's other tasks have their turn.
const TOGETHER: usize = 64;

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
        let mut filled = false;
        loop {
            // All answers first: the more places they leave, the more are sent together.
            if let Poll::Ready(Some((at, (outcome, end)))) = self.asked.poll_next_unpin(cx) {
                self.ending.extend(end);
                self.in_a_row += 1;
                return Poll::Ready(Some((at, outcome)));
            }
            let ended = self.poll_ended(cx);
            let places = self.in_flight.saturating_sub(self.asked.len() + self.ending.len());
            if places == 0 || self.waiting.len() == 0 {
                self.in_a_row = 0;
                return if self.asked.is_empty() { ended.map(|()| None) } else { Poll::Pending };
            }
            if filled {
                self.in_a_row = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.send(places.min(TOGETHER));
            filled = true;
        }
    }

    /// Sends so many more, those of one model together.
    fn send(&mut self, count: usize) {
        let mut items: Vec<_> = self.waiting.by_ref().take(count).collect();
        items.iter_mut().for_each(|(_, item)| item.enter(&self.terms));
        let mut left: Vec<_> = items.iter_mut().map(|(_, item)| item).collect();
        while left.len() > 1 {
            let model = left[0].model();
            let (mut own, others): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|item| item.model() == model);
            // One alone is sent when it is polled: it may run at once, on this thread.
            if let [first, rest @ ..] = &mut own[..]
                && !rest.is_empty()
            {
                first.send_with(rest);
            }
            left = others;
        }
        self.asked.extend(items.into_iter().map(|(at, item)| Asked { at, item }));
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
