//! The primitives under [`crate::reply`]: loom's under its model checker, ordinary ones otherwise.

#[cfg(not(unruffled_loom))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

#[cfg(not(unruffled_loom))]
pub(crate) use parking_lot::Mutex;

#[cfg(unruffled_loom)]
pub(crate) use std::sync::Arc;

#[cfg(unruffled_loom)]
pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};

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
