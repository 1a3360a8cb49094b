//! [`Seats`]: the places for connections, and who has to go when they are all taken.
//!
//! A connection that idles costs its client nothing; were it to keep its place, a few thousand of them would lock out
//! everybody else. So when all places are taken and somebody comes, the one that has idled longest goes. One that waits for
//! the rest of a request's head idles too. If nobody idles, the request goes whose body has been on its way longest: whoever
//! sends a byte now and then keeps nobody out either. Nobody is sent away who has sent all and awaits an answer.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::peer;

/// All places. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Seats(Arc<Inner>);

struct Inner {
    most: usize,
    most_per_peer: Option<NonZeroUsize>,
    taken: Mutex<Taken>,
    /// A place has become free, or somebody has begun to idle.
    changed: Notify,
    /// Counts on with every beginning of idleness, and so says which was first.
    clock: AtomicU64,
}

#[derive(Default)]
struct Taken {
    seats: HashMap<u64, Arc<Sitter>>,
    by_peer: HashMap<IpAddr, usize>,
    next: u64,
    /// Who idled when this was last made, and since when, the longest first. Whoever has begun to idle after that comes
    /// after all of them.
    idlers: VecDeque<(u64, u64)>,
    /// Who has been asked to go and has not gone yet: one at a time, for whom one waits.
    leaving: Option<u64>,
}

/// What is known of one connection.
struct Sitter {
    /// Requests in progress, but those that wait for their client, and answers that their reader does not take.
    busy: AtomicIsize,
    /// Since when the client has been waited for, by the clock of [`Inner`].
    idle_since: AtomicU64,
    leave: Notify,
}

/// The place of one connection; free again when dropped.
pub(crate) struct Seat {
    seats: Seats,
    number: u64,
    network: IpAddr,
    sitter: Arc<Sitter>,
}

/// Set in the time since when a client is waited for that has begun to send a body: all who idle go before.
const SENDING: u64 = 1 << 63;

/// Whose turn it is in a request, as its [`Busy`] does not know: while it waits for more of its body, it is the client's,
/// until the answer begins. From then on body and answer may go side by side, and the answer counts.
pub(crate) struct Turn {
    state: AtomicU8,
    since: u64,
    seats: Seats,
    sitter: Arc<Sitter>,
}

/// The states of a [`Turn`].
const OURS: u8 = 0;
const THEIRS: u8 = 1;
const ANSWERED: u8 = 2;

/// Keeps a connection from being sent away.
pub(crate) struct Busy {
    seats: Seats,
    sitter: Arc<Sitter>,
}

impl Seats {
    pub(crate) fn new(most: usize, most_per_peer: Option<NonZeroUsize>) -> Self {
        let (taken, changed, clock) = (Mutex::default(), Notify::new(), AtomicU64::new(0));
        Self(Arc::new(Inner { most, most_per_peer, taken, changed, clock }))
    }

    /// Whether a connection of this address would be one too many of it.
    pub(crate) fn has_enough_of(&self, address: IpAddr) -> bool {
        let Some(most) = self.0.most_per_peer else { return false };
        let count = self.0.taken.lock().by_peer.get(&peer::network(address)).copied();
        count.is_some_and(|count| count >= most.get())
    }

    /// A place for a connection of this address, once there is one. At most one at a time may wait for it.
    ///
    /// Nothing is lost if it is dropped before its end.
    pub(crate) async fn take(&self, address: IpAddr) -> Seat {
        loop {
            // What changes from here on is noticed below.
            let changed = self.0.changed.notified();
            if let Some(seat) = self.try_take(address) {
                return seat;
            }
            changed.await;
        }
    }

    /// A free place; if there is none, the one who has idled longest is asked to go.
    fn try_take(&self, address: IpAddr) -> Option<Seat> {
        let mut taken = self.0.taken.lock();
        if taken.seats.len() >= self.0.most {
            if taken.leaving.is_none()
                && let Some((number, sitter)) = taken.longest_idle()
            {
                taken.leaving = Some(number);
                sitter.leave.notify_one();
            }
            return None;
        }
        let (number, network) = (taken.next, peer::network(address));
        let sitter = Arc::new(Sitter {
            busy: AtomicIsize::new(0),
            idle_since: AtomicU64::new(self.0.now()),
            leave: Notify::new(),
        });
        taken.next += 1;
        taken.seats.insert(number, Arc::clone(&sitter));
        *taken.by_peer.entry(network).or_default() += 1;
        Some(Seat { seats: self.clone(), number, network, sitter })
    }
}

impl Inner {
    fn now(&self) -> u64 {
        // Relaxed: it orders nothing but itself.
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

impl Taken {
    fn longest_idle(&mut self) -> Option<(u64, Arc<Sitter>)> {
        self.next_idler().or_else(|| {
            let idle = self.seats.iter().filter(|(_, sitter)| !sitter.is_busy());
            let mut idle: Vec<_> = idle.map(|(number, sitter)| (*number, sitter.idle_since())).collect();
            idle.sort_unstable_by_key(|(_, since)| *since);
            self.idlers = idle.into();
            self.next_idler()
        })
    }

    /// The first on the list who idles still.
    fn next_idler(&mut self) -> Option<(u64, Arc<Sitter>)> {
        while let Some((number, since)) = self.idlers.pop_front() {
            let sitter =
                self.seats.get(&number).filter(|sitter| !sitter.is_busy() && sitter.idle_since() == since);
            if let Some(sitter) = sitter {
                return Some((number, Arc::clone(sitter)));
            }
        }
        None
    }
}

impl Sitter {
    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    fn idle_since(&self) -> u64 {
        self.idle_since.load(Ordering::Relaxed)
    }
}

impl Seat {
    /// Marks the connection as busy, as long as what comes back is kept.
    pub(crate) fn busy(&self) -> Busy {
        self.sitter.busy.fetch_add(1, Ordering::AcqRel);
        Busy { seats: self.seats.clone(), sitter: Arc::clone(&self.sitter) }
    }

    /// Whose turn it is in a request that has just begun, beside its [`Busy`].
    pub(crate) fn turn(&self) -> Arc<Turn> {
        Arc::new(Turn {
            state: AtomicU8::new(OURS),
            since: self.seats.0.now() | SENDING,
            seats: self.seats.clone(),
            sitter: Arc::clone(&self.sitter),
        })
    }

    /// Waits until the connection is idle and its place is needed. To be polled where the connection is, so that no request
    /// can come in between.
    pub(crate) async fn dismissed(&self) {
        loop {
            self.sitter.leave.notified().await;
            if !self.sitter.is_busy() {
                return;
            }
            // A request has come meanwhile: another one has to go.
            self.seats.0.taken.lock().leaving = None;
            self.seats.0.changed.notify_one();
        }
    }
}

impl Turn {
    /// The client has to send more.
    pub(crate) fn is_theirs(&self) {
        if self.moves(OURS, THEIRS) {
            self.sitter.idle_since.store(self.since, Ordering::Relaxed);
            if self.sitter.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.seats.0.changed.notify_one();
            }
        }
    }

    /// Something has come, or nothing more is wanted.
    pub(crate) fn is_ours(&self) {
        if self.moves(THEIRS, OURS) {
            self.sitter.busy.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The answer begins.
    pub(crate) fn is_answered(&self) {
        if self.state.swap(ANSWERED, Ordering::AcqRel) == THEIRS {
            self.sitter.busy.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn moves(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.taken.lock();
        taken.seats.remove(&self.number);
        if let Some(count) = taken.by_peer.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.by_peer.remove(&self.network);
            }
        }
        if taken.leaving == Some(self.number) {
            taken.leaving = None;
        }
        drop(taken);
        self.seats.0.changed.notify_one();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.sitter.idle_since.store(self.seats.0.now(), Ordering::Relaxed);
        if self.sitter.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.seats.0.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroUsize;

    use super::{Seat, Seats};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn is_dismissed(seat: &Seat) -> bool {
        let mut dismissed = std::pin::pin!(seat.dismissed());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        dismissed.as_mut().poll(&mut cx).is_ready()
    }

    fn three() -> (Seats, [Seat; 3]) {
        let seats = Seats::new(3, None);
        let taken = [(); 3].map(|()| seats.try_take(HERE).unwrap());
        (seats, taken)
    }

    #[test]
    fn the_longest_idle_goes() {
        let (seats, [first, second, third]) = three();
        drop(first.busy());
        assert!(seats.try_take(HERE).is_none());
        assert!(is_dismissed(&second) && !is_dismissed(&first) && !is_dismissed(&third));
        // Until it has gone nobody else is sent away.
        assert!(seats.try_take(HERE).is_none());
        assert!(!is_dismissed(&first) && !is_dismissed(&third));
        drop(second);
        let newcomer = seats.try_take(HERE).unwrap();
        assert!(seats.try_take(HERE).is_none());
        assert!(is_dismissed(&third) && !is_dismissed(&newcomer));
    }

    #[test]
    fn the_busy_stay() {
        let (seats, [first, second, third]) = three();
        let _busy = [&first, &second, &third].map(Seat::busy);
        assert!(seats.try_take(HERE).is_none());
        assert!([&first, &second, &third].into_iter().all(|seat| !is_dismissed(seat)));
    }

    #[test]
    fn who_has_become_busy_stays_and_another_goes() {
        let (seats, [first, second, _third]) = three();
        assert!(seats.try_take(HERE).is_none());
        let _busy = first.busy();
        assert!(!is_dismissed(&first));
        assert!(seats.try_take(HERE).is_none());
        assert!(is_dismissed(&second));
    }

    #[test]
    fn who_is_sent_to_goes_after_those_who_idle() {
        let (seats, [first, second, third]) = three();
        let (_busy, turn) = (first.busy(), first.turn());
        turn.is_theirs();
        let answered = third.busy();
        assert!(seats.try_take(HERE).is_none());
        assert!(is_dismissed(&second) && !is_dismissed(&first));
        drop(second);
        let second = seats.try_take(HERE).unwrap();
        let _busy = second.busy();
        assert!(seats.try_take(HERE).is_none());
        assert!(is_dismissed(&first), "all others are busy");
        drop(answered);
    }

    #[test]
    fn turns_come_and_go() {
        let (seats, [first, second, third]) = three();
        let _others = [second.busy(), third.busy()];
        let (busy, turn) = (first.busy(), first.turn());
        turn.is_theirs();
        turn.is_theirs();
        turn.is_ours();
        turn.is_ours();
        assert!(seats.try_take(HERE).is_none());
        assert!(!is_dismissed(&first));
        turn.is_theirs();
        turn.is_answered();
        turn.is_theirs();
        assert!(seats.try_take(HERE).is_none());
        assert!(!is_dismissed(&first), "its answer has begun");
        drop(busy);
        assert!(seats.try_take(HERE).is_none());
        assert!(is_dismissed(&first));
    }

    #[test]
    fn addresses_have_a_bound() {
        let seats = Seats::new(9, NonZeroUsize::new(2));
        let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let first = seats.try_take(HERE).unwrap();
        assert!(!seats.has_enough_of(HERE));
        let _second = seats.try_take(HERE).unwrap();
        assert!(seats.has_enough_of(HERE) && !seats.has_enough_of(other));
        drop(first);
        assert!(!seats.has_enough_of(HERE));
    }
}
