//! Giving up reaches the queue and the running model, and nobody else.

use std::time::Duration;

use unruffled_engine::{Engine, ErrorKind};
use unruffled_model::{Batching, RunContext};
use unruffled_testing::scripted::Gate;

use std::pin::pin;

use crate::support::{adding, check_error, engine_of, failed, ids, poll_once, wait_until};

const SOON: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_dropped_request_leaves_the_queue_at_once() {
    let gate = Gate::closed();
    let model = adding().gated(&gate);
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let running = handle.infer(0).id("running").submit();
    gate.entered();
    let dropped = handle.infer(1).id("dropped").submit();
    assert_eq!(handle.status().queued, 1);
    drop(dropped);
    assert_eq!(handle.status().queued, 0, "removal is immediate");
    gate.open();
    running.await.unwrap();
    handle.infer(2).id("next").await.unwrap();
    let ran: Vec<_> = script.batches().into_iter().flat_map(|batch| batch.requests).collect();
    assert_eq!(ran, ids(&["running", "next"]));
}

#[tokio::test]
async fn a_dropped_request_stops_its_run() {
    let gate = Gate::closed();
    let model = adding().gated(&gate);
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let running = handle.infer(0).submit();
    gate.entered();
    drop(running);
    // The gate is still closed: only cancellation lets the run end.
    let next = handle.infer(1).submit();
    gate.entered();
    gate.open();
    assert_eq!(next.await.unwrap().output, 2);
    assert!(script.batches()[0].cancelled);
}

#[tokio::test]
async fn a_batch_runs_on_while_anybody_waits() {
    let gate = Gate::closed();
    let model = adding().gated(&gate).batching(Batching::Joint);
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let first = handle.infer(0).submit();
    gate.entered();
    let (gone, stays) = (handle.infer(1).id("gone").submit(), handle.infer(2).id("stays").submit());
    gate.release(1);
    first.await.unwrap();
    assert_eq!(gate.entered(), ids(&["gone", "stays"]));
    drop(gone);
    gate.release(1);
    assert_eq!(stays.await.unwrap().output, 3);
    assert!(!script.batches()[1].cancelled);
}

#[tokio::test]
async fn a_deadline_fires_in_the_queue_while_every_instance_is_busy() {
    let gate = Gate::closed();
    let handle = Engine::new().wrap_model(adding().gated(&gate)).build().unwrap();
    let _running = handle.infer(0).submit();
    gate.entered();
    check_error(handle.infer(1).timeout(SOON).await, ErrorKind::DeadlineExceeded, "the deadline passed");
    assert_eq!(handle.status().queued, 0);
}

#[tokio::test]
async fn a_deadline_stops_the_run() {
    let gate = Gate::closed();
    let model = adding().gated(&gate);
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    check_error(handle.infer(0).timeout(SOON).await, ErrorKind::DeadlineExceeded, "the deadline passed");
    gate.entered();
    // The gate is still closed: only cancellation lets the run end.
    let next = handle.infer(1).submit();
    gate.entered();
    gate.open();
    assert_eq!(next.await.unwrap().output, 2);
    assert!(script.batches()[0].cancelled);
}

/// The slot of a run that cannot be stopped is not given away before it is really free.
#[tokio::test]
async fn a_run_that_cannot_stop_keeps_its_slot() {
    let gate = Gate::closed();
    let model = adding().gated(&gate).uninterruptible();
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    check_error(handle.infer(0).timeout(SOON).await, ErrorKind::DeadlineExceeded, "the deadline passed");
    let next = handle.infer(1).timeout(SOON).await;
    check_error(next, ErrorKind::DeadlineExceeded, "the deadline passed");
    assert_eq!(script.batches().len(), 1, "the second must not have run");
    assert_eq!(handle.status().running, 1);
    gate.open();
    assert_eq!(handle.infer(2).await.unwrap().output, 3);
}

/// A hook or a waker that panics is its owner's fault: deadlines go on firing for everybody else.
#[tokio::test]
async fn a_hook_that_panics_does_not_stop_the_timer() {
    let (tell, told) = std::sync::mpsc::channel();
    let engine = Engine::new();
    let stubborn = engine
        .wrap_interruptible(move |&bad: &bool, ctx: &RunContext<'_>| {
            if bad {
                let _hook = ctx.on_cancel(|| panic!("a bad hook"));
                tell.send(()).unwrap();
                while !ctx.is_cancelled() {
                    std::thread::yield_now();
                }
            }
            Ok(())
        })
        .build()
        .unwrap();
    check_error(stubborn.infer(true).timeout(SOON).await, ErrorKind::DeadlineExceeded, "the deadline passed");
    told.recv().unwrap();
    let gate = Gate::closed();
    let handle = engine.wrap_model(adding().gated(&gate)).build().unwrap();
    let _running = handle.infer(0).submit();
    gate.entered();
    check_error(handle.infer(1).timeout(SOON).await, ErrorKind::DeadlineExceeded, "the deadline passed");
}

#[tokio::test]
async fn a_request_is_cancelled_from_elsewhere() {
    let gate = Gate::closed();
    let model = adding().gated(&gate);
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let running = handle.infer(0).submit();
    gate.entered();
    let queued = handle.infer(1).submit();
    queued.canceller().cancel();
    assert_eq!(handle.status().queued, 0);
    check_error(queued.await, ErrorKind::Cancelled, "cancelled");
    let canceller = running.canceller();
    std::thread::scope(|scope| {
        scope.spawn(|| canceller.clone().cancel());
    });
    check_error(running.await, ErrorKind::Cancelled, "cancelled");
    // The gate is still closed: only cancellation lets the run end.
    wait_until(|| handle.status().running == 0);
    assert!(script.batches()[0].cancelled);
    gate.open();
    // What has ended stays as it is, told or not.
    let mut told = handle.infer(2).submit();
    let after = told.canceller();
    assert_eq!((&mut told).await.unwrap().output, 3);
    after.cancel();
    told.canceller().cancel();
    canceller.cancel();
    let untold = handle.infer(3).submit();
    wait_until(|| handle.metrics().answered == 2 && handle.status().running == 0);
    untold.canceller().cancel();
    assert_eq!(untold.await.unwrap().output, 4);
    assert_eq!(failed(&handle, ErrorKind::Cancelled), 2);
}

#[tokio::test]
async fn a_stop_awaits_the_end_of_what_cannot_be_stopped() {
    let gate = Gate::closed();
    let engine = engine_of(8);
    let handle = engine.wrap_model(adding().gated(&gate).uninterruptible()).build().unwrap();
    let running = handle.infer(0).submit();
    gate.entered();
    let queued = handle.infer(1).submit();
    assert!(poll_once(pin!(queued.stop())).is_ready(), "nothing of it went on");
    let mut stop = pin!(running.stop());
    assert_eq!(failed(&handle, ErrorKind::Cancelled), 2, "cancelled at once");
    assert!(poll_once(stop.as_mut()).is_pending());
    gate.open();
    stop.await;
    assert_eq!(handle.status().running, 0, "its slot is free");
    handle.infer(2).submit().stop().await;
    assert_eq!(handle.status().queued, 0);
}
