//! One budget of memory for all models of an engine: loads go one after the other, and what nobody uses makes room.

mod budget;

mod ledger;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use unruffled_model::{CancelToken, Name};

pub use budget::{MemoryBudget, MemoryReport, ModelMemory};
use ledger::{Ledger, Verdict};

use crate::error::{Error, ErrorKind};

/// A model in memory, as far as room for others is concerned.
pub(crate) trait Resident: Send + Sync {
    /// Since when nobody has asked for it, if nobody uses it.
    fn idle_since(&self) -> Option<Instant>;

    /// Has it leave, unless somebody uses it by now. It has left when its [`Charge`] is dropped.
    fn evict(&self) -> bool;

    /// When it left, so much came back: more than it was taken for.
    fn weighed(&self, bytes: usize);
}

/// The memory that models take, and those that wait for some.
pub(crate) struct Memory {
    budget: Option<MemoryBudget>,
    state: Mutex<State>,
    /// How often something has changed while somebody waited. A leaf among locks: nothing else is locked under it.
    changes: Mutex<u64>,
    changed: Condvar,
    waiting: AtomicUsize,
}

struct State {
    ledger: Ledger,
    residents: BTreeMap<u64, Weak<dyn Resident>>,
    /// Loads in the order in which they were asked for; the first one's turn it is.
    line: VecDeque<u64>,
    next_place: u64,
    /// What was given back and is still the process's: loads to come may find it there instead of asking the system.
    slack: usize,
    /// What has been given back so far, all together.
    given_back: usize,
    loads: u64,
    evictions: u64,
}

/// What a load that wants room is to do.
pub(crate) enum Look {
    /// Go on: it is its turn and there is room.
    Fits,
    /// Look again when something has changed.
    Wait,
    /// Give up: it has no room, whoever goes.
    Never(Error),
}

impl Memory {
    pub(crate) fn new(budget: Option<MemoryBudget>) -> Arc<Self> {
        let state = State {
            ledger: Ledger::new(budget.map_or(usize::MAX, |budget| budget.bytes)),
            residents: BTreeMap::new(),
            line: VecDeque::new(),
            next_place: 0,
            slack: 0,
            given_back: 0,
            loads: 0,
            evictions: 0,
        };
        Arc::new(Self {
            budget,
            state: Mutex::new(state),
            changes: Mutex::new(0),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// Whether there is a budget: without one, every load begins at once and nothing is weighed.
    pub(crate) fn is_bounded(&self) -> bool {
        self.budget.is_some()
    }

    /// Something has changed that loads may have waited for: somebody is idle, or gone. Next to nothing if nobody waits; may
    /// be called under a pool's lock.
    pub(crate) fn stir(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            *self.changes.lock() += 1;
            self.changed.notify_all();
        }
    }

    /// A place at the end of the line.
    pub(crate) fn line_up(self: &Arc<Self>) -> Place {
        let mut state = self.state.lock();
        let number = state.next_place;
        state.next_place += 1;
        state.line.push_back(number);
        drop(state);
        Place { memory: Arc::clone(self), number, going: None }
    }

    pub(crate) fn report(&self) -> Option<MemoryReport> {
        let budget = self.budget?.bytes;
        let state = self.state.lock();
        let (used, models) = (state.ledger.used(), state.ledger.models());
        Some(MemoryReport { budget, used, models, loads: state.loads, evictions: state.evictions })
    }

    /// Why a load has no room.
    pub(crate) fn shortage(&self, need: usize) -> Error {
        let text = self.state.lock().ledger.shortage(need);
        let remedy = "and nothing could be put out in time; try again later, or give the engine more memory";
        Error::new(ErrorKind::Overloaded, format!("{text}, {remedy}"))
    }

    /// Those in memory that nobody uses, and since when. Asks them without the lock: they have locks of their own.
    fn idle(&self) -> Vec<(u64, Instant)> {
        let residents: Vec<_> =
            self.state.lock().residents.iter().map(|(id, one)| (*id, one.clone())).collect();
        let idle = |(id, one): (u64, Weak<dyn Resident>)| Some((id, one.upgrade()?.idle_since()?));
        residents.into_iter().filter_map(idle).collect()
    }

    fn measure(&self) -> Option<Measured> {
        let given_back = || self.state.lock().given_back;
        let before = given_back();
        let resident = self.budget.as_ref()?.measure()?;
        Some(Measured { resident, given_back: (before, given_back()) })
    }
}

/// How much memory the process had, and what models had given back by then: just before it was measured, and just after.
///
/// What goes while it is measured may be seen in the one and not in the other. Then a model is said to take more, not less.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    resident: usize,
    given_back: (usize, usize),
}

impl Measured {
    /// What has come on top since then, though others may have gone meanwhile.
    fn grown_until(self, after: Self) -> usize {
        let gone = after.given_back.1.wrapping_sub(self.given_back.0);
        after.resident.saturating_add(gone).saturating_sub(self.resident)
    }

    /// What has come back since then of the one that had so much, others that went meanwhile aside.
    fn shrunk_until(self, after: Self, bytes: usize) -> usize {
        let others = after.given_back.1.wrapping_sub(self.given_back.0).saturating_sub(bytes);
        self.resident.saturating_sub(after.resident).saturating_sub(others)
    }
}

/// A load's place in the line; given up when dropped. The one at the front may load, alone.
pub(crate) struct Place {
    memory: Arc<Memory>,
    number: u64,
    /// Who was told to go on its behalf, and how much memory the process had before.
    going: Option<Going>,
}

struct Going {
    id: u64,
    bytes: usize,
    resident: Arc<dyn Resident>,
    before: Option<Measured>,
}

impl Place {
    /// Looks whether it may begin, and has somebody leave if that helps. Never blocks.
    pub(crate) fn look(&mut self, need: usize) -> Look {
        if !self.memory.is_bounded() {
            return Look::Fits;
        }
        let memory = Arc::clone(&self.memory);
        if !self.has_gone() {
            return Look::Wait;
        }
        loop {
            let idle = memory.idle();
            let state = memory.state.lock();
            if state.line.front() != Some(&self.number) {
                return Look::Wait;
            }
            let verdict = state.ledger.decide(need, &idle);
            match verdict {
                Verdict::Fits => return Look::Fits,
                Verdict::Wait => return Look::Wait,
                Verdict::Never => {
                    let text = state.ledger.shortage(need);
                    let remedy =
                        "and those that could be put out are not enough; give the engine more memory";
                    return Look::Never(Error::new(ErrorKind::Overloaded, format!("{text}, {remedy}")));
                }
                Verdict::Evict(id) => {
                    let resident = state.residents.get(&id).and_then(Weak::upgrade);
                    drop(state);
                    let before = memory.measure();
                    let Some(resident) = resident.filter(|resident| resident.evict()) else { continue };
                    let mut state = memory.state.lock();
                    let bytes = state.ledger.leaves(id);
                    state.evictions += 1;
                    drop(state);
                    self.going = Some(Going { id, bytes, resident, before });
                    // One at a time, so that what each gives back can be told.
                    if !self.has_gone() {
                        return Look::Wait;
                    }
                }
            }
        }
    }

    /// Whether the one that was told to go has gone. Then what has come back is compared with what it was taken for.
    fn has_gone(&mut self) -> bool {
        let Some(Going { id, .. }) = &self.going else { return true };
        if self.memory.state.lock().ledger.holds(*id) {
            return false;
        }
        let Some(Going { bytes, resident, before, .. }) = self.going.take() else { return true };
        if let (Some(before), Some(after)) = (before, self.memory.measure()) {
            let back = before.shrunk_until(after, bytes);
            if back > bytes {
                resident.weighed(back);
            }
            self.memory.state.lock().slack += bytes.saturating_sub(back);
        }
        true
    }

    /// Blocks until it may begin.
    ///
    /// # Errors
    ///
    /// `Cancelled`, or `Overloaded` if it has no room whoever goes.
    pub(crate) fn wait(&mut self, need: usize, cancel: &CancelToken) -> Result<(), Error> {
        let memory = Arc::clone(&self.memory);
        let _waiting = Waiting::new(&memory);
        let stirred = Arc::downgrade(&memory);
        let _hook = cancel.on_cancel(move || {
            if let Some(memory) = stirred.upgrade() {
                memory.stir();
            }
        });
        loop {
            // Read before anything is looked at: what changes afterwards is not slept over.
            let seen = *memory.changes.lock();
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "the load was cancelled"));
            }
            match self.look(need) {
                Look::Fits => return Ok(()),
                Look::Never(error) => return Err(error),
                Look::Wait => {}
            }
            let mut changes = memory.changes.lock();
            while *changes == seen {
                memory.changed.wait(&mut changes);
            }
        }
    }

    /// How much memory the process has now, to be given to [`weigh`](Self::weigh) once the model is there.
    pub(crate) fn measure(&self) -> Option<Measured> {
        self.memory.measure()
    }

    /// What a model takes that has been loaded since `before` was measured; `expected` is what is known or said of it.
    pub(crate) fn weigh(&self, before: Option<Measured>, expected: usize) -> usize {
        let Some((before, after)) = before.zip(self.memory.measure()) else { return expected };
        let grown = before.grown_until(after);
        // What it found in the process's own stock did not make the process grow.
        let mut state = self.memory.state.lock();
        let reused = expected.saturating_sub(grown).min(state.slack);
        state.slack -= reused;
        grown + reused
    }

    /// Takes the memory of a model that has been loaded, and for which there is room.
    pub(crate) fn charge(
        &self,
        name: &Name,
        version: &Name,
        bytes: usize,
        resident: Weak<dyn Resident>,
        may_leave: bool,
    ) -> Charge {
        let mut state = self.memory.state.lock();
        let id = state.ledger.take(name, version, bytes, may_leave);
        state.residents.insert(id, resident);
        Charge { memory: Arc::clone(&self.memory), id }
    }

    /// The load has come to a good end.
    pub(crate) fn succeeded(&self) {
        self.memory.state.lock().loads += 1;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.memory.state.lock().line.retain(|number| *number != self.number);
        self.memory.stir();
    }
}

/// Memory that a model takes; given back when dropped.
pub(crate) struct Charge {
    memory: Arc<Memory>,
    id: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut state = self.memory.state.lock();
        let bytes = state.ledger.give_back(self.id);
        state.given_back = state.given_back.wrapping_add(bytes);
        let resident = state.residents.remove(&self.id);
        drop(state);
        drop(resident);
        self.memory.stir();
    }
}

/// Somebody who is to be told of changes.
struct Waiting<'a>(&'a Memory);

impl<'a> Waiting<'a> {
    fn new(memory: &'a Memory) -> Self {
        memory.waiting.fetch_add(1, Ordering::SeqCst);
        Self(memory)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
