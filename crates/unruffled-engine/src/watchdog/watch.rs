//! What the parts of a watch share: what is active, how late beats are, what has stalled. Decides with `now` as an
//! argument; the timer thread and the polls act on it.
//!
//! Locks are taken in this order: a lane of what is active, stalls. The others are taken alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use unruffled_model::Name;

use super::active::{Active, Entered, Exit, Scan};
use super::lateness::{self, Lateness, Record};
use super::options::WatchOptions;
use super::stall::{Blame, Site, Source, Stall, Stalls, Telling};
use crate::sync::panic_text;
use crate::timer::{Alarm, AlarmHandle};

pub(super) struct Watch {
    pub(super) name: Name,
    pub(super) options: WatchOptions,
    active: Active,
    beats: Mutex<Beats>,
    stalls: Mutex<Stalls>,
    /// Whether the timer looks at what is active by itself. It ends that when nothing has happened for a limit; whoever
    /// begins something then has it look again.
    patrolling: AtomicBool,
    /// How many entries the last patrol knew of.
    entered: AtomicU64,
    closed: AtomicBool,
    alarm: Mutex<Option<AlarmHandle>>,
}

struct Beats {
    taken: u64,
    missed: u64,
    late: Record,
    timer_late: Record,
}

/// What a report says of beats.
pub(super) struct BeatSummary {
    pub(super) taken: u64,
    pub(super) missed: u64,
    pub(super) late: Lateness,
    pub(super) timer_late: Lateness,
}

/// What is known of a beat that does not come.
#[derive(Clone, Copy)]
pub(super) struct Overdue {
    /// When the beat before it came.
    pub(super) last: Instant,
    /// When it was due.
    pub(super) due: Instant,
    /// When the timer woke the loop for it.
    pub(super) woken: Instant,
}

/// Whether a beat that has not come is a stall.
pub(super) enum Verdict {
    /// It is, of this number.
    Stall(u64),
    /// It is not before then, if ever.
    NotBefore(Instant),
}

impl Watch {
    pub(super) fn new(name: Name, options: WatchOptions) -> Self {
        let stalls = Stalls::new(name.clone(), options.remembered);
        let beats = Beats { taken: 0, missed: 0, late: Record::new(), timer_late: Record::new() };
        Self {
            name,
            options,
            active: Active::new(),
            beats: Mutex::new(beats),
            stalls: Mutex::new(stalls),
            patrolling: AtomicBool::new(false),
            entered: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            alarm: Mutex::new(None),
        }
    }

    /// Has stalls noticed and told of through `alarm`.
    pub(super) fn set_alarm(&self, alarm: AlarmHandle) {
        *self.alarm.lock() = Some(alarm);
    }

    /// Ends the watch: nothing is recorded any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let alarm = self.alarm.lock().take();
        // Its end may be the end of the timer: not under the lock.
        drop(alarm);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The current thread begins something.
    pub(super) fn enter(&self, site: Arc<Site>, now: Instant) -> Option<Entered> {
        if self.is_closed() {
            return None;
        }
        let entered = self.active.enter(site, now)?;
        // A patrol that ends looks once more after it has cleared this, and the lane's lock orders the two: either it
        // sees the entry, or this sees the flag.
        if !self.patrolling.load(Ordering::Relaxed) && !self.patrolling.swap(true, Ordering::Relaxed) {
            self.wake_by(now + self.options.limit);
        }
        Some(entered)
    }

    /// It ends.
    pub(super) fn exit(&self, entered: &Entered, now: Instant) {
        let limit = self.options.limit;
        let mut is_news = false;
        let too_long = |since| now.saturating_duration_since(since) >= limit && !self.is_closed();
        let begin = |since, blame| {
            is_news = true;
            self.begin(since, now, blame)
        };
        if let Exit::Ended(stall) = self.active.exit(entered, too_long, begin) {
            is_news |= self.stalls.lock().end(stall, now, Source::Stretch);
        }
        if is_news {
            // Telling may take long: it is for the timer's thread.
            self.wake_by(now);
        }
    }

    /// A stretch that began at `since` has become a stall.
    fn begin(&self, since: Instant, now: Instant, blame: Blame) -> u64 {
        let late = now.saturating_duration_since(since + self.options.limit);
        self.stalls.lock().begin(Source::Stretch, since, now, blame, late)
    }

    fn wake_by(&self, at: Instant) {
        if let Some(alarm) = &*self.alarm.lock() {
            alarm.wake_by(at);
        }
    }

    /// Makes stalls of what has been running too long, and says when to look again, if ever.
    fn patrol(&self, now: Instant) -> Option<Instant> {
        let limit = self.options.limit;
        let Scan { unmarked_since, is_any, entered } =
            self.active.scan(now.checked_sub(limit), |since, blame| self.begin(since, now, blame));
        let is_busy = self.entered.swap(entered, Ordering::Relaxed) != entered;
        // What begins after this look is too long after the next.
        let next = unmarked_since.map(|since| since + limit);
        next.or_else(|| (is_any || is_busy).then(|| now + limit))
    }

    /// The timer woke the loop so late for a beat.
    pub(super) fn beat_woken(&self, late: Duration, now: Instant) {
        self.beats.lock().timer_late.add(late, self.options.beat, now);
    }

    /// A beat came so late.
    pub(super) fn beat_came(&self, late: Duration, now: Instant) {
        let beat = self.options.beat;
        let mut beats = self.beats.lock();
        beats.taken += 1;
        beats.missed += u64::from(lateness::missed(late, beat));
        beats.late.add(late, beat, now);
    }

    /// Decides about a beat that has not come, or only just now.
    ///
    /// The loop is not blamed for the timer's lateness, nor twice for what is known already: a stall that began after the
    /// beat before is what keeps this one. A stall that began earlier is not; there was a beat while it went on.
    /// What began after `latest` is not to blame.
    pub(super) fn overdue(&self, beat: Overdue, now: Instant, latest: Instant) -> Verdict {
        let _ = self.patrol(now);
        let excused = self.stalls.lock().lasted_until(beat.last, now).filter(|&until| until > beat.woken);
        let not_before = excused.unwrap_or(beat.woken) + self.options.limit;
        if now < not_before {
            return Verdict::NotBefore(not_before);
        }
        let stretch = self.active.longest(latest);
        let began = excused.unwrap_or(beat.due);
        let began = stretch.as_ref().map_or(began, |stretch| stretch.since.min(began));
        let blame = stretch.as_ref().map(|stretch| stretch.blame.clone()).unwrap_or_default();
        let late = now.saturating_duration_since(beat.due + self.options.limit);
        let stall = self.stalls.lock().begin(Source::Beat, began, now, blame, late);
        if let Some(stretch) = stretch {
            self.active.mark(&stretch, stall);
        }
        Verdict::Stall(stall)
    }

    /// The loop beats again after a stall.
    pub(super) fn beats_again(&self, stall: u64, now: Instant) {
        self.active.unmark(stall);
        self.stalls.lock().end(stall, now, Source::Beat);
        self.wake_by(now);
    }

    /// Tells of all stalls that nobody has been told of. For the timer's thread.
    pub(super) fn tell(&self) {
        let next = || self.stalls.lock().next_untold();
        while let Some((telling, stall)) = next() {
            if self.is_closed() {
                return;
            }
            contained("a subscriber panicked", || log(telling, &stall));
            if let (Telling::Noticed, Some(on_stall)) = (telling, &self.options.on_stall) {
                contained("the callback of a watch panicked", || on_stall(&stall));
            }
        }
    }

    pub(super) fn beats(&self, now: Instant) -> BeatSummary {
        let beats = self.beats.lock();
        BeatSummary {
            taken: beats.taken,
            missed: beats.missed,
            late: beats.late.summary(now),
            timer_late: beats.timer_late.summary(now),
        }
    }

    /// How many stalls there were, and the newest.
    pub(super) fn stalls(&self, now: Instant) -> (u64, Vec<Stall>) {
        let stalls = self.stalls.lock();
        (stalls.total(), stalls.list(now))
    }

    #[cfg(test)]
    pub(super) fn active(&self) -> usize {
        self.active.len()
    }
}

impl Alarm for Watch {
    fn fire(&self, now: Instant) -> Option<Instant> {
        let mut next = self.patrol(now);
        if next.is_none() {
            self.patrolling.store(false, Ordering::Relaxed);
            next = self.patrol(now);
            if next.is_some() {
                self.patrolling.store(true, Ordering::Relaxed);
            }
        }
        self.tell();
        next
    }
}

/// Keeps what others have written from ending the timer's thread, on which deadlines depend.
fn contained(problem: &'static str, others: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(others)) {
        let _ = catch_unwind(AssertUnwindSafe(|| tracing::error!(panic = panic_text(&*panic), "{problem}")));
    }
}

fn log(telling: Telling, stall: &Stall) {
    let Stall { watch, number, timer_lateness, .. } = stall;
    let blocked_ms = stall.duration.as_secs_f64() * 1e3;
    if telling == Telling::Over {
        tracing::warn!(watch = &**watch, number, blocked_ms, "an event loop goes on");
        return;
    }
    let timer_late_ms = timer_lateness.as_secs_f64() * 1e3;
    let culprit = stall.culprit.as_ref();
    let name = culprit.map_or("unknown", |culprit| &*culprit.name);
    let location = culprit.map(|culprit| tracing::field::display(culprit.location));
    let within = stall.within.as_ref().map(tracing::field::display);
    let is_over = stall.is_over;
    tracing::warn!(
        watch = &**watch,
        number,
        blocked_ms,
        culprit = name,
        location,
        within,
        is_over,
        timer_late_ms,
        "an event loop is blocked"
    );
}
