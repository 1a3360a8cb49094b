//! How a version is asked: in its pool if it is in memory, or where its load is waited for.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use unruffled_model::RequestContext;

use super::lot::{Door, Phase};
use super::one::Version;
use super::parked::{Accepted, Parked, Sent};
use crate::error::{Error, ErrorKind};
use crate::pool::{Demand, Pool, Refusal};
use crate::sync::wake;

/// What came of a request for which the pool was not there.
enum Parking<I: Send + 'static, O: Send + 'static> {
    Parked(Arc<Parked<I, O>>),
    /// There is a pool again.
    Again(Demand<I, O>),
    Refused(Refusal<I, O>),
}

impl<I: Send + 'static, O: Send + 'static> Version<I, O> {
    /// Takes a request in, or has the version loaded for it, or says why not.
    pub(super) fn submit(self: &Arc<Self>, now: Instant, mut demand: Demand<I, O>) -> Sent<I, O> {
        loop {
            let resident = self.resident.load();
            let tried = if let Some(pool) = &*resident {
                match pool.submit(now, demand) {
                    Ok(ticket) => return Ok(Accepted::In(Arc::downgrade(pool), ticket)),
                    Err(Refusal { gone: Some(gone), error, .. }) => {
                        demand = *gone;
                        Some((Arc::as_ptr(pool), error))
                    }
                    Err(refusal) => return Err(refusal),
                }
            } else {
                None
            };
            drop(resident);
            demand = match self.park(now, demand, tried) {
                Parking::Parked(parked) => return Ok(Accepted::Parked(parked)),
                Parking::Refused(refusal) => return Err(refusal),
                Parking::Again(demand) => demand,
            };
        }
    }

    /// As [`submit`](Self::submit), for several that may share a run.
    pub(super) fn submit_all(self: &Arc<Self>, now: Instant, demands: Vec<Demand<I, O>>) -> Vec<Sent<I, O>> {
        let resident = self.resident.load_full();
        let Some(pool) = resident else {
            return demands.into_iter().map(|demand| self.submit(now, demand)).collect();
        };
        let weak = Arc::downgrade(&pool);
        let submitted = pool.submit_all(now, demands);
        let settle = |outcome| match outcome {
            Ok(ticket) => Ok(Accepted::In(weak.clone(), ticket)),
            // The pool has gone in this very moment.
            Err(Refusal { gone: Some(demand), .. }) => self.submit(now, *demand),
            Err(refusal) => Err(refusal),
        };
        submitted.into_iter().map(settle).collect()
    }

    /// Has a request wait for the load, which begins if it has not. `tried` is the pool that would not have it.
    fn park(
        self: &Arc<Self>,
        now: Instant,
        demand: Demand<I, O>,
        tried: Option<(*const Pool<I, O>, Error)>,
    ) -> Parking<I, O> {
        let bytes = (self.weigh)(&demand.input);
        let deadline = demand.options.context.as_ref().and_then(RequestContext::deadline);
        let mut lot = self.lot.lock();
        let door = lot.door(now, deadline, bytes);
        if !matches!(door, Door::Open) {
            drop(lot);
            return self.turned_away(door, demand, bytes, tried);
        }
        let mut parked = None;
        let is_next = lot.add(deadline, bytes, |number| {
            let place: Weak<Self> = Arc::downgrade(self);
            let one = Parked::new(number, place, demand);
            parked = Some(Arc::clone(&one));
            one
        });
        let begun = self.begin(&mut lot);
        drop(lot);
        if let (true, Some(deadline), Some(alarm)) = (is_next, deadline, self.alarm.get()) {
            alarm.wake_by(deadline);
        }
        if let Some(cancel) = begun {
            self.load_apart(cancel);
        }
        Parking::Parked(parked.expect("made just now"))
    }

    /// What becomes of a request that may not wait here.
    fn turned_away(
        &self,
        door: Door,
        demand: Demand<I, O>,
        bytes: usize,
        tried: Option<(*const Pool<I, O>, Error)>,
    ) -> Parking<I, O> {
        let refused = |error: Error| {
            self.past.meter.refused(error.kind());
            Refusal::of(error.of_model(self.model()))
        };
        let gone = |demand, error| Refusal { gone: Some(Box::new(demand)), ..Refusal::of(error) };
        Parking::Refused(match door {
            Door::Open | Door::Present => match tried {
                Some((pool, error)) if self.resident.load().as_ref().map(Arc::as_ptr) == Some(pool) => {
                    gone(demand, error)
                }
                _ => return Parking::Again(demand),
            },
            Door::Ended(error) => gone(demand, error.of_model(self.model())),
            Door::Failed(error) => refused(error),
            Door::Late => {
                let message = "the deadline had passed on arrival";
                refused(Error::new(ErrorKind::DeadlineExceeded, message))
            }
            Door::Full(waiting) => {
                let message = format!("{waiting} requests wait for it to be loaded; try again later");
                let error = Error::new(ErrorKind::Overloaded, message);
                // Who comes again when there is room is not refused.
                let refusal = match demand.options.patient {
                    true => Refusal::of(error.of_model(self.model())),
                    false => refused(error),
                };
                Refusal { input: Some(demand.input), bytes, ..refusal }
            }
        })
    }

    /// Ready when so many bytes may find room in the queue, as far as can be told.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        if let Some(pool) = &*self.resident.load() {
            return pool.poll_room(cx, bytes);
        }
        let mut lot = self.lot.lock();
        if lot.has_room(bytes) || !matches!(lot.phase, Phase::Loading { .. }) {
            return Poll::Ready(());
        }
        lot.watch(cx);
        Poll::Pending
    }

    /// Somebody who wanted room has gone: all others ask again.
    pub(super) fn forget_room(&self) {
        if let Some(pool) = &*self.resident.load() {
            pool.forget_room();
        }
        let watchers = self.lot.lock().take_watchers();
        watchers.into_iter().for_each(wake);
    }
}
