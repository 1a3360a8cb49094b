//! [`Parked`]: one request that waits for its version to be loaded, and [`Accepted`]: where a request is once it was sent.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::one::Version;
use crate::error::{Error, ErrorKind};
use crate::pool::{Demand, Pool};
use crate::reply::Ticket;
use crate::sync::wake;

/// Where a request is that was sent.
pub(crate) enum Accepted<I: Send + 'static, O: Send + 'static> {
    /// In the pool of its version. The pool is not kept alive: it answers all that it has before it goes.
    In(Weak<Pool<I, O>>, Arc<Ticket<O>>),
    /// On the way there, once the version is in memory.
    Parked(Arc<Parked<I, O>>),
}

/// One request that waits for its version to be loaded.
pub(crate) struct Parked<I: Send + 'static, O: Send + 'static> {
    number: u64,
    version: Weak<Version<I, O>>,
    wait: Mutex<Wait<I, O>>,
}

enum Wait<I, O> {
    /// Until the load is over.
    Here(Demand<I, O>, Option<Waker>),
    /// It is being taken into the pool.
    Moving(Option<Waker>),
    /// It was taken in.
    Sent(Weak<Pool<I, O>>, Arc<Ticket<O>>),
    /// It was not.
    Refused(Error),
    /// Nobody waits for it any more.
    Gone,
}

impl<I: Send + 'static, O: Send + 'static> Parked<I, O> {
    pub(super) fn new(number: u64, version: Weak<Version<I, O>>, demand: Demand<I, O>) -> Arc<Self> {
        Arc::new(Self { number, version, wait: Mutex::new(Wait::Here(demand, None)) })
    }

    /// Ready once it is in the pool, or refused.
    pub(crate) fn poll(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Weak<Pool<I, O>>, Arc<Ticket<O>>), Error>> {
        match &mut *self.wait.lock() {
            Wait::Here(_, waker) | Wait::Moving(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Wait::Sent(pool, ticket) => Poll::Ready(Ok((pool.clone(), Arc::clone(ticket)))),
            Wait::Refused(error) => Poll::Ready(Err(error.clone())),
            Wait::Gone => Poll::Ready(Err(Error::new(ErrorKind::Cancelled, "cancelled"))),
        }
    }

    /// The caller has gone. What it was part of by then, if of anything.
    pub(crate) fn withdraw(&self) -> Option<Arc<Ticket<O>>> {
        self.end(Wait::Gone, |pool, ticket| pool.withdraw(ticket))
    }

    /// Ends it with an error that its caller is told.
    pub(crate) fn cancel(&self, message: &str) {
        let error = Error::new(ErrorKind::Cancelled, message);
        self.end(Wait::Refused(self.named(error)), |pool, ticket| pool.cancel(ticket, message));
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

    /// Has the pool take it in, unless it has ended.
    pub(super) fn move_into(&self, pool: &Arc<Pool<I, O>>) {
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
        let submitted = pool.submit(pool.now(), demand);
        let mut wait = self.wait.lock();
        let Wait::Moving(waker) = &mut *wait else {
            // Ended meanwhile.
            drop(wait);
            if let Ok(ticket) = submitted {
                pool.withdraw(&ticket);
            }
            return;
        };
        let waker = waker.take();
        let (next, left) = match submitted {
            Ok(ticket) => (Wait::Sent(Arc::downgrade(pool), ticket), None),
            Err(refusal) => (Wait::Refused(refusal.error.clone()), Some(refusal)),
        };
        *wait = next;
        drop(wait);
        if let Some(waker) = waker {
            wake(waker);
        }
        drop(left);
    }

    /// Ends it wherever it is.
    fn end(
        &self,
        last: Wait<I, O>,
        in_pool: impl FnOnce(&Arc<Pool<I, O>>, &Arc<Ticket<O>>),
    ) -> Option<Arc<Ticket<O>>> {
        let mut wait = self.wait.lock();
        let (waker, demand) = match &*wait {
            Wait::Refused(_) | Wait::Gone => return None,
            Wait::Sent(pool, ticket) => {
                let (pool, ticket) = (pool.upgrade(), Arc::clone(ticket));
                drop(wait);
                if let Some(pool) = pool {
                    in_pool(&pool, &ticket);
                }
                return Some(ticket);
            }
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
            && let Some(version) = self.version.upgrade()
        {
            version.leave(self.number);
        }
        drop(demand);
        None
    }

    fn named(&self, error: Error) -> Error {
        match self.version.upgrade() {
            Some(version) => error.of_model(version.model()),
            None => error,
        }
    }
}
