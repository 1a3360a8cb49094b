//! A newer request of the same key takes the place of the older.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use unruffled_engine::{Engine, ErrorKind, PoolOptions, QueueLimits};
use unruffled_model::Batching;
use unruffled_testing::scripted::Gate;

use crate::support::{adding, check_error, failed, poll_once, wait_until};

const TEXT: &str = "superseded by a newer request of its key";

#[tokio::test]
async fn an_older_request_leaves_the_queue_at_once() {
    let gate = Gate::closed();
    let model = adding().gated(&gate);
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let held = handle.infer(0).submit();
    gate.entered();
    let older = handle.infer(1).supersede("box").submit();
    let newer = handle.infer(2).supersede("box").submit();
    assert_eq!(handle.status().queued, 1);
    let Poll::Ready(outcome) = poll_once(pin!(older)) else { panic!("it ends at once") };
    check_error(outcome, ErrorKind::Cancelled, TEXT);
    gate.open();
    assert_eq!((held.await.unwrap().output, newer.await.unwrap().output), (1, 3));
    assert_eq!(script.batch_sizes(), [1, 1], "the older never ran");
    let metrics = handle.metrics();
    assert_eq!((metrics.superseded, metrics.failed), (1, vec![(ErrorKind::Cancelled, 1)]));
}

#[tokio::test]
async fn an_older_request_that_runs_is_stopped() {
    let gate = Gate::closed();
    let model = adding().gated(&gate);
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let older = handle.infer(1).supersede("box").submit();
    gate.entered();
    let newer = handle.infer(2).supersede("box").submit();
    check_error(older.await, ErrorKind::Cancelled, TEXT);
    // The gate is still closed: only cancellation lets the older's run end.
    gate.entered();
    gate.open();
    assert_eq!(newer.await.unwrap().output, 3);
    assert!(script.batches()[0].cancelled);
}

#[tokio::test]
async fn other_keys_and_other_models_are_left_alone() {
    let gate = Gate::closed();
    let engine = Engine::new();
    let handle = engine.wrap_model(adding().gated(&gate)).build().unwrap();
    let other = engine.wrap_model(adding().gated(&gate)).build().unwrap();
    let answers = [
        handle.infer(1).supersede("box").submit(),
        handle.infer(2).supersede("canvas").submit(),
        handle.infer(3).submit(),
        other.infer(4).supersede("box").submit(),
    ];
    let same = handle.clone().infer(5).supersede("canvas").submit();
    gate.open();
    let mut outcomes = Vec::new();
    for answer in answers {
        outcomes.push(answer.await.map(|response| response.output).map_err(|error| error.kind()));
    }
    assert_eq!(outcomes, [Ok(2), Err(ErrorKind::Cancelled), Ok(4), Ok(5)]);
    assert_eq!(same.await.unwrap().output, 6);
    // What has been answered is not superseded any more.
    assert_eq!(handle.infer(6).supersede("box").await.unwrap().output, 7);
    assert_eq!(handle.metrics().superseded, 1);
}

#[tokio::test]
async fn in_a_full_queue_the_newer_takes_the_olders_place() {
    let gate = Gate::closed();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 1, bytes: 1000 });
    let model = adding().gated(&gate).batching(Batching::Single);
    let handle = Engine::new().wrap_model(model).options(options).build().unwrap();
    let running = handle.infer(0).supersede("canvas").submit();
    gate.entered();
    let older = handle.infer(1).supersede("box").submit();
    let newer = handle.infer(2).supersede("box").submit();
    check_error(older.await, ErrorKind::Cancelled, TEXT);
    // Without a place there, the newer is refused, and the older stays: a late answer is better than none.
    let refused = handle.infer(3).supersede("canvas").submit();
    check_error(refused.await, ErrorKind::Overloaded, "the queue is full");
    gate.open();
    assert_eq!((running.await.unwrap().output, newer.await.unwrap().output), (1, 3));
}

#[tokio::test]
async fn a_thousand_keystrokes_leave_nothing_behind() {
    let gate = Gate::closed();
    let handle = Engine::new().wrap_model(adding().gated(&gate).uninterruptible()).build().unwrap();
    let keys: Vec<Arc<str>> = vec!["box".into(), "canvas".into()];
    let answers: Vec<_> =
        (0..1000).map(|x| handle.infer(x).supersede(Arc::clone(&keys[x as usize % 2])).submit()).collect();
    assert!(handle.status().queued <= 2);
    gate.open();
    let mut answered = 0;
    for answer in answers {
        answered += usize::from(answer.await.is_ok());
    }
    assert_eq!(answered, 2);
    wait_until(|| handle.status().running == 0);
    assert_eq!((handle.metrics().superseded, failed(&handle, ErrorKind::Cancelled)), (998, 998));
    for key in keys {
        wait_until(|| Arc::strong_count(&key) == 1);
    }
}
