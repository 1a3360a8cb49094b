//! What is known to be cheap runs on the thread of whoever asks.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use unruffled_engine::{Engine, ErrorKind, Handle, Inline, PoolOptions};
use unruffled_model::RunContext;

use crate::support::{check_error, poll_once};

/// So many runs show for certain whether a model ever runs inline: 64 quick ones in a row are enough.
const RUNS: usize = 20_000;

enum Input {
    Quick,
    Panic,
    Hold(Mutex<mpsc::Receiver<()>>),
}

/// An instance that looks for more work after a run is not idle: these sleep at once, so that they are when asked again.
fn sleepy() -> PoolOptions {
    PoolOptions::default().with_spin(Duration::ZERO).with_inline(Inline::WhenCheap)
}

/// A model that tells on which thread it ran, and where it last panicked.
fn whereabouts(
    engine: &Engine,
    options: PoolOptions,
) -> (Handle<Input, ThreadId>, Arc<Mutex<Option<ThreadId>>>) {
    let panicked = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&panicked);
    let model = engine.wrap(move |input: Input| {
        match input {
            Input::Quick => {}
            Input::Panic => {
                *tell.lock().unwrap() = Some(thread::current().id());
                panic!("cannot bear it");
            }
            Input::Hold(until) => until.lock().unwrap().recv().unwrap(),
        }
        thread::current().id()
    });
    (model.options(options).build().unwrap(), panicked)
}

/// Asks until it is answered on this thread; false: it never was.
async fn becomes_inline(model: &Handle<Input, ThreadId>, runs: usize) -> bool {
    for _ in 0..runs {
        if model.infer(Input::Quick).await.unwrap().output == thread::current().id() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_cheap_function_runs_where_it_is_asked_for() {
    let (model, _) = whereabouts(&Engine::new(), sleepy());
    assert!(becomes_inline(&model, RUNS).await, "{}", model.metrics());
    assert!(model.metrics().inline_runs > 0);
    // Answered as it is sent, and told like any other.
    let response = model.infer(Input::Quick).id("mine").await.unwrap();
    assert_eq!((response.id.to_string().as_str(), response.timings.batch_requests), ("mine", 1));
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let (model, _) = whereabouts(&Engine::new(), sleepy().with_inline(Inline::Never));
    assert!(!becomes_inline(&model, 500).await);
    assert_eq!(model.metrics().inline_runs, 0);
}

#[tokio::test]
async fn what_can_be_stopped_never_runs_inline() {
    let model = Engine::new()
        .wrap_interruptible(|(): &(), _: &RunContext<'_>| Ok(thread::current().id()))
        .build()
        .unwrap();
    for _ in 0..500 {
        assert_ne!(model.infer(()).await.unwrap().output, thread::current().id());
    }
}

#[tokio::test]
async fn while_its_instance_is_busy_nothing_runs_inline() {
    let (model, _) = whereabouts(&Engine::new(), sleepy());
    assert!(becomes_inline(&model, RUNS).await, "{}", model.metrics());
    let (open, held) = mpsc::channel();
    // What has a key may have to cancel another, and is never run inline.
    let holding = model.infer(Input::Hold(Mutex::new(held))).supersede("hold").submit();
    let mut quick = Box::pin(model.infer(Input::Quick).submit());
    assert!(poll_once(quick.as_mut()).is_pending(), "the slot is taken");
    open.send(()).unwrap();
    assert_ne!(holding.await.unwrap().output, thread::current().id());
    assert_ne!(quick.await.unwrap().output, thread::current().id());
}

#[tokio::test]
async fn a_panic_inline_costs_one_request() {
    let (model, panicked) = whereabouts(&Engine::new(), sleepy());
    for _ in 0..50 {
        assert!(becomes_inline(&model, RUNS).await, "{}", model.metrics());
        check_error(model.infer(Input::Panic).await, ErrorKind::ModelCrashed, "cannot bear it");
        let inline = *panicked.lock().unwrap() == Some(thread::current().id());
        model.infer(Input::Quick).await.unwrap();
        if inline {
            assert_eq!(model.status().instances, 1);
            return;
        }
    }
    panic!("no panic was inline");
}
