//! What runs have cost says which deadlines can be met.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use unruffled_engine::{Engine, Error, ErrorKind, Handle, Priority};

use crate::support::wait_until;

enum Input {
    /// Takes this long, at least.
    Busy(Duration),
    Hold(mpsc::Receiver<()>),
    /// Tells that it ran.
    Tell(Arc<Mutex<bool>>),
}

fn model(engine: &Engine) -> Handle<Input, ()> {
    let model = engine.wrap(|input: Input| match input {
        Input::Busy(cost) => {
            let begin = Instant::now();
            while begin.elapsed() < cost {
                std::hint::spin_loop();
            }
        }
        Input::Hold(until) => until.recv().unwrap(),
        Input::Tell(ran) => *ran.lock().unwrap() = true,
    });
    model.name("busy").build().unwrap()
}

async fn learn(model: &Handle<Input, ()>, cost: Duration) {
    for _ in 0..5 {
        model.infer(Input::Busy(cost)).await.unwrap();
    }
}

fn error(outcome: Result<unruffled_engine::Response<()>, Error>) -> Error {
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
