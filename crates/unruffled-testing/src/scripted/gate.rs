//! [`Gate`]: where runs wait until the test lets them on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use unruffled_model::{RequestId, RunContext};

/// How long a test waits for a run before it fails: longer than any test should take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Holds runs until the test releases them; clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Runs that may still pass; `None` lets all pass.
    permits: Option<usize>,
    /// Runs that have entered and that the test has not yet heard of.
    entered: VecDeque<Vec<RequestId>>,
    waiting: usize,
    hook: Option<Arc<Hook>>,
}

type Hook = dyn Fn(&[RequestId]) + Send + Sync;

impl Gate {
    /// A gate at which every run waits to be released.
    pub fn closed() -> Self {
        Self::with(Some(0))
    }

    /// A gate that lets every run pass and tells of it.
    pub fn opened() -> Self {
        Self::with(None)
    }

    fn with(permits: Option<usize>) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State { permits, entered: VecDeque::new(), waiting: 0, hook: None }),
            changed: Condvar::new(),
        }))
    }

    /// Waits until a run has come to the gate, and tells which requests it has; each run is told of once, in order.
    ///
    /// # Panics
    ///
    /// If none comes within 20 seconds.
    #[track_caller]
    pub fn entered(&self) -> Vec<RequestId> {
        let mut state = self.0.state.lock();
        let none = |state: &mut State| state.entered.is_empty();
        let waited = self.0.changed.wait_while_for(&mut state, none, PATIENCE);
        assert!(!waited.timed_out(), "no run came to the gate within {PATIENCE:?}");
        state.entered.pop_front().expect("waited for")
    }

    /// The requests of the next run that has come to the gate, if one has.
    pub fn try_entered(&self) -> Option<Vec<RequestId>> {
        self.0.state.lock().entered.pop_front()
    }

    /// Has `hook` called, on the run's thread, by every run that comes to the gate: for tests that must not block.
    pub fn on_enter(&self, hook: impl Fn(&[RequestId]) + Send + Sync + 'static) {
        self.0.state.lock().hook = Some(Arc::new(hook));
    }

    /// How many runs wait at the gate now.
    pub fn waiting(&self) -> usize {
        self.0.state.lock().waiting
    }

    /// Lets `runs` more runs pass, those that wait first.
    pub fn release(&self, runs: usize) {
        if let Some(permits) = &mut self.0.state.lock().permits {
            *permits += runs;
        }
        self.0.changed.notify_all();
    }

    /// Lets every run pass from now on.
    pub fn open(&self) {
        self.0.state.lock().permits = None;
        self.0.changed.notify_all();
    }

    /// Holds every run from now on.
    pub fn close(&self) {
        self.0.state.lock().permits = Some(0);
    }

    /// Comes to the gate and waits to be let on; says whether it was, and not cancelled instead.
    ///
    /// `stops` is whether the run watches for cancellation: without it, it waits on.
    pub(super) fn pass(&self, ctx: &RunContext<'_>, stops: bool) -> bool {
        let requests: Vec<RequestId> = ctx.requests().iter().map(|request| request.id().clone()).collect();
        let hook = self.0.state.lock().hook.clone();
        if let Some(hook) = hook {
            hook(&requests);
        }
        let shared = Arc::clone(&self.0);
        // Made before the lock is taken, and dropped after: the hook takes the lock itself.
        let _wake = stops.then(|| {
            ctx.on_cancel(move || {
                let _state = shared.state.lock();
                shared.changed.notify_all();
            })
        });
        let mut state = self.0.state.lock();
        state.entered.push_back(requests);
        state.waiting += 1;
        self.0.changed.notify_all();
        let cancelled = || stops && ctx.is_cancelled();
        while state.permits == Some(0) && !cancelled() {
            self.0.changed.wait(&mut state);
        }
        state.waiting -= 1;
        if cancelled() {
            return false;
        }
        if let Some(permits) = &mut state.permits {
            *permits -= 1;
        }
        true
    }
}
