//! A budget of memory: models are loaded when they are asked for, once for all who wait, and make room for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use unruffled_engine::{
    Engine, EngineOptions, ErrorKind, Handle, MemoryBudget, PoolOptions, QueueLimits, Recipe, StreamOptions,
    VersionState,
};
use unruffled_model::{ModelError, SharedModel};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{adding, check_error, patiently, poll_once, wait_until};

/// An engine whose models may take 100 bytes together, by what is said of them.
fn engine() -> Engine {
    Engine::with_options(EngineOptions::default().with_memory(MemoryBudget::new(100)))
}

/// How often a model was loaded.
type Loads = Arc<AtomicUsize>;

/// A model of so many bytes, not loaded.
fn register(
    engine: &Engine,
    name: &str,
    bytes: usize,
    model: ScriptedModel<u32, u32>,
) -> (Handle<u32, u32>, Loads) {
    let (loads, model) = (Loads::default(), Arc::new(model) as SharedModel<u32, u32>);
    let counted = Arc::clone(&loads);
    let recipe = Recipe::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::clone(&model))
    });
    (engine.register(name, PoolOptions::default(), recipe.bytes(bytes)).unwrap(), loads)
}

async fn ask(handle: &Handle<u32, u32>) {
    assert_eq!(patiently(handle.infer(1).submit()).await.map(|answer| answer.output).unwrap(), 2);
    // From then on it may make room for others.
    wait_until(|| handle.status().idle == 1);
}

/// Those in memory, in the order in which they came.
fn loaded(engine: &Engine) -> Vec<String> {
    engine.memory().unwrap().models.iter().map(|model| model.name.to_string()).collect()
}

#[tokio::test]
async fn a_model_is_loaded_when_it_is_asked_for_once_for_all_who_wait() {
    let engine = engine();
    let (handle, loads) = register(&engine, "adder", 40, adding());
    assert!(engine.is_ready() && handle.is_ready() && !handle.status().ready);
    assert_eq!((engine.memory().unwrap().used, loads.load(Ordering::Relaxed)), (0, 0));
    let asked: Vec<_> = (0..20).map(|x| handle.infer(x).submit()).collect();
    for (x, answer) in asked.into_iter().enumerate() {
        assert_eq!(patiently(answer).await.unwrap().output as usize, x + 1);
    }
    assert_eq!((engine.memory().unwrap().used, loads.load(Ordering::Relaxed)), (40, 1));
    assert!(handle.status().ready);
}

#[tokio::test]
async fn who_was_not_asked_for_the_longest_makes_room_and_comes_back() {
    let engine = engine();
    let [(a, a_loads), (b, _), (c, _)] = ["a", "b", "c"].map(|name| register(&engine, name, 40, adding()));
    ask(&a).await;
    ask(&b).await;
    ask(&c).await;
    assert_eq!(loaded(&engine), ["b", "c"]);
    assert_eq!(a.versions()[0].state, VersionState::NotLoaded);
    ask(&a).await;
    assert_eq!((loaded(&engine), a_loads.load(Ordering::Relaxed)), (vec!["c".into(), "a".into()], 2));
    let memory = engine.memory().unwrap();
    assert_eq!((memory.loads, memory.evictions), (4, 2));
    // What it has done is not forgotten with it.
    assert_eq!(a.metrics().answered, 2);
}

#[tokio::test]
async fn nothing_in_use_goes_and_a_load_waits_for_it() {
    let engine = engine();
    let gate = Gate::closed();
    let (busy, loads) = register(&engine, "busy", 60, adding().gated(&gate));
    let (other, _) = register(&engine, "other", 60, adding());
    let running = busy.infer(1).submit();
    gate.entered();
    let hasty = patiently(other.infer(1).timeout(Duration::from_millis(5)).submit()).await;
    let error = check_error(hasty, ErrorKind::Overloaded, "needs about");
    assert!(error.message().contains("`busy`"), "{error}");
    let waiting = other.infer(1).submit();
    assert_eq!(loaded(&engine), ["busy"]);
    gate.open();
    assert_eq!(patiently(running).await.unwrap().output, 2);
    assert_eq!(patiently(waiting).await.unwrap().output, 2);
    assert_eq!((loaded(&engine), loads.load(Ordering::Relaxed)), (vec!["other".into()], 1));
}

#[tokio::test]
async fn a_stream_keeps_its_model_however_long_its_source_pauses() {
    let engine = engine();
    let (kept, loads) = register(&engine, "kept", 60, adding());
    let (other, _) = register(&engine, "other", 60, adding());
    let mut answers =
        Box::pin(kept.stream(stream::iter([1]).chain(stream::pending()), StreamOptions::batch(1)));
    assert_eq!(patiently(answers.next()).await.unwrap().result.unwrap().output, 2);
    let mut waiting = Box::pin(other.infer(1).submit());
    assert!(poll_once(waiting.as_mut()).is_pending());
    check_error(
        patiently(other.infer(1).timeout(Duration::from_millis(5)).submit()).await,
        ErrorKind::Overloaded,
        "`kept`",
    );
    drop(answers);
    assert_eq!(patiently(waiting).await.unwrap().output, 2);
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_never_fits_is_refused_at_once() {
    let engine = engine();
    let (huge, _) = register(&engine, "huge", 101, adding());
    let error = check_error(patiently(huge.infer(1).submit()).await, ErrorKind::Overloaded, "model `huge`");
    assert!(error.message().contains("give the engine more memory"), "{error}");
    // One that was loaded for good cannot make room.
    let once = Recipe::once(|_| Ok(Arc::new(adding()) as SharedModel<u32, u32>)).bytes(70);
    let _pinned = engine.load_from("pinned", PoolOptions::default(), once).unwrap().await.unwrap();
    let (other, _) = register(&engine, "other", 60, adding());
    check_error(patiently(other.infer(1).submit()).await, ErrorKind::Overloaded, "`pinned`");
}

#[tokio::test]
async fn those_who_wait_may_go_be_cancelled_and_are_bounded() {
    let engine = engine();
    let (enter, entered) = std::sync::mpsc::channel::<()>();
    let entered = parking_lot::Mutex::new(entered);
    let recipe = Recipe::new(move |_| {
        entered.lock().recv().map_err(|_| ModelError::cancelled())?;
        Ok(Arc::new(adding()) as SharedModel<u32, u32>)
    });
    let options = PoolOptions::default().with_queue(QueueLimits { items: 3, bytes: 1 << 20 });
    let handle: Handle<u32, u32> = engine.register("slow", options, recipe).unwrap();
    let (first, second) = (handle.infer(1).submit(), handle.infer(2).submit());
    let third = handle.infer(3).submit();
    check_error(handle.infer(4).await, ErrorKind::Overloaded, "3 requests wait for it to be loaded");
    assert_eq!(handle.status().queued, 3);
    second.canceller().cancel();
    check_error(patiently(second).await, ErrorKind::Cancelled, "cancelled");
    patiently(third.stop()).await;
    assert_eq!(handle.status().queued, 1);
    let late = patiently(handle.infer(5).timeout(Duration::from_millis(5)).submit()).await;
    check_error(late, ErrorKind::DeadlineExceeded, "while it was being loaded");
    let canceller = first.canceller();
    enter.send(()).unwrap();
    assert_eq!(patiently(first).await.unwrap().output, 2);
    canceller.cancel();
}

#[tokio::test]
async fn a_load_that_fails_is_told_and_tried_again_later() {
    let engine = engine();
    let recipe = Recipe::<u32, u32>::new(|_| Err(ModelError::failed("not a model")));
    let handle = engine.register("broken", PoolOptions::default(), recipe).unwrap();
    check_error(patiently(handle.infer(1).submit()).await, ErrorKind::ModelFailed, "not a model");
    check_error(handle.infer(1).await, ErrorKind::ModelFailed, "not a model");
    assert_eq!(handle.versions()[0].state, VersionState::Failed);
    assert!(!engine.is_ready());
    assert_eq!(patiently(handle.ready()).await.unwrap_err().kind(), ErrorKind::ModelFailed);
}

#[tokio::test]
async fn shutting_down_and_unloading_reach_those_who_wait() {
    for unload in [true, false] {
        let engine = engine();
        let (_stay, stays) = std::sync::mpsc::channel::<()>();
        let stays = parking_lot::Mutex::new(stays);
        let recipe = Recipe::new(move |ctx| {
            let (tell, told) = std::sync::mpsc::channel();
            let _guard = ctx.on_cancel(move || tell.send(()).unwrap());
            told.recv().unwrap();
            drop(stays.lock());
            Err(ModelError::cancelled())
        });
        let handle: Handle<u32, u32> = engine.register("slow", PoolOptions::default(), recipe).unwrap();
        let waiting = handle.infer(1).submit();
        let kind = match unload {
            true => {
                engine.unload("slow", Duration::ZERO).await.unwrap();
                ErrorKind::NotReady
            }
            false => {
                engine.shutdown(Duration::ZERO).await;
                ErrorKind::ShuttingDown
            }
        };
        check_error(patiently(waiting).await, kind, "slow");
        check_error(handle.infer(1).await, kind, "slow");
    }
}

#[tokio::test]
async fn ready_has_it_loaded() {
    let engine = engine();
    let (handle, loads) = register(&engine, "adder", 40, adding());
    patiently(handle.ready()).await.unwrap();
    assert_eq!((handle.status().ready, loads.load(Ordering::Relaxed)), (true, 1));
    patiently(handle.ready()).await.unwrap();
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_however_often_models_come_and_go() {
    let engine = engine();
    let models: Vec<_> = (0..4).map(|at| register(&engine, &format!("model {at}"), 60, adding()).0).collect();
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let models = models.clone();
            tokio::spawn(async move {
                for turn in 0..40 {
                    let handle = &models[(caller + turn * turn) % models.len()];
                    let outputs =
                        futures_util::future::join_all((0..3).map(|x| handle.infer(x).submit())).await;
                    for (x, answer) in (0..).zip(outputs) {
                        assert_eq!(answer.unwrap().output, x + 1);
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        patiently(caller).await.unwrap();
    }
    let memory = engine.memory().unwrap();
    assert!(memory.evictions > 0 && memory.used == 60, "{memory:?}");
}
