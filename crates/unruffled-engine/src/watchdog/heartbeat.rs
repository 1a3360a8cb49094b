//! The future that measures how late a loop is.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use super::lateness;
use super::watch::{Overdue, Verdict, Watch};
use crate::sync::wake;
use crate::timer::{Alarm, AlarmHandle, Timer};

/// Measures the loop that polls it, for as long as it is polled and its watch lives. Spawn it there, as
/// a task of its own; any executor will do, and no timer of a runtime is needed.
///
/// At each beat the engine's timer thread wakes it, and the beat is as late as the poll that follows. That holds the time in
/// the loop's own queue, which is what is looked for, and two things beside it: the lateness of the timer thread, which is
/// measured too ([`LoopReport::timer_lateness`](super::LoopReport::timer_lateness)), and the wake-up of the loop's thread if
/// it was asleep. On a loop with several threads it is late only when none of them is free.
///
/// It completes when the last [`LoopWatch`](super::LoopWatch) has been dropped, and never before. A loop that is not run
/// any more, as after `block_on` has returned, looks blocked to it: drop it first.
///
/// # Cancel safety
///
/// Dropping it ends the measuring, and records no stall.
#[must_use = "a heartbeat measures the loop that it is spawned on"]
pub struct Heartbeat {
    pulse: Arc<Pulse>,
    alarm: AlarmHandle,
}

/// What the loop and the timer's thread share of a heartbeat.
pub(super) struct Pulse {
    watch: Arc<Watch>,
    state: Mutex<State>,
}

enum State {
    /// Not polled yet.
    New,
    /// Nothing is to be done before `due`.
    Waiting { last: Instant, due: Instant, waker: Waker },
    /// The loop has been woken for the beat.
    Woken { beat: Overdue, check: Instant },
    /// The beat did not come within the limit: that is a stall.
    Blocked { due: Instant, stall: u64 },
    /// Dropped, or its watch is.
    Ended,
}

impl Heartbeat {
    pub(super) fn new(watch: &Arc<Watch>, timer: &Timer) -> Self {
        let pulse = Arc::new(Pulse::new(Arc::clone(watch)));
        let weak: Weak<dyn Alarm> = Arc::downgrade(&pulse) as Weak<dyn Alarm>;
        Self { pulse, alarm: timer.register(weak) }
    }
}

/// What a poll leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The timer is to call by then.
    CallBy(Instant),
    /// It will call anyhow.
    Wait,
    /// There is nothing more to measure.
    End,
}

impl Pulse {
    pub(super) fn new(watch: Arc<Watch>) -> Self {
        Self { watch, state: Mutex::new(State::New) }
    }

    /// The loop is here.
    pub(super) fn poll(&self, now: Instant, waker: &Waker) -> Step {
        let mut state = self.state.lock();
        if self.watch.is_closed() {
            *state = State::Ended;
        }
        let due = match &mut *state {
            State::Ended => return Step::End,
            // new -> waiting
            State::New => now + self.watch.options.beat,
            // Polled for another reason: the beat is still to come.
            State::Waiting { waker: known, .. } => {
                known.clone_from(waker);
                return Step::Wait;
            }
            // woken -> waiting
            State::Woken { beat, .. } => {
                // The timer should have been here before the loop. It was not, but a stall is a stall.
                if now >= beat.woken + self.watch.options.limit
                    && let Verdict::Stall(stall) = self.watch.overdue(*beat, now, beat.woken)
                {
                    self.watch.beats_again(stall, now);
                }
                self.beat(beat.due, now)
            }
            // blocked -> waiting
            State::Blocked { due, stall } => {
                self.watch.beats_again(*stall, now);
                self.beat(*due, now)
            }
        };
        *state = State::Waiting { last: now, due, waker: waker.clone() };
        Step::CallBy(due)
    }

    /// Records a beat and gives when the next is due. Beats keep to their grid, so that a loop which is often late is not
    /// asked less often.
    fn beat(&self, due: Instant, now: Instant) -> Instant {
        let late = now.saturating_duration_since(due);
        self.watch.beat_came(late, now);
        let beat = self.watch.options.beat;
        due + beat * lateness::missed(late, beat).saturating_add(1)
    }

    /// The future is dropped.
    pub(super) fn end(&self, now: Instant) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Ended);
        if let State::Blocked { stall, .. } = state {
            // Whoever drops a heartbeat is back from what kept it.
            self.watch.beats_again(stall, now);
        }
    }
}

impl Alarm for Pulse {
    fn fire(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock();
        if self.watch.is_closed() {
            // The loop lets go of the future, and of the alarm with it.
            let waker = match std::mem::replace(&mut *state, State::Ended) {
                State::Waiting { waker, .. } => Some(waker),
                _ => None,
            };
            drop(state);
            waker.into_iter().for_each(wake);
            return None;
        }
        let limit = self.watch.options.limit;
        match &*state {
            State::New | State::Blocked { .. } | State::Ended => None,
            State::Waiting { due, .. } if now < *due => Some(*due),
            // waiting -> woken
            State::Waiting { last, due, .. } => {
                self.watch.beat_woken(now.saturating_duration_since(*due), now);
                let beat = Overdue { last: *last, due: *due, woken: now };
                let woken = State::Woken { beat, check: now + limit };
                let State::Waiting { waker, .. } = std::mem::replace(&mut *state, woken) else {
                    unreachable!("it was waiting just now");
                };
                // Woken without the lock: some executors poll at once.
                drop(state);
                wake(waker);
                Some(now + limit)
            }
            State::Woken { check, .. } if now < *check => Some(*check),
            State::Woken { beat, .. } => {
                let beat = *beat;
                let next = match self.watch.overdue(beat, now, now) {
                    // woken -> blocked
                    Verdict::Stall(stall) => {
                        *state = State::Blocked { due: beat.due, stall };
                        None
                    }
                    Verdict::NotBefore(check) => {
                        *state = State::Woken { beat, check };
                        Some(check)
                    }
                };
                drop(state);
                self.watch.tell();
                next
            }
        }
    }
}

impl Future for Heartbeat {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.pulse.poll(Instant::now(), cx.waker()) {
            Step::CallBy(due) => self.alarm.wake_by(due),
            Step::Wait => {}
            Step::End => return Poll::Ready(()),
        }
        Poll::Pending
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.pulse.end(Instant::now());
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("watch", &self.pulse.watch.name).finish_non_exhaustive()
    }
}
