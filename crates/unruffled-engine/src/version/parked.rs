//! [`Parked`]: one request that waits for its version to be loaded, and [`Accepted`]: where a request is once it was sent.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use unruffled_model::Name;

use crate::error::{Error, ErrorKind};
use crate::pool::{Demand, Pool, Refusal};
use crate::reply::Ticket;
use crate::sync::wake;

/// Where requests wait for a load.
pub(super) trait Place: Send + Sync {
    /// The name of the model.
    fn model(&self) -> &Name;

    /// The one of this number has gone.
    fn leave(&self, number: u64);
}

/// A request that a pool has taken in.
pub(crate) type InPool<I, O> = (Weak<Pool<I, O>>, Arc<Ticket<O>>);

/// What came of a request that was sent.
pub(crate) type Sent<I, O> = Result<Accepted<I, O>, Refusal<I, O>>;

/// Where a request is that was sent.
pub(crate) enum Accepted<I: Send + 'static, O: Send + 'static> {
    /// In the pool of its version. The pool is not kept alive: it answers all that it has before it goes.
    In(Weak<Pool<I, O>>, Arc<Ticket<O>>),
    /// On the way there, once the version is in memory.
    Parked(Arc<Parked<I, O>>),
}

impl<I: Send + 'static, O: Send + 'static> Accepted<I, O> {
    /// The caller has gone. What it was part of by then, if of anything.
    pub(crate) fn withdraw(&self) -> Option<Arc<Ticket<O>>> {
        match self {
            Self::Parked(parked) => parked.withdraw(),
            Self::In(pool, ticket) => {
                if let Some(pool) = pool.upgrade() {
                    pool.withdraw(ticket);
                }
                Some(Arc::clone(ticket))
            }
        }
    }
}

impl<I: Send + 'static, O: Send + 'static> Clone for Accepted<I, O> {
    fn clone(&self) -> Self {
        match self {
            Self::In(pool, ticket) => Self::In(pool.clone(), Arc::clone(ticket)),
            Self::Parked(parked) => Self::Parked(Arc::clone(parked)),
        }
    }
}

/// One request that waits for its version to be loaded.
pub(crate) struct Parked<I: Send + 'static, O: Send + 'static> {
    number: u64,
    place: Weak<dyn Place>,
    wait: Mutex<Wait<I, O>>,
}

enum Wait<I: Send + 'static, O: Send + 'static> {
    /// Until the load is over.
    Here(Demand<I, O>, Option<Waker>),
    /// It is being taken into the pool.
    Moving(Option<Waker>),
    /// It was taken in, by a pool or where it waits for another version.
    Sent(Accepted<I, O>),
    /// It was not.
    Refused(Error),
    /// Nobody waits for it any more.
    Gone,
}

impl<I: Send + 'static, O: Send + 'static> Parked<I, O> {
    pub(super) fn new(number: u64, place: Weak<dyn Place>, demand: Demand<I, O>) -> Arc<Self> {
        Arc::new(Self { number, place, wait: Mutex::new(Wait::Here(demand, None)) })
    }

    /// Ready once it is in the pool, or refused.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<InPool<I, O>, Error>> {
        let next = match &mut *self.wait.lock() {
            Wait::Here(_, waker) | Wait::Moving(waker) => {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Wait::Sent(Accepted::In(pool, ticket)) => {
                return Poll::Ready(Ok((pool.clone(), Arc::clone(ticket))));
            }
            Wait::Sent(Accepted::Parked(next)) => Arc::clone(next),
            Wait::Refused(error) => return Poll::Ready(Err(error.clone())),
            Wait::Gone => return Poll::Ready(Err(Error::new(ErrorKind::Cancelled, "cancelled"))),
        };
        next.poll(cx)
    }

    /// The caller has gone. What it was part of by then, if of anything.
    pub(crate) fn withdraw(&self) -> Option<Arc<Ticket<O>>> {
        self.end(Wait::Gone)?.withdraw()
    }

    /// Ends it with an error that its caller is told.
    pub(crate) fn cancel(&self, message: &str) {
        let error = Error::new(ErrorKind::Cancelled, message);
        match self.end(Wait::Refused(self.named(error))) {
            None => {}
            Some(Accepted::In(pool, ticket)) => {
                if let Some(pool) = pool.upgrade() {
                    pool.cancel(&ticket, message);
                }
            }
            Some(Accepted::Parked(next)) => next.cancel(message),
        }
    }

    /// Ends it with an error, if it still waits here.
    pub(super) fn refuse(&self, error: &Error) {
        let mut wait = self.wait.lock();
        if !matches!(*wait, Wait::Here(..)) {
            return;
        }
        let Wait::Here(demand, waker) = std::mem::replace(&mut *wait, Wait::Refused(error.clone())) else {
            unreachable!("just seen")
        };
        drop(wait);
        if let Some(waker) = waker {
            wake(waker);
        }
        // The end of an input is its caller's code: after all else, and under no lock.
        drop(demand);
    }

    /// Sends it on, unless it has ended.
    pub(super) fn forward(&self, send: impl FnOnce(Demand<I, O>) -> Sent<I, O>) {
        let mut wait = self.wait.lock();
        if !matches!(*wait, Wait::Here(..)) {
            return;
        }
        let Wait::Here(demand, waker) = std::mem::replace(&mut *wait, Wait::Moving(None)) else {
            unreachable!("just seen")
        };
        *wait = Wait::Moving(waker);
        drop(wait);
        // It may run right here: under no lock.
        let sent = send(demand);
        let mut wait = self.wait.lock();
        let Wait::Moving(waker) = &mut *wait else {
            // Ended meanwhile.
            drop(wait);
            if let Ok(accepted) = sent {
                accepted.withdraw();
            }
            return;
        };
        let waker = waker.take();
        let (next, left) = match sent {
            Ok(accepted) => (Wait::Sent(accepted), None),
            Err(refusal) => (Wait::Refused(refusal.error.clone()), Some(refusal)),
        };
        *wait = next;
        drop(wait);
        if let Some(waker) = waker {
            wake(waker);
        }
        drop(left);
    }

    /// Has a pool take it in, unless it has ended.
    pub(super) fn move_into(&self, pool: &Arc<Pool<I, O>>) {
        self.forward(|demand| {
            let submitted = pool.submit(pool.now(), demand);
            submitted.map(|ticket| Accepted::In(Arc::downgrade(pool), ticket))
        });
    }

    /// Ends it if it is still on its way, and says so; where it is otherwise.
    fn end(&self, last: Wait<I, O>) -> Option<Accepted<I, O>> {
        let mut wait = self.wait.lock();
        let (waker, demand) = match &*wait {
            Wait::Refused(_) | Wait::Gone => return None,
            Wait::Sent(accepted) => return Some(accepted.clone()),
            Wait::Here(..) | Wait::Moving(_) => match std::mem::replace(&mut *wait, last) {
                Wait::Here(demand, waker) => (waker, Some(demand)),
                Wait::Moving(waker) => (waker, None),
                _ => unreachable!("just seen"),
            },
        };
        drop(wait);
        if let Some(waker) = waker {
            wake(waker);
        }
        if demand.is_some()
            && let Some(place) = self.place.upgrade()
        {
            place.leave(self.number);
        }
        drop(demand);
        None
    }

    fn named(&self, error: Error) -> Error {
        match self.place.upgrade() {
            Some(place) => error.of_model(place.model()),
            None => error,
        }
    }
}
