//! Loads, played: each waits for its turn and for room, takes its time, is weighed, and is put to use or fails.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use unruffled_model::CancelToken;

use super::Weights;
use super::judge::Born;
use super::world::{Input, Instance, Output, State, World};
use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use crate::memory::{Look, Measured, Place};
use crate::pool::Pool;
use crate::version::{LoadGuard, Rollout, Version};

/// A version on its way into memory.
pub(super) struct Load {
    pub(super) model: usize,
    pub(super) version: Arc<Version<Input, Output>>,
    pub(super) cancel: CancelToken,
    pub(super) place: Option<Place>,
    pub(super) stage: Stage,
    /// What becomes of it, if it is to stand beside others.
    pub(super) rollout: Option<(LoadGuard<Input, Output>, Rollout)>,
}

pub(super) enum Stage {
    Waiting,
    Reading {
        until: Instant,
        before: Option<Measured>,
    },
    /// It is there, and there may be too little room for it.
    Weighed {
        pool: Arc<Pool<Input, Output>>,
        bytes: usize,
    },
    Over,
}

impl World {
    pub(super) fn begin(
        &mut self,
        model: usize,
        version: Arc<Version<Input, Output>>,
        cancel: CancelToken,
        rollout: Option<(LoadGuard<Input, Output>, Rollout)>,
    ) {
        let place = Some(self.environment.memory.line_up());
        self.loads.push(Load { model, version, cancel, place, stage: Stage::Waiting, rollout });
    }

    pub(super) fn pick_up_loads(&mut self) {
        let begun = std::mem::take(&mut *self.desk.lock());
        for (version, cancel) in begun {
            let version = *version.downcast::<Arc<Version<Input, Output>>>().expect("of these types");
            let owner = |handle: &Handle<Input, Output>| {
                handle.versions_of().versions().iter().any(|known| Arc::ptr_eq(known, &version))
            };
            let model = self.models.iter().position(owner).unwrap_or(0);
            self.begin(model, version, cancel, None);
        }
    }

    fn look(&mut self, at: usize, need: usize) -> Result<Look, String> {
        let used = self.in_use();
        let idle: Vec<_> = self
            .residents()
            .filter_map(|(_, pool)| Some((pool.idle_since()?, Arc::downgrade(&pool))))
            .collect();
        let before = self.environment.memory.report().expect("there is a budget").evictions;
        let look = self.loads[at].place.as_mut().expect("it has not given it up").look(need);
        let after = self.environment.memory.report().expect("there is a budget").evictions;
        self.judge.census.evictions += after - before;
        self.judge.census.busy_while_looked_at += u64::from(!used.is_empty());
        for (version, pool) in used {
            let same = version.pool().is_some_and(|now| std::ptr::eq(Arc::as_ptr(&now), pool.as_ptr()));
            if !same {
                return Err(format!("version {} was put out while it was in use", version.name));
            }
        }
        // Of those that could go, nobody who was asked for earlier has stayed.
        let is_here = |pool: &Weak<_>| {
            self.residents().any(|(_, here)| std::ptr::eq(Arc::as_ptr(&here), pool.as_ptr()))
        };
        let held = |pool: &Weak<_>| {
            let owner = |(model, here): (usize, Arc<_>)| {
                std::ptr::eq(Arc::as_ptr(&here), pool.as_ptr()).then_some(model)
            };
            let model = self.residents().find_map(owner);
            self.holds.iter().any(|(held, _)| Some(*held) == model)
        };
        let (stay, go): (Vec<_>, Vec<_>) = idle.iter().partition(|(_, pool)| is_here(pool));
        let first = stay.iter().filter(|(_, pool)| !held(pool)).map(|(since, _)| *since).min();
        if let (Some(first), Some(last)) = (first, go.iter().map(|(since, _)| *since).max())
            && last > first
        {
            return Err("one went that was asked for later than one that stays".into());
        }
        Ok(look)
    }

    pub(super) fn turn_load(&mut self, at: usize) -> Result<(), String> {
        if self.loads[at].cancel.is_cancelled() {
            self.fail_load(at, &Error::new(ErrorKind::Cancelled, "the load was cancelled"));
            return Ok(());
        }
        let version = Arc::clone(&self.loads[at].version);
        match std::mem::replace(&mut self.loads[at].stage, Stage::Over) {
            Stage::Waiting => match self.look(at, version.needs_now())? {
                Look::Wait => self.loads[at].stage = Stage::Waiting,
                Look::Never(error) => self.fail_load(at, &error),
                Look::Fits => {
                    let reads = |load: &Load| !matches!(load.stage, Stage::Waiting | Stage::Over);
                    if self.loads.iter().any(reads) {
                        return Err("two models are loaded at once".into());
                    }
                    let until = self.now() + Duration::from_micros(self.rng.u64(..5_000));
                    let before = self.loads[at].place.as_ref().and_then(Place::measure);
                    self.loads[at].stage = Stage::Reading { until, before };
                }
            },
            Stage::Reading { until, before } if until > self.now() => {
                self.loads[at].stage = Stage::Reading { until, before };
            }
            Stage::Reading { before, .. } => {
                if self.rng.u32(..12) == 0 {
                    self.judge.census.failed_loads += 1;
                    self.fail_load(at, &Error::new(ErrorKind::ModelFailed, "not a model"));
                    return Ok(());
                }
                let number = self.next;
                self.next += 1;
                let model = self.loads[at].model;
                self.judge.born.insert(number, Born { model, version: version.name.to_string() });
                let pool = version.virtual_pool(Arc::new(Weights::new(number, self.bytes[model])));
                let place = self.loads[at].place.as_ref().expect("it is its turn");
                let bytes = version.weighed_now(place, before);
                self.loads[at].stage = Stage::Weighed { pool, bytes };
            }
            Stage::Weighed { pool, bytes } => match self.look(at, bytes)? {
                Look::Wait => self.loads[at].stage = Stage::Weighed { pool, bytes },
                Look::Never(error) => self.fail_load(at, &error),
                Look::Fits => self.put_to_use(at, &pool, bytes)?,
            },
            Stage::Over => {}
        }
        Ok(())
    }

    fn put_to_use(&mut self, at: usize, pool: &Arc<Pool<Input, Output>>, bytes: usize) -> Result<(), String> {
        let load = &mut self.loads[at];
        let (model, version) = (load.model, Arc::clone(&load.version));
        version.charge_now(load.place.as_ref().expect("it is its turn"), pool, bytes);
        load.place = None;
        pool.thread_began();
        pool.instances_begun(1);
        pool.instance_up();
        let rollout = load.rollout.take();
        let settled = version.settle(pool);
        self.instances.push(Instance { pool: Arc::clone(pool), model, state: State::Up });
        self.judge.census.loads += 1;
        if !settled {
            pool.drain(Error::new(ErrorKind::Cancelled, "the load was cancelled"));
        } else if let Some((guard, rollout)) = rollout {
            self.judge.share(model, None);
            let name = version.name.to_string();
            match guard.publish(Arc::clone(&version), rollout) {
                Ok(()) => {
                    self.judge.census.swaps += 1;
                    if let Rollout::Canary(percent @ 1..) = rollout {
                        self.judge.share(model, Some((name, percent)));
                    }
                }
                Err(error) if error.kind() == ErrorKind::InvalidInput => {
                    drop(version.retire(&error));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn fail_load(&mut self, at: usize, error: &Error) {
        let load = &mut self.loads[at];
        (load.stage, load.place) = (Stage::Over, None);
        let (model, version) = (load.model, Arc::clone(&load.version));
        if load.rollout.take().is_some() {
            drop(version.retire(error));
            return;
        }
        if error.kind() == ErrorKind::Cancelled {
            self.judge.census.idle_loads += 1;
            if let Some(cancel) = version.begin_again() {
                return self.begin(model, version, cancel, None);
            }
        }
        version.fail(error);
    }
}
