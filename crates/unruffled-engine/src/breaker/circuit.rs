//! When a breaker opens, lets probes through and closes: a state machine of plain data that takes `now` as an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::options::BreakerOptions;

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// All go through, and are counted.
    Closed,
    /// None goes through.
    Open,
    /// A few go through, to find out.
    HalfOpen,
}

/// What a call has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    Failure,
    /// It ended for reasons that say nothing of the model.
    Nothing,
}

/// Leave to make one call. Whatever becomes of it is to be told with [`Circuit::tell`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leave {
    /// The state in which it was given: in a later one its call has no say.
    era: u64,
}

/// A change of state, to be told to whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: BreakerState,
    pub(crate) to: BreakerState,
    /// How long it stays open.
    pub(crate) wait: Option<Duration>,
}

/// A circuit that breaks when too many calls fail.
#[derive(Debug)]
pub(crate) struct Circuit {
    options: BreakerOptions,
    state: State,
    era: u64,
}

#[derive(Debug)]
enum State {
    /// The last calls, the oldest first: when each ended, and whether it failed.
    Closed(VecDeque<(Instant, bool)>),
    Open {
        until: Instant,
        wait: Duration,
    },
    HalfOpen {
        /// Probes that have not come back.
        out: usize,
        successes: usize,
        /// How long it was open before.
        wait: Duration,
    },
}

impl Circuit {
    pub(crate) fn new(options: BreakerOptions) -> Self {
        Self { options, state: State::Closed(VecDeque::new()), era: 0 }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.state {
            State::Closed(_) => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Until when it is open.
    pub(crate) fn open_until(&self) -> Option<Instant> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed(_) | State::HalfOpen { .. } => None,
        }
    }

    /// How many calls of the window there are, and how many of them failed.
    pub(crate) fn recent(&self) -> (usize, usize) {
        match &self.state {
            State::Closed(calls) => (calls.len(), calls.iter().filter(|(_, failed)| *failed).count()),
            State::Open { .. } | State::HalfOpen { .. } => (0, 0),
        }
    }

    /// Asks for leave to make a call. `Err`: not now; how long to wait, where that is known.
    pub(crate) fn ask(&mut self, now: Instant) -> (Result<Leave, Option<Duration>>, Option<Change>) {
        let change = match self.state {
            // Open -> half open, when its time is over and somebody asks.
            State::Open { until, wait } if until <= now => {
                Some(self.change(State::HalfOpen { out: 0, successes: 0, wait }, None))
            }
            _ => None,
        };
        let leave = Leave { era: self.era };
        let answer = match &mut self.state {
            State::Closed(_) => Ok(leave),
            State::Open { until, .. } => Err(Some(until.saturating_duration_since(now))),
            State::HalfOpen { out, .. } if *out < self.options.probes => {
                *out += 1;
                Ok(leave)
            }
            State::HalfOpen { .. } => Err(None),
        };
        (answer, change)
    }

    /// Tells what a call has shown.
    pub(crate) fn tell(&mut self, now: Instant, leave: Leave, verdict: Verdict) -> Option<Change> {
        if leave.era != self.era {
            return None;
        }
        match (&mut self.state, verdict) {
            (State::Closed(_), Verdict::Nothing) => None,
            (State::Closed(calls), _) => {
                while calls.len() >= self.options.calls_max {
                    calls.pop_front();
                }
                calls.push_back((now, verdict == Verdict::Failure));
                let window = self.options.window;
                while calls.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > window) {
                    calls.pop_front();
                }
                let failures = calls.iter().filter(|(_, failed)| *failed).count();
                let enough = calls.len() >= self.options.calls_min;
                // Closed -> open, when too many of enough have failed.
                let breaks = verdict == Verdict::Failure
                    && enough
                    && failures as f64 >= self.options.failure_rate * calls.len() as f64;
                breaks.then(|| self.open(now, self.options.open))
            }
            // Nobody has leave of an era in which none was given.
            (State::Open { .. }, _) => None,
            (State::HalfOpen { out, .. }, Verdict::Nothing) => {
                *out = out.saturating_sub(1);
                None
            }
            // Half open -> closed, when enough probes have succeeded.
            (State::HalfOpen { out, successes, .. }, Verdict::Success) => {
                *out = out.saturating_sub(1);
                *successes += 1;
                let healed = *successes >= self.options.successes;
                healed.then(|| self.change(State::Closed(VecDeque::new()), None))
            }
            // Half open -> open, for twice as long, when one has failed.
            (State::HalfOpen { wait, .. }, Verdict::Failure) => {
                let wait = wait.saturating_mul(2).min(self.options.open_max);
                Some(self.open(now, wait))
            }
        }
    }

    fn open(&mut self, now: Instant, wait: Duration) -> Change {
        // A wait beyond what the clock can count is a long one.
        let until = now.checked_add(wait).unwrap_or(now + Duration::from_secs(1 << 30));
        self.change(State::Open { until, wait }, Some(wait))
    }

    fn change(&mut self, state: State, wait: Option<Duration>) -> Change {
        let from = self.state();
        self.state = state;
        self.era += 1;
        Change { from, to: self.state(), wait }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::BreakerState::{Closed, HalfOpen, Open};
    use super::{BreakerOptions, Circuit, Leave, Verdict};

    const SECOND: Duration = Duration::from_secs(1);

    /// A circuit and a clock.
    struct Bench {
        circuit: Circuit,
        now: Instant,
    }

    impl Bench {
        fn new(options: BreakerOptions) -> Self {
            Self { circuit: Circuit::new(options), now: Instant::now() }
        }

        fn ask(&mut self) -> Option<Leave> {
            self.circuit.ask(self.now).0.ok()
        }

        #[track_caller]
        fn call(&mut self, verdict: Verdict) {
            let leave = self.ask().expect("calls go through");
            self.circuit.tell(self.now, leave, verdict);
        }

        #[track_caller]
        fn broken(mut self) -> Self {
            (0..5).for_each(|_| self.call(Verdict::Failure));
            assert_eq!(self.circuit.state(), Open);
            self
        }
    }

    #[test]
    fn opens_when_half_of_enough_calls_failed() {
        let mut bench = Bench::new(BreakerOptions::default());
        (0..4).for_each(|_| bench.call(Verdict::Failure));
        assert_eq!((bench.circuit.state(), bench.circuit.recent()), (Closed, (4, 4)), "four are not enough");
        (0..6).for_each(|_| bench.call(Verdict::Success));
        assert_eq!(bench.circuit.recent(), (10, 4));
        bench.call(Verdict::Failure);
        assert_eq!(bench.circuit.state(), Closed, "5 of 11 are less than half");
        bench.call(Verdict::Failure);
        assert_eq!(bench.circuit.state(), Open);
        assert_eq!(bench.circuit.ask(bench.now).0, Err(Some(SECOND)));
    }

    #[test]
    fn what_is_old_does_not_count() {
        let mut bench = Bench::new(BreakerOptions::default());
        (0..4).for_each(|_| bench.call(Verdict::Failure));
        bench.now += 11 * SECOND;
        bench.call(Verdict::Failure);
        assert_eq!((bench.circuit.state(), bench.circuit.recent()), (Closed, (1, 1)));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let options = BreakerOptions::default().with_window(8, 100 * SECOND);
        let mut bench = Bench::new(options);
        (0..100).for_each(|_| bench.call(Verdict::Success));
        assert_eq!(bench.circuit.recent(), (8, 0));
    }

    #[test]
    fn one_probe_at_a_time_and_two_good_ones_close_it() {
        let mut bench = Bench::new(BreakerOptions::default()).broken();
        assert_eq!(bench.ask(), None);
        bench.now += SECOND;
        let first = bench.ask().expect("the time is over");
        assert_eq!((bench.circuit.state(), bench.ask()), (HalfOpen, None));
        bench.circuit.tell(bench.now, first, Verdict::Success);
        assert_eq!(bench.circuit.state(), HalfOpen);
        bench.call(Verdict::Success);
        assert_eq!((bench.circuit.state(), bench.circuit.recent()), (Closed, (0, 0)));
    }

    #[test]
    fn a_probe_that_shows_nothing_makes_room_for_the_next() {
        let mut bench = Bench::new(BreakerOptions::default()).broken();
        bench.now += SECOND;
        (0..3).for_each(|_| bench.call(Verdict::Nothing));
        assert_eq!(bench.circuit.state(), HalfOpen);
    }

    #[test]
    fn each_probe_that_fails_doubles_the_wait() {
        let mut bench = Bench::new(BreakerOptions::default().with_open(SECOND, 3 * SECOND)).broken();
        for wait in [2, 3, 3] {
            bench.now = bench.circuit.open_until().expect("open");
            bench.call(Verdict::Failure);
            assert_eq!(bench.circuit.open_until(), Some(bench.now + wait * SECOND));
        }
        // Once closed, it begins anew.
        bench.now += 3 * SECOND;
        (0..2).for_each(|_| bench.call(Verdict::Success));
        let bench = bench.broken();
        assert_eq!(bench.circuit.open_until(), Some(bench.now + SECOND));
    }

    #[test]
    fn who_began_before_a_change_has_no_say_after_it() {
        let mut bench = Bench::new(BreakerOptions::default());
        let (early, other) = (bench.ask().expect("closed"), bench.ask().expect("closed"));
        let mut bench = bench.broken();
        assert_eq!(bench.circuit.tell(bench.now, early, Verdict::Success), None);
        bench.now += SECOND;
        let probe = bench.ask().expect("the time is over");
        assert_eq!(bench.circuit.tell(bench.now, other, Verdict::Failure), None);
        assert_eq!(bench.circuit.state(), HalfOpen, "an old failure is no probe");
        assert_eq!(bench.ask(), None, "nor does its end make room");
        assert!(bench.circuit.tell(bench.now, probe, Verdict::Failure).is_some());
    }

    #[test]
    fn odd_options_are_brought_inside() {
        for rate in [f64::NAN, -1.0, 0.0, 7.0] {
            let options =
                BreakerOptions::default().with_failure_rate(rate).with_calls_min(0).with_probes(0, 0);
            let mut bench = Bench::new(options);
            bench.call(Verdict::Success);
            assert_eq!(bench.circuit.state(), Closed, "{rate}");
            (0..2).for_each(|_| {
                if let Some(leave) = bench.ask() {
                    bench.circuit.tell(bench.now, leave, Verdict::Failure);
                }
            });
            assert_eq!(bench.circuit.state() == Open, rate <= 1.0 || rate.is_nan(), "{rate}");
        }
    }
}
