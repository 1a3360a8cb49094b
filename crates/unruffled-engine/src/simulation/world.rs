//! The simulated world: callers, virtual instances and a virtual clock around a real [`Pool`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;
use unruffled_model::{Batching, Footprint, Interrupt, LoadedModel, ModelError, ModelInfo, Serve, Signature};

use super::trace::{Event, Id, Micros, Trace};
use crate::error::{Error, ErrorKind};
use crate::handle::Infer;
use crate::pool::{Failure, Pool, PoolOptions, Work};
use crate::queue::QueueLimits;
use crate::request::{Priority, RequestOptions};

/// What the simulated model computes, so that each answer tells whose it is.
pub(super) fn answer_to(id: Id) -> u64 {
    id * 7 + 3
}

/// A request's input: who it is and what it weighs.
struct Input {
    id: Id,
    footprint: Footprint,
}

/// A model that is never built: the world plays its instances.
struct Played(ModelInfo);

impl LoadedModel for Played {
    type Input = Input;
    type Output = u64;

    fn info(&self) -> &ModelInfo {
        &self.0
    }

    fn admit(&self, input: &Input) -> Result<Footprint, ModelError> {
        match input.footprint.rows {
            0 => Err(ModelError::invalid_input("no rows")),
            _ => Ok(input.footprint),
        }
    }

    fn with_instance(&self, _: &mut Serve<'_, Input, u64>) -> Result<(), ModelError> {
        Err(ModelError::unsupported("the simulation has no threads"))
    }
}

/// One caller's future, polled as an executor would: once, and then only when woken.
struct Caller {
    id: Id,
    future: Pin<Box<Infer<Input, u64>>>,
    woken: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One virtual instance.
enum Slot {
    /// Not there: being built, or broken until then.
    Down {
        until: Micros,
    },
    Idle,
    Running {
        work: Work<Input, u64>,
        until: Micros,
    },
}

pub(super) struct World {
    rng: Rng,
    begin: Instant,
    now: Micros,
    pool: Arc<Pool<Input, u64>>,
    slots: Vec<Slot>,
    callers: Vec<Caller>,
    next_id: Id,
    trace: Trace,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let batching = [Batching::Single, Batching::Sequential, Batching::Joint][rng.usize(..3)];
        let (instances, max_batch) = (rng.usize(1..4), rng.usize(1..9));
        let (items, bytes) = (rng.usize(1..20), rng.usize(20..400));
        let info = ModelInfo {
            backend: "played".into(),
            platform: "simulation".into(),
            signature: Signature::default(),
            batching,
            interrupt: Interrupt::Cooperative,
            threads: 1,
        };
        let options = PoolOptions::default()
            .with_instances(instances)
            .with_max_batch(max_batch)
            .with_queue(QueueLimits { items, bytes });
        let pool = Arc::new(Pool::new("played".into(), Arc::new(Played(info)), options));
        let slots = (0..instances).map(|_| Slot::Down { until: 0 }).collect();
        let trace = Trace { batching, instances, max_batch, items, bytes, events: Vec::new() };
        Self { rng, begin: Instant::now(), now: 0, pool, slots, callers: Vec::new(), next_id: 0, trace }
    }

    /// Plays one history to its end.
    pub(super) fn run(mut self) -> Trace {
        let steps = self.rng.usize(20..200);
        // Some histories end in the middle of everything.
        let (drain_at, close_at) = (self.rng.usize(..steps * 2), self.rng.usize(..steps * 4));
        for step in 0..steps {
            self.advance();
            if step == drain_at {
                self.drain();
            }
            if step == close_at {
                self.close();
            }
            match self.rng.u32(..100) {
                0..45 => self.submit(),
                45..55 => self.drop_one(),
                55..57 => self.fail_to_build(),
                _ => self.turn_one_slot(),
            }
            self.poll_woken();
            self.look();
        }
        self.finish()
    }

    fn record(&mut self, event: Event) {
        self.trace.events.push((self.now, event));
    }

    fn instant(&self, at: Micros) -> Instant {
        self.begin + Duration::from_micros(at)
    }

    /// Time passes; the timer is on time.
    fn advance(&mut self) {
        let target = self.now + self.rng.u64(..600);
        while let Some(due) = self.pool.expire(self.instant(self.now)) {
            let due = due.duration_since(self.begin).as_micros() as Micros;
            if due > target {
                break;
            }
            self.now = due;
        }
        self.now = target;
        self.pool.expire(self.instant(target));
    }

    fn submit(&mut self) {
        let id = self.next_id;
        self.next_id += 1;
        let class = [Priority::Interactive, Priority::Normal, Priority::Bulk][self.rng.usize(..3)];
        let deadline = match self.rng.u32(..10) {
            0 => Some(self.now.saturating_sub(self.rng.u64(..50))),
            1..6 => Some(self.now + self.rng.u64(1..6_000)),
            _ => None,
        };
        let footprint = Footprint {
            rows: self.rng.usize(..20).min(3),
            bytes: if self.rng.u32(..100) == 0 { 1_000 } else { self.rng.usize(..60) },
            bucket: self.rng.u64(..2),
        };
        let options =
            RequestOptions { priority: class, deadline: deadline.map(|at| self.instant(at)), id: None };
        let now = self.instant(self.now);
        let mut future = Box::pin(Infer::new(&self.pool, now, Input { id, footprint }, options));
        // A refusal is there at the first poll.
        let woken = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let refused = match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(Err(error)) => Some(error.kind()),
            Poll::Ready(Ok(_)) => unreachable!("nothing ran"),
            Poll::Pending => None,
        };
        self.record(Event::Submitted { id, class, deadline, footprint, refused });
        if refused.is_none() {
            self.callers.push(Caller { id, future, woken });
        }
    }

    fn drop_one(&mut self) {
        if self.callers.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.callers.len());
        let caller = self.callers.swap_remove(at);
        self.record(Event::Dropped(caller.id));
    }

    fn turn_one_slot(&mut self) {
        let slot = self.rng.usize(..self.slots.len());
        self.turn(slot);
    }

    /// Lets one instance do its next step, if it is time for it.
    fn turn(&mut self, slot: usize) {
        match std::mem::replace(&mut self.slots[slot], Slot::Idle) {
            Slot::Down { until } if until > self.now => self.slots[slot] = Slot::Down { until },
            Slot::Down { .. } => self.pool.instance_up(),
            Slot::Idle => {
                if let Some(work) = self.pool.take(slot, self.instant(self.now)) {
                    let ids =
                        work.batch.rows().iter().map(|row| row.input().expect("untouched").id).collect();
                    self.record(Event::Taken { slot, ids });
                    let until = self.now + self.rng.u64(..3_000);
                    self.slots[slot] = Slot::Running { work, until };
                }
            }
            Slot::Running { work, until } if until > self.now => {
                self.slots[slot] = Slot::Running { work, until };
            }
            Slot::Running { work, .. } => self.end_run(slot, work),
        }
    }

    fn end_run(&mut self, slot: usize, mut work: Work<Input, u64>) {
        let told_to_stop = work.parts().1.is_cancelled();
        let failure = match self.rng.u32(..20) {
            0 => Some(Failure::Panic("boom".into())),
            1 => Some(Failure::Error(ModelError::failed("no luck"))),
            _ => None,
        };
        // A run that broke off has answered some of its rows.
        let answered = if failure.is_some() { self.rng.usize(..=work.batch.len()) } else { work.batch.len() };
        for row in work.batch.rows_mut().iter_mut().take(answered) {
            let input = row.take_input().expect("taken once");
            match self.rng.u32(..30) {
                0 => row.finish(Err(ModelError::failed("a poor row"))),
                1 => {}
                _ => row.finish(Ok(answer_to(input.id))),
            }
        }
        let panicked = matches!(failure, Some(Failure::Panic(_)));
        self.record(Event::Ended { slot, told_to_stop, panicked });
        if panicked {
            self.pool.instance_down();
            self.slots[slot] = Slot::Down { until: self.now + self.rng.u64(..2_000) };
        }
        let _cost = self.pool.complete(slot, work, failure.as_ref(), self.instant(self.now));
    }

    fn fail_to_build(&mut self) {
        if self.slots.iter().any(|slot| matches!(slot, Slot::Down { .. })) {
            let others = self.slots.iter().any(|slot| !matches!(slot, Slot::Down { .. }));
            self.record(Event::BuildFailed { others });
            self.pool.instance_failed(&Error::new(ErrorKind::ModelFailed, "no memory"));
        }
    }

    fn drain(&mut self) {
        self.record(Event::Drained);
        self.pool.drain(Error::new(ErrorKind::ShuttingDown, "the engine is shutting down"));
    }

    fn close(&mut self) {
        self.record(Event::Closed);
        self.pool.close(Error::new(ErrorKind::ShuttingDown, "the engine is shutting down"));
    }

    fn poll_woken(&mut self) {
        let mut answered = Vec::new();
        self.callers.retain_mut(|caller| {
            if !caller.woken.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            let waker = Waker::from(Arc::clone(&caller.woken));
            match caller.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => true,
                Poll::Ready(outcome) => {
                    answered.push((caller.id, outcome));
                    false
                }
            }
        });
        for (id, outcome) in answered {
            let outcome = outcome.map(|response| response.output).map_err(|error| error.kind());
            self.record(Event::Answered(id, outcome));
        }
    }

    fn look(&mut self) {
        let status = self.pool.status();
        self.record(Event::Status {
            queued: status.queued,
            bytes: status.queued_bytes,
            running: status.running,
        });
    }

    /// No more requests; everything that was accepted comes to its end.
    fn finish(mut self) -> Trace {
        self.drain();
        for _ in 0..10_000 {
            self.advance();
            for slot in 0..self.slots.len() {
                self.turn(slot);
            }
            self.poll_woken();
            let busy = self.slots.iter().any(|slot| matches!(slot, Slot::Running { .. }));
            if self.callers.is_empty() && !busy {
                break;
            }
        }
        self.look();
        let waiting = self.callers.iter().map(|caller| caller.id).collect();
        let deadlines = self.pool.deadlines();
        self.record(Event::End { waiting, deadlines });
        self.trace
    }
}
