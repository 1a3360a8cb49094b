//! The watchdog of an event loop: measures all the time how late the loop is, and names who keeps it.
//!
//! The engine's timer thread wakes the loop at each beat, and the loop says when it got there. What runs on the loop says
//! its name while it does, so that the timer's thread can tell who is blocking the loop while it is still blocked. Any
//! executor will do.

mod lateness;
mod stall;

mod options;

mod active;

mod watch;

mod heartbeat;
mod task;

mod report;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::time::Instant;

use unruffled_model::Name;

use self::watch::Watch;
use crate::timer::{Alarm, Timer};

pub use self::heartbeat::Heartbeat;
pub use self::lateness::Lateness;
pub use self::options::WatchOptions;
pub use self::report::LoopReport;
pub use self::stall::{Site, Stall};
pub use self::task::{Section, Watched};

/// Watches one event loop. Cheap to clone; the clones share what they find.
///
/// Two things may be used together or alone. A [`heartbeat`](Self::heartbeat) measures how late the loop is, and finds it
/// blocked by whatever it may be. Wrapped tasks and sections ([`task`](Self::task), [`section`](Self::section)) give names to
/// what runs, and are themselves found to run too long; on a loop with several threads, where one that is blocked does not
/// stop the beats, only they are.
///
/// A stall is told of while it goes on: it is logged as a warning, given to the callback of
/// [`with_on_stall`](WatchOptions::with_on_stall), and stands in the [`report`](Self::report).
///
/// Memory is bounded: about 40 KiB for the measurements, the stalls that are [remembered](WatchOptions::with_remembered), 16
/// times 64 entries at most of what is running now, and a few hundred bytes per heartbeat.
///
/// When the last clone is dropped, the watch ends: heartbeats complete with their next beat, and tasks run on without being
/// watched.
#[derive(Clone)]
pub struct LoopWatch(Arc<Owner>);

/// Ends the watch when the last clone is dropped. Tasks and heartbeats share the watch, but do not keep it up.
struct Owner {
    watch: Arc<Watch>,
    timer: Timer,
}

impl LoopWatch {
    pub(crate) fn new(timer: &Timer, name: Name, options: WatchOptions) -> Self {
        let watch = Arc::new(Watch::new(name, options));
        let weak: Weak<dyn Alarm> = Arc::downgrade(&watch) as Weak<dyn Alarm>;
        watch.set_alarm(timer.register(weak));
        Self(Arc::new(Owner { watch, timer: timer.clone() }))
    }

    /// The name it was given.
    pub fn name(&self) -> &Name {
        &self.0.watch.name
    }

    /// A future that measures the loop on which it is spawned. It completes when the last clone of this watch is dropped.
    pub fn heartbeat(&self) -> Heartbeat {
        Heartbeat::new(&self.0.watch, &self.0.timer)
    }

    /// Wraps a task, so that the watch knows its name, and where it was wrapped, while it is polled.
    ///
    /// A poll costs two looks at the clock more, and little else; the first after a quiet time also wakes the timer's thread.
    /// One that takes longer than the limit is a stall.
    #[track_caller]
    pub fn task<F: Future>(&self, name: impl Into<Cow<'static, str>>, future: F) -> Watched<F> {
        Watched::new(&self.0.watch, Site { name: name.into(), location: Location::caller() }, future)
    }

    /// Names a stretch of synchronous code, from here until the guard is dropped.
    ///
    /// In a wrapped task, or in another section, it is the inner one that a stall names first. One that takes longer than
    /// the limit is a stall.
    #[track_caller]
    pub fn section(&self, name: impl Into<Cow<'static, str>>) -> Section<'_> {
        Section::new(&self.0.watch, Site { name: name.into(), location: Location::caller() })
    }

    /// What has been found so far. Takes microseconds, and a copy of the stalls that are remembered.
    pub fn report(&self) -> LoopReport {
        let watch = &self.0.watch;
        let now = Instant::now();
        let beats = watch.beats(now);
        let (stalls_total, stalls) = watch.stalls(now);
        LoopReport {
            name: watch.name.clone(),
            limit: watch.options.limit,
            beats: beats.taken,
            missed: beats.missed,
            lateness: beats.late,
            timer_lateness: beats.timer_late,
            stalls_total,
            stalls,
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.watch.close();
    }
}

impl fmt::Debug for LoopWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopWatch").field("report", &self.report()).finish()
    }
}
