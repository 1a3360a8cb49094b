//! [`Breaker`]: keeps calls away from a model that fails, and lets a few through to find out whether it still does.

mod options;

mod circuit;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use unruffled_model::Name;

use circuit::{Change, Circuit, Leave};

pub use circuit::BreakerState;
pub(crate) use circuit::Verdict;
pub use options::BreakerOptions;

/// Keeps calls away from a model that fails. Cheap to clone; the clones are one breaker.
///
/// Closed, it lets all calls through. It opens when too many of the last ones have failed, and lets none through. After a
/// while it is half open: a few go through as probes; if they succeed it closes, and if one fails it is open again, for
/// longer. Each change is told as an event, and [`status`](Self::status) says how it stands.
///
/// Each link of a chain has one of its own, since the time that a chain allows is part of what failing means. Where several
/// chains should learn from each other, give them the same: [`Link::breaker`](crate::Link::breaker).
#[derive(Clone)]
pub struct Breaker(Arc<Shared>);

struct Shared {
    name: Name,
    circuit: Mutex<Circuit>,
    opened: AtomicU64,
    refused: AtomicU64,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerStatus {
    /// What it does with calls. Open, it is half open with the first call after [`open_until`](Self::open_until).
    pub state: BreakerState,
    /// Until when it is open.
    pub open_until: Option<Instant>,
    /// Calls that count at present, while it is closed.
    pub calls: usize,
    /// Those of them that have failed.
    pub failures: usize,
    /// How often it has opened so far.
    pub opened: u64,
    /// Calls that it did not let through so far.
    pub refused: u64,
}

impl Breaker {
    /// A closed breaker; `name` is what events call it, the model's as a rule.
    pub fn new(name: impl Into<Name>, options: BreakerOptions) -> Self {
        Self(Arc::new(Shared {
            name: name.into(),
            circuit: Mutex::new(Circuit::new(options)),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// How it stands.
    pub fn status(&self) -> BreakerStatus {
        let circuit = self.0.circuit.lock();
        let (calls, failures) = circuit.recent();
        BreakerStatus {
            state: circuit.state(),
            open_until: circuit.open_until(),
            calls,
            failures,
            opened: self.0.opened.load(Ordering::Relaxed),
            refused: self.0.refused.load(Ordering::Relaxed),
        }
    }

    /// Asks for leave to make a call. `Err`: not now; how long to wait, where that is known.
    pub(crate) fn ask(&self, now: Instant) -> Result<Pass, Option<Duration>> {
        let (answer, change) = self.0.circuit.lock().ask(now);
        self.announce(change);
        match answer {
            Ok(leave) => Ok(Pass { breaker: self.clone(), leave: Some(leave), now }),
            Err(wait) => {
                self.0.refused.fetch_add(1, Ordering::Relaxed);
                Err(wait)
            }
        }
    }

    /// Without the lock: it is a subscriber's code that runs.
    fn announce(&self, change: Option<Change>) {
        let Some(Change { from, to, wait }) = change else { return };
        let model = &*self.0.name;
        match (to, wait) {
            (BreakerState::Open, wait) => {
                self.0.opened.fetch_add(1, Ordering::Relaxed);
                let wait_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                tracing::warn!(model, ?from, wait_ms, "breaker opened");
            }
            (BreakerState::HalfOpen, _) => tracing::info!(model, ?from, "breaker lets probes through"),
            (BreakerState::Closed, _) => tracing::info!(model, ?from, "breaker closed"),
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("name", &self.0.name).field("status", &self.status()).finish()
    }
}

/// Leave to make one call. Dropped without a word, the call has shown nothing.
#[derive(Debug)]
pub(crate) struct Pass {
    breaker: Breaker,
    leave: Option<Leave>,
    now: Instant,
}

impl Pass {
    /// Tells what the call has shown.
    pub(crate) fn tell(mut self, now: Instant, verdict: Verdict) {
        self.now = now;
        self.end(verdict);
    }

    fn end(&mut self, verdict: Verdict) {
        if let Some(leave) = self.leave.take() {
            let change = self.breaker.0.circuit.lock().tell(self.now, leave, verdict);
            self.breaker.announce(change);
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.end(Verdict::Nothing);
    }
}
