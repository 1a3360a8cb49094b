//! How a version comes into memory and leaves it: absent, loading, present, ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use unruffled_model::{CancelToken, Name};

use super::lot::{Lot, Phase};
use super::one::Version;
use super::parked::{Parked, Place};
use crate::error::{Error, ErrorKind};
use crate::memory::Resident;
use crate::pool::Pool;
use crate::sync::wake;
use crate::timer::Alarm;

/// What a version leaves that has ended.
pub(crate) struct Retired<I: Send + 'static, O: Send + 'static> {
    pub(super) pool: Option<Arc<Pool<I, O>>>,
    pub(super) parked: Vec<Arc<Parked<I, O>>>,
}

impl<I: Send + 'static, O: Send + 'static> Version<I, O> {
    /// Absent -> Loading. The token of the load that is to be started once the lock is let go, if one is.
    pub(super) fn begin(&self, lot: &mut Lot<Arc<Parked<I, O>>>) -> Option<CancelToken> {
        if !matches!(lot.phase, Phase::Absent(_)) {
            return None;
        }
        let cancel = CancelToken::new();
        lot.phase = Phase::Loading { cancel: cancel.clone(), waits: false };
        Some(cancel)
    }

    /// As [`begin`](Self::begin), for a load that somebody awaits: with that one's token.
    pub(super) fn begin_with(&self, cancel: CancelToken) {
        self.lot.lock().phase = Phase::Loading { cancel, waits: false };
    }

    /// Ready when it is in memory; has it loaded if it is not. `began` remembers that it was asked to.
    pub(super) fn poll_present(
        self: &Arc<Self>,
        cx: &Context<'_>,
        began: &mut bool,
    ) -> Poll<Result<(), Error>> {
        let mut lot = self.lot.lock();
        let begun = match &lot.phase {
            Phase::Present => return Poll::Ready(Ok(())),
            Phase::Ended(error) => return Poll::Ready(Err(error.clone().of_model(self.model()))),
            Phase::Absent(Some((_, error))) if *began => return Poll::Ready(Err(error.clone())),
            Phase::Absent(_) => self.begin(&mut lot),
            Phase::Loading { .. } => None,
        };
        *began = true;
        lot.watch(cx);
        drop(lot);
        if let Some(cancel) = begun {
            self.load_apart(cancel);
        }
        Poll::Pending
    }

    /// Loading -> Present: those that wait go into the pool, then everybody finds it. False: it is too late for that.
    pub(crate) fn settle(&self, pool: &Arc<Pool<I, O>>) -> bool {
        let _ = self.info.set(Arc::new(pool.model().info().clone()));
        loop {
            let mut lot = self.lot.lock();
            if matches!(lot.phase, Phase::Ended(_)) {
                return false;
            }
            // Those that came first go first, as far as that is possible.
            let parked = lot.take_all();
            if parked.is_empty() {
                self.resident.store(Some(Arc::clone(pool)));
                lot.phase = Phase::Present;
                let watchers = lot.take_watchers();
                drop(lot);
                watchers.into_iter().for_each(wake);
                // All that waited may have been answered before it could be found: whoever waits for its memory was told then,
                // and found nobody to put out.
                self.common.environment.memory.stir();
                return true;
            }
            drop(lot);
            parked.iter().for_each(|parked| parked.move_into(pool));
        }
    }

    /// Loading -> Absent: those that wait hear why.
    pub(crate) fn fail(&self, error: &Error) {
        let mut lot = self.lot.lock();
        if matches!(lot.phase, Phase::Ended(_)) {
            return;
        }
        let was_given_up = error.kind() == ErrorKind::Cancelled;
        let now = self.common.environment.timer.now();
        lot.phase = Phase::Absent((!was_given_up).then(|| (now, error.clone())));
        let (parked, watchers) = (lot.take_all(), lot.take_watchers());
        drop(lot);
        self.refuse(&parked, error);
        watchers.into_iter().for_each(wake);
    }

    /// A load was given up because nobody waited; the next one's token, if somebody does by now.
    pub(crate) fn begin_again(&self) -> Option<CancelToken> {
        let mut lot = self.lot.lock();
        if matches!(lot.phase, Phase::Ended(_)) || lot.is_empty() {
            return None;
        }
        lot.phase = Phase::Absent(None);
        self.begin(&mut lot)
    }

    /// Whether the load waits for others: then it is given up when nobody waits for it.
    pub(super) fn set_waits(&self, now_waits: bool) {
        if let Phase::Loading { waits, .. } = &mut self.lot.lock().phase {
            *waits = now_waits;
        }
    }

    /// One that waited for the load has gone.
    pub(super) fn leave(&self, number: u64) {
        let mut lot = self.lot.lock();
        let left = lot.remove(number);
        let (watchers, idle) = (lot.take_watchers(), lot.idle_load());
        drop(lot);
        if left.is_some() {
            self.past.meter.refused(ErrorKind::Cancelled);
        }
        drop(left);
        watchers.into_iter().for_each(wake);
        if let Some(cancel) = idle {
            cancel.cancel();
        }
    }

    pub(super) fn refuse(&self, parked: &[Arc<Parked<I, O>>], error: &Error) {
        let error = error.clone().of_model(self.model());
        for one in parked {
            self.past.meter.refused(error.kind());
            one.refuse(&error);
        }
    }

    /// It is no version any more: what it has accepted is finished. The pool that is on its way out, if there is one, and those
    /// that still wait for the load.
    pub(crate) fn retire(&self, error: &Error) -> Retired<I, O> {
        let mut lot = self.lot.lock();
        let before = std::mem::replace(&mut lot.phase, Phase::Ended(error.clone()));
        let (parked, watchers) = (lot.take_all(), lot.take_watchers());
        let pool = self.resident.swap(None);
        drop(lot);
        if let Phase::Loading { cancel, .. } = before {
            cancel.cancel();
        }
        watchers.into_iter().for_each(wake);
        if let Some(pool) = &pool {
            pool.drain(error.clone());
        }
        Retired { pool, parked }
    }
}

impl<I: Send + 'static, O: Send + 'static> Place for Version<I, O> {
    fn model(&self) -> &Name {
        self.model()
    }

    fn leave(&self, number: u64) {
        self.leave(number);
    }
}

impl<I: Send + 'static, O: Send + 'static> Resident for Version<I, O> {
    fn idle_since(&self) -> Option<Instant> {
        if !self.repeats || self.common.holds.are_any() {
            return None;
        }
        self.resident.load().as_ref()?.idle_since()
    }

    fn evict(&self) -> bool {
        let mut lot = self.lot.lock();
        // Whoever holds the model from now on finds it gone, under this lock, and has it loaded again.
        if !self.repeats || self.common.holds.are_any() || !matches!(lot.phase, Phase::Present) {
            return false;
        }
        let Some(pool) = self.resident.load_full() else { return false };
        if !pool.drain_if_idle(Error::new(ErrorKind::NotReady, "has been put out of memory")) {
            return false;
        }
        self.resident.store(None);
        lot.phase = Phase::Absent(None);
        drop(lot);
        tracing::info!(model = &**self.model(), version = &*self.name, "put out of memory");
        pool.tell_all();
        true
    }

    fn weighed(&self, bytes: usize) {
        self.bytes.fetch_max(bytes, Ordering::Relaxed);
    }
}

impl<I: Send + 'static, O: Send + 'static> Alarm for Version<I, O> {
    fn fire(&self, now: Instant) -> Option<Instant> {
        let mut lot = self.lot.lock();
        let due = lot.take_due(now);
        let waits = matches!(lot.phase, Phase::Loading { waits: true, .. });
        let (next, idle) = (lot.next_due(), lot.idle_load());
        let watchers = lot.take_watchers();
        drop(lot);
        if !due.is_empty() {
            let error = match waits {
                true => self.common.environment.memory.shortage(self.needs()),
                false => {
                    let message = "the deadline passed while it was being loaded";
                    Error::new(ErrorKind::DeadlineExceeded, message)
                }
            };
            self.refuse(&due, &error);
        }
        watchers.into_iter().for_each(wake);
        if let Some(cancel) = idle {
            cancel.cancel();
        }
        next
    }
}
