//! Bulk work that can be stopped and run again gives way to interactive work, and loses nothing but the time.

use std::time::{Duration, Instant};

use unruffled_engine::{Engine, EngineOptions, Handle, Infer, PoolOptions, Preemption, Priority};
use unruffled_testing::scripted::{Gate, Script, ScriptedModel};

use crate::support::{adding, engine_of, ids, patiently, wait_until};

/// One core, a bulk model at a closed gate, and a model for those who wait at a screen.
struct Scene {
    _engine: Engine,
    gate: Gate,
    script: Script,
    bulk: Handle<u32, u32>,
    click: Handle<u32, u32>,
}

impl Scene {
    fn new(model: ScriptedModel<u32, u32>, options: PoolOptions) -> Self {
        Self::on(engine_of(1), model, options)
    }

    fn on(engine: Engine, model: ScriptedModel<u32, u32>, options: PoolOptions) -> Self {
        let gate = Gate::closed();
        let model = model.gated(&gate);
        let script = model.script();
        let bulk = engine.wrap_model(model).options(options).build().unwrap();
        let click = engine.wrap_model(adding()).build().unwrap();
        Self { _engine: engine, gate, script, bulk, click }
    }

    fn submit_bulk(&self, id: &str, x: u32) -> Infer<u32, u32> {
        self.bulk.infer(x).id(id).priority(Priority::Bulk).submit()
    }

    fn submit_click(&self) -> Infer<u32, u32> {
        self.click.infer(10).priority(Priority::Interactive).submit()
    }
}

#[tokio::test]
async fn a_bulk_run_gives_way_to_an_interactive_one_of_another_model() {
    let scene = Scene::new(adding().rerunnable(), PoolOptions::default());
    let first = scene.submit_bulk("a", 0);
    scene.gate.entered();
    let second = scene.submit_bulk("b", 1);
    // The gate is still closed and there is one core: only pre-emption lets it run.
    assert_eq!(scene.submit_click().await.unwrap().output, 11);
    assert_eq!(scene.gate.entered(), ids(&["a", "b"]), "back in the queue, they share a run");
    scene.gate.open();
    let first = first.await.unwrap();
    assert_eq!((first.output, first.timings.attempts), (1, 2));
    assert_eq!(second.await.unwrap().timings.attempts, 1);
    let runs: Vec<_> = scene.script.batches().iter().map(|run| run.cancelled).collect();
    assert_eq!(runs, [true, false]);
    wait_until(|| scene.bulk.metrics().answered == 2);
    let metrics = scene.bulk.metrics();
    assert_eq!((metrics.preempted, metrics.failed, metrics.extra_runs), (1, vec![], 0));
}

#[tokio::test]
async fn a_bulk_run_gives_way_to_an_interactive_one_of_its_own_model() {
    let scene = Scene::new(adding().rerunnable(), PoolOptions::default());
    let bulk = scene.submit_bulk("bulk", 0);
    scene.gate.entered();
    let click = scene.bulk.infer(1).id("click").priority(Priority::Interactive).submit();
    // Nobody knows yet whether company would be felt: none comes along.
    assert_eq!(scene.gate.entered(), ids(&["click"]));
    scene.gate.open();
    assert_eq!((bulk.await.unwrap().output, click.await.unwrap().output), (1, 2));
}

/// Checks that a bulk run of this model goes to its end though something interactive waits.
async fn check_left_alone(model: ScriptedModel<u32, u32>, options: PoolOptions) {
    let scene = Scene::new(model, options);
    let bulk = scene.submit_bulk("bulk", 0);
    scene.gate.entered();
    let own = scene.bulk.infer(1).priority(Priority::Interactive).submit();
    let click = scene.submit_click();
    scene.gate.open();
    assert_eq!(bulk.await.unwrap().timings.attempts, 1);
    assert_eq!((own.await.unwrap().output, click.await.unwrap().output), (2, 11));
    assert!(scene.script.batches().iter().all(|run| !run.cancelled));
    assert_eq!(scene.bulk.metrics().preempted, 0);
}

#[tokio::test]
async fn what_may_not_be_stopped_is_left_alone() {
    check_left_alone(adding().rerunnable(), PoolOptions::default().with_preemption(Preemption::Never)).await;
    check_left_alone(adding(), PoolOptions::default()).await;
    check_left_alone(adding().rerunnable().uninterruptible(), PoolOptions::default()).await;
}

#[tokio::test]
async fn a_request_gives_way_three_times_and_no_more() {
    let scene = Scene::new(adding().rerunnable(), PoolOptions::default());
    let bulk = scene.submit_bulk("bulk", 0);
    for _ in 0..3 {
        scene.gate.entered();
        assert_eq!(scene.submit_click().await.unwrap().output, 11);
    }
    scene.gate.entered();
    let click = scene.submit_click();
    scene.gate.open();
    assert_eq!(bulk.await.unwrap().timings.attempts, 4);
    assert_eq!(click.await.unwrap().output, 11);
    let runs: Vec<_> = scene.script.batches().iter().map(|run| run.cancelled).collect();
    assert_eq!(runs, [true, true, true, false]);
    assert_eq!(scene.bulk.metrics().preempted, 3);
}

#[tokio::test]
async fn one_who_goes_while_it_gives_way_is_not_run_again() {
    let scene = Scene::new(adding().rerunnable(), PoolOptions::default());
    let gone = scene.submit_bulk("gone", 0);
    scene.gate.entered();
    let click = scene.submit_click();
    drop(gone);
    assert_eq!(click.await.unwrap().output, 11);
    wait_until(|| scene.bulk.status().running == 0);
    let last = scene.submit_bulk("last", 1);
    // It may have been taken into another run before it went; nobody waits for that.
    wait_until(|| scene.gate.try_entered().is_some_and(|run| run == ids(&["last"])));
    scene.gate.open();
    assert_eq!(last.await.unwrap().output, 2);
}

/// A bulk run at the gate that has gone on for longer than anything may be passed over.
fn an_old_run() -> (Scene, Infer<u32, u32>) {
    let ageing = Duration::from_millis(100);
    let engine = Engine::with_options(EngineOptions::default().with_cores(1).with_ageing(ageing));
    let scene = Scene::on(engine, adding().rerunnable(), PoolOptions::default());
    let submitted = Instant::now();
    let bulk = scene.submit_bulk("bulk", 0);
    scene.gate.entered();
    wait_until(|| submitted.elapsed() > 2 * ageing);
    (scene, bulk)
}

#[tokio::test]
async fn a_run_that_was_not_passed_over_gives_way_however_old_it_is() {
    let (scene, bulk) = an_old_run();
    let click = scene.bulk.infer(1).id("click").priority(Priority::Interactive).submit();
    assert_eq!(scene.gate.entered(), ids(&["click"]), "and not the same bulk again");
    scene.gate.open();
    assert_eq!((bulk.await.unwrap().output, click.await.unwrap().output), (1, 2));
    assert_eq!(scene.bulk.metrics().preempted, 1);

    let (scene, bulk) = an_old_run();
    // The gate is still closed: it is answered because the core is given to it.
    assert_eq!(patiently(scene.submit_click()).await.unwrap().output, 11);
    scene.gate.open();
    assert_eq!(bulk.await.unwrap().timings.attempts, 2);
}
