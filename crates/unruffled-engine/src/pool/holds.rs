//! Which instances are leased, to whom, and the calls that wait for each: plain data.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use unruffled_model::RequestId;

use super::Waiting;
use crate::error::Error;
use crate::queue::{Full, QueueLimits};
use crate::reply::Ticket;
use crate::urgency::{Next, Urgency};

/// One lease, shared by its holder and the pool. It remembers who took it: it can delay a shutdown.
#[derive(Debug)]
pub(crate) struct Hold {
    id: RequestId,
    ended: OnceLock<Error>,
}

impl Hold {
    pub(crate) fn new(id: RequestId) -> Arc<Self> {
        Arc::new(Self { id, ended: OnceLock::new() })
    }

    /// The name of the request that asked for it.
    pub(crate) fn id(&self) -> &RequestId {
        &self.id
    }

    /// Why it is over, unless its holder let it go.
    pub(crate) fn ended(&self) -> Option<&Error> {
        self.ended.get()
    }

    pub(super) fn end(&self, error: Error) {
        self.ended.get_or_init(|| error);
    }
}

/// One leased instance.
struct Held<I, O> {
    hold: Arc<Hold>,
    /// Calls in the order in which they came.
    line: VecDeque<Waiting<I, O>>,
    bytes: usize,
    runs: bool,
    /// When its last call ended, or it was granted.
    used: Instant,
}

impl<I, O> Held<I, O> {
    fn idle_since(&self) -> Option<Instant> {
        (!self.runs && self.line.is_empty()).then_some(self.used)
    }
}

/// A lease that is over, and the calls that still waited for its instance.
pub(super) struct Over<I, O> {
    pub(super) hold: Arc<Hold>,
    pub(super) line: VecDeque<Waiting<I, O>>,
}

/// The leases of a pool, by slot.
pub(super) struct Holds<I, O> {
    slots: Vec<Option<Box<Held<I, O>>>>,
    count: usize,
    /// How urgent each one's next call is; read without the lock.
    urgencies: Vec<Arc<Urgency>>,
}

impl<I, O> Holds<I, O> {
    pub(super) fn new(urgencies: Vec<Arc<Urgency>>) -> Self {
        Self { slots: urgencies.iter().map(|_| None).collect(), count: 0, urgencies }
    }

    /// How many instances are leased.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn is_held(&self, slot: usize) -> bool {
        self.slots[slot].is_some()
    }

    /// Who has the instance.
    #[cfg(test)]
    pub(super) fn holder(&self, slot: usize) -> Option<&RequestId> {
        self.slots[slot].as_ref().map(|held| held.hold.id())
    }

    /// The instance of a lease, unless it is over.
    pub(super) fn slot_of(&self, hold: &Arc<Hold>) -> Option<usize> {
        let is_it = |held: &Held<I, O>| Arc::ptr_eq(&held.hold, hold);
        self.slots.iter().position(|held| held.as_deref().is_some_and(is_it))
    }

    pub(super) fn grant(&mut self, slot: usize, hold: Arc<Hold>, now: Instant) {
        let held = Held { hold, line: VecDeque::new(), bytes: 0, runs: false, used: now };
        let before = self.slots[slot].replace(Box::new(held));
        debug_assert!(before.is_none(), "an instance has one holder at a time");
        self.count += 1;
    }

    /// Whether a call waits for this instance.
    pub(super) fn has_call(&self, slot: usize) -> bool {
        self.slots[slot].as_ref().is_some_and(|held| !held.line.is_empty())
    }

    /// What one more call finds before it: calls, their rows, and runs.
    pub(super) fn ahead(&self, slot: usize) -> (usize, usize, usize) {
        let Some(held) = &self.slots[slot] else { return (0, 0, 0) };
        let rows = held.line.iter().map(|call| call.ticket.footprint().rows).sum();
        (held.line.len(), rows, usize::from(held.runs))
    }

    /// Whether there is room for one more call.
    pub(super) fn has_room(&self, slot: usize, bytes: usize, limits: QueueLimits) -> Result<(), Full> {
        let Some(held) = &self.slots[slot] else { return Ok(()) };
        if held.line.len() >= limits.items {
            return Err(Full::Items);
        }
        match held.bytes.checked_add(bytes) {
            Some(bytes) if bytes <= limits.bytes => Ok(()),
            _ => Err(Full::Bytes),
        }
    }

    /// Puts a call at the end of the line.
    pub(super) fn push(&mut self, slot: usize, call: Waiting<I, O>) {
        let Some(held) = &mut self.slots[slot] else { return };
        held.bytes += call.ticket.footprint().bytes;
        held.line.push_back(call);
        self.publish(slot);
    }

    /// Takes the next call, which is then taken to run until [`rest`](Self::rest).
    pub(super) fn take(&mut self, slot: usize) -> Option<Waiting<I, O>> {
        let held = self.slots[slot].as_mut()?;
        let call = held.line.pop_front()?;
        held.bytes -= call.ticket.footprint().bytes;
        held.runs = true;
        self.publish(slot);
        Some(call)
    }

    /// What was taken is over.
    pub(super) fn rest(&mut self, slot: usize, now: Instant) {
        if let Some(held) = &mut self.slots[slot] {
            (held.runs, held.used) = (false, now);
        }
    }

    /// Takes a call out of whichever line it waits in.
    pub(super) fn remove(&mut self, ticket: &Ticket<O>, now: Instant) -> Option<Waiting<I, O>> {
        if self.count == 0 {
            return None;
        }
        for slot in 0..self.slots.len() {
            let Some(held) = &mut self.slots[slot] else { continue };
            let is_it = |call: &Waiting<I, O>| std::ptr::eq(&*call.ticket, ticket);
            let Some(at) = held.line.iter().position(is_it) else { continue };
            let call = held.line.remove(at)?;
            held.bytes -= call.ticket.footprint().bytes;
            held.used = now;
            self.publish(slot);
            return Some(call);
        }
        None
    }

    /// Ends the lease of a slot. What runs there goes on.
    pub(super) fn end(&mut self, slot: usize) -> Option<Over<I, O>> {
        let held = *self.slots[slot].take()?;
        self.count -= 1;
        self.urgencies[slot].set(None);
        Some(Over { hold: held.hold, line: held.line })
    }

    /// A slot whose lease has been idle for so long.
    pub(super) fn forgotten(&self, now: Instant, most: Duration) -> Option<usize> {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= most;
        let idle = |held: &Held<I, O>| held.idle_since().is_some_and(is_over);
        self.slots.iter().position(|held| held.as_deref().is_some_and(idle))
    }

    /// When to look for forgotten leases next.
    pub(super) fn next_look(&self, now: Instant, most: Duration) -> Option<Instant> {
        let due = |held: &Held<I, O>| held.idle_since().unwrap_or(now).checked_add(most);
        self.slots.iter().flatten().filter_map(|held| due(held)).min()
    }

    fn publish(&self, slot: usize) {
        let first = self.slots[slot].as_ref().and_then(|held| held.line.front());
        let next = first.map(|call| {
            let key = call.ticket.key();
            Next { class: key.class(), due: key.due(), aged: false }
        });
        self.urgencies[slot].set(next);
    }
}
