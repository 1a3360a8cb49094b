//! `prove preempt`: somebody who waits goes before bulk work that has every core.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use unruffled::Engine;
use unruffled::engine::{Handle, PoolOptions, Priority, ThreadPriority};
use unruffled::model::RunContext;

use super::Proof;
use super::models::{Joint, wait, wait_until, work, work_watching};
use super::plan::{Broken, Outcome, Plan, cores, event_loop, runtime};
use super::report::{Findings, Times};

pub(super) const PROOF: Proof = Proof {
    name: "preempt",
    what: "Two models full of bulk work, at idle priority, hold every core; a person asks a third, a few times a second.",
    pass_line: "interactive p99 <= 1.5 times its idle p99, and bulk loses < 10 % of its rows per second",
    run,
};

const FACTOR: f64 = 1.5;
const LOSS: f64 = 0.1;

/// A full batch of bulk rows, in which the model looks every half a millisecond whether it is to stop.
const BULK_ROWS: usize = 32;
const BULK_ROW: Duration = Duration::from_millis(1);
const LOOK: Duration = Duration::from_micros(500);

const INTERACTIVE: Duration = Duration::from_millis(15);

/// How long a person pauses, in microseconds: four or five times a second, and as fast as measuring an idle model allows.
const USUAL: Range<u64> = 170_000..270_000;
const BUSY: Range<u64> = 70_000..110_000;

/// An answer that takes longer than this never comes.
const HUNG: Duration = Duration::from_secs(20);

/// Bulk is given time to fill its batches before anything counts.
const WARM_UP: Duration = Duration::from_millis(250);

struct World {
    runtime: Runtime,
    bulk: Vec<Handle<u64, u64>>,
    interactive: Handle<(), ()>,
    rows: Arc<AtomicU64>,
    /// How long bulk runs had been going on that were stopped for nothing to show.
    thrown_away: Arc<Mutex<Times>>,
}

fn lock(times: &Mutex<Times>) -> MutexGuard<'_, Times> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long interactive requests took, and where they were meanwhile.
#[derive(Default)]
struct Asked {
    times: Times,
    queue: Times,
    run: Times,
}

impl Asked {
    fn extend(&mut self, other: &Asked) {
        self.times.extend(&other.times);
        self.queue.extend(&other.queue);
        self.run.extend(&other.run);
    }
}

/// What was found in all rounds.
#[derive(Default)]
struct Sum {
    idle: Asked,
    beside: Asked,
    alone_rows: u64,
    alone: Duration,
    beside_rows: u64,
    together: Duration,
}

fn run(plan: &Plan<'_>) -> Outcome {
    let engine = Engine::new();
    let thrown_away = Arc::new(Mutex::new(Times::default()));
    let bulk = |name: &'static str| {
        let thrown_away = Arc::clone(&thrown_away);
        let model = Joint::new(move |rows: &[&u64], ctx: &RunContext<'_>| {
            let begin = Instant::now();
            let done = work_watching(BULK_ROW * rows.len() as u32, LOOK, ctx);
            if done.is_err() {
                lock(&thrown_away).add(begin.elapsed());
            }
            done.map(|()| rows.iter().map(|row| **row).collect())
        });
        // Bulk work takes what nobody else wants, as it should wherever somebody waits for something else.
        let options = PoolOptions::default()
            .with_instances(2)
            .with_max_batch(BULK_ROWS)
            .with_thread_priority(ThreadPriority::Idle);
        engine.wrap_model(model).options(options).name(name).build()
    };
    let interactive = Joint::new(|rows: &[&()], _: &RunContext<'_>| {
        rows.iter().for_each(|()| work(INTERACTIVE));
        Ok(vec![(); rows.len()])
    });
    let world = World {
        runtime: runtime()?,
        bulk: vec![bulk("bulk-a")?, bulk("bulk-b")?],
        interactive: engine.wrap_model(interactive).name("interactive").build()?,
        rows: Arc::default(),
        thrown_away,
    };
    let rounds = plan.pick(4, 2);
    // Enough of both that the 99th of a hundred is not the slowest.
    let lengths = plan.pick([2_500, 1_500, 6_500], [1_200, 700, 1_500]).map(Duration::from_millis);
    plan.steps(3 * rounds);
    let mut random = plan.random(0);
    let mut sum = Sum::default();
    person(&world, &mut random, BUSY, Duration::from_millis(500))?;
    // By turns, so that what else the machine does hits all three.
    for _ in 0..rounds {
        round(plan, &world, &mut random, lengths, &mut sum)?;
    }
    Ok(findings(&world, &sum))
}

fn round(
    plan: &Plan<'_>,
    world: &World,
    random: &mut fastrand::Rng,
    [idle, alone, together]: [Duration; 3],
    sum: &mut Sum,
) -> Result<(), Broken> {
    sum.idle.extend(&person(world, random, BUSY, idle)?);
    plan.step();

    let flood = Flood::start(world);
    wait(WARM_UP);
    let (begin, before) = (Instant::now(), world.rows.load(Ordering::Relaxed));
    wait(alone);
    sum.alone_rows += world.rows.load(Ordering::Relaxed) - before;
    sum.alone += begin.elapsed();
    plan.step();

    let (begin, before) = (Instant::now(), world.rows.load(Ordering::Relaxed));
    sum.beside.extend(&person(world, random, USUAL, together)?);
    sum.beside_rows += world.rows.load(Ordering::Relaxed) - before;
    sum.together += begin.elapsed();
    plan.step();
    flood.end(world)
}

fn findings(world: &World, sum: &Sum) -> Findings {
    let mut findings = Findings::default();
    let idle = findings.spread("idle_ms", "interactive, idle", &sum.idle.times);
    let beside = findings.spread("beside_bulk_ms", "interactive, beside bulk", &sum.beside.times);
    findings.spread("beside_bulk_queue_ms", "  until it had a core", &sum.beside.queue);
    findings.spread("beside_bulk_run_ms", "  its run", &sum.beside.run);
    let factor = beside.p99.as_secs_f64() / idle.p99.as_secs_f64();
    findings.factor("beside_to_idle_p99", "beside bulk to idle, by p99", factor);
    let alone = sum.alone_rows as f64 / sum.alone.as_secs_f64();
    let together = sum.beside_rows as f64 / sum.together.as_secs_f64();
    findings.rate("bulk_alone_rows_per_second", "bulk rows, alone", alone);
    findings.rate("bulk_beside_rows_per_second", "bulk rows, beside interactive", together);
    let lost = 1.0 - together / alone;
    findings.share("bulk_lost", "lost by bulk", lost);
    let used = INTERACTIVE.as_secs_f64() * sum.beside.times.len() as f64;
    let used = used / (sum.together.as_secs_f64() * cores() as f64);
    findings.share("interactive_of_cores", "of all cores, used by interactive", used);
    let thrown_away = lock(&world.thrown_away);
    let wasted = thrown_away.total().as_secs_f64() / (sum.together.as_secs_f64() * cores() as f64);
    findings.share("thrown_away_of_cores", "of all cores, used by runs broken off", wasted);
    findings.spread("thrown_away_ms", "runs broken off after", &thrown_away);
    let preempted: u64 = world.bulk.iter().map(|bulk| bulk.metrics().preempted).sum();
    findings.count("preempted_runs", "bulk runs pre-empted", preempted);
    findings.require(factor <= FACTOR, || {
        format!("interactive took {:.1?} beside bulk and {:.1?} idle, by p99", beside.p99, idle.p99)
    });
    findings.require(lost < LOSS, || format!("bulk lost {:.1} % of its rows per second", lost * 100.0));
    findings
}

/// Somebody who asks so often, in microseconds between, and waits for each answer: how long that took.
fn person(
    world: &World,
    random: &mut fastrand::Rng,
    pauses_us: Range<u64>,
    length: Duration,
) -> Result<Asked, Broken> {
    // A thread of its own, as that of a window.
    let window = event_loop()?;
    let (begin, mut asked) = (Instant::now(), Asked::default());
    let mut due = begin;
    loop {
        due += Duration::from_micros(random.u64(pauses_us.clone()));
        if due - begin > length {
            wait_until(begin + length);
            return Ok(asked);
        }
        wait_until(due);
        let sent = Instant::now();
        let request = world.interactive.infer(()).priority(Priority::Interactive).submit();
        let answer = window.block_on(async { tokio::time::timeout(HUNG, request).await })??;
        asked.times.add(sent.elapsed());
        asked.queue.add(answer.timings.queue);
        asked.run.add(answer.timings.run);
    }
}

/// More bulk requests than can be run, all the time.
struct Flood {
    callers: JoinSet<Result<(), unruffled::engine::Error>>,
    over: Arc<AtomicBool>,
}

impl Flood {
    fn start(world: &World) -> Self {
        let (mut callers, over) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        let _inside = world.runtime.enter();
        for bulk in &world.bulk {
            // Three full batches for each of its instances: one runs, two wait.
            for number in 0..6 * BULK_ROWS as u64 {
                let (bulk, rows, over) = (bulk.clone(), Arc::clone(&world.rows), Arc::clone(&over));
                callers.spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        bulk.infer(number).priority(Priority::Bulk).await?;
                        rows.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                });
            }
        }
        Self { callers, over }
    }

    /// Ends it, and waits until the cores are free.
    fn end(mut self, world: &World) -> Result<(), Broken> {
        self.over.store(true, Ordering::Relaxed);
        world.runtime.block_on(async {
            let all = async {
                while let Some(caller) = self.callers.join_next().await {
                    caller??;
                }
                Ok(())
            };
            let bounded = tokio::time::timeout(Duration::from_secs(30), all).await;
            bounded.unwrap_or_else(|_| Err(Broken::new("bulk work hangs: no end within 30 s")))
        })
    }
}
