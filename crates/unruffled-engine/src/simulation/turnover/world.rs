//! The world of models that come and go: callers, virtual loads and virtual instances around the engine's own versions.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;
use unruffled_model::CancelToken;

use super::judge::{Asked, Census, Judge};
use super::loads::{Load, Stage};
use super::{RESIDENT, resident};
use crate::environment::{EngineOptions, Environment};
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Infer};
use crate::memory::MemoryBudget;
use crate::pool::{Pool, PoolOptions, Work};
use crate::queue::QueueLimits;
use crate::timer::Timer;
use crate::version::{Common, Desk, Hold, Recipe, Rollout, Version, Versions};

pub(super) type Input = u64;
pub(super) type Output = (u64, u64);

/// What there is to share out.
const BUDGET: usize = 100;

/// A version that somebody uses, and what is in memory of it.
pub(super) type InUse = (Arc<Version<Input, Output>>, Weak<Pool<Input, Output>>);

/// A pool's only instance.
pub(super) struct Instance {
    pub(super) pool: Arc<Pool<Input, Output>>,
    pub(super) model: usize,
    pub(super) state: State,
}

pub(super) enum State {
    Up,
    Sitting,
    Running(Box<Work<Input, Output>>, Instant),
}

pub(super) struct World {
    pub(super) rng: Rng,
    begin: Instant,
    pub(super) environment: Environment,
    pub(super) desk: Desk,
    pub(super) models: Vec<Handle<Input, Output>>,
    /// What each model really takes; its estimate may be less.
    pub(super) bytes: Vec<usize>,
    pub(super) holds: Vec<(usize, Hold)>,
    pub(super) loads: Vec<Load>,
    pub(super) instances: Vec<Instance>,
    callers: Vec<(u64, Infer<Input, Output>)>,
    pub(super) next: u64,
    pub(super) judge: Judge,
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

    pub(super) fn now(&self) -> Instant {
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

    /// What is in memory, and of which model.
    pub(super) fn residents(&self) -> impl Iterator<Item = (usize, Arc<Pool<Input, Output>>)> {
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
    pub(super) fn in_use(&self) -> Vec<InUse> {
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

    fn turn_instance(&mut self, at: usize) {
        let now = self.now();
        let Instance { pool, state, .. } = &mut self.instances[at];
        *state = match std::mem::replace(state, State::Up) {
            State::Sitting if pool.get_up(0) => State::Up,
            State::Sitting => State::Sitting,
            State::Up if pool.urgency_of(0).is_empty() => {
                pool.sit(0);
                State::Sitting
            }
            State::Up => match pool.take(0, now, None) {
                Some(work) => {
                    State::Running(Box::new(work), now + Duration::from_micros(self.rng.u64(..2_000)))
                }
                None => State::Up,
            },
            State::Running(work, until) if until > now => State::Running(work, until),
            State::Running(mut work, _) => {
                let (batch, ctx) = work.parts();
                let ran = pool.model().with_instance(&mut |model| {
                    model.run(batch, &ctx).expect("it never fails");
                });
                ran.expect("there is an instance");
                let _cost = pool.complete(0, *work, None, now);
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
            pool.instance_down(0);
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
