//! Waiting for a future on the thread of a load, which has nothing else to do.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use unruffled_model::LoadContext;

use crate::error::Error;

/// Polls a future to its end on this thread, unless nobody waits for the load any more: then it is dropped.
pub(super) fn wait<F: Future>(future: F, ctx: &LoadContext<'_>) -> Result<F::Output, Error> {
    let mut future = pin!(future);
    let alarm = Arc::new(Alarm { thread: thread::current(), is_due: AtomicBool::new(false) });
    let hook = Arc::clone(&alarm);
    let _guard = ctx.on_cancel(move || hook.wake_by_ref());
    let waker = Waker::from(Arc::clone(&alarm));
    while !ctx.is_cancelled() {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(output);
        }
        // Whoever else parks on this thread may take the wake-up, but not the flag.
        while !alarm.is_due.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
    Err(unruffled_model::ModelError::cancelled().into())
}

struct Alarm {
    thread: Thread,
    is_due: AtomicBool,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
