//! [`CancelToken`]: tells running work that nobody wants its result any more, by a flag and by hooks.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sync::{Arc, AtomicBool, Mutex, MutexGuard, Ordering};

/// A one-way switch, shared by whoever may cancel and whoever may be cancelled.
///
/// Work that loops asks [`is_cancelled`](Self::is_cancelled); work that is stuck inside a library registers a hook with
/// [`on_cancel`](Self::on_cancel) that tells the library to stop.
#[derive(Clone, Default)]
pub struct CancelToken(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    hooks: Mutex<Hooks>,
}

#[derive(Default)]
struct Hooks {
    next: u64,
    waiting: Vec<(u64, Hook)>,
}

type Hook = Box<dyn FnOnce() + Send>;

impl CancelToken {
    /// A token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether [`cancel`](Self::cancel) has been called: one relaxed load, fit for an inner loop.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Sets the flag and runs every registered hook on this thread, containing its panics. Only the first call does
    /// anything.
    pub fn cancel(&self) {
        // The flag is set under the lock, so that a hook is either seen here or sees the flag when it registers.
        let mut hooks = self.hooks();
        // Release: whoever sees the flag, and then looks with acquire ordering, sees what went before.
        if self.0.cancelled.swap(true, Ordering::Release) {
            return;
        }
        // Run under the lock: whoever drops a guard afterwards knows that its hook is not running.
        for (_, hook) in hooks.waiting.drain(..) {
            // One that panics has said so on standard error; whoever cancels, and the other hooks, must not suffer for it.
            let _ = catch_unwind(AssertUnwindSafe(hook));
        }
    }

    /// Has `hook` run, once, when the token is cancelled: at once if it already is.
    ///
    /// The hook runs on the thread that cancels and must be short. Once the guard is dropped the hook neither runs nor is
    /// running, so it may use what the guard outlives.
    ///
    /// # Panics
    ///
    /// A hook that drops its own guard, registers another hook on the same token or cancels it again locks up: do not.
    #[must_use = "dropping the guard takes the hook away"]
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> HookGuard<'_> {
        let mut hooks = self.hooks();
        let id = hooks.next;
        hooks.next += 1;
        if self.is_cancelled() {
            drop(hooks);
            hook();
        } else {
            hooks.waiting.push((id, Box::new(hook)));
        }
        HookGuard { token: self, id }
    }

    fn hooks(&self) -> MutexGuard<'_, Hooks> {
        // No hook's panic gets here, and nothing else under the lock can panic half-way.
        self.0.hooks.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

/// Takes its hook away when dropped, waiting for it if it is running just then.
#[derive(Debug)]
pub struct HookGuard<'a> {
    token: &'a CancelToken,
    id: u64,
}

impl Drop for HookGuard<'_> {
    fn drop(&mut self) {
        self.token.hooks().waiting.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(all(test, not(unruffled_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::CancelToken;

    /// A hook that counts its calls, and the count.
    fn counter() -> (impl FnOnce(), impl Fn() -> usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        let hook = move || {
            count.fetch_add(1, Ordering::SeqCst);
        };
        (hook, move || seen.load(Ordering::SeqCst))
    }

    #[test]
    fn hooks_run_once() {
        let (token, (hook, seen)) = (CancelToken::new(), counter());
        let _guard = token.on_cancel(hook);
        assert_eq!((token.is_cancelled(), seen()), (false, 0));
        token.cancel();
        token.cancel();
        assert_eq!((token.is_cancelled(), seen()), (true, 1));
    }

    #[test]
    fn a_dropped_guard_takes_its_hook_away() {
        let (token, (hook, seen)) = (CancelToken::new(), counter());
        drop(token.on_cancel(hook));
        token.cancel();
        assert_eq!(seen(), 0);
    }

    #[test]
    fn a_late_hook_runs_at_once() {
        let (token, (hook, seen)) = (CancelToken::new(), counter());
        token.cancel();
        let _guard = token.on_cancel(hook);
        assert_eq!(seen(), 1);
    }
}

#[cfg(all(test, unruffled_loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use super::CancelToken;

    fn counter() -> (impl FnOnce() + Send, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let hook = move || {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        (hook, count)
    }

    /// However registration and cancellation interleave, a hook that is kept runs exactly once.
    #[test]
    fn loom_no_hook_is_lost_or_repeated() {
        loom::model(|| {
            let (token, (hook, count)) = (CancelToken::new(), counter());
            let canceller = thread::spawn({
                let token = token.clone();
                move || token.cancel()
            });
            let guard = token.on_cancel(hook);
            canceller.join().unwrap();
            drop(guard);
            assert_eq!(count.load(Ordering::SeqCst), 1);
        });
    }

    /// After the guard is gone the hook does not run, nor is it running.
    #[test]
    fn loom_no_hook_outlives_its_guard() {
        loom::model(|| {
            let (token, (hook, count)) = (CancelToken::new(), counter());
            let canceller = thread::spawn({
                let token = token.clone();
                move || token.cancel()
            });
            drop(token.on_cancel(hook));
            let when_dropped = count.load(Ordering::SeqCst);
            canceller.join().unwrap();
            assert_eq!(count.load(Ordering::SeqCst), when_dropped);
        });
    }

    /// Two cancellers run a hook once between them.
    #[test]
    fn loom_cancelling_twice_is_cancelling_once() {
        loom::model(|| {
            let (token, (hook, count)) = (CancelToken::new(), counter());
            let guard = token.on_cancel(hook);
            let other = thread::spawn({
                let token = token.clone();
                move || token.cancel()
            });
            token.cancel();
            other.join().unwrap();
            drop(guard);
            assert_eq!(count.load(Ordering::SeqCst), 1);
        });
    }
}
