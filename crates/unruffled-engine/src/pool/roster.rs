//! Which instances there are to be, as plain data: as many as are wanted at present, between two bounds.

use std::time::{Duration, Instant};

/// How long no instance is added after one could not be built.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What is asked of a slot's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Post {
    /// To wait: there are enough.
    Spare,
    /// To build an instance, which is counted among those on their way.
    Called,
    /// To keep one, and to replace it when it breaks.
    Kept,
    /// To let it go: it is idle, and there are enough.
    Leaving,
}

/// The posts of a pool, and what speaks for one more.
#[derive(Debug)]
pub(crate) struct Roster {
    posts: Vec<Post>,
    filled: usize,
    least: usize,
    /// Since when something has waited and nothing was taken.
    waiting_since: Option<Instant>,
    /// No instance is added before.
    not_before: Option<Instant>,
}

impl Roster {
    /// So many at first and at least, so many at most.
    pub(crate) fn new(least: usize, most: usize) -> Self {
        let post = |slot| if slot < least { Post::Called } else { Post::Spare };
        Self {
            posts: (0..most).map(post).collect(),
            filled: least,
            least,
            waiting_since: None,
            not_before: None,
        }
    }

    /// How many instances are wanted.
    pub(crate) fn filled(&self) -> usize {
        self.filled
    }

    /// How many there are at least.
    pub(crate) fn least(&self) -> usize {
        self.least
    }

    pub(crate) fn is_spare(&self, slot: usize) -> bool {
        self.posts[slot] == Post::Spare
    }

    /// Whether a slot's thread is to let its instance go.
    pub(crate) fn is_leaving(&self, slot: usize) -> bool {
        self.posts[slot] == Post::Leaving
    }

    /// Called -> Kept: the thread goes to build. False: nobody has counted that yet.
    pub(crate) fn begin(&mut self, slot: usize) -> bool {
        debug_assert!(!self.is_spare(slot));
        std::mem::replace(&mut self.posts[slot], Post::Kept) == Post::Called
    }

    /// Something waits, or nothing does any more.
    pub(crate) fn waits(&mut self, now: Instant, anything: bool) {
        match anything {
            true => _ = self.waiting_since.get_or_insert(now),
            false => self.waiting_since = None,
        }
    }

    /// Something was taken: what is left begins to wait anew.
    pub(crate) fn taken(&mut self, now: Instant, anything_left: bool) {
        self.waiting_since = anything_left.then_some(now);
    }

    /// Whether work waits, and there may be more instances.
    pub(crate) fn may_grow(&self) -> bool {
        self.waiting_since.is_some() && self.filled < self.posts.len()
    }

    /// When one more is due, if nothing is taken until then: work waits, and there may be more.
    pub(crate) fn growth_due(&self, after: Duration) -> Option<Instant> {
        let due = self.waiting_since?.checked_add(after)?;
        let due = self.not_before.map_or(due, |not_before| due.max(not_before));
        self.may_grow().then_some(due)
    }

    /// Whether work waits that will wait too long: by what it is said to take until it has run off, or because
    /// nothing was taken for so long.
    pub(crate) fn wants_more(&self, now: Instant, after: Duration, outlook: Option<Duration>) -> bool {
        let allowed = self.may_grow() && self.not_before.is_none_or(|not_before| not_before <= now);
        let is_due = self.growth_due(after).is_some_and(|due| due <= now);
        allowed && (is_due || outlook.is_some_and(|outlook| outlook > after))
    }

    /// Spare -> Called: who is to build one more.
    pub(crate) fn call(&mut self, now: Instant) -> Option<usize> {
        let slot = self.posts.iter().position(|post| *post == Post::Spare)?;
        self.posts[slot] = Post::Called;
        self.filled += 1;
        // The new one is given time.
        self.taken(now, self.waiting_since.is_some());
        Some(slot)
    }

    /// Kept -> Leaving, if there are more than the least. Nobody is called to this slot before its thread has left.
    pub(crate) fn send_away(&mut self, slot: usize) -> bool {
        self.dismiss_to(slot, Post::Leaving)
    }

    /// Called | Kept -> Spare, if there are more than the least: nothing has been built.
    pub(crate) fn dismiss(&mut self, slot: usize) -> bool {
        self.dismiss_to(slot, Post::Spare)
    }

    fn dismiss_to(&mut self, slot: usize, post: Post) -> bool {
        let may = self.filled > self.least && matches!(self.posts[slot], Post::Called | Post::Kept);
        if may {
            self.posts[slot] = post;
            self.filled -= 1;
        }
        may
    }

    /// Leaving -> Spare: whether that was asked.
    pub(crate) fn left(&mut self, slot: usize) -> bool {
        let asked = self.is_leaving(slot);
        if asked {
            self.posts[slot] = Post::Spare;
        }
        asked
    }

    /// One could not be built: the next is not tried at once.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.not_before = now.checked_add(AFTER_FAILURE);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Roster;

    const AFTER: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_more_is_wanted_when_work_will_wait_too_long() {
        let begin = Instant::now();
        let wants = |waits: bool, after: u64, outlook: Option<u64>| {
            let mut roster = Roster::new(1, 2);
            roster.waits(begin, waits);
            roster.wants_more(begin + ms(after), AFTER, outlook.map(ms))
        };
        assert!(!wants(false, 1_000, Some(1_000)), "nothing waits");
        assert!(!wants(true, 0, Some(100)), "it will be taken soon");
        assert!(wants(true, 0, Some(101)), "by what runs have cost");
        assert!(!wants(true, 99, None), "nothing is known, and not much time has passed");
        assert!(wants(true, 100, None), "by the time that has passed");
        assert!(wants(true, 100, Some(1)), "whatever was believed");
    }

    #[test]
    fn what_is_taken_begins_the_wait_anew() {
        let begin = Instant::now();
        let mut roster = Roster::new(1, 2);
        roster.waits(begin, true);
        roster.taken(begin + ms(90), true);
        assert!(!roster.wants_more(begin + ms(150), AFTER, None));
        assert_eq!(roster.growth_due(AFTER), Some(begin + ms(190)));
        roster.taken(begin + ms(180), false);
        assert_eq!(roster.growth_due(AFTER), None);
    }

    #[test]
    fn the_bounds_are_kept() {
        let now = Instant::now();
        let mut roster = Roster::new(2, 3);
        assert!(!roster.dismiss(0), "there are no more than the least");
        roster.waits(now, true);
        assert_eq!(roster.call(now), Some(2));
        assert_eq!(roster.call(now), None);
        assert!(!roster.wants_more(now, AFTER, Some(ms(1_000))), "there are no more than the most");
        assert!(roster.begin(2) && !roster.begin(2), "who is called is counted once");
        assert!(roster.send_away(0) && roster.is_leaving(0), "whoever it is");
        assert!(!roster.dismiss(2));
        assert_eq!((roster.filled(), roster.least()), (2, 2));
        assert_eq!(roster.call(now), None, "its thread has not left yet");
        assert!(roster.left(0) && !roster.left(0));
        assert_eq!(roster.call(now), Some(0));
        assert!(roster.dismiss(0) && roster.is_spare(0), "what was not built need not leave");
    }

    #[test]
    fn after_a_failure_nobody_is_called_for_a_while() {
        let now = Instant::now();
        let mut roster = Roster::new(1, 2);
        roster.waits(now, true);
        roster.put_off(now);
        assert!(!roster.wants_more(now + ms(4_999), AFTER, Some(ms(1_000))));
        assert!(roster.wants_more(now + ms(5_000), AFTER, None));
        assert_eq!(roster.growth_due(AFTER), Some(now + ms(5_000)));
    }
}
