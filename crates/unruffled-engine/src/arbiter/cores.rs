//! Who gets a core next, as plain data: takes `now` as an argument and wakes nobody.

use std::time::{Duration, Instant};

use crate::reply::Run;
use crate::sync::Arc;
use crate::urgency::Urgency;

/// A run that takes longer than this, and than several times what it was expected to take, is written off: a model that is
/// stuck costs its instance, not the engine's cores.
const OVERDUE: Duration = Duration::from_secs(1);

/// Several times.
const OVERDUE_FACTOR: u32 = 4;

/// One run that holds cores.
struct Running {
    id: u64,
    cores: usize,
    expected_end: Option<Instant>,
    overdue: Instant,
    makes_way: MakesWay,
}

/// What a run does when something interactive waits for a core.
pub(crate) enum MakesWay {
    /// It goes on: it is none of those that give way, or not known yet.
    No,
    /// It cannot be stopped: somebody else runs beside it, and the system shares the core between the two.
    Lends,
    /// It is stopped.
    Stops(Arc<Run>),
}

impl Running {
    fn victim(&self) -> Option<&Arc<Run>> {
        match &self.makes_way {
            MakesWay::Stops(run) if self.cores > 0 => Some(run),
            _ => None,
        }
    }
}

/// An instance that has work and no core.
struct Waiting {
    id: u64,
    urgency: Arc<Urgency>,
    wants: usize,
    since: Instant,
}

/// The cores of an engine, and who holds them and who waits for them.
pub(crate) struct Cores {
    free: usize,
    /// Granted beside those that hold them; the next ones that are given back are these.
    lent: usize,
    ageing: Duration,
    /// When somebody last went first for having waited too long.
    last_aged: Option<Instant>,
    next_id: u64,
    running: Vec<Running>,
    waiting: Vec<Waiting>,
}

/// Cores that were granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) id: u64,
    pub(crate) cores: usize,
}

impl Cores {
    pub(crate) fn new(cores: usize, ageing: Duration) -> Self {
        Self {
            free: cores,
            lent: 0,
            ageing,
            last_aged: None,
            next_id: 0,
            running: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Asks for up to so many cores. They are granted at once if there are any and nobody waits; otherwise the request
    /// waits under this number.
    pub(crate) fn ask(&mut self, now: Instant, urgency: &Arc<Urgency>, wants: usize) -> Result<Grant, u64> {
        let id = self.next_id;
        self.next_id += 1;
        if self.free > 0 && self.waiting.is_empty() {
            return Ok(self.grant(now, id, wants));
        }
        self.waiting.push(Waiting { id, urgency: Arc::clone(urgency), wants, since: now });
        Err(id)
    }

    fn grant(&mut self, now: Instant, id: u64, wants: usize) -> Grant {
        let cores = wants.min(self.free).max(1);
        let lent = cores.saturating_sub(self.free);
        self.lent += lent;
        self.free -= cores - lent;
        let (expected_end, overdue) = (None, now + OVERDUE);
        self.running.push(Running { id, cores, expected_end, overdue, makes_way: MakesWay::No });
        Grant { id, cores }
    }

    fn give_back(&mut self, cores: usize) {
        let paid_back = cores.min(self.lent);
        self.lent -= paid_back;
        self.free += cores - paid_back;
    }

    /// Whether bulk runs that cannot be stopped hold more cores than were lent.
    fn can_lend(&self) -> bool {
        let lenders = self.running.iter().filter(|running| matches!(running.makes_way, MakesWay::Lends));
        lenders.map(|running| running.cores).sum::<usize>() > self.lent
    }

    /// Grants what is free to the most urgent who waits, and what can be lent to what is interactive. To be called until it
    /// grants nothing.
    pub(crate) fn grant_next(&mut self, now: Instant) -> Option<Grant> {
        if self.free == 0 {
            let urgent = |(_, waiting): &(usize, &Waiting)| waiting.urgency.is_interactive();
            let urgent = self.waiting.iter().enumerate().filter(urgent);
            let (at, _) = urgent
                .filter(|_| self.can_lend())
                .min_by_key(|(_, waiting)| (waiting.urgency.get(), waiting.id))?;
            let Waiting { id, .. } = self.waiting.remove(at);
            return Some(self.grant(now, id, 1));
        }
        // What was passed over for too long goes first, but not all of it at once: one grant each time.
        let is_due = self.last_aged.is_none_or(|last| now.saturating_duration_since(last) >= self.ageing);
        let is_aged = |waiting: &Waiting| {
            let waited = now.saturating_duration_since(waiting.since);
            is_due && (waited >= self.ageing || waiting.urgency.is_aged())
        };
        // Those that have waited for too long, the longest first; then the most urgent.
        let order = |waiting: &Waiting| {
            let aged = is_aged(waiting);
            (!aged, aged.then_some(waiting.since), waiting.urgency.get(), waiting.id)
        };
        let (at, (not_aged, ..)) =
            self.waiting.iter().map(order).enumerate().min_by_key(|(_, order)| *order)?;
        if !not_aged {
            self.last_aged = Some(now);
        }
        let Waiting { id, wants, .. } = self.waiting.remove(at);
        Some(self.grant(now, id, wants))
    }

    /// What the cores are used for, told once that is known.
    pub(crate) fn began(&mut self, id: u64, now: Instant, expected: Option<Duration>, makes_way: MakesWay) {
        let Some(running) = self.running.iter_mut().find(|running| running.id == id) else { return };
        running.expected_end = expected.map(|expected| now + expected);
        running.makes_way = makes_way;
        running.overdue = now + expected.map_or(OVERDUE, |expected| OVERDUE.max(expected * OVERDUE_FACTOR));
    }

    /// Gives cores back.
    pub(crate) fn release(&mut self, id: u64) {
        if let Some(at) = self.running.iter().position(|running| running.id == id) {
            let cores = self.running.swap_remove(at).cores;
            self.give_back(cores);
        }
    }

    /// Forgets somebody who waited; false if it was granted meanwhile.
    pub(crate) fn leave(&mut self, id: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.id != id);
        self.waiting.len() < before
    }

    /// A bulk run to be stopped, because something interactive waits for a core. To be called until there is none.
    pub(crate) fn victim(&self) -> Option<Arc<Run>> {
        // Several instances of one model may have come for the same request.
        let urgent = self.waiting.iter().enumerate().filter(|(at, waiting)| {
            let same = |other: &Waiting| Arc::ptr_eq(&other.urgency, &waiting.urgency);
            waiting.urgency.is_interactive() && !self.waiting[..*at].iter().any(same)
        });
        let victims = self.running.iter().filter_map(|running| Some((running, running.victim()?)));
        let soon_free: usize =
            victims.clone().filter(|(_, run)| run.is_yielding()).map(|(running, _)| running.cores).sum();
        if urgent.count() <= soon_free + self.free {
            return None;
        }
        let stoppable = victims.filter(|(_, run)| !run.cancel_token().is_cancelled());
        // The one that has the most left to do.
        stoppable.max_by_key(|(running, _)| running.expected_end).map(|(_, run)| Arc::clone(run))
    }

    /// Takes back the cores of runs that seem to be stuck, and says when the next will.
    pub(crate) fn write_off(&mut self, now: Instant) -> Option<Instant> {
        let overdue = self.running.iter_mut().filter(|running| running.overdue <= now);
        let cores = overdue.map(|running| std::mem::take(&mut running.cores)).sum();
        self.give_back(cores);
        self.running.iter().filter(|running| running.cores > 0).map(|running| running.overdue).min()
    }

    /// Whether anybody waits.
    pub(crate) fn is_contended(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether there is a core that nobody holds.
    pub(crate) fn has_free(&self) -> bool {
        self.free > 0
    }

    /// How many cores nobody holds.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.free
    }

    /// How many wait for a core.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
