//! The simulated world: callers, virtual instances, cores and a virtual clock around real pools.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;
use unruffled_model::{Batching, Caller, Footprint, Priority, RequestContext, RequestId};

use super::callers::{Crowd, Diary, Flow, Scope};
use super::played::{Input, Played, duration, play};
use super::tenants::Tenant;
use super::trace::{At, Event, Facts, Id, Kind, Micros, ModelFacts, RunFacts, Trace};
use crate::arbiter::Permit;
use crate::environment::{EngineOptions, Environment};
use crate::error::{Error, ErrorKind};
use crate::group::Group;
use crate::handle::{Canceller, Handle, Infer, Request, Stopped};
use crate::pool::{Inline, Pool, PoolOptions, Preemption, Work};
use crate::queue::QueueLimits;
use crate::stream::StreamOptions;
use crate::timer::{Alarm, Timer};
use crate::urgency::Urgency;

/// How soon a run that watches for cancellation ends when it is cancelled.
const REACTION: Micros = 20;

/// What one model of the world is.
pub(super) struct Model {
    pub(super) handle: Handle<Input, u64>,
    facts: ModelFacts,
    slots: Vec<Slot>,
}

impl Model {
    fn pool(&self) -> &Arc<Pool<Input, u64>> {
        self.handle.pool()
    }
}

/// One virtual instance.
enum Slot {
    /// Not wanted.
    Spare,
    /// Not there: being built, or broken until then.
    Down {
        until: Micros,
    },
    /// It sits and waits to be called.
    Sitting,
    /// It looks for work.
    Up,
    /// It has work and waits for a core.
    Waiting(u64, Arc<Urgency>),
    /// It has a core.
    Granted(Permit),
    Running {
        work: Work<Input, u64>,
        until: Micros,
    },
}

/// Whoever is polled as an executor would: once, and then only when woken.
struct Task {
    what: What,
    woken: Arc<Flag>,
}

enum What {
    /// One request.
    Request(Id, Infer<Input, u64>, Canceller),
    /// One that is being stopped.
    Stopping(Id, Stopped),
    /// A scope or a stream, which writes into the diary itself.
    Scope(Box<dyn Scope>),
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(super) struct World {
    pub(super) rng: Rng,
    begin: Instant,
    environment: Environment,
    pub(super) models: Vec<Model>,
    tasks: Vec<Task>,
    next_id: Id,
    cores: usize,
    ageing: Micros,
    pub(super) diary: Diary,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (cores, ageing) = (rng.usize(1..4), rng.u64(2_000..10_000));
        let options = EngineOptions::default()
            .with_cores(cores)
            .with_ageing(Duration::from_micros(ageing))
            .with_recorded(if rng.bool() { 64 } else { 0 });
        let begin = Instant::now();
        let environment = Environment::new(Timer::manual(begin), options);
        let models = (0..rng.usize(1..4)).map(|at| Self::model(&mut rng, at, &environment)).collect();
        let diary = Diary::new(begin, environment.timer.clone());
        Self { rng, begin, environment, models, tasks: Vec::new(), next_id: 0, cores, ageing, diary }
    }

    fn model(rng: &mut Rng, at: At, environment: &Environment) -> Model {
        let (stops, reruns) = (rng.u32(..4) > 0, rng.u32(..4) > 0);
        let facts = ModelFacts {
            batching: [Batching::Single, Batching::Sequential, Batching::Joint, Batching::Joint]
                [rng.usize(..4)],
            instances: rng.usize(1..4),
            instances_max: 0,
            lease_idle: rng.u64(1_000..6_000),
            max_batch: rng.usize(1..12),
            items: rng.usize(1..30),
            bytes: rng.usize(60..600),
            threads: [0, 1, 1, 1, 2][rng.usize(..5)],
            stops,
            reruns,
            yields: stops && reruns && rng.u32(..4) > 0,
            moody: rng.u32(..4) == 0,
            scoped: at > 0 && rng.u32(..3) == 0,
            greedy: rng.u32(..3) == 0,
            cheap: false,
        };
        let cheap = rng.u32(..5) == 0 && !facts.scoped;
        let instances_max = facts.instances + if rng.bool() { rng.usize(1..4) } else { 0 };
        let facts = ModelFacts { cheap, instances_max, ..facts };
        let micros = Duration::from_micros;
        let options = PoolOptions::default()
            .with_instances_between(facts.instances, facts.instances_max)
            .with_grow_after(micros(rng.u64(200..3_000)))
            .with_shrink_after(micros(rng.u64(200..6_000)))
            .with_lease_idle_max(micros(facts.lease_idle))
            .with_max_batch(facts.max_batch)
            .with_queue(QueueLimits { items: facts.items, bytes: facts.bytes })
            .with_preemption(if facts.yields { Preemption::Bulk } else { Preemption::Never })
            .with_inline(if cheap { Inline::WhenCheap } else { Inline::Never });
        let played = Played::new(&facts, cheap);
        let pool = Arc::new(Pool::new(format!("model {at}").into(), Arc::new(played), options, environment));
        let weak: Weak<dyn Alarm> = Arc::downgrade(&pool) as Weak<dyn Alarm>;
        pool.set_alarm(environment.timer.register(weak));
        if cheap {
            pool.pretend_cheap();
        }
        pool.instances_begun(facts.instances);
        let slot = |at| if at < facts.instances { Slot::Down { until: 0 } } else { Slot::Spare };
        let slots = (0..facts.instances_max).map(slot).collect();
        Model { handle: Handle::new(pool), facts, slots }
    }

    /// Plays one history to its end.
    pub(super) fn run(mut self) -> Trace {
        let steps = self.rng.usize(20..250);
        // Some histories end in the middle of everything.
        let rng = &mut self.rng;
        let ends: Vec<_> =
            self.models.iter().map(|_| (rng.usize(..steps * 6), rng.usize(..steps * 12))).collect();
        // How busy it is.
        let arrivals = self.rng.u32(20..60);
        for step in 0..steps {
            self.pass(600);
            for (at, (drain_at, close_at)) in ends.iter().enumerate() {
                if step == *drain_at {
                    self.drain(at);
                }
                if step == *close_at {
                    self.close(at);
                }
            }
            match self.rng.u32(..100) {
                act if act < arrivals => self.submit_some(),
                act if act < arrivals + 5 => self.give_one_up(),
                act if act < arrivals + 6 => self.break_something(),
                act if act < arrivals + 10 => self.begin_tenant(),
                _ => self.turn_some(),
            }
            self.settle();
            self.look();
        }
        self.finish()
    }

    pub(super) fn now(&self) -> Micros {
        self.diary.now()
    }

    fn instant(&self, at: Micros) -> Instant {
        self.begin + Duration::from_micros(at)
    }

    /// Time passes; the timer is on time.
    fn pass(&mut self, most: Micros) {
        let later = self.rng.u64(..most);
        let target = self.instant(self.now() + later);
        loop {
            let fired = self.environment.timer.advance(target);
            self.environment.arbiter.write_off(self.environment.timer.now());
            self.pick_up();
            self.settle();
            if !fired {
                return;
            }
        }
    }

    fn submit_some(&mut self) {
        let model = self.rng.usize(..self.models.len());
        if self.models[model].facts.scoped {
            return self.begin_scope(model);
        }
        for _ in 0..if self.rng.u32(..4) == 0 { self.rng.usize(1..12) } else { 1 } {
            let (id, input) = self.input(model);
            let request = request(&self.models[model].handle, self.begin, input.clone());
            let infer = request.submit();
            let canceller = infer.canceller();
            self.diary.came(id, input.facts);
            self.begin_task(What::Request(id, infer, canceller));
        }
    }

    /// A new request's input.
    pub(super) fn input(&mut self, model: At) -> (Id, Input) {
        let id = self.next_id;
        self.next_id += 1;
        let rng = &mut self.rng;
        let scoped = self.models[model].facts.scoped;
        let classes = [Priority::Interactive, Priority::Normal, Priority::Bulk, Priority::Bulk];
        let class = classes[if scoped { rng.usize(1..4) } else { rng.usize(..4) }];
        let now = self.diary.now();
        let deadline = match rng.u32(..20) {
            0 if !scoped => Some(now.saturating_sub(rng.u64(..50))),
            1..8 => Some(now + rng.u64(1..12_000)),
            _ => None,
        };
        let bytes = if rng.u32(..100) == 0 { 1_000 } else { rng.usize(..60) };
        let rows = if rng.u32(..60) == 0 { 0 } else { rng.usize(1..4) };
        let footprint = Footprint::new(rows, bytes, rng.u64(..2));
        let facts = Facts {
            model,
            class,
            deadline,
            footprint,
            caller: match rng.u32(..10) {
                0..8 if self.models[model].facts.greedy => Some(1),
                _ => Some(rng.u32(..4)).filter(|caller| *caller > 0),
            },
            key: Some(rng.u32(..20)).filter(|key| *key < 2 && !scoped),
            poison: rng.u32(..25) == 0,
            poor: rng.u32(..30) == 0,
            kind: Kind::Run,
        };
        (id, Input { id, name: id.to_string(), facts, panics: rng.bool() })
    }

    /// Somebody who wants an instance for himself, if there are not too many yet.
    fn begin_tenant(&mut self) {
        let model = self.rng.usize(..self.models.len());
        let facts = &self.models[model].facts;
        let scopes = self.tasks.iter().filter(|task| matches!(task.what, What::Scope(_)));
        if facts.scoped || facts.cheap || scopes.count() >= 4 {
            return;
        }
        let (id, input) = self.input(model);
        let calls = (0..self.rng.usize(..7)).map(|_| self.input(model).1).collect();
        let habits = (self.rng.usize(1..4), self.rng.u64(1..4_000));
        let handle = &self.models[model].handle;
        let tenant = Tenant::new(id, &input.facts, handle, self.begin, calls, habits, &self.diary);
        self.begin_task(What::Scope(Box::new(tenant)));
    }

    /// A group of requests, or a stream, if there are not too many yet.
    fn begin_scope(&mut self, model: At) {
        let scopes = self.tasks.iter().filter(|task| matches!(task.what, What::Scope(_)));
        if scopes.count() >= 3 {
            return;
        }
        let count = self.rng.usize(..24);
        let mut inputs: Vec<Input> = (0..count).map(|_| self.input(model).1).collect();
        let scope: Box<dyn Scope> = if self.rng.bool() {
            inputs.iter().for_each(|input| self.diary.note(Event::Planned(input.id, input.facts.clone())));
            let ids = inputs.iter().map(|input| input.id).collect();
            let handle = &self.models[model].handle;
            let requests = inputs.into_iter().map(|input| request(handle, self.begin, input));
            let group = Group::new(self.environment.timer.clone()).add_all(requests);
            Box::new(Crowd::new(ids, group.in_flight(self.rng.usize(1..10)), self.rng.bool()))
        } else {
            let (stream, mut at, now) = (self.next_id, 0, self.now());
            self.next_id += 1;
            let mut items = Vec::new();
            for (n, mut input) in inputs.drain(..).enumerate() {
                at += if self.rng.u32(..3) == 0 { self.rng.u64(..3_000) } else { 0 };
                input.name = format!("{stream}/{n}");
                (input.facts.class, input.facts.deadline) = (Priority::Normal, None);
                self.diary.note(Event::Planned(input.id, input.facts.clone()));
                items.push((input, now + at));
            }
            let size = self.rng.usize(1..8);
            let options = StreamOptions::batch(size)
                .every(Duration::from_micros(self.rng.u64(..2_000)))
                .context(RequestContext::new(RequestId::Text(stream.to_string().into())));
            let terms = (self.rng.bool(), self.rng.usize(size..size * 3 + 1));
            let handle = &self.models[model].handle;
            Box::new(Flow::new(stream, handle, items, &self.diary, options, terms))
        };
        self.begin_task(What::Scope(scope));
    }

    fn begin_task(&mut self, what: What) {
        let mut task = Task { what, woken: Arc::new(Flag(AtomicBool::new(true))) };
        if !Self::poll(&mut task, &self.diary, true) {
            self.tasks.push(task);
        }
    }

    /// Polls a task if it was woken. True: it is over.
    fn poll(task: &mut Task, diary: &Diary, fresh: bool) -> bool {
        if !task.woken.0.swap(false, Ordering::Relaxed) {
            return false;
        }
        let waker = Waker::from(Arc::clone(&task.woken));
        let cx = &mut Context::from_waker(&waker);
        match &mut task.what {
            What::Request(id, infer, _) => {
                let Poll::Ready(outcome) = Pin::new(infer).poll(cx) else {
                    diary.let_in(*id);
                    return false;
                };
                diary.answered(*id, &outcome, fresh);
                true
            }
            What::Stopping(id, stopped) => {
                let over = Pin::new(stopped).poll(cx).is_ready();
                if over {
                    diary.note(Event::Stopped(*id));
                }
                over
            }
            What::Scope(scope) => scope.poll(cx, diary).is_ready(),
        }
    }

    /// Lets everybody who was woken go on, until nobody is.
    fn settle(&mut self) {
        while self.tasks.iter().any(|task| task.woken.0.load(Ordering::Relaxed)) {
            let diary = &self.diary;
            self.tasks.retain_mut(|task| !Self::poll(task, diary, false));
        }
    }

    fn give_one_up(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let at = self.rng.usize(..self.tasks.len());
        match (&self.tasks[at].what, self.rng.u32(..3)) {
            (What::Request(id, _, canceller), 0) => {
                self.diary.note(Event::Cancelled(*id));
                canceller.cancel();
            }
            (What::Request(id, ..), 1) => {
                self.diary.note(Event::Stopping(*id));
                let What::Request(id, infer, _) = self.tasks.swap_remove(at).what else {
                    unreachable!("just seen")
                };
                self.begin_task(What::Stopping(id, infer.stop()));
            }
            (What::Request(id, ..), _) => {
                self.diary.note(Event::Dropped(*id));
                self.tasks.swap_remove(at);
            }
            (What::Stopping(..), _) => {}
            (What::Scope(_), 0) => {
                let What::Scope(scope) = self.tasks.swap_remove(at).what else { unreachable!("just seen") };
                scope.give_up(&self.diary);
            }
            (What::Scope(_), _) => {}
        }
    }

    fn turn_some(&mut self) {
        for _ in 0..self.rng.usize(1..8) {
            let model = self.rng.usize(..self.models.len());
            let slot = self.rng.usize(..self.models[model].slots.len());
            self.turn(model, slot);
            self.settle();
        }
    }

    /// Lets one instance do its next step, if it is time for it.
    fn turn(&mut self, model: At, slot: usize) {
        let now = self.now();
        let pool = Arc::clone(self.models[model].pool());
        let threads = self.models[model].facts.threads;
        let next = match std::mem::replace(&mut self.models[model].slots[slot], Slot::Up) {
            Slot::Down { until } if until > now => Slot::Down { until },
            Slot::Spare if pool.is_spare(slot) => Slot::Spare,
            Slot::Spare => Slot::Down { until: now + self.rng.u64(..2_000) },
            Slot::Down { .. } if !pool.begin(slot) => Slot::Spare,
            Slot::Down { .. } => {
                pool.instance_up();
                Slot::Up
            }
            Slot::Sitting if pool.get_up(slot) => Slot::Up,
            Slot::Sitting if pool.is_leaving(slot) => {
                pool.instance_down(slot);
                let asked = pool.left(slot);
                assert!(asked, "it was asked to leave");
                Slot::Spare
            }
            Slot::Sitting => Slot::Sitting,
            Slot::Up if pool.urgency_of(slot).is_empty() => match pool.holder(slot) {
                Some(_) => Slot::Up,
                None => {
                    pool.sit(slot);
                    Slot::Sitting
                }
            },
            Slot::Up if threads == 0 => self.take(model, slot, None),
            Slot::Up => {
                let arbiter = &self.environment.arbiter;
                self.diary.note(Event::Asks { model, slot });
                let urgency = pool.urgency_of(slot);
                match arbiter.ask(self.environment.timer.now(), urgency, threads) {
                    Ok(permit) => {
                        self.diary.note(Event::Granted { model, slot });
                        self.take(model, slot, Some(permit))
                    }
                    Err(waits) => Slot::Waiting(waits, Arc::clone(urgency)),
                }
            }
            Slot::Waiting(waits, urgency) if urgency.is_empty() => {
                self.diary.note(Event::Leaves { model, slot });
                self.environment.arbiter.leave(waits);
                Slot::Up
            }
            Slot::Waiting(waits, urgency) => Slot::Waiting(waits, urgency),
            Slot::Granted(permit) => self.take(model, slot, Some(permit)),
            Slot::Running { mut work, until } => {
                let stops = self.models[model].facts.stops;
                let told = stops && work.parts().1.is_cancelled();
                let until = if told { until.min(now + REACTION) } else { until };
                if until > now { Slot::Running { work, until } } else { self.end_run(model, slot, work) }
            }
        };
        self.models[model].slots[slot] = next;
        self.pick_up();
    }

    /// Those who wait for a core hear of it at once.
    fn pick_up(&mut self) {
        for (at, model) in self.models.iter_mut().enumerate() {
            for (slot, place) in model.slots.iter_mut().enumerate() {
                if let Slot::Waiting(waits, _) = place
                    && let Some(permit) = self.environment.arbiter.claim(*waits)
                {
                    self.diary.note(Event::Granted { model: at, slot });
                    *place = Slot::Granted(permit);
                }
            }
        }
    }

    fn take(&mut self, model: At, slot: usize, permit: Option<Permit>) -> Slot {
        let pool = Arc::clone(self.models[model].pool());
        let before = pool.holder(slot);
        let work = pool.take(slot, self.environment.timer.now(), permit);
        // Those who were given up as hopeless were so before the batch was taken.
        let diary = &self.diary;
        self.tasks
            .retain_mut(|task| !(matches!(task.what, What::Request(..)) && Self::poll(task, diary, false)));
        if let Some(holder) = pool.holder(slot).filter(|_| before.is_none()) {
            let id = holder.to_string().parse().expect("a request's name is its number");
            self.diary.note(Event::Leased { model, slot, id });
        }
        let Some(work) = work else {
            return Slot::Up;
        };
        let ids = work.batch.rows().iter().map(|row| row.input().expect("untouched").id).collect();
        self.diary.note(Event::Taken { model, slot, ids });
        let rows = work.rows() as usize;
        if self.models[model].facts.cheap {
            return self.end_run(model, slot, work);
        }
        let facts = self.models[model].facts.clone();
        let until = self.now() + duration(&mut self.rng, &facts, rows);
        Slot::Running { work, until }
    }

    fn end_run(&mut self, model: At, slot: usize, mut work: Work<Input, u64>) -> Slot {
        let pool = Arc::clone(self.models[model].pool());
        if self.rng.u32(..200) == 0 {
            // A caller's own code has panicked in the middle: the work is gone.
            self.diary.note(Event::Abandoned { model, slot });
            drop(work);
            pool.instance_down(slot);
            pool.abandon(slot);
            return Slot::Down { until: self.now() + self.rng.u64(..2_000) };
        }
        let mut run = RunFacts {
            model,
            slot,
            told_to_stop: false,
            yielding: work.is_yielding(),
            failed: false,
            panicked: false,
            left: Vec::new(),
            culprit: false,
            mixed: Vec::new(),
        };
        let facts = self.models[model].facts.clone();
        let (batch, ctx) = work.parts();
        let failure = play(&mut self.rng, &facts, batch, &ctx, &mut run);
        let panicked = run.panicked;
        self.diary.note(Event::Ended(run));
        if panicked {
            pool.instance_down(slot);
        }
        let _cost = pool.complete(slot, work, failure.as_ref(), self.environment.timer.now());
        match panicked {
            true => Slot::Down { until: self.now() + self.rng.u64(..2_000) },
            false => Slot::Up,
        }
    }

    /// What goes wrong around a model.
    fn break_something(&mut self) {
        let model = self.rng.usize(..self.models.len());
        let (pool, slots) = (self.models[model].pool(), &self.models[model].slots);
        let down = slots.iter().position(|slot| matches!(slot, Slot::Down { .. }));
        if let Some(slot) = down.filter(|slot| pool.begin(*slot)) {
            let live = |slot: &Slot| !matches!(slot, Slot::Down { .. } | Slot::Spare);
            let others = slots.iter().any(live) || pool.building() > 1;
            self.diary.note(Event::BuildFailed { model, others });
            pool.instance_failed(slot, &Error::new(ErrorKind::ModelFailed, "no memory"));
        }
    }

    fn drain(&mut self, model: At) {
        self.diary.note(Event::Drained(model));
        let error = Error::new(ErrorKind::ShuttingDown, "the engine is shutting down");
        self.models[model].pool().drain(error);
    }

    fn close(&mut self, model: At) {
        self.diary.note(Event::Closed(model));
        let error = Error::new(ErrorKind::ShuttingDown, "the engine is shutting down");
        self.models[model].pool().close(error);
    }

    fn look(&mut self) {
        for (at, model) in self.models.iter().enumerate() {
            let status = model.pool().status();
            self.diary.note(Event::Status {
                model: at,
                queued: status.queued,
                bytes: status.queued_bytes,
                running: status.running,
                leased: status.leased,
                wanted: model.pool().wanted(),
            });
        }
    }

    /// No more requests; everything that was accepted comes to its end.
    fn finish(mut self) -> Trace {
        for model in 0..self.models.len() {
            self.drain(model);
        }
        for _ in 0..50_000 {
            self.pass(600);
            for model in 0..self.models.len() {
                for slot in 0..self.models[model].slots.len() {
                    self.turn(model, slot);
                    self.settle();
                }
            }
            let busy =
                |slot: &Slot| matches!(slot, Slot::Running { .. } | Slot::Waiting(..) | Slot::Granted(_));
            if self.tasks.is_empty() && !self.models.iter().flat_map(|model| &model.slots).any(busy) {
                break;
            }
        }
        self.look();
        let waiting = self.tasks.iter().map(|task| match &task.what {
            What::Request(id, ..) | What::Stopping(id, _) => *id,
            What::Scope(_) => Id::MAX,
        });
        let end = Event::End {
            waiting: waiting.collect(),
            remembered: self.models.iter().map(|model| model.pool().remembered()).sum(),
            free_cores: self.environment.arbiter.free(),
            extra_runs: self.models.iter().map(|model| model.pool().metrics().extra_runs).collect(),
        };
        self.diary.note(end);
        let models = self.models.iter().map(|model| model.facts.clone()).collect();
        Trace { cores: self.cores, ageing: self.ageing, models, events: self.diary.into_events() }
    }
}

/// A request as its facts say.
pub(super) fn request(handle: &Handle<Input, u64>, begin: Instant, input: Input) -> Request<'_, Input, u64> {
    let (id, facts) = (input.name.clone(), input.facts.clone());
    let mut request = handle.infer(input).id(id.clone()).baggage("id", id).priority(facts.class);
    if let Some(deadline) = facts.deadline {
        request = request.deadline(begin + Duration::from_micros(deadline));
    }
    if let Some(caller) = facts.caller {
        request = request.caller(Caller::new(caller.to_string()).with_weight(caller));
    }
    if let Some(key) = facts.key {
        request = request.supersede(key.to_string());
    }
    request
}
