//! One budget of cores for all models of an engine: ten models with two instances each do not thrash two cores, and
//! interactive work goes before bulk work of any model.

mod cores;

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

pub(crate) use cores::MakesWay;
use cores::{Cores, Grant};

use crate::sync::Arc;
use crate::timer::Timer;
use crate::urgency::Urgency;

/// Hands out cores to instance threads, which block until they get one.
///
/// A core is asked for before a batch is taken out of its queue, so that the batch goes on growing meanwhile and what is
/// most urgent by then goes first.
pub(crate) struct Arbiter {
    timer: Timer,
    epoch: Instant,
    total: usize,
    state: Mutex<State>,
    /// All who wait are on one: there are few, and each looks for its own number.
    changed: Condvar,
}

struct State {
    cores: Cores,
    /// Granted, and not yet picked up.
    granted: Vec<Grant>,
}

/// Cores that a run holds; given back when dropped.
pub(crate) struct Permit {
    arbiter: Arc<Arbiter>,
    grant: Grant,
}

impl Arbiter {
    pub(crate) fn new(timer: Timer, cores: usize, ageing: Duration) -> Arc<Self> {
        let (epoch, changed) = (timer.now(), Condvar::new());
        let state = Mutex::new(State { cores: Cores::new(cores, ageing), granted: Vec::new() });
        Arc::new(Self { timer, epoch, total: cores, state, changed })
    }

    /// Since when due times are counted.
    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    /// How many cores there are.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Asks for up to so many cores, without blocking: those that were granted, or the number to [`claim`](Self::claim)
    /// them by.
    pub(crate) fn ask(
        self: &Arc<Self>,
        now: Instant,
        urgency: &Arc<Urgency>,
        wants: usize,
    ) -> Result<Permit, u64> {
        let mut state = self.state.lock();
        match state.cores.ask(now, urgency, wants) {
            Ok(grant) => Ok(Permit { arbiter: Arc::clone(self), grant }),
            Err(id) => {
                self.settle(state, now);
                Err(id)
            }
        }
    }

    /// Picks up what was granted under this number, for a world without threads.
    #[cfg(test)]
    pub(crate) fn claim(self: &Arc<Self>, id: u64) -> Option<Permit> {
        self.claim_from(&mut self.state.lock(), id)
    }

    fn claim_from(self: &Arc<Self>, state: &mut State, id: u64) -> Option<Permit> {
        let at = state.granted.iter().position(|grant| grant.id == id)?;
        Some(Permit { arbiter: Arc::clone(self), grant: state.granted.swap_remove(at) })
    }

    /// Waits no longer for what was asked for under this number.
    pub(crate) fn leave(self: &Arc<Self>, id: u64) {
        let mut state = self.state.lock();
        if !state.cores.leave(id) {
            let unwanted = self.claim_from(&mut state, id);
            drop(state);
            drop(unwanted);
        }
    }

    /// Blocks until there are cores, or until there is nothing to use them for.
    pub(crate) fn acquire(self: &Arc<Self>, urgency: &Arc<Urgency>, wants: usize) -> Option<Permit> {
        let id = match self.ask(self.timer.now(), urgency, wants) {
            Ok(permit) => return Some(permit),
            Err(id) => id,
        };
        let mut state = self.state.lock();
        loop {
            if let Some(permit) = self.claim_from(&mut state, id) {
                return Some(permit);
            }
            if urgency.is_empty() {
                drop(state);
                self.leave(id);
                return None;
            }
            let now = self.timer.now();
            match state.cores.write_off(now) {
                // What was written off is granted to whoever is next, who may be another.
                next if state.cores.has_free() => {
                    let _later = next;
                    self.settle(state, now);
                    state = self.state.lock();
                }
                Some(next) => drop(self.changed.wait_until(&mut state, next)),
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// Something interactive waits that did not before: something may have to give way to it.
    pub(crate) fn make_way(&self, now: Instant) {
        let state = self.state.lock();
        if state.cores.is_contended() {
            self.settle(state, now);
        }
    }

    /// Nothing waits any more where something did: those who came for it look again.
    pub(crate) fn look_again(&self, now: Instant) {
        let state = self.state.lock();
        if state.cores.is_contended() {
            self.changed.notify_all();
            self.settle(state, now);
        }
    }

    /// Takes back the cores of runs that seem to be stuck, for a world without threads.
    #[cfg(test)]
    pub(crate) fn write_off(&self, now: Instant) {
        let mut state = self.state.lock();
        state.cores.write_off(now);
        self.settle(state, now);
    }

    /// Grants what is free, and stops what must give way.
    fn settle(&self, mut state: MutexGuard<'_, State>, now: Instant) {
        let mut anybody = false;
        while let Some(grant) = state.cores.grant_next(now) {
            state.granted.push(grant);
            anybody = true;
        }
        if anybody {
            self.changed.notify_all();
        }
        while let Some(run) = state.cores.victim() {
            // The model's hooks run without the lock.
            MutexGuard::unlocked(&mut state, || run.preempt());
        }
    }

    /// How many cores nobody holds.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.state.lock().cores.free()
    }

    /// How many wait for a core.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.state.lock().cores.waiting()
    }
}

impl Permit {
    /// How many cores these are.
    pub(crate) fn cores(&self) -> usize {
        self.grant.cores
    }

    /// Says what they are used for: how long it should take, and how it makes way for what is interactive.
    pub(crate) fn began(&self, now: Instant, expected: Option<Duration>, makes_way: MakesWay) {
        let may_help = !matches!(makes_way, MakesWay::No);
        let mut state = self.arbiter.state.lock();
        state.cores.began(self.grant.id, now, expected, makes_way);
        if may_help && state.cores.is_contended() {
            self.arbiter.settle(state, now);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.arbiter.state.lock();
        state.cores.release(self.grant.id);
        if state.cores.is_contended() {
            self.arbiter.settle(state, self.arbiter.timer.now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use parking_lot::Mutex;
    use unruffled_model::Priority;

    use super::Arbiter;
    use crate::sync::Arc;
    use crate::timer::Timer;
    use crate::urgency::Urgency;

    #[test]
    fn interactive_work_of_any_model_goes_first() {
        const PATIENCE: Duration = Duration::from_secs(20);
        // However they came: each class is the first to ask in one of the rounds.
        for asked in [[Priority::Normal, Priority::Interactive], [Priority::Interactive, Priority::Normal]] {
            let arbiter = Arbiter::new(Timer::start().unwrap(), 1, PATIENCE);
            let urgency = |class| {
                let urgency = Urgency::new(arbiter.epoch());
                urgency.add(class, arbiter.epoch());
                Arc::new(urgency)
            };
            let held = arbiter.acquire(&urgency(Priority::Normal), 1).unwrap();
            let order = Mutex::new(Vec::new());
            thread::scope(|scope| {
                for (before, class) in asked.into_iter().enumerate() {
                    let (arbiter, order, urgency) = (&arbiter, &order, urgency(class));
                    scope.spawn(move || {
                        let permit = arbiter.acquire(&urgency, 1).unwrap();
                        order.lock().push(class);
                        drop(permit);
                    });
                    let begin = Instant::now();
                    while arbiter.waiting() == before {
                        assert!(begin.elapsed() < PATIENCE, "it has not asked within {PATIENCE:?}");
                        thread::yield_now();
                    }
                }
                drop(held);
            });
            assert_eq!(*order.lock(), [Priority::Interactive, Priority::Normal], "asked: {asked:?}");
        }
    }
}
