//! Waking, what panics say, and the primitives under [`crate::reply`]: loom's under its model checker, ordinary ones otherwise.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// What a caught panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Wakes whoever waits. A waker that panics is its executor's fault: nobody else may suffer for it.
pub(crate) fn wake(waker: Waker) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        tracing::error!("a waker panicked");
    }
}

/// Drops what is the callers'. Its end is their code: one that panics is its owner's fault, and nobody else may suffer for it.
pub(crate) fn discard<T>(things: impl IntoIterator<Item = T>) {
    let mut things = things.into_iter();
    // Each apart: a second panic while the first unwinds would abort the process.
    while let Err(payload) = catch_unwind(AssertUnwindSafe(|| things.by_ref().for_each(drop))) {
        tracing::error!(panic = panic_text(&*payload), "the end of an input or of an output panicked");
    }
}

/// Those who are to be woken once all of them have been answered: when this is dropped, whatever happens meanwhile.
#[derive(Default)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    pub(crate) fn add(&mut self, waker: Option<Waker>) {
        self.0.extend(waker);
    }

    pub(crate) fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        self.0.extend(wakers);
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        self.0.drain(..).for_each(wake);
    }
}

#[cfg(not(unruffled_loom))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence},
};

#[cfg(not(unruffled_loom))]
pub(crate) use parking_lot::Mutex;

#[cfg(unruffled_loom)]
pub(crate) use std::sync::Arc;

#[cfg(unruffled_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};

/// loom's mutex behind the other's interface.
#[cfg(unruffled_loom)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(unruffled_loom)]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().expect("no test panics under the lock")
    }
}
