//! Models whose instances are played by hand, and callers who are polled when they are woken: for histories of one thing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;
use unruffled_model::{
    Batch, Footprint, Interrupt, LoadedModel, Memo, ModelError, ModelInfo, Priority, Serve,
};

use super::from_environment;
use crate::environment::{EngineOptions, Environment};
use crate::handle::Handle;
use crate::pool::{Failure, Pool, PoolOptions, Work};
use crate::timer::{Alarm, Timer};

/// How soon a run that watches for cancellation ends when it is cancelled.
const REACTION: Duration = Duration::from_micros(20);

/// How often things happened.
#[derive(Default)]
pub(super) struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    pub(super) fn add(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }

    fn extend(&mut self, others: &Self) {
        others.0.iter().for_each(|(what, count)| self.add(what, *count));
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self.0.iter().map(|(what, count)| format!("{count} {what}")).collect();
        f.write_str(&counts.join(", "))
    }
}

/// Plays as many histories as the environment says, and fails with the seed of the first that is not as it should be. Each of
/// `wanted` must have happened.
#[track_caller]
pub(super) fn play_all(play: fn(u64) -> Result<Counts, String>, test: &str, wanted: &[&str]) {
    let one = from_environment("UNRUFFLED_SIM_SEED");
    let first = one.or(from_environment("UNRUFFLED_SIM_FIRST")).unwrap_or(0);
    let histories =
        if one.is_some() { 1 } else { from_environment("UNRUFFLED_SIM_HISTORIES").unwrap_or(1_000) };
    let mut seen = Counts::default();
    for seed in first..first + histories {
        match play(seed) {
            Ok(counts) => seen.extend(&counts),
            Err(violation) => panic!(
                "seed {seed}: {violation}\nreplay: UNRUFFLED_SIM_SEED={seed} cargo test -p unruffled-engine --lib simulation::{test}"
            ),
        }
    }
    println!("{histories} histories from seed {first}: {seen}");
    let missing: Vec<_> = wanted.iter().filter(|what| !seen.0.contains_key(**what)).collect();
    assert!(histories < 1_000 || missing.is_empty(), "the simulation never met: {missing:?}");
}

/// An engine's surroundings, on a clock that stands still.
pub(super) fn environment(begin: Instant) -> Environment {
    Environment::new(Timer::manual(begin), EngineOptions::default().with_cores(2).with_recorded(16))
}

/// A caller's waker.
#[derive(Default)]
pub(super) struct Woken(AtomicBool);

impl Woken {
    /// Polls for a caller who was woken, or comes for the first time.
    pub(super) fn poll<T>(
        self: &Arc<Self>,
        fresh: bool,
        poll: impl FnOnce(&mut Context<'_>) -> T,
    ) -> Option<T> {
        if !self.0.swap(false, Ordering::Relaxed) && !fresh {
            return None;
        }
        let waker = Waker::from(Arc::clone(self));
        Some(poll(&mut Context::from_waker(&waker)))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A model that is never built.
pub(super) struct Bare<I> {
    info: ModelInfo,
    admit: fn(&I) -> Result<Footprint, ModelError>,
    memo: Option<Arc<dyn Memo<I, u64>>>,
}

impl<I> Bare<I> {
    pub(super) fn new(admit: fn(&I) -> Result<Footprint, ModelError>, stops: bool) -> Self {
        let interrupt = if stops { Interrupt::Cooperative } else { Interrupt::Never };
        let info = ModelInfo::new("bare", "simulation").with_interrupt(interrupt).with_threads(0);
        Self { info, admit, memo: None }
    }

    pub(super) fn with_memo(mut self, memo: Arc<dyn Memo<I, u64>>) -> Self {
        self.memo = Some(memo);
        self
    }
}

impl<I: Send + 'static> LoadedModel for Bare<I> {
    type Input = I;
    type Output = u64;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &I) -> Result<Footprint, ModelError> {
        (self.admit)(input)
    }

    fn with_instance(&self, _: &mut Serve<'_, I, u64>) -> Result<(), ModelError> {
        Err(ModelError::unsupported("the simulation has no threads"))
    }

    fn memo(&self) -> Option<Arc<dyn Memo<I, u64>>> {
        self.memo.clone()
    }
}

/// Answers the row of a run that ends, or says why not.
type End<'a, I> = dyn FnMut(&mut Rng, &mut Batch<I, u64>) -> Option<Failure> + 'a;

enum Slot<I> {
    Down { until: Instant },
    Up,
    Running { work: Box<Work<I, u64>>, until: Instant },
}

/// A run that goes on: its row, and what is known of it.
pub(super) struct Going<'a, I> {
    pub(super) input: &'a I,
    pub(super) class: Priority,
    pub(super) is_cancelled: bool,
    pub(super) is_yielding: bool,
}

/// A pool, and its instances.
pub(super) struct ByHand<I: Send + 'static> {
    pub(super) handle: Handle<I, u64>,
    stops: bool,
    slots: Vec<Slot<I>>,
}

impl<I: Send + 'static> ByHand<I> {
    pub(super) fn new(name: &str, model: Bare<I>, options: PoolOptions, environment: &Environment) -> Self {
        let stops = model.info.interrupt == Interrupt::Cooperative;
        let pool = Arc::new(Pool::new(name.into(), Arc::new(model), options, environment));
        let weak: Weak<dyn Alarm> = Arc::downgrade(&pool) as Weak<dyn Alarm>;
        pool.set_alarm(environment.timer.register(weak));
        pool.instances_begun(options.instances());
        let begin = environment.timer.now();
        let slots = (0..options.instances()).map(|_| Slot::Down { until: begin }).collect();
        Self { handle: Handle::new(pool), stops, slots }
    }

    pub(super) fn pool(&self) -> Arc<Pool<I, u64>> {
        self.handle.pool()
    }

    /// Lets one instance do its next step. `take` hears of the row of a run that begins and says how long that takes; `end`
    /// answers it, or says why not.
    pub(super) fn turn(
        &mut self,
        rng: &mut Rng,
        now: Instant,
        take: &mut dyn FnMut(&mut Rng, &I) -> Duration,
        end: &mut End<'_, I>,
    ) {
        let slot = rng.usize(..self.slots.len());
        let pool = self.pool();
        self.slots[slot] = match std::mem::replace(&mut self.slots[slot], Slot::Up) {
            Slot::Down { until } if until > now => Slot::Down { until },
            Slot::Down { .. } => {
                pool.instance_up();
                Slot::Up
            }
            Slot::Up => match pool.take(slot, now, None) {
                None => Slot::Up,
                Some(work) => {
                    let input = work.batch.rows()[0].input().expect("untouched");
                    let until = now + take(rng, input);
                    Slot::Running { work: Box::new(work), until }
                }
            },
            Slot::Running { work, until } => {
                let told = self.stops && work.is_cancelled();
                let until = if told { until.min(now + REACTION) } else { until };
                if until > now {
                    Slot::Running { work, until }
                } else {
                    self.end(slot, *work, rng, now, told, end)
                }
            }
        };
    }

    fn end(
        &self,
        slot: usize,
        mut work: Work<I, u64>,
        rng: &mut Rng,
        now: Instant,
        told: bool,
        end: &mut End<'_, I>,
    ) -> Slot<I> {
        let pool = self.pool();
        let failure = match told {
            true => Some(Failure::Error(ModelError::cancelled())),
            false => end(rng, &mut work.batch),
        };
        let panicked = matches!(failure, Some(Failure::Panic(_)));
        if panicked {
            pool.instance_down(slot);
        }
        let _cost = pool.complete(slot, work, failure.as_ref(), now);
        match panicked {
            true => Slot::Down { until: now + Duration::from_micros(rng.u64(..1_500)) },
            false => Slot::Up,
        }
    }

    /// The runs that go on.
    pub(super) fn going(&mut self) -> Vec<Going<'_, I>> {
        let running = self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Running { work, .. } => Some(work),
            Slot::Down { .. } | Slot::Up => None,
        });
        let going = running.map(|work| {
            let (is_cancelled, is_yielding) = (work.is_cancelled(), work.is_yielding());
            let class = work.parts().1.requests()[0].priority();
            let input = work.batch.rows()[0].input().expect("untouched");
            Going { input, class, is_cancelled, is_yielding }
        });
        going.collect()
    }
}
