//! The world of models that come and go: callers, virtual loads and virtual instances around the engine's own versions.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;
use unruffled_model::CancelToken;

use super::judge::{Asked, Born, Census, Judge};
use super::{RESIDENT, Weights, resident};
use crate::environment::{EngineOptions, Environment};
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Infer};
use crate::memory::{Look, Measured, MemoryBudget, Place};
use crate::pool::{Pool, PoolOptions, Work};
use crate::queue::QueueLimits;
use crate::timer::Timer;
use crate::version::{Common, Desk, Hold, LoadGuard, Recipe, Rollout, Version, Versions};

type Input = u64;
type Output = (u64, u64);

/// What there is to share out.
const BUDGET: usize = 100;

/// A version on its way into memory.
struct Load {
    model: usize,
    version: Arc<Version<Input, Output>>,
    cancel: CancelToken,
    place: Option<Place>,
    stage: Stage,
    /// What becomes of it, if it is to stand beside others.
    rollout: Option<(LoadGuard<Input, Output>, Rollout)>,
}

enum Stage {
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

/// A pool's only instance.
struct Instance {
    pool: Arc<Pool<Input, Output>>,
    model: usize,
    state: State,
}

enum State {
    Up,
    Sitting,
    Running(Work<Input, Output>, Instant),
}

pub(super) struct World {
    rng: Rng,
    begin: Instant,
    environment: Environment,
    desk: Desk,
    models: Vec<Handle<Input, Output>>,
    /// What each model really takes; its estimate may be less.
    bytes: Vec<usize>,
    holds: Vec<(usize, Hold)>,
    loads: Vec<Load>,
    instances: Vec<Instance>,
    callers: Vec<(u64, Infer<Input, Output>)>,
    next: u64,
    judge: Judge,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        RESIDENT.set(0);
        let begin = Instant::now();
        let budget = MemoryBudget::new(BUDGET).measured_by(resident);
        let environment =
            Environment::new(Timer::manual(begin), EngineOptions::default().with_memory(budget));
        let desk = Desk::default();
        let bytes: Vec<usize> = (0..rng.usize(2..6)).map(|_| rng.usize(10..60)).collect();
        let models = bytes.iter().enumerate().map(|(model, bytes)| {
            let mut common = Common::new(format!("model {model}").into(), &environment, &Arc::default());
            common.desk = Some(Arc::clone(&desk));
            Handle::of(Versions::absent(common, options(&mut rng), recipe(*bytes)))
        });
        let models = models.collect();
        Self {
            rng,
            begin,
            environment,
            desk,
            models,
            bytes,
            holds: Vec::new(),
            loads: Vec::new(),
            instances: Vec::new(),
            callers: Vec::new(),
            next: 0,
            judge: Judge::default(),
        }
    }

    pub(super) fn run(mut self) -> Result<Census, String> {
        for _ in 0..self.rng.usize(50..400) {
            self.step()?;
        }
        self.finish()
    }

    fn now(&self) -> Instant {
        self.environment.timer.now()
    }

    fn step(&mut self) -> Result<(), String> {
        match self.rng.u32(..100) {
            0..40 => self.ask(),
            40..45 => self.give_up()?,
            45..48 => self.reload(),
            48..51 => self.reroute()?,
            51..53 => self.hold(),
            53..54 => self.give_one_load_up(),
            _ => {}
        }
        let later = self.now() + Duration::from_micros(self.rng.u64(..3_000));
        self.environment.timer.advance_to(later);
        self.work()
    }

    /// Loads and instances go on, some of them.
    fn work(&mut self) -> Result<(), String> {
        self.pick_up_loads();
        for at in 0..self.loads.len() {
            if self.rng.bool() {
                self.turn_load(at)?;
            }
        }
        self.loads.retain(|load| !matches!(load.stage, Stage::Over));
        for at in 0..self.instances.len() {
            if self.rng.bool() {
                self.turn_instance(at);
            }
        }
        self.let_go();
        self.poll()?;
        let used = self.environment.memory.report().expect("there is a budget").used;
        if used > BUDGET {
            return Err(format!("{used} of {BUDGET} are taken"));
        }
        // What is being weighed may be more than was thought of it: no more than one is.
        let weighed = self.loads.iter().filter(|load| matches!(load.stage, Stage::Weighed { .. })).count();
        let most = BUDGET + if weighed > 0 { 60 } else { 0 };
        if RESIDENT.get() > most {
            return Err(format!("{} are in memory, of {BUDGET}", RESIDENT.get()));
        }
        Ok(())
    }

    fn ask(&mut self) {
        let model = self.rng.usize(..self.models.len());
        let id = self.next;
        self.next += 1;
        let version = (self.rng.u32(..6) == 0).then(|| self.rng.u32(1..4).to_string());
        let is_hasty = self.rng.u32(..4) == 0;
        let deadline = self.now() + Duration::from_micros(self.rng.u64(1..20_000));
        let deadline = is_hasty.then_some(deadline);
        let handle = &self.models[model];
        let mut request = handle.infer(id);
        if let Some(version) = &version {
            request = request.version(version.as_str());
        }
        if let Some(deadline) = deadline {
            request = request.deadline(deadline);
        }
        let parked = handle.status().instances == 0;
        let infer = request.submit();
        self.judge.census.parked += u64::from(parked);
        let asked = Asked { model, version, has_deadline: deadline.is_some(), was_given_up: false };
        self.judge.asked.insert(id, asked);
        self.callers.push((id, infer));
    }

    /// A caller goes, or is told that it was cancelled.
    fn give_up(&mut self) -> Result<(), String> {
        if self.callers.is_empty() {
            return Ok(());
        }
        let at = self.rng.usize(..self.callers.len());
        if self.rng.bool() {
            let (id, infer) = &self.callers[at];
            if let Some(asked) = self.judge.asked.get_mut(id) {
                asked.was_given_up = true;
            }
            infer.canceller().cancel();
            return self.poll();
        }
        let (id, infer) = self.callers.swap_remove(at);
        drop(infer);
        self.judge.asked.remove(&id);
        Ok(())
    }

    fn reload(&mut self) {
        let model = self.rng.usize(..self.models.len());
        let versions = self.models[model].versions_of();
        let Ok(guard) = versions.begin_load() else { return };
        let rollout = match self.rng.u32(..4) {
            0 | 1 => Rollout::Replace,
            2 => Rollout::Canary(self.rng.u8(0..60)),
            _ => Rollout::Beside,
        };
        let cancel = CancelToken::new();
        let version = guard.begin(options(&mut self.rng), recipe(self.bytes[model]), &cancel);
        self.begin(model, version, cancel, Some((guard, rollout)));
    }

    /// Versions are shared out, promoted, removed.
    fn reroute(&mut self) -> Result<(), String> {
        let model = self.rng.usize(..self.models.len());
        let versions = Arc::clone(self.models[model].versions_of());
        let names: Vec<_> = versions.versions().iter().map(|version| version.name.clone()).collect();
        let name = &names[self.rng.usize(..names.len())];
        match self.rng.u32(..3) {
            0 => {
                let percent = self.rng.u8(1..60);
                if versions.share(name, percent).is_ok() {
                    self.judge.share(model, Some((name.to_string(), percent)));
                }
            }
            1 => {
                versions.promote(name).map_err(|error| error.to_string())?;
                self.judge.share(model, None);
            }
            _ => {
                if let Ok(pools) = versions.remove(name) {
                    self.judge.share(model, None);
                    self.judge.census.removed += 1;
                    drop(pools);
                }
            }
        }
        Ok(())
    }

    fn hold(&mut self) {
        if self.holds.is_empty() || self.rng.bool() {
            let model = self.rng.usize(..self.models.len());
            self.holds.push((model, self.models[model].hold()));
        } else {
            let at = self.rng.usize(..self.holds.len());
            self.holds.swap_remove(at);
        }
    }

    fn give_one_load_up(&mut self) {
        if let Some(load) = self.loads.iter().find(|load| load.rollout.is_some()) {
            load.cancel.cancel();
        }
    }

    fn begin(
        &mut self,
        model: usize,
        version: Arc<Version<Input, Output>>,
        cancel: CancelToken,
        rollout: Option<(LoadGuard<Input, Output>, Rollout)>,
    ) {
        let place = Some(self.environment.memory.line_up());
        self.loads.push(Load { model, version, cancel, place, stage: Stage::Waiting, rollout });
    }

    fn pick_up_loads(&mut self) {
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

    /// What is in memory, and of which model.
    fn residents(&self) -> impl Iterator<Item = (usize, Arc<Pool<Input, Output>>)> {
        let pools = |handle: &Handle<Input, Output>| {
            handle
                .versions_of()
                .versions()
                .into_iter()
                .filter_map(|version| version.pool())
                .collect::<Vec<_>>()
        };
        let all = self.models.iter().enumerate();
        all.flat_map(move |(model, handle)| pools(handle).into_iter().map(move |pool| (model, pool)))
    }

    /// The models that somebody uses, with what is in memory of them.
    fn in_use(&self) -> Vec<(Arc<Version<Input, Output>>, Weak<Pool<Input, Output>>)> {
        let mut used = Vec::new();
        for (model, handle) in self.models.iter().enumerate() {
            let is_held = self.holds.iter().any(|(held, _)| *held == model);
            for version in handle.versions_of().versions() {
                let Some(pool) = version.pool() else { continue };
                let status = pool.status();
                if is_held || status.queued + status.running > 0 {
                    used.push((version, Arc::downgrade(&pool)));
                }
            }
        }
        used
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

    fn turn_load(&mut self, at: usize) -> Result<(), String> {
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
                Look::Fits => self.put_to_use(at, pool, bytes)?,
            },
            Stage::Over => {}
        }
        Ok(())
    }

    fn put_to_use(&mut self, at: usize, pool: Arc<Pool<Input, Output>>, bytes: usize) -> Result<(), String> {
        let load = &mut self.loads[at];
        let (model, version) = (load.model, Arc::clone(&load.version));
        version.charge_now(load.place.as_ref().expect("it is its turn"), &pool, bytes);
        load.place = None;
        pool.thread_began();
        pool.instances_begun(1);
        pool.instance_up();
        let rollout = load.rollout.take();
        let settled = version.settle(&pool);
        self.instances.push(Instance { pool: Arc::clone(&pool), model, state: State::Up });
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

    fn turn_instance(&mut self, at: usize) {
        let now = self.now();
        let Instance { pool, state, .. } = &mut self.instances[at];
        *state = match std::mem::replace(state, State::Up) {
            State::Sitting if pool.get_up(0) => State::Up,
            State::Sitting => State::Sitting,
            State::Up if pool.urgency().is_empty() => {
                pool.sit(0);
                State::Sitting
            }
            State::Up => match pool.take(0, now, None) {
                Some(work) => State::Running(work, now + Duration::from_micros(self.rng.u64(..2_000))),
                None => State::Up,
            },
            State::Running(work, until) if until > now => State::Running(work, until),
            State::Running(mut work, _) => {
                let (batch, ctx) = work.parts();
                let ran = pool.model().with_instance(&mut |model| {
                    model.run(batch, &ctx).expect("it never fails");
                });
                ran.expect("there is an instance");
                let _cost = pool.complete(0, work, None, now);
                State::Up
            }
        };
    }

    /// Instances that have nothing left to live for end, and their pools with them.
    fn let_go(&mut self) {
        let over = |instance: &Instance| {
            let status = instance.pool.status();
            let is_resident = self.models[instance.model]
                .versions_of()
                .versions()
                .iter()
                .any(|version| version.pool().is_some_and(|pool| Arc::ptr_eq(&pool, &instance.pool)));
            !is_resident
                && status.queued + status.running == 0
                && !matches!(instance.state, State::Running(..))
        };
        let (gone, here): (Vec<_>, Vec<_>) = std::mem::take(&mut self.instances).into_iter().partition(over);
        self.instances = here;
        for Instance { pool, .. } in gone {
            pool.instance_down();
            pool.thread_ended();
        }
    }

    fn poll(&mut self) -> Result<(), String> {
        let mut cx = Context::from_waker(Waker::noop());
        let judge = &mut self.judge;
        let mut violation = None;
        self.callers.retain_mut(|(id, infer)| match Pin::new(infer).poll(&mut cx) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                let outcome = outcome.map_err(|error| error.kind()).map(|response| {
                    let told = response.provenance.and_then(|provenance| provenance.version);
                    (response.output, told.map(|version| version.to_string()))
                });
                if let Err(error) = judge.ended(*id, outcome) {
                    violation.get_or_insert(error);
                }
                false
            }
        });
        violation.map_or(Ok(()), Err)
    }

    /// Everybody is served or told why not; then all goes, and nothing is left.
    fn finish(mut self) -> Result<Census, String> {
        self.holds.clear();
        for _ in 0..5_000 {
            if self.callers.is_empty() && self.loads.is_empty() {
                break;
            }
            let later = self.now() + Duration::from_micros(1_000);
            self.environment.timer.advance_to(later);
            self.work()?;
        }
        if !self.callers.is_empty() || !self.loads.is_empty() {
            let (callers, loads) = (self.callers.len(), self.loads.len());
            return Err(format!(
                "{callers} requests and {loads} loads come to no end, {:?} after the begin",
                self.now() - self.begin
            ));
        }
        if !self.judge.asked.is_empty() {
            return Err(format!("{} requests were lost", self.judge.asked.len()));
        }
        self.judge.census.ends += 1;
        let error = Error::new(ErrorKind::NotReady, "has been unloaded");
        for handle in &self.models {
            drop(handle.versions_of().end(&error));
        }
        for _ in 0..1_000 {
            if self.instances.is_empty() {
                break;
            }
            let later = self.now() + Duration::from_micros(1_000);
            self.environment.timer.advance_to(later);
            self.work()?;
        }
        let report = self.environment.memory.report().expect("there is a budget");
        if RESIDENT.get() > 0 || report.used > 0 {
            return Err(format!("{} are left in memory, {} of them known", RESIDENT.get(), report.used));
        }
        Ok(self.judge.census)
    }
}

fn options(rng: &mut Rng) -> PoolOptions {
    let items = rng.usize(1..12);
    PoolOptions::default().with_queue(QueueLimits { items, ..QueueLimits::default() })
}

/// What is thought of a model that really takes so much: enough, most of the time.
fn recipe(bytes: usize) -> Recipe<Input, Output> {
    let thought = if bytes.is_multiple_of(3) { bytes / 2 } else { bytes };
    Recipe::new(|_| unreachable!("its loads are played")).bytes(thought)
}
