//! Pools that grow and shrink, and instances that are warm before they take work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use unruffled_engine::{Engine, EngineOptions, ErrorKind, Handle, LoadProgress, PoolOptions};
use unruffled_model::{Batching, ModelError, RunContext, Sampled, SharedModel};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{adding, check_error, patiently, wait_until};

/// Long enough that it never comes in a test.
const NEVER: Duration = Duration::from_secs(100_000);

fn engine() -> Engine {
    Engine::with_options(EngineOptions::default().with_cores(8))
}

/// One instance at least and three at most, one more as soon as something waits, and none let go.
fn eager() -> PoolOptions {
    PoolOptions::default()
        .with_instances_between(1, 3)
        .with_grow_after(Duration::from_millis(1))
        .with_shrink_after(NEVER)
}

#[tokio::test]
async fn a_pool_grows_while_work_waits_up_to_its_bound() {
    let gate = Gate::closed();
    let model = adding().batching(Batching::Single).gated(&gate);
    let script = model.script();
    let handle = engine().wrap_model(model).options(eager()).build().unwrap();
    let calls: Vec<_> = (0..5).map(|x| handle.infer(x).submit()).collect();
    wait_until(|| gate.waiting() == 3);
    let status = handle.status();
    assert_eq!((status.instances, status.running, status.queued), (3, 3, 2), "{status:?}");
    gate.open();
    for (call, x) in calls.into_iter().zip(0..) {
        assert_eq!(patiently(call).await.unwrap().output, x + 1);
    }
    assert_eq!(script.instances_built(), 3);
}

#[tokio::test]
async fn a_pool_that_need_not_grow_does_not() {
    let gate = Gate::closed();
    let model = adding().batching(Batching::Single).gated(&gate);
    let script = model.script();
    let handle = engine().wrap_model(model).options(eager().with_grow_after(NEVER)).build().unwrap();
    let calls: Vec<_> = (0..5).map(|x| handle.infer(x).submit()).collect();
    gate.entered();
    // Time enough for another, if there were one.
    (0..1_000).for_each(|_| std::thread::yield_now());
    gate.open();
    for call in calls {
        patiently(call).await.unwrap();
    }
    assert_eq!(script.instances_built(), 1);
}

#[tokio::test]
async fn no_instance_is_added_that_could_get_no_core() {
    let gate = Gate::closed();
    let model = adding().batching(Batching::Single).gated(&gate);
    let script = model.script();
    let engine = Engine::with_options(EngineOptions::default().with_cores(2));
    let handle = engine.wrap_model(model).options(eager()).build().unwrap();
    let calls: Vec<_> = (0..8).map(|x| handle.infer(x).submit()).collect();
    wait_until(|| gate.waiting() == 2);
    // The timer has looked again and again by the time this one is late.
    let late = handle.infer(9).timeout(Duration::from_millis(20)).await;
    check_error(late, ErrorKind::DeadlineExceeded, "");
    gate.open();
    for call in calls {
        patiently(call).await.unwrap();
    }
    assert_eq!(script.instances_built(), 2);
}

#[tokio::test]
async fn idle_instances_are_let_go_down_to_the_least_and_come_again() {
    let gate = Gate::closed();
    let model = adding().batching(Batching::Single).gated(&gate);
    let script = model.script();
    let options = eager().with_shrink_after(Duration::from_millis(5));
    let handle = engine().wrap_model(model).options(options).build().unwrap();
    for built in [3, 5] {
        let calls: Vec<_> = (0..5).map(|x| handle.infer(x).submit()).collect();
        wait_until(|| gate.waiting() == 3);
        gate.open();
        for call in calls {
            patiently(call).await.unwrap();
        }
        wait_until(|| script.instances() == 1 && handle.status().instances == 1);
        assert_eq!(script.instances_built(), built, "those that are left stay");
        gate.close();
    }
    assert!(handle.status().ready);
    gate.open();
    assert_eq!(patiently(handle.infer(1).submit()).await.unwrap().output, 2);
}

#[tokio::test]
async fn a_pool_grows_when_all_its_instances_are_leased() {
    let handle = engine().wrap_model(adding()).options(eager()).build().unwrap();
    let first = patiently(handle.acquire().into_future()).await.unwrap();
    let second = patiently(handle.acquire().into_future()).await.unwrap();
    let answer = patiently(handle.infer(1).submit()).await.unwrap();
    let mut instances = [first.instance(), second.instance(), answer.timings.instance];
    instances.sort_unstable();
    assert_eq!(instances, [0, 1, 2]);
}

#[tokio::test]
async fn an_instance_that_cannot_be_added_harms_nobody() {
    let gate = Gate::closed();
    let model = adding().batching(Batching::Single).gated(&gate);
    let script = model.script();
    let handle = engine().wrap_model(model).options(eager()).build().unwrap();
    wait_until(|| handle.status().ready);
    script.fail_instances(1);
    let calls: Vec<_> = (0..3).map(|x| handle.infer(x).submit()).collect();
    gate.entered();
    let late = handle.infer(9).timeout(Duration::from_millis(20)).await;
    check_error(late, ErrorKind::DeadlineExceeded, "");
    let status = handle.status();
    assert_eq!((status.ready, status.instances), (true, 1));
    gate.open();
    for call in calls {
        patiently(call).await.unwrap();
    }
}

#[tokio::test]
async fn spare_threads_end_with_the_model() {
    let engine = engine();
    let handle = engine.wrap_model(adding()).options(eager()).name("adder").register().unwrap();
    patiently(handle.infer(1).submit()).await.unwrap();
    let drained = patiently(engine.unload("adder", NEVER)).await.unwrap();
    assert!(!drained.cancelled && drained.still_running.is_empty(), "{drained:?}");
}

#[tokio::test]
async fn a_load_is_done_when_all_that_it_begins_with_are_up() {
    let (gate, engine) = (Gate::closed(), engine());
    let built = Arc::new(AtomicUsize::new(0));
    let model = warmed(adding().gated(&gate), &built);
    let options = PoolOptions::default().with_instances(2);
    let mut loading = engine.load_with("adder", options, move |_| Ok(model)).unwrap();
    wait_until(|| gate.waiting() == 2);
    gate.release(1);
    wait_until(|| gate.waiting() == 1);
    assert!(matches!(loading.progress(), LoadProgress::Starting | LoadProgress::Reading(_)));
    assert!(!engine.is_ready());
    gate.release(1);
    let handle: Handle<u32, u32> = patiently(&mut loading).await.unwrap();
    assert!(engine.is_ready());
    assert_eq!((handle.status().instances, built.load(Ordering::SeqCst)), (2, 2));
}

/// The model with a sample, and a count of how often that was made.
fn warmed(model: ScriptedModel<u32, u32>, made: &Arc<AtomicUsize>) -> SharedModel<u32, u32> {
    let made = Arc::clone(made);
    let sample = move || {
        made.fetch_add(1, Ordering::SeqCst);
        40
    };
    Arc::new(Sampled::new(Arc::new(model), sample))
}

#[tokio::test]
async fn every_new_instance_runs_the_sample_first_and_nobody_counts_it() {
    let model = adding();
    let script = model.script();
    let options = PoolOptions::default().with_warm_up(2);
    let handle = Engine::new().wrap_model(model).warm_up(|| 40).options(options).build().unwrap();
    wait_until(|| handle.status().ready);
    assert_eq!(script.batches().len(), 2, "before anybody has asked");
    let metrics = handle.metrics();
    assert_eq!((metrics.runs, metrics.accepted, metrics.answered), (0, 0, 0));
    script.panic_next(1);
    check_error(handle.infer(0).await, ErrorKind::ModelCrashed, "panicked");
    assert_eq!(patiently(handle.infer(1).submit()).await.unwrap().output, 2);
    let names: Vec<_> = script.batches().iter().map(|batch| batch.requests[0].to_string()).collect();
    assert_eq!(names, ["warm-up", "warm-up", "0", "warm-up", "warm-up", "1"], "its replacement, too");
}

#[tokio::test]
async fn a_warm_up_that_fails_is_told_by_the_load() {
    let engine = Engine::new();
    let load = |answer: fn(&u32, &RunContext<'_>) -> Result<u32, ModelError>| {
        let made = Arc::new(AtomicUsize::new(0));
        let model = warmed(ScriptedModel::new(answer), &made);
        engine.load_with("adder", PoolOptions::default(), move |_| Ok(model)).unwrap()
    };
    let error = patiently(load(|x, _| Err(ModelError::failed(format!("cannot do {x}"))))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotReady);
    assert!(error.message().contains("its warm-up failed: cannot do 40"), "{error}");
    let error = patiently(load(|_, _| panic!("no zeros, please"))).await.unwrap_err();
    assert!(error.message().contains("its warm-up failed: panicked: no zeros, please"), "{error}");
    assert_eq!(patiently(load(|x, _| Ok(x + 1))).await.unwrap().infer(1).await.unwrap().output, 2);
}

#[tokio::test]
async fn a_load_that_nobody_waits_for_stops_its_warm_up() {
    let (gate, engine) = (Gate::closed(), Engine::new());
    let model = adding().gated(&gate);
    let script = model.script();
    let model = warmed(model, &Arc::default());
    let loading = engine.load_with("adder", PoolOptions::default(), move |_| Ok(model)).unwrap();
    gate.entered();
    drop(loading);
    wait_until(|| script.batches()[0].ended);
    assert!(script.batches()[0].cancelled);
    wait_until(|| engine.models().is_empty());
}
