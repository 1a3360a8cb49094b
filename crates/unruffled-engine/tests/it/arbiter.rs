//! Models share the cores of their engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use unruffled_engine::{Engine, EngineOptions, Handle, Priority};
use unruffled_model::{Batching, FnModel, RunContext};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{adding, engine_of, patiently, wait_until};

#[tokio::test]
async fn one_core_runs_one_batch_at_a_time_whatever_the_models() {
    let engine = engine_of(1);
    let (active, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let models: Vec<Handle<u32, u32>> = (0..3)
        .map(|_| {
            let (active, most) = (Arc::clone(&active), Arc::clone(&most));
            let model = ScriptedModel::new(move |x: &u32, _: &RunContext<'_>| {
                let now = active.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                (0..5).for_each(|_| std::thread::yield_now());
                active.fetch_sub(1, Ordering::SeqCst);
                Ok(x + 1)
            });
            engine.wrap_model(model.batching(Batching::Single)).instances(2).build().unwrap()
        })
        .collect();
    let answers: Vec<_> = (0..90).map(|x| models[x as usize % 3].infer(x).submit()).collect();
    for (answer, x) in answers.into_iter().zip(0..) {
        assert_eq!(answer.await.unwrap().output, x + 1);
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_model_that_needs_no_core_waits_for_none() {
    let engine = engine_of(1);
    let gate = Gate::closed();
    let held = engine.wrap_model(adding().gated(&gate).uninterruptible()).build().unwrap();
    let holding = held.infer(0).submit();
    gate.entered();
    let remote = engine.wrap_model(FnModel::new(|x: u32| x + 1).with_threads(0)).build().unwrap();
    assert_eq!(remote.infer(1).await.unwrap().output, 2);
    assert_eq!(gate.waiting(), 1, "the core was taken all the time");
    gate.open();
    holding.await.unwrap();
}

/// Takes about a second: so long a run of unknown cost keeps its core.
#[tokio::test]
async fn a_run_that_is_stuck_keeps_no_core_for_ever() {
    let engine = engine_of(1);
    let gate = Gate::closed();
    let stuck = engine.wrap_model(adding().gated(&gate).uninterruptible()).build().unwrap();
    let holding = stuck.infer(0).submit();
    gate.entered();
    let other = engine.wrap_model(adding()).build().unwrap();
    assert_eq!(other.infer(1).await.unwrap().output, 2);
    assert_eq!(gate.waiting(), 1);
    gate.open();
    assert_eq!(holding.await.unwrap().output, 1);
    // Its core is back, and there is still one.
    assert_eq!(stuck.infer(1).await.unwrap().output, 2);
}

#[tokio::test]
async fn models_that_have_waited_too_long_go_first_one_at_a_time() {
    let ageing = Duration::from_millis(300);
    let engine = Engine::with_options(EngineOptions::default().with_cores(1).with_ageing(ageing));
    let (first_gate, gate) = (Gate::closed(), Gate::closed());
    // Gives way once the interactive one has asked for the core, so that it is one of those to choose from.
    let first = engine.wrap_model(adding().rerunnable().gated(&first_gate)).build().unwrap();
    let holding = first.infer(0).priority(Priority::Bulk).submit();
    first_gate.entered();
    let begin = Instant::now();
    let bulk: Vec<Handle<u32, u32>> =
        (0..6).map(|_| engine.wrap_model(adding().uninterruptible().gated(&gate)).build().unwrap()).collect();
    let work: Vec<_> = bulk.iter().map(|model| model.infer(0).priority(Priority::Bulk).submit()).collect();
    wait_until(|| begin.elapsed() > 2 * ageing);
    let bulk_runs = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&bulk_runs);
    gate.on_enter(move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
    });
    gate.open();
    let before = Arc::clone(&bulk_runs);
    let click = ScriptedModel::new(move |(): &(), _: &RunContext<'_>| Ok(before.load(Ordering::SeqCst)));
    let click = engine.wrap_model(click).build().unwrap();
    let asked = Instant::now();
    let before = patiently(click.infer(()).priority(Priority::Interactive).submit()).await.unwrap().output;
    let due = 1 + asked.elapsed().div_duration_f64(ageing) as usize;
    assert!(before <= due, "{before} went first where {due} were due");
    first_gate.open();
    patiently(holding).await.unwrap();
    for answer in work {
        patiently(answer).await.unwrap();
    }
}

#[tokio::test]
async fn a_bulk_run_that_cannot_be_stopped_lends_its_core_to_interactive_work() {
    let engine = engine_of(1);
    let gate = Gate::closed();
    let bulk = engine.wrap_model(adding().gated(&gate).uninterruptible()).build().unwrap();
    let holding = bulk.infer(0).priority(Priority::Bulk).submit();
    gate.entered();
    let other = engine.wrap_model(adding()).build().unwrap();
    let waits = other.infer(1).submit();
    let click = engine.wrap_model(adding()).build().unwrap();
    for x in 0..3 {
        let answer = patiently(click.infer(x).priority(Priority::Interactive).submit()).await;
        assert_eq!(answer.unwrap().output, x + 1);
    }
    assert_eq!((gate.waiting(), other.metrics().answered), (1, 0), "it is lent to nobody else");
    gate.open();
    assert_eq!(patiently(holding).await.unwrap().output, 1);
    assert_eq!(patiently(waits).await.unwrap().output, 2);
}

#[tokio::test]
async fn no_more_is_lent_than_bulk_runs_hold() {
    let engine = engine_of(1);
    let (gate, clicks_gate) = (Gate::closed(), Gate::closed());
    let bulk = engine.wrap_model(adding().gated(&gate).uninterruptible()).build().unwrap();
    let holding = bulk.infer(0).priority(Priority::Bulk).submit();
    gate.entered();
    let clicks: Vec<Handle<u32, u32>> =
        (0..2).map(|_| engine.wrap_model(adding().gated(&clicks_gate)).build().unwrap()).collect();
    let asked: Vec<_> =
        clicks.iter().map(|model| model.infer(1).priority(Priority::Interactive).submit()).collect();
    clicks_gate.entered();
    // The bulk run ends: the core that is free now is the one that was lent.
    gate.open();
    assert_eq!(patiently(holding).await.unwrap().output, 1);
    assert!(clicks_gate.try_entered().is_none(), "one core, one run");
    clicks_gate.release(1);
    clicks_gate.entered();
    clicks_gate.open();
    for answer in asked {
        assert_eq!(patiently(answer).await.unwrap().output, 2);
    }
}
