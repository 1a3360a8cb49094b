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

#[tokio::test]
async fn the_last_requests_of_a_model_are_told_newest_first() {
    let engine = Engine::new();
    let parse = engine.wrap_fallible(|text: &str| text.parse::<u8>()).name("parse").register().unwrap();
    for (name, text) in [("one", "1"), ("two", "two"), ("three", "3")] {
        let _ = parse.infer(text).id(name).await;
        wait_until(|| parse.explain(&id(name)).is_some());
    }
    let recent = engine.recent("parse", 2).unwrap();
    assert_eq!(recent.iter().map(|one| &one.id).collect::<Vec<_>>(), [&id("three"), &id("two")]);
    assert_eq!(recent[0].runs.len(), 1);
    assert_eq!(recent[1].outcome.as_ref().unwrap_err().kind(), ErrorKind::ModelFailed);
    assert!(recent[0].ended > recent[1].ended);
    assert_eq!(engine.recent("parse", usize::MAX).unwrap().len(), 3);
    assert_eq!(engine.recent("other", 1).unwrap_err().kind(), ErrorKind::NotFound);

    let one = engine.explain_of("parse", &id("one")).unwrap().expect("it is remembered");
    assert_eq!(&*one.model, "parse");
    assert!(engine.explain_of("parse", &id("four")).unwrap().is_none());
    assert_eq!(engine.explain_of("other", &id("one")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn distributions_are_counted_up_to_bounds() {
    let engine = Engine::new();
    let double = engine.wrap(|x: u32| 2 * x).name("double").register().unwrap();
    for x in 0..20 {
        double.infer(x).await.unwrap();
    }
    wait_until(|| double.metrics().runs == 20);
    let metrics = double.metrics();
    for times in [&metrics.queue, &metrics.run, &metrics.total_answered] {
        let counts: Vec<_> = times.at_most().collect();
        assert_eq!((counts[0].0, counts[21].0), (Duration::from_micros(10), Duration::from_secs(100)));
        assert!(counts.is_sorted(), "{counts:?}");
        assert_eq!(counts[21].1, 20, "{counts:?}");
    }
    let rows: Vec<_> = metrics.batch_rows.at_most().collect();
    assert_eq!((rows[0], rows[10]), ((1, 20), (1024, 20)));
}
