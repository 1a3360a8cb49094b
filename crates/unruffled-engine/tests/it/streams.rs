//! Streams: batches out of a live source, and every item's own outcome in order.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use unruffled_engine::{
    Engine, EngineOptions, ErrorKind, Handle, PoolOptions, Priority, QueueLimits, StreamItem, StreamOptions,
};
use unruffled_model::{ModelError, RunContext};
use unruffled_testing::scripted::Gate;

use crate::support::adding;

const SOON: Duration = Duration::from_millis(20);

/// Number and outcome of an item.
fn outcome(item: StreamItem<u32>) -> (u64, Result<u32, ErrorKind>) {
    assert!(item.arrived <= item.answered);
    (item.seq, item.result.map(|response| response.output).map_err(|error| error.kind()))
}

fn poll_once<S: Stream + Unpin>(stream: &mut S) -> Poll<Option<S::Item>> {
    stream.poll_next_unpin(&mut Context::from_waker(Waker::noop()))
}

fn source() -> (tokio::sync::mpsc::UnboundedSender<u32>, impl Stream<Item = u32> + Send) {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    (tell, stream::poll_fn(move |cx| told.poll_recv(cx)))
}

/// Checks that a stream over the first numbers gives every item's successor, in order.
#[track_caller]
fn check_all(items: Vec<StreamItem<u32>>, count: u32) {
    let outcomes: Vec<_> = items.into_iter().map(outcome).collect();
    let expected: Vec<_> = (0..count).map(|x| (u64::from(x), Ok(x + 1))).collect();
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn a_thousand_items_of_three_instances_come_in_order() {
    let engine = Engine::with_options(EngineOptions::default().with_cores(3));
    let options = PoolOptions::default().with_instances(3).with_max_batch(4);
    let handle = engine
        .wrap(|x: u32| {
            (0..fastrand::u32(..50)).for_each(|_| std::thread::yield_now());
            x + 1
        })
        .options(options)
        .build()
        .unwrap();
    let items = handle.stream(stream::iter(0..1000), StreamOptions::batch(8).in_flight(64)).collect().await;
    check_all(items, 1000);
}

#[tokio::test]
async fn items_that_are_there_together_share_a_run() {
    let model = adding();
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let items = handle.stream(stream::iter(0..6), StreamOptions::batch(4)).collect().await;
    check_all(items, 6);
    assert!(script.batch_sizes()[0] >= 4, "{:?}", script.batch_sizes());
}

#[tokio::test]
async fn by_completion_a_slow_item_holds_nobody_up() {
    let (go_on, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let engine = Engine::with_options(EngineOptions::default().with_cores(2));
    let handle = engine
        .wrap(move |x: u32| {
            if x == 0 {
                wait.lock().unwrap().recv().unwrap();
            }
            x + 1
        })
        .options(PoolOptions::default().with_instances(2).with_max_batch(1))
        .build()
        .unwrap();
    let mut answers = handle.stream(stream::iter(0..4), StreamOptions::batch(1).by_completion());
    for expected in [(1, Ok(2)), (2, Ok(3)), (3, Ok(4))] {
        assert_eq!(outcome(answers.next().await.unwrap()), expected);
    }
    go_on.send(()).unwrap();
    assert_eq!(outcome(answers.next().await.unwrap()), (0, Ok(1)));
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn what_is_left_is_answered_without_waiting_for_company() {
    let handle = Engine::new().wrap_model(adding()).build().unwrap();
    let options = StreamOptions::batch(32).every(Duration::MAX);
    check_all(handle.stream(stream::iter(0..33), options).collect().await, 33);
}

#[tokio::test]
async fn an_empty_source_gives_an_empty_stream() {
    let handle = Engine::new().wrap_model(adding()).build().unwrap();
    check_all(handle.stream(stream::empty(), StreamOptions::default()).collect().await, 0);
}

#[tokio::test]
async fn a_queue_that_others_have_filled_loses_no_item() {
    let gate = Gate::closed();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 2, bytes: 1000 });
    let handle = Engine::new().wrap_model(adding().gated(&gate)).options(options).build().unwrap();
    let running = handle.infer(0).submit();
    gate.entered();
    let others = [handle.infer(100).submit(), handle.infer(200).submit()];
    let (tell, source) = source();
    (0..50).for_each(|x| tell.send(x).unwrap());
    let mut answers = handle.stream(source, StreamOptions::batch(8));
    assert!(poll_once(&mut answers).is_pending());
    assert_eq!(handle.status().queued, 2, "the limit holds for streams too");
    drop(tell);
    gate.open();
    check_all(answers.collect().await, 50);
    assert_eq!(running.await.unwrap().output, 1);
    for (other, expected) in others.into_iter().zip([101, 201]) {
        assert_eq!(other.await.unwrap().output, expected);
    }
}

/// Two streams fill one queue for each other, and both get through.
#[tokio::test]
async fn streams_that_share_a_small_queue_both_end() {
    let options = PoolOptions::default().with_queue(QueueLimits { items: 3, bytes: 1000 });
    let handle = Engine::new().wrap_model(adding()).options(options).build().unwrap();
    let ask = |priority| {
        let answers = handle.stream(stream::iter(0..200), StreamOptions::batch(8).priority(priority));
        tokio::spawn(answers.collect::<Vec<_>>())
    };
    let (one, other) = (ask(Priority::Normal), ask(Priority::Interactive));
    check_all(one.await.unwrap(), 200);
    check_all(other.await.unwrap(), 200);
}

/// Many streams over a model that fails and a queue that is too small: every item is told of once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_item_of_a_storm_of_streams_is_told_of_once() {
    let engine = Engine::new();
    let handle = engine
        .wrap_interruptible(|&x: &u32, _: &RunContext<'_>| match x % 97 {
            96 => panic!("a bad input"),
            95 => Err(ModelError::failed("a poor input")),
            _ => Ok(x + 1),
        })
        .options(
            PoolOptions::default().with_instances(3).with_queue(QueueLimits { items: 7, bytes: 1 << 20 }),
        )
        .build()
        .unwrap();
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let handle = handle.clone();
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(caller);
                for _ in 0..20 {
                    let count = rng.u32(..200);
                    let mut options = StreamOptions::batch(rng.usize(1..40))
                        .in_flight(rng.usize(1..80))
                        .every(Duration::from_micros(rng.u64(..500)));
                    if rng.bool() {
                        options = options.timeout(Duration::from_micros(rng.u64(1..20_000)));
                    }
                    let taken = if rng.bool() { count as usize } else { rng.usize(..200) };
                    let answers = handle.stream(stream::iter(0..count), options);
                    let items: Vec<_> = answers.take(taken).map(outcome).collect().await;
                    assert_eq!(items.len(), taken.min(count as usize));
                    for (expected, (seq, outcome)) in (0..).zip(items) {
                        assert_eq!(seq, u64::from(expected));
                        assert!(outcome.is_err() || outcome == Ok(expected + 1), "{outcome:?}");
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let status = handle.status();
    assert_eq!((status.queued, status.queued_bytes), (0, 0));
    let drained = engine.shutdown(Duration::from_secs(60)).await;
    assert!(!drained.cancelled, "{drained:?}");
}

#[tokio::test]
async fn an_item_that_fails_fails_alone() {
    let handle = Engine::new()
        .wrap_interruptible(|&x: &u32, _: &RunContext<'_>| match x % 10 {
            3 => Err(ModelError::failed("a poor input")),
            7 => panic!("a bad input"),
            _ => Ok(x + 1),
        })
        .build()
        .unwrap();
    let answers = handle.stream(stream::iter(0..20), StreamOptions::batch(5));
    let outcomes: Vec<_> = answers.map(outcome).collect().await;
    let expected: Vec<_> = (0..20)
        .map(|x: u32| {
            let result = match x % 10 {
                3 => Err(ErrorKind::ModelFailed),
                7 => Err(ErrorKind::ModelCrashed),
                _ => Ok(x + 1),
            };
            (u64::from(x), result)
        })
        .collect();
    assert_eq!(outcomes, expected);
}

#[tokio::test]
async fn what_the_model_refuses_is_that_item_s_error() {
    let picky = adding().admitting(|x: &u32| match x {
        1 => Err(ModelError::invalid_input("one is unlucky")),
        _ => Ok(unruffled_model::Footprint::single(4)),
    });
    let handle = Engine::new().wrap_model(picky).build().unwrap();
    let outcomes: Vec<_> =
        handle.stream(stream::iter(0..3), StreamOptions::batch(3)).map(outcome).collect().await;
    assert_eq!(outcomes, [(0, Ok(1)), (1, Err(ErrorKind::InvalidInput)), (2, Ok(3))]);
}

#[tokio::test]
async fn a_dropped_stream_cancels_what_runs_and_what_waits() {
    let gate = Gate::closed();
    let model = adding().gated(&gate);
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let mut answers = handle.stream(stream::iter(0..100), StreamOptions::batch(1).in_flight(10));
    assert!(poll_once(&mut answers).is_pending());
    let first = gate.entered().len();
    assert_eq!(handle.status().queued, 10 - first);
    drop(answers);
    assert_eq!(handle.status().queued, 0, "removal is immediate");
    // The gate is still closed: only cancellation lets the run end.
    let next = handle.infer(1).submit();
    while !script.batches()[0].ended {
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!(next.await.unwrap().output, 2);
    assert!(script.batches()[0].cancelled);
}

#[tokio::test]
async fn an_item_is_given_up_at_its_deadline_and_the_stream_goes_on() {
    let gate = Gate::closed();
    let handle = Engine::new().wrap_model(adding().gated(&gate)).build().unwrap();
    let (tell, source) = source();
    let mut answers = handle.stream(source, StreamOptions::batch(2).timeout(SOON));
    (0..3).for_each(|x| tell.send(x).unwrap());
    for seq in 0..3 {
        assert_eq!(outcome(answers.next().await.unwrap()), (seq, Err(ErrorKind::DeadlineExceeded)));
    }
    gate.open();
    // The next may be told that it cannot make it; in the end one does.
    let mut seq = 3;
    loop {
        tell.send(3).unwrap();
        let item = outcome(answers.next().await.unwrap());
        assert_eq!(item.0, seq);
        if item.1 == Ok(4) {
            break;
        }
        seq += 1;
    }
    drop(tell);
    assert!(answers.next().await.is_none());
}

#[tokio::test]
async fn a_stream_outlives_its_model_s_crash() {
    let model = adding();
    let script = model.script();
    script.panic_next(1);
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let answers = handle.stream(stream::iter(0..4), StreamOptions::batch(1).in_flight(1));
    let outcomes: Vec<_> = answers.map(outcome).collect().await;
    assert_eq!(outcomes, [(0, Err(ErrorKind::ModelCrashed)), (1, Ok(2)), (2, Ok(3)), (3, Ok(4))]);
}

#[tokio::test]
async fn a_shutdown_in_the_middle_answers_every_item_that_is_left() {
    let gate = Gate::closed();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 3, bytes: 1000 });
    let engine = Engine::new();
    let handle = engine.wrap_model(adding().gated(&gate)).options(options).build().unwrap();
    let (tell, source) = source();
    let mut answers = handle.stream(source, StreamOptions::batch(1));
    // One runs, three wait in the queue, and one waits for room.
    tell.send(0).unwrap();
    assert!(poll_once(&mut answers).is_pending());
    gate.entered();
    (1..10).for_each(|x| tell.send(x).unwrap());
    assert!(poll_once(&mut answers).is_pending());
    assert_eq!(handle.status().queued, 3);
    let rest = tokio::spawn(answers.map(outcome).collect::<Vec<_>>());
    tokio::task::yield_now().await;
    engine.shutdown(Duration::ZERO).await;
    tell.send(10).unwrap();
    drop(tell);
    let expected: Vec<_> = (0..11).map(|seq| (seq, Err(ErrorKind::ShuttingDown))).collect();
    assert_eq!(rest.await.unwrap(), expected);
}

#[tokio::test]
async fn a_stream_keeps_its_model() {
    let handle: Handle<u32, u32> = Engine::new().wrap_model(adding()).build().unwrap();
    let answers = handle.stream(stream::iter(0..10), StreamOptions::batch(2));
    drop(handle);
    check_all(answers.collect().await, 10);
}

#[tokio::test]
async fn the_source_is_dropped_when_it_ends() {
    let held = Arc::new(());
    let guard = Arc::clone(&held);
    let source = stream::iter(0..2).chain(stream::poll_fn(move |_| {
        let _held = &guard;
        Poll::Ready(None)
    }));
    let gate = Gate::closed();
    let handle = Engine::new().wrap_model(adding().gated(&gate)).build().unwrap();
    let mut answers = handle.stream(source, StreamOptions::batch(2).in_flight(3));
    assert!(poll_once(&mut answers).is_pending());
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(answers.size_hint(), (2, Some(2)));
}
