//! Stalls: what is told of one, and the newest of them in memory.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

use unruffled_model::Name;

/// A named place in the program: a task that was wrapped, or a section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// What it was called.
    pub name: Cow<'static, str>,
    /// Where it was named.
    pub location: &'static Location<'static>,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.name, self.location)
    }
}

/// One stretch of time in which an event loop, or one thread of it, was kept longer than the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// The watch that noticed it.
    pub watch: Name,
    /// Counts the stalls of a watch, from 1.
    pub number: u64,
    /// When it began: when a task was polled, a section entered or a beat due, whichever is known to be the first.
    pub began: Instant,
    /// How long it was; how long so far, if it is not over.
    pub duration: Duration,
    /// Whether the loop goes on.
    pub is_over: bool,
    /// The innermost task or section that ran when the limit had been passed; of several threads, of that which had been
    /// running longest. `None` if nothing named was running.
    pub culprit: Option<Site>,
    /// The outermost around the culprit, on the same thread: the task that the section was in.
    pub within: Option<Site>,
    /// How late the watch was in noticing. When this is near the duration, the machine stood still and not the loop alone.
    pub timer_lateness: Duration,
}

impl Stall {
    fn reach(&mut self, now: Instant) {
        self.duration = self.duration.max(now.saturating_duration_since(self.began));
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocked for {:.1?}", self.duration)?;
        if !self.is_over {
            f.write_str(" so far")?;
        }
        match &self.culprit {
            Some(culprit) => write!(f, " by {culprit}")?,
            None => {
                f.write_str(", unknown: nothing named was running; wrap tasks with `LoopWatch::task`")?;
            }
        }
        if let Some(within) = &self.within {
            write!(f, ", in {within}")?;
        }
        Ok(())
    }
}

/// Who is to blame, as far as is known.
#[derive(Clone, Default)]
pub(super) struct Blame {
    pub(super) culprit: Option<Site>,
    pub(super) within: Option<Site>,
}

/// Who noticed a stall, and is to say when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A task or a section kept its thread.
    Stretch,
    /// A beat did not come.
    Beat,
}

/// What is to be told of a stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// It was noticed.
    Noticed,
    /// It was told of before, and is over now.
    Over,
}

/// The newest stalls of a watch, and what of them is still to be told. Both are bounded by how many are remembered.
pub(super) struct Stalls {
    watch: Name,
    bound: usize,
    total: u64,
    remembered: VecDeque<(Source, Stall)>,
    untold: VecDeque<(Telling, Stall)>,
}

impl Stalls {
    pub(super) fn new(watch: Name, bound: usize) -> Self {
        Self { watch, bound, total: 0, remembered: VecDeque::new(), untold: VecDeque::new() }
    }

    /// Records a stall that goes on at `now`, and gives its number.
    pub(super) fn begin(
        &mut self,
        source: Source,
        began: Instant,
        now: Instant,
        blame: Blame,
        timer_lateness: Duration,
    ) -> u64 {
        self.total += 1;
        let stall = Stall {
            watch: self.watch.clone(),
            number: self.total,
            began,
            duration: now.saturating_duration_since(began),
            is_over: false,
            culprit: blame.culprit,
            within: blame.within,
            timer_lateness,
        };
        push_bounded(&mut self.untold, (Telling::Noticed, stall.clone()), self.bound);
        push_bounded(&mut self.remembered, (source, stall), self.bound);
        self.total
    }

    /// A stall is over, if it is for `source` to say so. True: that is to be told.
    pub(super) fn end(&mut self, number: u64, now: Instant, source: Source) -> bool {
        // The one asked for is mostly the newest.
        let found = self.remembered.iter_mut().rev().find(|(_, stall)| stall.number == number);
        let Some((own, stall)) = found.filter(|(_, stall)| !stall.is_over) else {
            return false;
        };
        stall.reach(now);
        if *own != source {
            return false;
        }
        stall.is_over = true;
        let told = stall.clone();
        match self.untold.iter_mut().find(|(_, untold)| untold.number == number) {
            // Nobody has heard of it: once is enough.
            Some((_, untold)) => *untold = told,
            None => push_bounded(&mut self.untold, (Telling::Over, told), self.bound),
        }
        true
    }

    /// Until when the stalls that began at `since` or later have lasted: until `now`, if one goes on.
    pub(super) fn lasted_until(&self, since: Instant, now: Instant) -> Option<Instant> {
        let later = self.remembered.iter().map(|(_, stall)| stall).filter(|stall| stall.began >= since);
        later.map(|stall| if stall.is_over { stall.began + stall.duration } else { now }).max()
    }

    pub(super) fn next_untold(&mut self) -> Option<(Telling, Stall)> {
        self.untold.pop_front()
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// What is remembered, oldest first, with durations until `now` of what is not over.
    pub(super) fn list(&self, now: Instant) -> Vec<Stall> {
        let mut stalls: Vec<Stall> = self.remembered.iter().map(|(_, stall)| stall.clone()).collect();
        stalls.iter_mut().filter(|stall| !stall.is_over).for_each(|stall| stall.reach(now));
        stalls
    }
}

fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, bound: usize) {
    if queue.len() >= bound {
        queue.pop_front();
    }
    queue.push_back(item);
}
