//! Collecting by size and time, on a clock that the test moves and without threads: runs happen when the test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use unruffled_model::{Footprint, RequestContext, RequestId, RunContext};
use unruffled_testing::scripted::ScriptedModel;

use super::{StreamItem, StreamOptions};
use crate::environment::{EngineOptions, Environment};
use crate::error::ErrorKind;
use crate::handle::Handle;
use crate::pool::{Pool, PoolOptions};
use crate::queue::QueueLimits;
use crate::timer::Timer;

const SECOND: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A model without instances, and a clock that stands still.
struct World {
    timer: Timer,
    begin: Instant,
    handle: Handle<u32, u32>,
}

impl World {
    fn new() -> Self {
        Self::with_queue(QueueLimits::default())
    }

    /// Each input weighs as many bytes as its number says.
    fn with_queue(limits: QueueLimits) -> Self {
        let begin = Instant::now();
        let timer = Timer::manual(begin);
        let environment = Environment::new(timer.clone(), EngineOptions::default());
        let model = ScriptedModel::new(|x: &u32, _: &RunContext<'_>| Ok(x + 1))
            .admitting(|x: &u32| Ok(Footprint::single(*x as usize)));
        let options = PoolOptions::default().with_queue(limits);
        let pool = Pool::new("adder".into(), Arc::new(model), options, &environment);
        Self { timer, begin, handle: Handle::new(Arc::new(pool)) }
    }

    fn advance_to(&self, since_begin: Duration) {
        self.timer.advance_to(self.begin + since_begin);
    }

    fn queued(&self) -> usize {
        self.handle.status().queued
    }

    /// Runs one batch, and says which inputs were in it.
    fn run(&self) -> Vec<u32> {
        let (pool, now) = (self.handle.pool(), self.timer.now());
        let Some(mut work) = pool.take(0, now, None) else { return Vec::new() };
        let inputs = work.batch.rows().iter().filter_map(|row| row.input().copied()).collect();
        for row in work.batch.rows_mut() {
            let answer = row.input().map(|x| x + 1);
            row.finish(Ok(answer.unwrap()));
        }
        pool.complete(0, work, None, now);
        inputs
    }
}

/// Somebody who polls, and counts how often there was a reason to.
struct Task<S>(S, Arc<Woken>);

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl<S: Stream + Unpin> Task<S> {
    fn new(stream: S) -> Self {
        Self(stream, Arc::default())
    }

    fn poll(&mut self) -> Poll<Option<S::Item>> {
        let waker = Waker::from(Arc::clone(&self.1));
        self.0.poll_next_unpin(&mut Context::from_waker(&waker))
    }

    fn wakes(&self) -> usize {
        self.1.0.load(Ordering::SeqCst)
    }
}

fn source() -> (mpsc::UnboundedSender<u32>, impl Stream<Item = u32>) {
    let (tell, mut told) = mpsc::unbounded_channel();
    (tell, stream::poll_fn(move |cx| told.poll_recv(cx)))
}

fn outcome(item: Poll<Option<StreamItem<u32>>>) -> (u64, Result<u32, ErrorKind>) {
    let Poll::Ready(Some(item)) = item else { panic!("there should be an item: {item:?}") };
    (item.seq, item.result.map(|response| response.output).map_err(|error| error.kind()))
}

#[test]
fn a_batch_goes_when_it_is_full() {
    let world = World::new();
    let (tell, source) = source();
    let mut task = Task::new(world.handle.stream(source, StreamOptions::batch(3).every(SECOND)));
    for x in [1, 2] {
        tell.send(x).unwrap();
        assert!(task.poll().is_pending());
        assert_eq!(world.queued(), 0);
    }
    for x in [3, 4] {
        tell.send(x).unwrap();
        assert!(task.poll().is_pending());
        assert_eq!(world.queued(), 3);
    }
    assert_eq!(world.run(), [1, 2, 3]);
    for expected in [(0, Ok(2)), (1, Ok(3)), (2, Ok(4))] {
        assert_eq!(outcome(task.poll()), expected);
    }
    assert!(task.poll().is_pending());
}

#[test]
fn a_batch_goes_when_its_first_item_has_waited_long_enough() {
    let world = World::new();
    let (tell, source) = source();
    let mut task = Task::new(world.handle.stream(source, StreamOptions::batch(32).every(ms(50))));
    assert!(task.poll().is_pending());
    world.advance_to(SECOND);
    tell.send(1).unwrap();
    assert!(task.poll().is_pending());
    world.advance_to(SECOND + ms(30));
    tell.send(2).unwrap();
    assert!(task.poll().is_pending());
    let before = task.wakes();
    world.advance_to(SECOND + ms(49));
    assert!(task.poll().is_pending());
    assert_eq!((world.queued(), task.wakes()), (0, before));
    world.advance_to(SECOND + ms(50));
    assert_eq!(task.wakes(), before + 1);
    assert!(task.poll().is_pending());
    assert_eq!(world.run(), [1, 2]);
}

#[test]
fn what_is_there_goes_at_once_when_nobody_waits_for_company() {
    let world = World::new();
    let (tell, source) = source();
    let mut task = Task::new(world.handle.stream(source, StreamOptions::batch(32)));
    tell.send(1).unwrap();
    tell.send(2).unwrap();
    assert!(task.poll().is_pending());
    assert_eq!(world.run(), [1, 2]);
}

#[test]
fn what_is_left_at_the_end_of_the_source_goes_at_once() {
    let world = World::new();
    let (tell, source) = source();
    let mut task = Task::new(world.handle.stream(source, StreamOptions::batch(32).every(SECOND)));
    tell.send(1).unwrap();
    assert!(task.poll().is_pending());
    assert_eq!(world.queued(), 0);
    drop(tell);
    assert!(task.poll().is_pending());
    assert_eq!(world.run(), [1]);
    assert_eq!(outcome(task.poll()), (0, Ok(2)));
    assert!(matches!(task.poll(), Poll::Ready(None)));
    assert!(matches!(task.poll(), Poll::Ready(None)), "an ended stream stays ended");
}

#[test]
fn waiting_for_company_leaves_time_to_run() {
    let world = World::new();
    let (tell, source) = source();
    let options = StreamOptions::batch(32).every(SECOND).timeout(ms(100));
    let mut task = Task::new(world.handle.stream(source, options));
    tell.send(1).unwrap();
    assert!(task.poll().is_pending());
    assert_eq!(world.queued(), 0);
    world.advance_to(ms(50));
    assert!(task.poll().is_pending());
    assert_eq!(world.run(), [1]);
}

#[test]
fn the_source_is_asked_for_no_more_than_may_be_in_flight() {
    let world = World::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let source = stream::poll_fn(move |_| Poll::Ready(Some(count.fetch_add(1, Ordering::SeqCst) as u32)));
    let mut task = Task::new(world.handle.stream(source, StreamOptions::batch(2).in_flight(5).every(SECOND)));
    let given = || asked.load(Ordering::SeqCst);
    assert!(task.poll().is_pending());
    // Two batches, and one that waits for company.
    assert_eq!((given(), world.queued()), (5, 4));
    world.run();
    assert_eq!(given(), 5, "an answer that nobody has taken is in flight still");
    assert_eq!(outcome(task.poll()), (0, Ok(1)));
    assert_eq!(given(), 5);
    assert_eq!(outcome(task.poll()), (1, Ok(2)));
    assert_eq!(given(), 6);
}

#[test]
fn the_source_is_asked_for_no_more_bytes_than_may_be_in_flight() {
    let world = World::new();
    let options = StreamOptions::batch(32).in_flight_bytes(100).every(SECOND);
    let mut task = Task::new(world.handle.stream(stream::iter([60, 60, 30, 30, 30, 500, 1]), options));
    assert!(task.poll().is_pending());
    assert_eq!(world.run(), [60, 60]);
    assert_eq!(outcome(task.poll()), (0, Ok(61)));
    assert_eq!(outcome(task.poll()), (1, Ok(61)));
    assert!(task.poll().is_pending());
    assert_eq!(world.run(), [30, 30, 30, 500]);
    for expected in [31, 31, 31, 501] {
        assert_eq!(outcome(task.poll()).1, Ok(expected));
    }
    assert!(task.poll().is_pending());
    assert_eq!(world.run(), [1]);
}

#[test]
fn a_batch_that_could_never_fill_up_does_not_wait() {
    let world = World::new();
    let options = StreamOptions::batch(32).in_flight(2).every(SECOND);
    let mut task = Task::new(world.handle.stream(stream::iter(1..), options));
    assert!(task.poll().is_pending());
    assert_eq!(world.run(), [1, 2]);
}

#[test]
fn a_stream_lets_others_have_a_turn_on_its_thread() {
    let world = World::new();
    let mut task = Task::new(world.handle.stream(stream::iter(0..), StreamOptions::batch(1000)));
    assert!(task.poll().is_pending());
    assert_eq!((world.queued(), task.wakes()), (0, 1), "it goes on when it is polled again");
}

#[test]
fn an_item_that_finds_the_queue_full_waits_for_room_and_is_told_its_deadline() {
    let world = World::with_queue(QueueLimits { items: 2, bytes: 1000 });
    let others = [1, 2].map(|x| world.handle.infer(x).submit());
    let options = StreamOptions::batch(2).timeout(ms(100));
    let mut task = Task::new(world.handle.stream(stream::iter(10..20), options));
    assert!(task.poll().is_pending());
    assert_eq!(world.queued(), 2);
    let before = task.wakes();
    world.advance_to(ms(100));
    assert!(task.wakes() > before, "the deadline wakes");
    assert_eq!(outcome(task.poll()), (0, Err(ErrorKind::DeadlineExceeded)));
    assert_eq!(outcome(task.poll()), (1, Err(ErrorKind::DeadlineExceeded)));
    drop(others);
}

#[test]
fn room_for_a_small_input_is_no_room_for_a_large_one() {
    let world = World::with_queue(QueueLimits { items: 100, bytes: 100 });
    let mut others: Vec<_> = [30, 30].map(|x| world.handle.infer(x).submit()).into();
    let mut task = Task::new(world.handle.stream(stream::iter([80, 90, 101]), StreamOptions::batch(3)));
    assert!(task.poll().is_pending());
    others.pop();
    assert!(task.wakes() > 0);
    assert!(task.poll().is_pending());
    assert_eq!(world.queued(), 1);
    others.pop();
    assert!(task.poll().is_pending());
    assert_eq!(world.run(), [80]);
    assert_eq!(outcome(task.poll()), (0, Ok(81)));
    assert!(task.poll().is_pending());
    assert_eq!(world.run(), [90]);
    assert_eq!(outcome(task.poll()), (1, Ok(91)));
    assert_eq!(outcome(task.poll()), (2, Err(ErrorKind::InvalidInput)), "what never fits is told so");
    assert!(matches!(task.poll(), Poll::Ready(None)));
}

/// What waits for room behind a model that hangs leaves nothing behind when it goes.
#[test]
fn a_dropped_stream_that_waits_for_room_is_forgotten_and_others_wait_on() {
    let world = World::with_queue(QueueLimits { items: 1, bytes: 1000 });
    let other = world.handle.infer(1).submit();
    let mut stays = Task::new(world.handle.stream(stream::iter([2]), StreamOptions::batch(1)));
    let mut goes = Task::new(world.handle.stream(stream::iter([3]), StreamOptions::batch(1)));
    assert!(stays.poll().is_pending() && goes.poll().is_pending());
    let Task(stream, woken) = goes;
    drop(stream);
    assert_eq!(Arc::strong_count(&woken), 1, "nobody holds its waker");
    assert!(stays.poll().is_pending());
    let before = stays.wakes();
    drop(other);
    assert!(stays.wakes() > before);
    assert!(stays.poll().is_pending());
    assert_eq!(world.run(), [2]);
    assert_eq!(outcome(stays.poll()), (0, Ok(3)));
}

#[test]
fn waiting_for_room_is_no_refusal() {
    let world = World::with_queue(QueueLimits { items: 1, bytes: 1000 });
    let mut task = Task::new(world.handle.stream(stream::iter(0..5), StreamOptions::batch(5)));
    let mut seen = Vec::new();
    while seen.len() < 5 {
        match task.poll() {
            Poll::Ready(Some(item)) => seen.push(item.result.unwrap().output),
            Poll::Ready(None) => panic!("the stream ended early"),
            Poll::Pending => assert_eq!(world.run().len(), 1),
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    let metrics = world.handle.metrics();
    assert_eq!(metrics.accepted, 5);
    assert!(metrics.refused.is_empty(), "{:?}", metrics.refused);
}

#[test]
fn an_item_tells_when_it_came_and_when_it_was_answered() {
    let world = World::new();
    let (tell, source) = source();
    let mut task = Task::new(world.handle.stream(source, StreamOptions::batch(32).every(ms(50))));
    world.advance_to(ms(10));
    tell.send(1).unwrap();
    assert!(task.poll().is_pending());
    world.advance_to(ms(60));
    assert!(task.poll().is_pending());
    world.advance_to(ms(70));
    world.run();
    world.advance_to(ms(90));
    let Poll::Ready(Some(item)) = task.poll() else { panic!("there should be an item") };
    assert_eq!((item.arrived - world.begin, item.answered - world.begin), (ms(10), ms(70)));
    assert_eq!(item.result.unwrap().timings.queue, ms(10));
}

#[test]
fn items_are_named_after_their_context() {
    let world = World::new();
    let context =
        RequestContext::new(RequestId::Text("camera".into())).with_deadline(Some(world.begin + SECOND));
    let options = StreamOptions::batch(2).context(context).timeout(2 * SECOND);
    let mut task = Task::new(world.handle.stream(stream::iter([1, 2]), options));
    assert!(task.poll().is_pending());
    // Of a run that has never been timed, and that has a deadline, nobody risks two at once.
    assert_eq!([world.run(), world.run()], [[1], [2]]);
    for name in ["camera/0", "camera/1"] {
        let Poll::Ready(Some(item)) = task.poll() else { panic!("there should be an item") };
        assert_eq!(item.result.unwrap().id.to_string(), name);
        let explanation = world.handle.explain(&RequestId::Text(name.into())).unwrap();
        assert_eq!(explanation.allowed, Some(SECOND), "the earlier one counts");
    }
}
