//! Many requests under one scope: every outcome is told, and nothing outlives the scope.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use unruffled_engine::{Engine, ErrorKind, Group, PoolOptions, QueueLimits};
use unruffled_model::{Batching, Priority, RunContext};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{adding, check_error, engine_of, failed, ids, pending_until, poll_once, wait_until};

/// Long enough to be sent before, on a busy machine too.
const SOON: Duration = Duration::from_millis(100);

/// What a group of texts that are to be numbers makes of them.
fn parsing(engine: &Engine, texts: &[&'static str]) -> Group<u32> {
    let parse = engine.wrap_fallible(|text: &str| text.parse::<u32>()).name("parse").build().unwrap();
    engine.group(texts.iter().map(|text| parse.infer(text)))
}

#[tokio::test]
async fn outcomes_come_in_the_order_given() {
    let engine = Engine::new();
    // The last is answered first.
    let gate = Gate::closed();
    let model = adding().gated(&gate).batching(Batching::Single);
    let script = model.script();
    let model = engine.wrap_model(model).build().unwrap();
    let requests = [("a", 1, Priority::Bulk), ("b", 2, Priority::Normal), ("c", 3, Priority::Interactive)];
    let before = model.infer(0).submit();
    gate.entered();
    let group = engine.group(requests.map(|(id, x, priority)| model.infer(x).id(id).priority(priority)));
    let mut all = pin!(group.run_all());
    assert!(poll_once(all.as_mut()).is_pending());
    gate.open();
    let report = all.await;
    assert_eq!(before.await.unwrap().output, 1);
    let order: Vec<_> = script.batches().into_iter().skip(1).flat_map(|run| run.requests).collect();
    assert_eq!(order, ids(&["c", "b", "a"]));
    assert!(report.is_complete());
    let outputs: Vec<_> = report.into_result().unwrap().iter().map(|response| response.output).collect();
    assert_eq!(outputs, [2, 3, 4]);
}

#[tokio::test]
async fn every_failure_is_collected_and_no_result_is_lost() {
    let report = parsing(&Engine::new(), &["1", "two", "3", "four", "5"]).run_all().await;
    assert!(!report.is_complete());
    assert_eq!(report.outcomes().len(), 5);
    assert_eq!(report.failures().map(|(at, _)| at).collect::<Vec<_>>(), [1, 3]);
    let error = report.into_result().unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 of 5 requests failed: 2 model_failed\n  \
         request 1: model `parse`: invalid digit found in string\n  \
         request 3: model `parse`: invalid digit found in string"
    );
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "model `parse`: invalid digit found in string");
    assert_eq!(error.failures().len(), 2);
    let kept: Vec<_> =
        error.into_finished().into_iter().map(|(at, response)| (at, response.output)).collect();
    assert_eq!(kept, [(0, 1), (2, 3), (4, 5)]);
}

#[tokio::test]
async fn the_first_failure_is_kept_and_so_is_what_had_finished() {
    // One at a time, so that it is known what has happened by then.
    let group = parsing(&Engine::new(), &["1", "two", "3", "four"]).in_flight(1);
    let error = group.fail_fast().await.unwrap_err();
    assert_eq!((error.index(), error.error().kind()), (1, ErrorKind::ModelFailed));
    assert_eq!(error.cancelled(), [2, 3]);
    assert!(error.also_failed().is_empty());
    assert_eq!(
        error.to_string(),
        "request 1 failed: model `parse`: invalid digit found in string (1 had finished, 2 were cancelled)"
    );
    let kept: Vec<_> =
        error.into_finished().into_iter().map(|(at, response)| (at, response.output)).collect();
    assert_eq!(kept, [(0, 1)]);
    let all = parsing(&Engine::new(), &["1", "2"]).fail_fast().await.unwrap();
    assert_eq!(all.iter().map(|response| response.output).collect::<Vec<_>>(), [1, 2]);
}

/// The sibling of a failure cannot be stopped: the scope ends when it has, and its slot is free then.
#[tokio::test]
async fn siblings_of_a_failure_are_cancelled_and_awaited() {
    let engine = engine_of(8);
    let (held, unlucky_gate) = (Gate::closed(), Gate::closed());
    let stubborn = adding().gated(&held).uninterruptible().batching(Batching::Single);
    let script = stubborn.script();
    let stubborn = engine.wrap_model(stubborn).build().unwrap();
    let unlucky = ScriptedModel::<u32, u32>::new(|_, _| Err(unruffled_model::ModelError::failed("bad luck")));
    let unlucky = engine.wrap_model(unlucky.gated(&unlucky_gate)).build().unwrap();
    let group = engine
        .empty_group()
        .add(stubborn.infer(0).id("running"))
        .add(unlucky.infer(0))
        .add(stubborn.infer(1).id("queued"));
    let mut all = pin!(group.fail_fast());
    assert!(poll_once(all.as_mut()).is_pending());
    held.entered();
    unlucky_gate.open();
    pending_until(all.as_mut(), || failed(&stubborn, ErrorKind::Cancelled) == 2);
    assert_eq!((stubborn.status().running, stubborn.status().queued), (1, 0));
    assert!(poll_once(all.as_mut()).is_pending(), "the run goes on");
    held.open();
    let error = all.await.unwrap_err();
    assert_eq!(stubborn.status().running, 0, "its slot is free");
    check_error::<u32>(Err(error.error().clone()), ErrorKind::ModelFailed, "bad luck");
    assert_eq!((error.index(), error.cancelled()), (1, &[0, 2][..]));
    assert_eq!(script.batches().len(), 1, "what was queued never ran");
}

#[tokio::test]
async fn models_of_different_inputs_share_a_scope() {
    let engine = Engine::new();
    let length = engine.wrap(|text: String| text.len()).build().unwrap();
    let double = engine.wrap(|x: usize| 2 * x).build().unwrap();
    let group = engine
        .empty_group()
        .add(length.infer("four".to_owned()))
        .add_all([1, 2].map(|x| double.infer(x)))
        .add(length.infer(String::new()));
    assert_eq!((group.len(), group.is_empty()), (4, false));
    let outputs: Vec<_> = group.fail_fast().await.unwrap().iter().map(|response| response.output).collect();
    assert_eq!(outputs, [4, 2, 4, 0]);
}

#[tokio::test]
async fn the_scopes_deadline_is_everybodys() {
    let engine = engine_of(8);
    let gate = Gate::closed();
    let model = engine.wrap_model(adding().gated(&gate)).build().unwrap();
    let far = Duration::from_secs(3600);
    let requests = [model.infer(0), model.infer(1).timeout(far), model.infer(2)];
    let report = engine.group(requests).timeout(SOON).in_flight(2).run_all().await;
    assert_eq!(report.failures().count(), 3);
    for (_, error) in report.failures() {
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    }
    // The earlier of the two counts.
    let report = engine.group([model.infer(0).timeout(SOON)]).timeout(far).run_all().await;
    assert_eq!(report.outcomes()[0].as_ref().unwrap_err().kind(), ErrorKind::DeadlineExceeded);
}

#[tokio::test]
async fn a_scope_waits_for_what_ran_past_its_deadline() {
    let engine = engine_of(8);
    let gate = Gate::closed();
    let model = engine.wrap_model(adding().gated(&gate).uninterruptible()).build().unwrap();
    let mut all = pin!(engine.group([model.infer(0).deadline(std::time::Instant::now() + SOON)]).run_all());
    pending_until(all.as_mut(), || failed(&model, ErrorKind::DeadlineExceeded) == 1);
    gate.entered();
    assert!(poll_once(all.as_mut()).is_pending(), "it still runs");
    gate.open();
    let report = all.await;
    assert_eq!(report.outcomes()[0].as_ref().unwrap_err().kind(), ErrorKind::DeadlineExceeded);
    assert_eq!(model.status().running, 0);
}

#[tokio::test]
async fn a_request_inherits_from_its_scope() {
    use unruffled_model::{Caller, RequestContext, RequestId};

    let engine = Engine::new();
    let model = engine
        .wrap_interruptible(|(): &(), ctx: &RunContext<'_>| {
            let own = &ctx.requests()[0];
            let baggage: Vec<_> = own.baggage().map(|(name, value)| format!("{name}={value}")).collect();
            let caller = own.caller().map(|caller| caller.key.to_string());
            Ok((own.priority(), caller, baggage))
        })
        .build()
        .unwrap();
    let scope = RequestContext::new(RequestId::Number(1))
        .with_priority(Priority::Interactive)
        .with_caller(Caller::new("shop"))
        .with_baggage("page", "3");
    let requests = [model.infer(()), model.infer(()).caller(Caller::new("own"))];
    let seen = engine.group(requests).context(&scope).in_flight(1).fail_fast().await.unwrap();
    let page = || vec!["page=3".to_owned()];
    assert_eq!(seen[0].output, (Priority::Interactive, Some("shop".into()), page()));
    assert_eq!(seen[1].output, (Priority::Interactive, Some("own".into()), page()));
}

#[tokio::test]
async fn no_more_are_in_flight_than_said() {
    let engine = engine_of(8);
    let gate = Gate::closed();
    let model = engine.wrap_model(adding().gated(&gate).batching(Batching::Single)).build().unwrap();
    let mut all = pin!(engine.group((0..10).map(|x| model.infer(x))).in_flight(3).run_all());
    for at in 0..10 {
        pending_until(all.as_mut(), || gate.try_entered().is_some());
        let status = model.status();
        assert!(status.running + status.queued <= 3, "{status:?}");
        assert!(at > 0 || status.queued == 2, "{status:?}");
        gate.release(1);
    }
    let report = all.await;
    let outputs: Vec<_> = report.into_result().unwrap().iter().map(|response| response.output).collect();
    assert_eq!(outputs, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_scope_that_is_dropped_cancels_all_of_it() {
    let engine = engine_of(8);
    let gate = Gate::closed();
    let model = adding().gated(&gate).batching(Batching::Single);
    let script = model.script();
    let model = engine.wrap_model(model).build().unwrap();
    let mut all = Box::pin(engine.group((0..10).map(|x| model.infer(x))).in_flight(4).run_all());
    assert!(poll_once(all.as_mut()).is_pending());
    gate.entered();
    drop(all);
    assert_eq!(model.status().queued, 0);
    // The gate is still closed: only cancellation lets the run end.
    wait_until(|| model.status().running == 0);
    assert!(script.batches()[0].cancelled);
    let metrics = model.metrics();
    assert_eq!((metrics.accepted, metrics.failed), (4, vec![(ErrorKind::Cancelled, 4)]));
    // Never polled, never sent.
    drop(engine.group([model.infer(1)]).fail_fast());
    assert_eq!(model.metrics().accepted, 4);
}

#[tokio::test]
async fn a_scope_of_nothing_is_complete() {
    let engine = Engine::new();
    let report = engine.empty_group::<u32>().run_all().await;
    assert!(report.is_complete() && report.outcomes().is_empty());
    assert!(engine.empty_group::<u32>().fail_fast().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_model_that_breaks_costs_one_request_of_a_scope() {
    let engine = Engine::new();
    let model = adding().batching(Batching::Single);
    let script = model.script();
    let model = engine.wrap_model(model).build().unwrap();
    script.panic_next(1);
    let report = engine.group((0..5).map(|x| model.infer(x))).in_flight(1).run_all().await;
    let kinds: Vec<_> = report.failures().map(|(at, error)| (at, error.kind())).collect();
    assert_eq!(kinds, [(0, ErrorKind::ModelCrashed)]);
}

#[tokio::test]
async fn a_model_that_goes_ends_what_was_not_sent() {
    let engine = engine_of(8);
    let gate = Gate::closed();
    let model = engine.wrap_model(adding().gated(&gate)).name("adder").register().unwrap();
    let mut all = pin!(engine.group((0..3).map(|x| model.infer(x))).in_flight(1).run_all());
    assert!(poll_once(all.as_mut()).is_pending());
    gate.entered();
    let mut unload = pin!(engine.unload("adder", Duration::from_secs(60)));
    assert!(poll_once(unload.as_mut()).is_pending());
    gate.open();
    let report = all.await;
    let kinds: Vec<_> = report.failures().map(|(at, error)| (at, error.kind())).collect();
    assert_eq!(kinds, [(1, ErrorKind::NotReady), (2, ErrorKind::NotReady)]);
    assert!(unload.await.is_ok());
}

#[tokio::test]
async fn a_group_keeps_its_models() {
    let engine = Engine::new();
    let group = parsing(&engine, &["1", "2", "3"]);
    // The handle has gone.
    assert!(group.in_flight(1).run_all().await.is_complete());
}

#[tokio::test]
async fn a_queue_full_of_others_work_is_waited_for() {
    let engine = engine_of(8);
    let gate = Gate::closed();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 1, bytes: 1000 });
    let model =
        engine.wrap_model(adding().gated(&gate).batching(Batching::Single)).options(options).build().unwrap();
    let running = model.infer(10).submit();
    gate.entered();
    let queued = model.infer(11).submit();
    let report = engine.group([model.infer(0)]).timeout(SOON).run_all().await;
    let outcome = report.into_outcomes().remove(0);
    check_error(outcome, ErrorKind::DeadlineExceeded, "before there was room in the queue");
    let mut all = pin!(engine.group((0..5).map(|x| model.infer(x))).in_flight(3).run_all());
    assert!(poll_once(all.as_mut()).is_pending());
    gate.open();
    let outputs: Vec<_> = all.await.into_result().unwrap().iter().map(|response| response.output).collect();
    assert_eq!(outputs, [1, 2, 3, 4, 5]);
    assert_eq!((running.await.unwrap().output, queued.await.unwrap().output), (11, 12));
    assert_eq!(model.metrics().refused, [], "to wait is not to be refused");
}

/// Waits on any executor: this one is a thread that parks.
#[test]
fn a_large_group_goes_through_a_small_queue_without_a_runtime() {
    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let engine = Engine::new();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 8, bytes: 1000 });
    let model = engine.wrap(|x: u32| x + 1).options(options).build().unwrap();
    let mut all = pin!(engine.group((0..20_000).map(|x| model.infer(x))).run_all());
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let report = loop {
        match all.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(report) => break report,
            Poll::Pending => std::thread::park(),
        }
    };
    let outputs = report.into_result().unwrap();
    assert!(outputs.iter().zip(1..).all(|(response, expected)| response.output == expected));
    assert_eq!(outputs.len(), 20_000);
}

#[tokio::test]
async fn a_group_may_be_spawned() {
    let group = parsing(&Engine::new(), &["1", "2"]);
    assert!(tokio::spawn(group.run_all()).await.unwrap().is_complete());
}

#[tokio::test]
async fn what_is_sent_together_shares_a_run() {
    let engine = Engine::new();
    let model = adding();
    let script = model.script();
    let model = engine.wrap_model(model).build().unwrap();
    let other = engine.wrap(|x: u32| x).build().unwrap();
    let mixed = (0..16).fold(engine.empty_group(), |group, x| group.add(model.infer(x)).add(other.infer(x)));
    let outputs = mixed.fail_fast().await.unwrap();
    assert!(outputs.iter().zip(0..).all(|(response, at)| response.output == at / 2 + (at + 1) % 2));
    assert_eq!(script.batch_sizes(), [16]);
}
