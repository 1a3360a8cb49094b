//! Bounds: what does not fit is refused at once, and nothing that was accepted is lost.

use std::time::{Duration, Instant};

use unruffled_engine::{Engine, ErrorKind, PoolOptions, QueueLimits};
use unruffled_model::{Footprint, ModelError};
use unruffled_testing::scripted::Gate;

use crate::support::{adding, check_error};

#[tokio::test]
async fn a_full_queue_refuses_and_recovers() {
    let gate = Gate::closed();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 2, bytes: 1000 });
    let model = Engine::new().wrap_model(adding().gated(&gate)).options(options).build().unwrap();
    let running = model.infer(0).submit();
    gate.entered();
    let (first, second) = (model.infer(1).submit(), model.infer(2).submit());
    check_error(model.infer(3).await, ErrorKind::Overloaded, "the queue is full: 2 requests wait");
    assert_eq!(model.status().queued, 2);
    gate.open();
    for (answer, expected) in [(running, 1), (first, 2), (second, 3)] {
        assert_eq!(answer.await.unwrap().output, expected);
    }
    assert_eq!(model.infer(3).await.unwrap().output, 4);
}

#[tokio::test]
async fn a_full_queue_says_how_long_to_wait_once_it_knows() {
    let gate = Gate::opened();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 1, bytes: 1000 });
    let model = Engine::new().wrap_model(adding().gated(&gate)).options(options).build().unwrap();
    model.infer(0).await.unwrap();
    gate.entered();
    gate.close();
    let _running = model.infer(0).submit();
    gate.entered();
    let _queued = model.infer(1).submit();
    let error = check_error(model.infer(2).await, ErrorKind::Overloaded, "try again in about");
    assert!(error.retry_after().is_some());
}

#[tokio::test]
async fn bytes_are_bounded_too() {
    let gate = Gate::closed();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 100, bytes: 100 });
    let weighed = adding().gated(&gate).admitting(|x: &u32| Ok(Footprint::single(*x as usize)));
    let model = Engine::new().wrap_model(weighed).options(options).build().unwrap();
    let _running = model.infer(1).submit();
    gate.entered();
    let _queued = model.infer(60).submit();
    check_error(model.infer(60).await, ErrorKind::Overloaded, "it holds 60 of 100 bytes");
    check_error(
        model.infer(101).await,
        ErrorKind::InvalidInput,
        "the input has 101 bytes; the queue takes 100",
    );
    assert_eq!(model.status().queued_bytes, 60);
}

#[tokio::test]
async fn what_the_model_refuses_never_enters() {
    let picky = adding().admitting(|x: &u32| match x {
        13 => Err(ModelError::invalid_input("thirteen is unlucky").at("x")),
        _ => Ok(Footprint::single(4)),
    });
    let script = picky.script();
    let model = Engine::new().wrap_model(picky).name("picky").build().unwrap();
    let error = check_error(
        model.infer(13).await,
        ErrorKind::InvalidInput,
        "model `picky`: `x`: thirteen is unlucky",
    );
    assert_eq!(error.tensor(), Some("x"));
    assert_eq!(script.batches(), []);
    assert_eq!(model.infer(1).await.unwrap().output, 2);
}

#[tokio::test]
async fn a_deadline_in_the_past_is_refused_at_once() {
    let model = Engine::new().wrap_model(adding()).build().unwrap();
    let past = Instant::now() - Duration::from_millis(1);
    check_error(model.infer(1).deadline(past).await, ErrorKind::DeadlineExceeded, "had passed on arrival");
}

#[tokio::test]
async fn a_queue_for_nothing_is_one_for_a_single_request() {
    let gate = Gate::closed();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 0, bytes: 1000 });
    let model = Engine::new().wrap_model(adding().gated(&gate)).options(options).build().unwrap();
    let running = model.infer(0).submit();
    gate.entered();
    let queued = model.infer(1).submit();
    check_error(model.infer(2).await, ErrorKind::Overloaded, "the queue is full: 1 requests wait");
    gate.open();
    assert_eq!((running.await.unwrap().output, queued.await.unwrap().output), (1, 2));
}
