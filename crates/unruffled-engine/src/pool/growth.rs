//! Growth: instances are added while work waits for too long, and let go after some idleness.

use std::time::{Duration, Instant};

use super::withdrawal::Aftermath;
use super::{Phase, Pool, State};

/// The least time between two looks at what is due and could not be done.
const PAUSE: Duration = Duration::from_millis(1);

impl<I: Send + 'static, O: Send + 'static> Pool<I, O> {
    /// Whether there may be more instances at one time than at another.
    fn is_elastic(&self) -> bool {
        self.options.instances_max > self.options.instances
    }

    /// The time, where it matters how long instances have been idle.
    pub(super) fn idle_from(&self) -> Instant {
        if self.is_elastic() { self.now() } else { self.environment.arbiter.epoch() }
    }

    /// Something waits that nobody is there to take: has one more instance built if it will wait too long, or sees to it that
    /// this is asked again in time.
    pub(super) fn grow(&self, state: &mut State<I, O>, now: Instant, aftermath: &mut Aftermath<I, O>) {
        if !self.is_elastic() {
            return;
        }
        if self.call_one_more(state, now) {
            aftermath.build = true;
            now.checked_add(self.options.shrink_after).into_iter().for_each(|at| aftermath.wake_timer(at));
        }
        let due = state.roster.growth_due(self.options.grow_after);
        due.into_iter().for_each(|due| aftermath.wake_timer(due));
    }

    /// Adds an instance, or lets one go, if it is time for it; says when to look again.
    pub(super) fn resize(
        &self,
        state: &mut State<I, O>,
        now: Instant,
        aftermath: &mut Aftermath<I, O>,
    ) -> Option<Instant> {
        if !self.is_elastic() || !matches!(state.phase, Phase::Open) {
            return None;
        }
        aftermath.build |= self.call_one_more(state, now);
        // What is due and cannot be done yet is looked at again, but not all the time.
        let later = now.checked_add(self.options.grow_after.max(PAUSE));
        let growth = state.roster.growth_due(self.options.grow_after).max(later);
        let growth = growth.filter(|_| state.roster.may_grow());
        if state.roster.filled() == state.roster.least() {
            return growth;
        }
        // One at a time. Those that are there must be enough, whatever is being replaced just now.
        let idle = state.seats.longest_idle().filter(|_| state.queue.is_empty());
        let shrink = match idle {
            Some((slot, since)) if now.saturating_duration_since(since) >= self.options.shrink_after => {
                if state.live > state.roster.least() && state.roster.send_away(slot) {
                    let left = state.seats.leave(slot);
                    debug_assert!(left, "who is idle has a seat");
                    aftermath.calls.push(slot);
                }
                now.checked_add(PAUSE)
            }
            Some((_, since)) => since.checked_add(self.options.shrink_after),
            None => now.checked_add(self.options.shrink_after.max(PAUSE)),
        };
        [growth, shrink].into_iter().flatten().min()
    }

    /// Calls a spare thread to build an instance, if work will wait too long. One at a time, and none that could get no core.
    fn call_one_more(&self, state: &mut State<I, O>, now: Instant) -> bool {
        let free = state.live - state.holds.count().min(state.live);
        let threads = self.model.info().threads;
        let has_core = threads == 0 || free * threads < self.environment.arbiter.total();
        if state.building > 0 || !has_core || !matches!(state.phase, Phase::Open) {
            return false;
        }
        let hands = self.hands(state, None);
        let outlook = self
            .forecast(&self.costs.lock(), now)
            .drain_time(state.queue.rows(), hands)
            .filter(|_| hands > 0);
        let called = state.roster.wants_more(now, self.options.grow_after, outlook)
            && state.roster.call(now).is_some();
        state.building += usize::from(called);
        called
    }

    /// A slot's thread goes to build an instance, which is counted among those on their way. False: none is wanted there.
    pub(super) fn begin_in(state: &mut State<I, O>, slot: usize) -> bool {
        let wanted = !state.roster.is_spare(slot);
        if wanted && !state.roster.begin(slot) {
            state.building += 1;
        }
        wanted
    }

    /// As a thread does.
    #[cfg(test)]
    pub(crate) fn begin(&self, slot: usize) -> bool {
        Self::begin_in(&mut self.state.lock(), slot)
    }

    /// How many instances are on their way.
    #[cfg(test)]
    pub(crate) fn building(&self) -> usize {
        self.state.lock().building
    }

    /// How many instances are wanted.
    #[cfg(test)]
    pub(crate) fn wanted(&self) -> usize {
        self.state.lock().roster.filled()
    }

    /// A slot's thread has let its instance go, or has none any more: whether that was asked.
    pub(crate) fn left(&self, slot: usize) -> bool {
        self.state.lock().roster.left(slot)
    }

    /// Whether no instance is wanted in a slot.
    #[cfg(test)]
    pub(crate) fn is_spare(&self, slot: usize) -> bool {
        self.state.lock().roster.is_spare(slot)
    }

    /// Whether a slot's instance is to be let go.
    #[cfg(test)]
    pub(crate) fn is_leaving(&self, slot: usize) -> bool {
        self.state.lock().roster.is_leaving(slot)
    }
}
