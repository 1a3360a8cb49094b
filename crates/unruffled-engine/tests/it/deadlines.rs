//! What runs have cost says which deadlines can be met.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use unruffled_engine::{Engine, Error, ErrorKind, Handle, PoolOptions, Priority, Response};
use unruffled_model::{FnModel, Footprint, RunContext};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{engine_of, patiently, wait_until};

enum Input {
    /// Takes this long, at least.
    Busy(Duration),
    Hold(mpsc::Receiver<()>),
    /// Tells that it ran.
    Tell(Arc<Mutex<bool>>),
}

fn model(engine: &Engine) -> Handle<Input, ()> {
    engine.wrap(run).name("busy").build().unwrap()
}

fn run(input: Input) {
    match input {
        Input::Busy(cost) => busy(cost),
        Input::Hold(until) => until.recv().unwrap(),
        Input::Tell(ran) => *ran.lock().unwrap() = true,
    }
}

fn busy(cost: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < cost {
        std::hint::spin_loop();
    }
}

async fn learn(model: &Handle<Input, ()>, cost: Duration) {
    for _ in 0..5 {
        model.infer(Input::Busy(cost)).await.unwrap();
    }
}

fn error(outcome: Result<Response<()>, Error>) -> Error {
    outcome.expect_err("it cannot be met")
}

#[tokio::test]
async fn a_deadline_shorter_than_a_run_is_refused_at_once() {
    let engine = Engine::new();
    let model = model(&engine);
    let cost = Duration::from_millis(20);
    // On a crowded machine the request may come so late that nothing is left, or that what was learned counts as old.
    for _ in 0..20 {
        learn(&model, cost).await;
        let ran = Arc::new(Mutex::new(false));
        let outcome = model.infer(Input::Tell(Arc::clone(&ran))).timeout(cost / 2).await;
        if outcome.as_ref().is_err_and(|error| error.message().contains("a run takes about")) {
            assert_eq!(error(outcome).kind(), ErrorKind::DeadlineExceeded);
            assert!(!*ran.lock().unwrap());
            return;
        }
    }
    panic!("none was refused");
}

#[tokio::test]
async fn work_ahead_that_outlasts_the_deadline_is_said_at_once() {
    let engine = Engine::new();
    let model = model(&engine);
    let cost = Duration::from_millis(2);
    learn(&model, cost).await;
    let (open, held) = mpsc::channel();
    let holding = model.infer(Input::Hold(held)).submit();
    wait_until(|| model.status().running == 1);
    // A second of work, and a tenth of it allowed: a run would have to take fifty times what it takes.
    let first = || model.infer(Input::Busy(cost)).priority(Priority::Interactive).submit();
    let ahead: Vec<_> = (0..500).map(|_| first()).collect();
    let refused = error(model.infer(Input::Busy(cost)).timeout(Duration::from_millis(100)).await);
    assert_eq!(refused.kind(), ErrorKind::Overloaded, "{refused}");
    assert!(refused.message().contains("of work is ahead"), "{refused}");
    assert!(refused.retry_after().unwrap() >= 400 * cost, "{refused}");
    // Who is not in a hurry is taken in.
    let patient = model.infer(Input::Busy(cost)).timeout(Duration::from_secs(3600)).submit();
    assert_eq!(model.status().queued, 501);
    drop(ahead);
    open.send(()).unwrap();
    holding.await.unwrap();
    patient.await.unwrap();
}

#[tokio::test]
async fn what_has_become_hopeless_in_the_queue_is_not_run() {
    let engine = Engine::new();
    let model = model(&engine);
    let cost = Duration::from_millis(20);
    learn(&model, cost).await;
    let (open, held) = mpsc::channel();
    let holding = model.infer(Input::Hold(held)).submit();
    wait_until(|| model.status().running == 1);
    let deadline = Instant::now() + Duration::from_millis(400);
    let ran = Arc::new(Mutex::new(false));
    let hopeless = model.infer(Input::Tell(Arc::clone(&ran))).deadline(deadline).submit();
    let behind = model.infer(Input::Busy(Duration::ZERO)).submit();
    assert_eq!(model.status().queued, 2, "there was hope when it came");
    // Less is left than a run takes.
    wait_until(|| Instant::now() + cost / 2 >= deadline);
    open.send(()).unwrap();
    holding.await.unwrap();
    assert_eq!(error(hopeless.await).kind(), ErrorKind::DeadlineExceeded);
    behind.await.unwrap();
    assert!(!*ran.lock().unwrap());
}

/// Checks that a request was not refused for what is ahead of it. On a crowded machine it may be late for all that.
#[track_caller]
fn check_let_in(outcome: Result<Response<()>, Error>) {
    if let Err(error) = outcome {
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    }
}

#[tokio::test]
async fn instances_that_need_no_core_run_side_by_side_however_few_cores_there_are() {
    let engine = engine_of(1);
    let model = engine.wrap_model(FnModel::new(run).with_threads(0)).instances(4).build().unwrap();
    wait_until(|| model.status().instances == 4);
    let cost = Duration::from_millis(100);
    learn(&model, cost).await;
    let (open, held) = mpsc::channel();
    let holding = model.infer(Input::Hold(held)).submit();
    wait_until(|| model.status().running == 1);
    let ran = Arc::new(Mutex::new(false));
    let told = Input::Tell(Arc::clone(&ran));
    // Time for a run and a half: enough on an idle instance, too little behind the one that is held.
    let request = model.infer(told).timeout(cost * 3 / 2).submit();
    check_let_in(patiently(request).await);
    open.send(()).unwrap();
    holding.await.unwrap();
}

#[tokio::test]
async fn a_dear_request_behind_cheap_ones_is_let_in() {
    let (gate, cost) = (Gate::opened(), Duration::from_millis(50));
    let model = ScriptedModel::new(move |is_dear: &bool, _: &RunContext<'_>| {
        if *is_dear {
            busy(cost);
        }
        Ok(())
    });
    let model = model.gated(&gate).admitting(|is_dear| Ok(Footprint::new(1, 1, u64::from(*is_dear))));
    let options = PoolOptions::default().with_max_batch(4);
    let model = Engine::new().wrap_model(model).options(options).build().unwrap();
    for at in 0..12 {
        let is_dear = at < 4;
        model.infer(is_dear).await.unwrap();
        gate.entered();
    }
    gate.close();
    let held = model.infer(false).submit();
    gate.entered();
    // Twenty dear ones would take a second.
    let cheap: Vec<_> = (0..20).map(|_| model.infer(false).timeout(10 * cost).submit()).collect();
    let request = model.infer(true).timeout(10 * cost).submit();
    gate.open();
    patiently(held).await.unwrap();
    for answer in cheap.into_iter().chain([request]) {
        check_let_in(patiently(answer).await);
    }
}
