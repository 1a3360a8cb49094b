//! Sessions on a clock that the test moves and without threads: runs happen when the test says so.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use unruffled_model::{
    Carrier, FnModel, ModelError, RunContext, SharedModel, Stateful, StatefulCarrier, StatefulInput,
    StatefulOutput,
};

use super::{SequenceOptions, Sequences, Session, SessionInfer, Snapshot};
use crate::environment::{EngineOptions, Environment};
use crate::error::{Error, ErrorKind};
use crate::handle::Handle;
use crate::pool::{Failure, Pool, PoolOptions};
use crate::queue::QueueLimits;
use crate::timer::{Alarm, Timer};

const BAD: u32 = 13;
const DEADLY: u32 = 666;

/// Remembers what it was given, and tells it.
struct Log;

impl Stateful for Log {
    type Item = u32;
    type Reply = Vec<u32>;
    type State = Vec<u32>;

    fn initial(&self) -> Vec<u32> {
        Vec::new()
    }

    fn run(&self, item: &u32, log: &mut Vec<u32>, _: &RunContext<'_>) -> Result<Vec<u32>, ModelError> {
        // Before it fails: nobody must see it.
        log.push(*item);
        match *item {
            BAD => Err(ModelError::failed("a bad one")),
            DEADLY => panic!("a deadly one"),
            _ => Ok(log.clone()),
        }
    }

    fn state_bytes(log: &Vec<u32>) -> usize {
        4 * log.len()
    }
}

type Input = StatefulInput<Log>;
type Output = StatefulOutput<Log>;
type Logs = Sequences<StatefulCarrier<Log>>;
type Call = SessionInfer<StatefulCarrier<Log>>;

/// A model without threads, and a clock that stands still.
struct World {
    timer: Timer,
    begin: Instant,
    handle: Handle<Input, Output>,
}

impl World {
    fn new() -> Self {
        Self::with(QueueLimits::default())
    }

    fn with(queue: QueueLimits) -> Self {
        let begin = Instant::now();
        let timer = Timer::manual(begin);
        let environment = Environment::new(timer.clone(), EngineOptions::default());
        let model: SharedModel<Input, Output> = Arc::new(FnModel::stateful(Log));
        let options = PoolOptions::default().with_queue(queue);
        let pool = Arc::new(Pool::new("log".into(), model, options, &environment));
        let weak: Weak<dyn Alarm> = Arc::downgrade(&pool) as Weak<dyn Alarm>;
        pool.set_alarm(timer.register(weak));
        pool.instance_up();
        Self { timer, begin, handle: Handle::new(pool) }
    }

    fn logs(&self) -> Logs {
        self.handle.sequences(SequenceOptions::default().with_idle(Duration::from_secs(10))).unwrap()
    }

    fn advance_to(&self, seconds: u64) {
        self.timer.advance_to(self.begin + Duration::from_secs(seconds));
    }

    /// Runs one batch, and says how many rows it had.
    fn run(&self) -> usize {
        let (pool, now) = (self.handle.pool(), self.timer.now());
        let Some(mut work) = pool.take(0, now, None) else { return 0 };
        let rows = work.batch.rows().len();
        let (batch, ctx) = work.parts();
        let mut failure = None;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            pool.model().with_instance(&mut |instance| {
                failure = instance.run(batch, &ctx).err().map(Failure::Error);
            })
        }));
        if ran.is_err() {
            failure = Some(Failure::Panic("a deadly one".into()));
        }
        pool.complete(0, work, failure.as_ref(), now);
        rows
    }

    fn run_all(&self) {
        while self.run() > 0 {}
    }
}

#[track_caller]
fn check(call: &mut Call, expected: Result<&[u32], ErrorKind>) {
    let Poll::Ready(outcome) = poll(call) else { panic!("the call should be over") };
    let told = outcome.as_ref().map(|response| &*response.output).map_err(Error::kind);
    assert_eq!(told, expected, "{outcome:?}");
}

fn poll(call: &mut Call) -> Poll<Result<crate::Response<Vec<u32>>, Error>> {
    Pin::new(call).poll(&mut Context::from_waker(Waker::noop()))
}

fn kept(session: &Session<StatefulCarrier<Log>>) -> (Vec<u32>, u64) {
    let snapshot = session.snapshot().unwrap();
    (snapshot.state().clone().unwrap_or_default(), snapshot.steps())
}

#[test]
fn calls_run_in_order_whoever_is_awaited() {
    let world = World::new();
    let session = world.logs().begin().unwrap();
    let mut calls: Vec<_> = (1..=4).map(|item| session.infer(item).submit()).collect();
    for _ in 0..4 {
        assert_eq!(world.run(), 1, "one at a time");
    }
    check(&mut calls[3], Ok(&[1, 2, 3, 4]));
    check(&mut calls[0], Ok(&[1]));
    check(&mut calls[2], Ok(&[1, 2, 3]));
    assert_eq!(kept(&session), (vec![1, 2, 3, 4], 4));
}

#[test]
fn sessions_share_nothing() {
    let world = World::new();
    let logs = world.logs();
    let sessions: Vec<_> = (0..5).map(|_| logs.begin().unwrap()).collect();
    for round in 0..3 {
        let mut calls: Vec<_> =
            sessions.iter().zip(0..).map(|(session, at)| session.infer(100 * at + round).submit()).collect();
        world.run_all();
        for (at, call) in (0..).zip(&mut calls) {
            let expected: Vec<u32> = (0..=round).map(|round| 100 * at + round).collect();
            check(call, Ok(&expected));
        }
    }
}

#[test]
fn what_comes_to_nothing_leaves_the_state_as_it_was() {
    let world = World::new();
    let session = world.logs().begin().unwrap();
    let call = |item| session.infer(item).submit();
    let (mut first, mut bad, mut deadly, mut second) = (call(1), call(BAD), call(DEADLY), call(2));
    world.run_all();
    check(&mut first, Ok(&[1]));
    check(&mut bad, Err(ErrorKind::ModelFailed));
    check(&mut deadly, Err(ErrorKind::ModelCrashed));
    check(&mut second, Ok(&[1, 2]));

    // Each of these is running, or waits behind one that is.
    let (dropped, waiting, mut third) = (call(10), call(11), call(3));
    drop(waiting);
    drop(dropped);
    world.run_all();
    check(&mut third, Ok(&[1, 2, 3]));

    let (mut running, mut waiting, mut fourth) = (call(12), call(14), call(4));
    waiting.canceller().cancel();
    running.canceller().cancel();
    world.run_all();
    check(&mut running, Err(ErrorKind::Cancelled));
    check(&mut waiting, Err(ErrorKind::Cancelled));
    check(&mut fourth, Ok(&[1, 2, 3, 4]));

    let late = |item| session.infer(item).timeout(Duration::from_secs(1)).submit();
    let (mut running, mut waiting, mut fifth) = (late(15), late(16), call(5));
    world.advance_to(1);
    check(&mut running, Err(ErrorKind::DeadlineExceeded));
    check(&mut waiting, Err(ErrorKind::DeadlineExceeded));
    world.run_all();
    check(&mut fifth, Ok(&[1, 2, 3, 4, 5]));
    assert_eq!(kept(&session).1, 5, "only what succeeded counts");
    check(&mut session.infer(6).deadline(world.begin).submit(), Err(ErrorKind::DeadlineExceeded));
}

#[test]
fn a_call_that_is_given_up_in_the_middle_of_its_run_changes_nothing() {
    let world = World::new();
    let session = world.logs().begin().unwrap();
    let (pool, now) = (world.handle.pool(), world.timer.now());
    let (first, mut second) = (session.infer(1).submit(), session.infer(2).submit());
    let mut work = pool.take(0, now, None).unwrap();
    drop(first);
    let (batch, ctx) = work.parts();
    assert!(ctx.is_cancelled());
    pool.model().with_instance(&mut |instance| drop(instance.run(batch, &ctx))).unwrap();
    pool.complete(0, work, None, now);
    world.run_all();
    check(&mut second, Ok(&[2]));
}

#[test]
fn a_session_expires_exactly_when_it_has_been_idle() {
    let world = World::new();
    let logs = world.logs();
    let (named, private) = (logs.begin_named("x").unwrap(), logs.begin().unwrap());
    world.advance_to(9);
    let mut call = named.infer(1).submit();
    world.advance_to(10);
    assert_eq!(logs.status().sessions, 1, "the other had no call");
    check(&mut private.infer(1).submit(), Err(ErrorKind::NotFound));
    let told = private.snapshot().unwrap_err().to_string();
    assert!(told.contains("has expired: no call came for 10s; begin another"), "{told}");
    world.advance_to(100);
    world.run_all();
    check(&mut call, Ok(&[1]));
    world.advance_to(109);
    assert_eq!(logs.get("x").unwrap().id(), named.id());
    world.advance_to(110);
    assert_eq!(logs.get("x").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((logs.status().sessions, logs.status().bytes), (0, 0));
}

#[test]
fn an_ended_session_answers_what_it_has() {
    let world = World::new();
    let logs = world.logs();
    let session = logs.begin_named("x").unwrap();
    assert_eq!(logs.begin_named("x").unwrap_err().kind(), ErrorKind::InvalidInput);
    let (mut running, mut waiting) = (session.infer(1).submit(), session.infer(2).submit());
    session.end();
    check(&mut session.infer(3).submit(), Err(ErrorKind::NotFound));
    assert_eq!(logs.get("x").unwrap_err().kind(), ErrorKind::NotFound);
    let again = logs.begin_named("x").unwrap();
    world.run_all();
    check(&mut running, Ok(&[1]));
    check(&mut waiting, Ok(&[1, 2]));
    assert!(session.snapshot().is_err());
    drop(again);
    assert_eq!(logs.status().sessions, 1, "nobody holds it, and it has a name");
    assert_eq!(kept(&logs.get("x").unwrap()).1, 0, "it is the new one");
}

#[test]
fn a_session_without_a_name_ends_with_its_holders() {
    let world = World::new();
    let logs = world.logs();
    let session = logs.begin().unwrap();
    let mut call = session.infer(1).submit();
    drop(session);
    world.run_all();
    assert_eq!(logs.status().sessions, 1, "its call's future holds it");
    check(&mut call, Ok(&[1]));
    assert_eq!(logs.status().sessions, 0);
    assert!(logs.get("0").is_err(), "its number is no name");
}

#[test]
fn everything_is_bounded() {
    let world = World::new();
    let options = SequenceOptions::default().with_sessions(2).with_waiting(2).with_bytes(12);
    let logs = world.handle.sequences(options).unwrap();
    let (a, b) = (logs.begin().unwrap(), logs.begin().unwrap());
    assert_eq!(logs.begin().unwrap_err().kind(), ErrorKind::Overloaded);
    let mut calls: Vec<_> = (1..=4).map(|item| a.infer(item).submit()).collect();
    check(&mut calls[3], Err(ErrorKind::Overloaded));
    world.run_all();
    check(&mut calls[2], Ok(&[1, 2, 3]));
    assert_eq!(logs.status().bytes, 12);
    // Nothing may wait, and a state cannot grow; what is there stays.
    check(&mut b.infer(1).submit(), Err(ErrorKind::Overloaded));
    drop(b);
    assert_eq!(kept(&a), (vec![1, 2, 3], 3));
}

#[test]
fn a_state_that_grows_too_large_is_not_kept() {
    let world = World::new();
    let logs = world.handle.sequences(SequenceOptions::default().with_bytes(7)).unwrap();
    let session = logs.begin().unwrap();
    let mut first = session.infer(1).submit();
    world.run_all();
    check(&mut first, Ok(&[1]));
    let grown = Snapshot::new(Some(vec![1, 2, 3]), 3);
    assert_eq!(logs.restore(&grown).unwrap_err().kind(), ErrorKind::Overloaded);
    let roomy = world.handle.sequences(SequenceOptions::default().with_bytes(11)).unwrap();
    let session = roomy.begin().unwrap();
    let mut calls = Vec::new();
    for item in 1..=3 {
        calls.push(session.infer(item).submit());
        world.run_all();
    }
    check(&mut calls[1], Ok(&[1, 2]));
    check(&mut calls[2], Err(ErrorKind::Overloaded));
    assert_eq!(kept(&session), (vec![1, 2], 2));
}

#[test]
fn a_full_queue_refuses_a_call_when_its_turn_comes() {
    let world = World::with(QueueLimits { items: 1, bytes: 1 << 20 });
    let logs = world.logs();
    let (a, b) = (logs.begin().unwrap(), logs.begin().unwrap());
    let (mut first, mut second) = (a.infer(1).submit(), b.infer(1).submit());
    check(&mut second, Err(ErrorKind::Overloaded));
    world.run_all();
    check(&mut first, Ok(&[1]));
    let mut again = b.infer(2).submit();
    world.run_all();
    check(&mut again, Ok(&[2]));
}

#[test]
fn a_model_that_drains_ends_its_sessions() {
    let world = World::new();
    let logs = world.logs();
    let (busy, idle) = (logs.begin_named("busy").unwrap(), logs.begin().unwrap());
    let (mut running, mut waiting) = (busy.infer(1).submit(), busy.infer(2).submit());
    world.handle.pool().drain(Error::new(ErrorKind::ShuttingDown, "down"));
    check(&mut waiting, Err(ErrorKind::ShuttingDown));
    check(&mut busy.infer(3).submit(), Err(ErrorKind::ShuttingDown));
    check(&mut idle.infer(1).submit(), Err(ErrorKind::ShuttingDown));
    assert_eq!(idle.snapshot().unwrap_err().kind(), ErrorKind::ShuttingDown);
    assert_eq!(logs.begin().unwrap_err().kind(), ErrorKind::ShuttingDown);
    assert_eq!(logs.get("busy").unwrap_err().kind(), ErrorKind::ShuttingDown);
    world.run_all();
    check(&mut running, Ok(&[1]));
    assert_eq!(logs.status().sessions, 0);
    let late = world.handle.sequences(SequenceOptions::default());
    assert_eq!(late.unwrap_err().kind(), ErrorKind::ShuttingDown);
}

#[test]
fn a_model_that_is_closed_answers_what_it_has() {
    let world = World::new();
    let session = world.logs().begin().unwrap();
    let (mut running, mut waiting) = (session.infer(1).submit(), session.infer(2).submit());
    world.handle.pool().close(Error::new(ErrorKind::ShuttingDown, "down"));
    check(&mut running, Err(ErrorKind::ShuttingDown));
    check(&mut waiting, Err(ErrorKind::ShuttingDown));
}

#[test]
fn a_snapshot_goes_on_in_another_engine() {
    let (here, there) = (World::new(), World::new());
    let session = here.logs().begin().unwrap();
    let mut call = session.infer(1).submit();
    here.run_all();
    check(&mut call, Ok(&[1]));
    let snapshot = session.snapshot().unwrap();
    let moved = there.logs().restore(&snapshot).unwrap();
    let (mut on, mut off) = (moved.infer(2).submit(), session.infer(9).submit());
    there.run_all();
    here.run_all();
    check(&mut on, Ok(&[1, 2]));
    check(&mut off, Ok(&[1, 9]));
    assert_eq!((kept(&moved).1, snapshot.steps()), (2, 1), "a snapshot stays what it was");
}

#[test]
fn the_wait_for_the_calls_before_is_told() {
    let world = World::new();
    let session = world.logs().begin().unwrap();
    let (_first, mut second) = (session.infer(1).submit(), session.infer(2).submit());
    world.advance_to(3);
    world.run();
    world.advance_to(5);
    world.run();
    let Poll::Ready(Ok(response)) = poll(&mut second) else { panic!("it has run") };
    assert_eq!(response.timings.queue, Duration::from_secs(5));
}

/// Breaks where it is told to.
struct Broken(u32);

impl Carrier for Broken {
    type Item = u32;
    type Reply = Vec<u32>;
    type State = ();
    type Input = Input;
    type Output = Output;
    type Draft = u32;

    fn attach(&self, item: u32, _: &Arc<()>) -> Result<(Input, u32), ModelError> {
        assert!(item != self.0, "no way in");
        Ok((StatefulInput::new(item), item))
    }

    fn detach(&self, output: Output, item: u32) -> Result<(Vec<u32>, ()), ModelError> {
        assert!(item != self.0 + 1, "no way out");
        Ok((output.reply, ()))
    }
}

#[test]
fn a_carrier_that_panics_costs_its_call() {
    let world = World::new();
    let sequences = Sequences::with_carrier(&world.handle, Broken(7), SequenceOptions::default()).unwrap();
    let session = sequences.begin().unwrap();
    let mut calls: Vec<_> = [1, 7, 8, 2].map(|item| session.infer(item).submit()).into_iter().collect();
    world.run_all();
    let outcomes =
        calls.iter_mut().map(|call| match Pin::new(call).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => {
                outcome.map(|response| response.output).map_err(|error| error.to_string())
            }
            Poll::Pending => panic!("the call should be over"),
        });
    let broken =
        |text: &str| Err(format!("model `log`: the state could not be carried on: panicked: {text}"));
    assert_eq!(
        outcomes.collect::<Vec<_>>(),
        [Ok(vec![1]), broken("no way in"), broken("no way out"), Ok(vec![2])]
    );
}
