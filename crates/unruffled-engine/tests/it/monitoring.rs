//! Monitoring counts what happened, and the recorder says why.

use std::time::Duration;

use unruffled_engine::{Engine, ErrorKind, PoolOptions, QueueLimits, RequestId, RunEnd};
use unruffled_model::{Batching, ModelError};
use unruffled_testing::scripted::Gate;

use crate::support::{adding, check_error, ids, wait_until};

fn id(name: &str) -> RequestId {
    RequestId::Text(name.into())
}

#[tokio::test]
async fn every_outcome_is_counted_once_and_can_be_explained() {
    let engine = Engine::new();
    let gate = Gate::closed();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 3, bytes: 1000 });
    let model = adding().gated(&gate).batching(Batching::Single).admitting(|x: &u32| match x {
        13 => Err(ModelError::invalid_input("thirteen is unlucky")),
        _ => Ok(unruffled_model::Footprint::single(4)),
    });
    let script = model.script();
    let handle = engine.wrap_model(model).name("adder").options(options).build().unwrap();

    let answered = handle.infer(0).id("answered").submit();
    gate.entered();
    let expired = handle.infer(1).id("expired").timeout(Duration::from_millis(50)).submit();
    let dropped = handle.infer(2).id("dropped").submit();
    let failing = handle.infer(3).id("failing").submit();
    check_error(
        handle.infer(4).id("shed").await,
        ErrorKind::Overloaded,
        "the queue is full: 3 requests wait",
    );
    check_error(handle.infer(13).await, ErrorKind::InvalidInput, "unlucky");
    check_error(expired.await, ErrorKind::DeadlineExceeded, "the deadline passed");
    drop(dropped);
    gate.release(1);
    assert_eq!(answered.await.unwrap().output, 1);
    gate.entered();
    script.fail_next(ModelError::failed("bad luck"));
    gate.release(1);
    check_error(failing.await, ErrorKind::ModelFailed, "bad luck");
    let stopped = handle.infer(5).id("stopped").submit();
    gate.entered();
    stopped.canceller().cancel();
    check_error(stopped.await, ErrorKind::Cancelled, "cancelled");

    wait_until(|| handle.metrics().runs == 3);
    let metrics = engine.metrics();
    assert_eq!(metrics.models.len(), 1);
    let metrics = &metrics.models[0];
    assert_eq!(*metrics, handle.metrics());
    assert_eq!((&*metrics.name, metrics.accepted, metrics.answered), ("adder", 5, 1));
    assert_eq!(metrics.refused, [(ErrorKind::InvalidInput, 1), (ErrorKind::Overloaded, 1)]);
    let failed = [(ErrorKind::DeadlineExceeded, 1), (ErrorKind::Cancelled, 2), (ErrorKind::ModelFailed, 1)];
    assert_eq!(metrics.failed, failed);
    assert_eq!((metrics.runs, metrics.extra_runs, metrics.inline_runs), (3, 0, 0));
    assert_eq!((metrics.total_answered.count, metrics.total_failed.count), (1, 1));
    assert_eq!((metrics.batch_requests.max, metrics.batch_rows.max), (1, 1));

    let lines = |name: &str| {
        let mut explanation = None;
        wait_until(|| {
            explanation = engine.explain(&id(name));
            explanation.is_some()
        });
        explanation.unwrap()
    };
    let answered = lines("answered");
    assert!(answered.outcome.is_ok() && answered.runs.len() == 1);
    assert_eq!((&*answered.model, answered.runs[0].end), ("adder", RunEnd::Completed));
    assert!(answered.to_string().contains("answered after"), "{answered}");
    let shed = lines("shed");
    assert_eq!((shed.ahead_requests, shed.runs.len(), shed.total), (3, 0, Duration::ZERO));
    assert!(shed.to_string().contains("refused on arrival"), "{shed}");
    assert!(shed.to_string().contains("3 requests (3 rows) ahead"), "{shed}");
    let expired = lines("expired");
    let allowed = expired.allowed.unwrap();
    assert!(allowed <= Duration::from_millis(50) && expired.total >= allowed, "{expired}");
    assert!(expired.runs.is_empty());
    assert!(expired.to_string().contains("the deadline passed; never ran"), "{expired}");
    let dropped = lines("dropped");
    assert!(dropped.to_string().contains("its caller has gone; never ran"), "{dropped}");
    let failing = lines("failing");
    assert_eq!(failing.runs[0].end, RunEnd::Failed);
    assert!(failing.to_string().contains("bad luck"), "{failing}");
    let mut stopped = lines("stopped");
    wait_until(|| {
        stopped = lines("stopped");
        !stopped.runs.is_empty()
    });
    assert_eq!(stopped.runs[0].end, RunEnd::Stopped);
    assert!(stopped.to_string().contains("while it ran"), "{stopped}");
    assert!(engine.explain(&id("nobody")).is_none());
}

#[tokio::test]
async fn a_split_is_told_to_those_that_were_in_it() {
    let engine = Engine::new();
    let gate = Gate::closed();
    let model = adding().gated(&gate).rerunnable().poisoned_by(|x| match x {
        1 => Err(ModelError::failed("cannot read 1")),
        _ => Ok(()),
    });
    let handle = engine.wrap_model(model).name("adder").build().unwrap();
    let held = handle.infer(0).submit();
    gate.entered();
    let answers = [("bad", 1), ("good", 2)].map(|(id, x)| handle.infer(x).id(id).submit());
    gate.open();
    held.await.unwrap();
    let [bad, good] = answers;
    check_error(bad.await, ErrorKind::ModelFailed, "cannot read 1");
    assert_eq!(good.await.unwrap().timings.attempts, 2);
    wait_until(|| handle.metrics().runs == 4);
    assert_eq!((handle.metrics().extra_runs, handle.metrics().answered), (2, 2));
    wait_until(|| engine.explain(&id("good")).is_some_and(|good| good.runs.len() == 2));
    let good = engine.explain(&id("good")).unwrap();
    assert_eq!([good.runs[0].end, good.runs[1].end], [RunEnd::Split, RunEnd::Completed]);
    assert_eq!(good.runs[0].neighbours, ids(&["bad"]));
    assert!(good.to_string().contains("its requests are run again in parts"), "{good}");
    assert!(good.to_string().contains("in 2 runs"), "{good}");
    let bad = engine.explain(&id("bad")).unwrap();
    assert_eq!([bad.runs[0].end, bad.runs[1].end], [RunEnd::Split, RunEnd::Failed]);
}

/// A run that was stopped because all have gone is no failure to be looked into.
#[tokio::test]
async fn a_run_that_nobody_waits_for_is_not_run_again() {
    let gate = Gate::closed();
    let model = adding().gated(&gate).rerunnable();
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let held = handle.infer(0).submit();
    gate.entered();
    let answers = [1, 2, 3, 4].map(|x| handle.infer(x).submit());
    gate.release(1);
    held.await.unwrap();
    assert_eq!(gate.entered().len(), 4);
    drop(answers);
    wait_until(|| handle.status().running == 0);
    gate.open();
    handle.infer(5).await.unwrap();
    assert_eq!(script.batch_sizes(), [1, 4, 1]);
    assert_eq!(handle.metrics().extra_runs, 0);
}
