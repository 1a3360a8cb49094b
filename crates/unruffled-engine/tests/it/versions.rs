//! Versions of a model: loaded beside each other, exchanged, shared out, taken out; callers go on meanwhile.

use std::sync::Arc;
use std::time::Duration;

use unruffled_engine::{Engine, ErrorKind, Handle, LoadProgress, PoolOptions, Recipe, Rollout, VersionState};
use unruffled_model::{ModelError, RunContext, SharedModel};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{check_error, patiently, wait_until};

const LONG: Duration = Duration::from_secs(60);

/// A model that adds so much.
fn adding(much: u32) -> ScriptedModel<u32, u32> {
    ScriptedModel::new(move |x: &u32, _: &RunContext<'_>| Ok(x + much))
}

fn recipe(model: ScriptedModel<u32, u32>) -> Recipe<u32, u32> {
    Recipe::once(move |_| Ok(Arc::new(model) as SharedModel<u32, u32>))
}

/// An engine with a model `adder` that adds one.
async fn adder() -> (Engine, Handle<u32, u32>) {
    let engine = Engine::new();
    let handle = engine.load_from("adder", PoolOptions::default(), recipe(adding(1))).unwrap().await.unwrap();
    (engine, handle)
}

async fn reload(engine: &Engine, much: u32, rollout: Rollout) {
    let loading = engine.reload("adder", PoolOptions::default(), recipe(adding(much)), rollout).unwrap();
    let handle: Handle<u32, u32> = patiently(loading).await.unwrap();
    assert_eq!(&**handle.name(), "adder");
}

/// The versions, each with its share.
fn shares(engine: &Engine) -> Vec<(String, u8)> {
    let versions = engine.versions("adder").unwrap();
    versions.into_iter().map(|version| (version.version.to_string(), version.share_percent)).collect()
}

#[tokio::test]
async fn a_handle_outlives_the_version_that_it_was_made_for() {
    let (engine, handle) = adder().await;
    let first = handle.infer(1).await.unwrap();
    assert_eq!((first.output, first.provenance.is_none()), (2, true), "one version is nothing to tell");
    reload(&engine, 2, Rollout::Replace).await;
    let second = handle.infer(1).await.unwrap();
    let told = second.provenance.unwrap().version;
    assert_eq!((second.output, told.as_deref()), (3, Some("2")));
    assert_eq!(shares(&engine), [("2".to_owned(), 100)]);
    check_error(handle.infer(1).version("1").await, ErrorKind::NotFound, "has no version 1; it has 2");
    let group = engine.group([1, 2].map(|x| handle.infer(x))).run_all().await;
    let outputs: Vec<_> = group.outcomes().iter().map(|outcome| outcome.as_ref().unwrap().output).collect();
    assert_eq!(outputs, [3, 4]);
}

#[tokio::test]
async fn what_a_version_has_accepted_it_finishes() {
    let engine = Engine::new();
    let gate = Gate::closed();
    let old = adding(1);
    let script = old.script().clone();
    let loading = engine.load_from("adder", PoolOptions::default(), recipe(old.gated(&gate))).unwrap();
    let handle = loading.await.unwrap();
    let (running, queued) = (handle.infer(1).submit(), handle.infer(2).submit());
    gate.entered();
    reload(&engine, 10, Rollout::Replace).await;
    let new = handle.infer(1).await.unwrap();
    assert_eq!(new.output, 11);
    gate.open();
    assert_eq!((patiently(running).await.unwrap().output, patiently(queued).await.unwrap().output), (2, 3));
    wait_until(|| script.instances() == 0);
}

#[tokio::test]
async fn a_load_that_fails_leaves_all_as_it_was() {
    let (engine, handle) = adder().await;
    let broken = Recipe::<u32, u32>::once(|_| Err(ModelError::failed("not a model")));
    let loading = engine.reload("adder", PoolOptions::default(), broken, Rollout::Replace).unwrap();
    let error = patiently(loading).await.unwrap_err();
    assert_eq!(error.to_string(), "model `adder`: not a model");
    let model = adding(2);
    model.script().fail_instances(1);
    let loading = engine.reload("adder", PoolOptions::default(), recipe(model), Rollout::Replace).unwrap();
    assert!(patiently(loading).await.unwrap_err().to_string().contains("the script fails this instance"));
    assert_eq!(handle.infer(1).await.unwrap().output, 2);
    assert_eq!(shares(&engine), [("1".to_owned(), 100)]);
    let other = Recipe::<String, u32>::once(|_| Err(ModelError::failed("of other types")));
    let error = engine.reload("adder", PoolOptions::default(), other, Rollout::Replace).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn one_version_is_loaded_at_a_time_and_a_load_can_be_given_up() {
    let (engine, handle) = adder().await;
    let stuck = Recipe::once(|ctx| {
        while !ctx.is_cancelled() {
            std::thread::yield_now();
        }
        Err(ModelError::cancelled())
    });
    let mut loading =
        engine.reload::<u32, u32>("adder", PoolOptions::default(), stuck, Rollout::Replace).unwrap();
    let second = engine.reload("adder", PoolOptions::default(), recipe(adding(3)), Rollout::Replace);
    assert_eq!(second.map(drop).unwrap_err().kind(), ErrorKind::NotReady);
    assert!(!matches!(loading.progress(), LoadProgress::Ready | LoadProgress::Failed));
    assert_eq!(loading.progress_changed().await, LoadProgress::Reading(0.0));
    drop(loading);
    wait_until(|| {
        let again = engine.reload("adder", PoolOptions::default(), recipe(adding(4)), Rollout::Beside);
        again.is_ok()
    });
    assert_eq!(handle.infer(1).await.unwrap().output, 2);
}

#[tokio::test]
async fn a_canary_gets_its_share_and_is_promoted() {
    let (engine, handle) = adder().await;
    reload(&engine, 2, Rollout::Canary(25)).await;
    assert_eq!(shares(&engine), [("1".to_owned(), 75), ("2".to_owned(), 25)]);
    let mut hits = 0;
    for _ in 0..200 {
        hits += u32::from(handle.infer(0).await.unwrap().output == 2);
    }
    assert_eq!(hits, 50);
    assert_eq!(handle.infer(0).version("2").await.unwrap().output, 2);
    let metrics = engine.metrics().models;
    let counts: Vec<_> =
        metrics.iter().map(|model| (model.version.as_deref().unwrap(), model.answered)).collect();
    assert_eq!(counts, [("1", 150), ("2", 51)]);
    assert!(engine.metrics().to_string().starts_with("adder, version 1\n"));

    engine.promote("adder", "2").unwrap();
    assert_eq!(shares(&engine), [("1".to_owned(), 0), ("2".to_owned(), 100)]);
    assert_eq!(handle.infer(0).await.unwrap().output, 2);
    let drained = engine.remove("adder", "1", LONG).await.unwrap();
    assert!(!drained.cancelled);
    assert_eq!(shares(&engine), [("2".to_owned(), 100)]);
    let error = engine.remove("adder", "2", LONG).await.unwrap_err();
    assert!(error.message().contains("promote another first"), "{error}");
    assert_eq!(engine.canary("adder", "7", 5).unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_version_that_is_not_loaded_comes_when_it_is_asked_for() {
    let (engine, handle) = adder().await;
    engine.register_version("adder", PoolOptions::default(), recipe(adding(5)).version("five")).unwrap();
    let state = || engine.versions("adder").unwrap()[1].state;
    assert_eq!(state(), VersionState::NotLoaded);
    assert_eq!(patiently(handle.infer(1).version("five").submit()).await.unwrap().output, 6);
    // Those who waited go first, then it is for everybody.
    wait_until(|| state() == VersionState::Loaded);
    assert!(engine.is_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_however_often_versions_are_exchanged() {
    let (engine, handle) = adder().await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (handle, stop) = (handle.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let (mut asked, mut last) = (0, 0);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let answer = handle.infer(0).await.unwrap().output;
                    assert!(answer >= last, "an older version answers after a newer one");
                    (asked, last) = (asked + 1, answer);
                }
                asked
            })
        })
        .collect();
    for much in 2..40 {
        reload(&engine, much, Rollout::Replace).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for caller in callers {
        assert!(patiently(caller).await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_lease_keeps_its_version_and_the_next_one_is_of_the_new() {
    let (engine, handle) = adder().await;
    let old = patiently(handle.acquire().into_future()).await.unwrap();
    assert_eq!(old.infer(1).await.unwrap().output, 2);
    reload(&engine, 10, Rollout::Replace).await;
    let new = patiently(handle.acquire().into_future()).await.unwrap();
    assert_eq!(patiently(new.infer(1).into_future()).await.unwrap().output, 11);
    assert_eq!(
        patiently(old.infer(1).into_future()).await.unwrap().output,
        2,
        "it drains, and is held until then"
    );
    drop(old);
    wait_until(|| shares(&engine) == [("2".to_owned(), 100)]);
    assert_eq!(patiently(new.infer(2).into_future()).await.unwrap().output, 12);
}
