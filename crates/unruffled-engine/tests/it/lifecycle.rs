//! Loading, unloading and shutting down.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;

use unruffled_engine::{Engine, ErrorKind, Handle, LoadProgress, Loading, PoolOptions};
use unruffled_model::{ModelError, SharedModel};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{adding, check_error, engine_of, patiently, poll_once};

const LONG: Duration = Duration::from_secs(60);

fn load(engine: &Engine, model: ScriptedModel<u32, u32>) -> Loading<u32, u32> {
    let load = engine
        .load_with("adder", PoolOptions::default(), move |_| Ok(Arc::new(model) as SharedModel<u32, u32>));
    load.unwrap()
}

#[tokio::test]
async fn loading_tells_how_far_it_is() {
    let engine = Engine::new();
    let (go_on, wait) = mpsc::channel();
    let mut loading: Loading<u32, u32> = engine
        .load_with("adder", PoolOptions::default(), move |ctx| {
            ctx.progress(0.5);
            wait.recv().unwrap();
            Ok(Arc::new(adding()) as SharedModel<u32, u32>)
        })
        .unwrap();
    let error = engine.get::<u32, u32>("adder").unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::NotReady, "is being loaded"));
    assert!(engine.models()[0].info.is_none() && !engine.models()[0].is_ready());
    while loading.progress() != LoadProgress::Reading(0.5) {
        loading.progress_changed().await;
    }
    go_on.send(()).unwrap();
    while loading.progress() != LoadProgress::Ready {
        loading.progress_changed().await;
    }
    let handle = loading.await.unwrap();
    assert!(handle.status().ready && engine.models()[0].is_ready());
    assert_eq!(engine.get::<u32, u32>("adder").unwrap().infer(1).await.unwrap().output, 2);
}

#[tokio::test]
async fn a_load_that_fails_says_why_and_frees_the_name() {
    let engine = Engine::new();
    let broken = |error: fn() -> ModelError| {
        let loading: Loading<u32, u32> =
            engine.load_with("adder", PoolOptions::default(), move |_| Err(error())).unwrap();
        loading
    };
    let error = broken(|| ModelError::failed("not a model")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::ModelFailed, "model `adder`: not a model")
    );
    let error = broken(|| panic!("a bad file")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelCrashed);
    let model = adding();
    model.script().fail_instances(1);
    let error = load(&engine, model).await.unwrap_err();
    assert!(error.to_string().contains("the script fails this instance"), "{error}");
    assert_eq!(load(&engine, adding()).await.unwrap().infer(1).await.unwrap().output, 2);
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let engine = Engine::new();
    let _handle = load(&engine, adding()).await.unwrap();
    let second = engine
        .load_with("adder", PoolOptions::default(), |_| Ok(Arc::new(adding()) as SharedModel<u32, u32>));
    assert_eq!(second.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(engine.wrap(|x: u32| x).name("adder").register().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(engine.get::<u32, u32>("subtracter").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(engine.get::<String, u32>("adder").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_load_that_nobody_waits_for_is_cancelled() {
    let engine = Engine::new();
    let (tell, told) = mpsc::channel();
    let loading: Loading<u32, u32> = engine
        .load_with("adder", PoolOptions::default(), move |ctx| {
            tell.send(()).unwrap();
            while !ctx.is_cancelled() {
                std::thread::yield_now();
            }
            tell.send(()).unwrap();
            Err(ModelError::cancelled())
        })
        .unwrap();
    told.recv().unwrap();
    drop(loading);
    told.recv().unwrap();
}

#[tokio::test]
async fn unloading_finishes_what_was_accepted() {
    let engine = Engine::new();
    let gate = Gate::closed();
    let handle = load(&engine, adding().gated(&gate)).await.unwrap();
    let (running, queued) = (handle.infer(0).submit(), handle.infer(1).submit());
    gate.entered();
    let mut unload = Box::pin(engine.unload("adder", LONG));
    assert!(unload.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    check_error(handle.infer(2).await, ErrorKind::NotReady, "has been unloaded");
    assert_eq!(engine.get::<u32, u32>("adder").unwrap_err().kind(), ErrorKind::NotFound);
    gate.open();
    let drained = unload.await.unwrap();
    assert!(!drained.cancelled && drained.still_running.is_empty());
    assert_eq!((running.await.unwrap().output, queued.await.unwrap().output), (1, 2));
    assert!(load(&engine, adding()).await.is_ok(), "the name is free again");
    assert_eq!(engine.unload("nobody", LONG).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn shutting_down_cancels_what_outlasts_the_grace() {
    let engine = Engine::new();
    let gate = Gate::closed();
    let model = adding().gated(&gate);
    let script = model.script();
    let handle = load(&engine, model).await.unwrap();
    let (running, queued) = (handle.infer(0).submit(), handle.infer(1).submit());
    gate.entered();
    let drained = engine.shutdown(Duration::from_millis(10)).await;
    assert!(drained.cancelled && drained.still_running.is_empty(), "{drained:?}");
    check_error(running.await, ErrorKind::ShuttingDown, "shutting down");
    check_error(queued.await, ErrorKind::ShuttingDown, "shutting down");
    assert!(script.batches()[0].cancelled);
    check_error(handle.infer(2).await, ErrorKind::ShuttingDown, "shutting down");
    assert_eq!(engine.wrap(|x: u32| x).build().unwrap_err().kind(), ErrorKind::ShuttingDown);
}

#[tokio::test]
async fn shutting_down_names_what_cannot_be_stopped() {
    let engine = Engine::new();
    let gate = Gate::closed();
    let stubborn =
        engine.wrap_model(adding().gated(&gate).uninterruptible()).name("stubborn").build().unwrap();
    let running = stubborn.infer(0).submit();
    gate.entered();
    let drained = engine.shutdown(Duration::ZERO).await;
    assert_eq!(drained.still_running.iter().map(|name| &**name).collect::<Vec<_>>(), ["stubborn"]);
    assert_eq!(running.await.unwrap_err().kind(), ErrorKind::ShuttingDown, "callers do not wait for it");
    gate.open();
}

#[tokio::test]
async fn the_last_handle_lets_accepted_work_finish() {
    let engine = Engine::new();
    let gate = Gate::closed();
    let handle: Handle<u32, u32> = engine.wrap_model(adding().gated(&gate)).build().unwrap();
    let (running, queued) = (handle.infer(0).submit(), handle.infer(1).submit());
    gate.entered();
    drop(handle);
    gate.open();
    assert_eq!((running.await.unwrap().output, queued.await.unwrap().output), (1, 2));
}

#[tokio::test]
async fn an_engine_that_is_dropped_still_answers() {
    let engine = Engine::new();
    let gate = Gate::closed();
    let answer = load(&engine, adding().gated(&gate)).await.unwrap().infer(0).submit();
    gate.entered();
    drop(engine);
    gate.open();
    assert_eq!(answer.await.unwrap().output, 1);
}

#[tokio::test]
async fn a_grace_without_end_is_no_bound() {
    let engine = Engine::new();
    let model = engine.wrap(|x: u32| x + 1).build().unwrap();
    let answer = model.infer(1).submit();
    let drained = engine.shutdown(Duration::MAX).await;
    assert!(!drained.cancelled);
    assert_eq!(answer.await.unwrap().output, 2);
}

#[tokio::test]
async fn shutting_down_stops_what_is_being_loaded() {
    let engine = Engine::new();
    let loading: Loading<u32, u32> = engine
        .load_with("endless", PoolOptions::default(), |ctx| {
            while !ctx.is_cancelled() {
                std::thread::yield_now();
            }
            Err(ModelError::cancelled())
        })
        .unwrap();
    engine.shutdown(LONG).await;
    assert_eq!(loading.await.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn unloading_does_not_wait_for_a_core_that_nobody_needs_any_more() {
    // Less than the time after which a core is taken from a run that seems to be stuck.
    const GRACE: Duration = Duration::from_millis(900);
    for cancelled_first in [true, false] {
        let (engine, gate) = (engine_of(1), Gate::closed());
        let other = engine.wrap_model(adding().gated(&gate).uninterruptible()).build().unwrap();
        let handle = load(&engine, adding()).await.unwrap();
        let running = other.infer(0).submit();
        gate.entered();
        let queued = handle.infer(1).submit();
        // Time for the instance to ask for the core.
        (0..50).for_each(|_| std::thread::yield_now());
        let mut unload = Box::pin(engine.unload("adder", GRACE));
        if cancelled_first {
            drop(queued);
        } else {
            assert!(poll_once(unload.as_mut()).is_pending(), "something is left to do");
            queued.canceller().cancel();
            check_error(queued.await, ErrorKind::Cancelled, "cancelled");
        }
        let drained = patiently(unload).await.unwrap();
        assert!(!drained.cancelled && drained.still_running.is_empty(), "{drained:?}");
        assert_eq!(gate.waiting(), 1, "the core was taken all the time");
        gate.open();
        assert_eq!(running.await.unwrap().output, 1);
    }
}
