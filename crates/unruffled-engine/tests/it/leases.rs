//! Leases: one instance for one holder, for several calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use unruffled_engine::{
    Engine, Error, ErrorKind, Explanation, Handle, Lease, PoolOptions, Priority, QueueLimits,
};
use unruffled_model::{Batching, FnModel, ModelError, RequestId, RunContext};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{
    adding, check_alive, check_error, failed, ids, patiently, poll_once, runtime, wait_until,
};

const LONG: Duration = Duration::from_secs(60);

#[track_caller]
fn check_refused(outcome: Result<Lease<u32, u32>, Error>, kind: ErrorKind, text: &str) {
    let error = outcome.expect_err("there should be no lease");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(text), "`{error}` does not mention `{text}`");
}

/// The story of a request, which may be recorded a moment after its answer.
fn explained(handle: &Handle<u32, u32>, id: &str) -> Explanation {
    let id = RequestId::Text(id.into());
    wait_until(|| handle.explain(&id).is_some());
    handle.explain(&id).unwrap()
}

#[tokio::test]
async fn calls_go_to_that_very_instance_in_order() {
    let model = adding();
    let script = model.script();
    let handle = Engine::new().wrap_model(model).instances(3).build().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    let calls: Vec<_> =
        ["a", "b", "c", "d"].map(|id| lease.infer(1).id(id).priority(Priority::Bulk).submit()).into();
    for call in calls {
        let answer = patiently(call).await.unwrap();
        assert_eq!(
            (answer.output, answer.timings.instance, answer.timings.batch_rows),
            (2, lease.instance(), 1)
        );
    }
    let seen: Vec<RequestId> = script.batches().into_iter().flat_map(|batch| batch.requests).collect();
    assert_eq!(seen, ids(&["a", "b", "c", "d"]), "each runs alone, in the order in which they were made");
    let metrics = handle.metrics();
    assert_eq!((metrics.leases, metrics.answered, metrics.accepted), (1, 5, 5));
}

#[tokio::test]
async fn others_go_on_with_the_other_instances() {
    let handle = Engine::new().wrap_model(adding().batching(Batching::Single)).instances(2).build().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    for x in 0..50 {
        let answer = patiently(handle.infer(x).submit()).await.unwrap();
        assert_ne!(answer.timings.instance, lease.instance(), "nobody else runs there");
    }
    assert_eq!(handle.status().leased, 1);
    drop(lease);
    wait_until(|| handle.status().leased == 0);
}

#[test]
fn who_waits_is_served_when_the_lease_is_dropped() {
    let runtime = runtime();
    let handle = Engine::new().wrap_model(adding()).build().unwrap();
    let lease = runtime.block_on(patiently(handle.acquire().into_future())).unwrap();
    let mut waiting = Box::pin(handle.infer(0).submit());
    let mut next = Box::pin(handle.acquire().submit());
    assert!(poll_once(waiting.as_mut()).is_pending() && poll_once(next.as_mut()).is_pending());
    assert_eq!(handle.status().queued, 2);
    assert_eq!(runtime.block_on(patiently(lease.infer(5).submit())).unwrap().output, 6);
    drop(lease);
    assert_eq!(runtime.block_on(patiently(waiting)).unwrap().output, 1);
    let lease = runtime.block_on(patiently(next)).unwrap();
    drop(lease);
    check_alive(&runtime, &handle);
}

#[tokio::test]
async fn a_lease_waits_in_the_queue_as_other_requests_do() {
    let gate = Gate::closed();
    let handle = Engine::new().wrap_model(adding().gated(&gate)).build().unwrap();
    let running = handle.infer(0).submit();
    gate.entered();
    let late = handle.infer(1).priority(Priority::Bulk).submit();
    let lease = handle.acquire().priority(Priority::Normal).submit();
    let click = handle.infer(2).priority(Priority::Interactive).submit();
    gate.open();
    patiently(running).await.unwrap();
    patiently(click).await.unwrap();
    let lease = patiently(lease).await.unwrap();
    let mut late = Box::pin(late);
    assert!(poll_once(late.as_mut()).is_pending(), "its turn comes after the lease");
    drop(lease);
    assert_eq!(patiently(late).await.unwrap().output, 2);
}

#[tokio::test]
async fn waiting_for_a_lease_is_bounded_and_ends_with_its_deadline() {
    let options = PoolOptions::default().with_queue(QueueLimits { items: 2, bytes: 1 << 20 });
    let handle = Engine::new().wrap_model(adding()).options(options).build().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    let waiting = [handle.acquire().submit(), handle.acquire().submit()];
    let outcome = handle.acquire().await;
    check_refused(outcome, ErrorKind::Overloaded, "the queue is full: 2 requests wait; try again later");
    let [first, second] = waiting;
    drop(first);
    assert_eq!(handle.status().queued, 1, "it is taken out at once");
    let late = handle.acquire().timeout(Duration::from_millis(1)).await;
    check_refused(late, ErrorKind::DeadlineExceeded, "the deadline passed");
    let passed = handle.acquire().timeout(Duration::ZERO).await;
    check_refused(passed, ErrorKind::DeadlineExceeded, "the deadline had passed on arrival");
    drop(lease);
    drop(patiently(second).await.unwrap());
}

#[tokio::test]
async fn a_lease_that_nobody_looks_at_goes_back() {
    let handle = Engine::new().wrap_model(adding()).build().unwrap();
    patiently(handle.infer(0).submit()).await.unwrap();
    let unseen = handle.acquire().submit();
    wait_until(|| handle.status().leased == 1);
    drop(unseen);
    assert_eq!(handle.status().leased, 0);
    assert_eq!(patiently(handle.infer(1).submit()).await.unwrap().output, 2);
}

#[tokio::test]
async fn dropping_a_lease_stops_its_run_and_frees_the_slot_only_then() {
    let gate = Gate::closed();
    let model = adding().gated(&gate).uninterruptible();
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    let (running, waiting) = (lease.infer(0).id("running").submit(), lease.infer(1).id("waiting").submit());
    gate.entered();
    let next = handle.infer(2).id("next").submit();
    let mut released = Box::pin(lease.release());
    check_error(running.await, ErrorKind::Cancelled, "its lease was let go");
    check_error(waiting.await, ErrorKind::Cancelled, "its lease was let go");
    assert!(poll_once(released.as_mut()).is_pending(), "the run goes on");
    assert_eq!(handle.status().running, 1, "its slot is not given away");
    gate.open();
    patiently(released).await;
    assert_eq!(patiently(next).await.unwrap().output, 3);
    let batches = script.batches();
    assert_eq!(batches.len(), 2, "what waited never ran");
    assert!(batches[0].cancelled && batches[0].ended);
}

#[tokio::test]
async fn a_call_is_cancelled_and_late_by_itself() {
    let gate = Gate::closed();
    let handle = Engine::new().wrap_model(adding().gated(&gate)).build().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    let (running, waiting) = (lease.infer(0).submit(), lease.infer(1).submit());
    gate.entered();
    drop(waiting);
    let late = lease.infer(2).timeout(Duration::from_millis(1)).await;
    check_error(late, ErrorKind::DeadlineExceeded, "the deadline passed");
    drop(running);
    gate.open();
    assert_eq!(patiently(lease.infer(3).submit()).await.unwrap().output, 4, "the lease is as good as before");
    assert_eq!(failed(&handle, ErrorKind::Cancelled), 2);
}

#[tokio::test]
async fn the_line_of_a_lease_is_bounded() {
    let gate = Gate::closed();
    let options = PoolOptions::default().with_queue(QueueLimits { items: 1, bytes: 1 << 20 });
    let handle = Engine::new().wrap_model(adding().gated(&gate)).options(options).build().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    let running = lease.infer(0).submit();
    gate.entered();
    let waiting = lease.infer(1).submit();
    check_error(lease.infer(2).await, ErrorKind::Overloaded, "1 calls wait for the leased instance");
    gate.open();
    patiently(running).await.unwrap();
    patiently(waiting).await.unwrap();
}

#[tokio::test]
async fn a_failure_leaves_the_lease_and_a_breakdown_ends_it() {
    let model = adding();
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    script.fail_next(ModelError::failed("out of luck"));
    check_error(lease.infer(0).await, ErrorKind::ModelFailed, "out of luck");
    assert_eq!(patiently(lease.infer(1).submit()).await.unwrap().output, 2);
    script.panic_next(1);
    let (doomed, behind) = (lease.infer(2).submit(), lease.infer(3).submit());
    check_error(doomed.await, ErrorKind::ModelCrashed, "panicked: the script panics in this run");
    check_error(behind.await, ErrorKind::ModelCrashed, "its instance broke down");
    check_error(lease.infer(4).await, ErrorKind::ModelCrashed, "is replaced; acquire another lease");
    assert_eq!(lease.ended().map(Error::kind), Some(ErrorKind::ModelCrashed));
    // The instance that was built in its place is anybody's.
    assert_eq!(patiently(handle.infer(5).submit()).await.unwrap().output, 6);
    drop(lease);
    assert_eq!(patiently(handle.infer(6).submit()).await.unwrap().output, 7);
}

#[tokio::test]
async fn an_instance_that_is_stopped_by_killing_it_ends_the_lease() {
    let (tell, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let model = FnModel::interruptible(move |x: &u32, ctx: &RunContext<'_>| -> Result<u32, ModelError> {
        tell.send(()).unwrap();
        while *x == 0 && !ctx.is_cancelled() {
            std::thread::yield_now();
        }
        if *x == 0 { Err(ModelError::crashed("killed")) } else { Ok(x + 1) }
    });
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    let call = lease.infer(0).submit();
    patiently(begun.recv()).await.unwrap();
    drop(call);
    wait_until(|| lease.ended().is_some());
    check_error(lease.infer(1).await, ErrorKind::ModelCrashed, "acquire another lease");
    assert_eq!(patiently(handle.infer(1).submit()).await.unwrap().output, 2);
}

#[tokio::test]
async fn a_forgotten_lease_is_taken_back() {
    let options = PoolOptions::default().with_lease_idle_max(Duration::from_millis(5));
    let handle = Engine::new().wrap_model(adding()).options(options).build().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    let answer = patiently(handle.infer(0).submit()).await.unwrap();
    assert_eq!(answer.output, 1, "somebody else's turn has come");
    check_error(lease.infer(1).await, ErrorKind::Cancelled, "the lease was idle for 5ms and was taken back");
    std::mem::forget(patiently(handle.acquire().into_future()).await.unwrap());
    assert_eq!(patiently(handle.infer(1).submit()).await.unwrap().output, 2);
}

#[tokio::test]
async fn a_busy_lease_is_not_taken_for_forgotten() {
    let gate = Gate::closed();
    let options = PoolOptions::default().with_lease_idle_max(Duration::from_millis(2));
    let handle = Engine::new().wrap_model(adding().gated(&gate)).options(options).build().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    let call = lease.infer(0).submit();
    gate.entered();
    let later = handle.infer(9).timeout(Duration::from_millis(20)).await;
    check_error(later, ErrorKind::DeadlineExceeded, "");
    gate.open();
    assert_eq!(patiently(call).await.unwrap().output, 1);
}

#[tokio::test]
async fn draining_waits_for_a_lease_and_closing_ends_it() {
    let engine = Engine::new();
    let handle = engine.wrap_model(adding()).name("adder").register().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    let mut unload = Box::pin(engine.unload("adder", LONG));
    assert!(poll_once(unload.as_mut()).is_pending());
    check_refused(handle.acquire().await, ErrorKind::NotReady, "has been unloaded");
    assert_eq!(patiently(lease.infer(1).submit()).await.unwrap().output, 2, "what was accepted goes on");
    drop(lease);
    assert!(!patiently(unload).await.unwrap().cancelled);

    let handle = engine.wrap_model(adding()).build().unwrap();
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    let drained = patiently(engine.shutdown(Duration::from_millis(1))).await;
    assert!(drained.cancelled && drained.still_running.is_empty(), "{drained:?}");
    check_error(lease.infer(1).await, ErrorKind::ShuttingDown, "the engine is shutting down");
}

#[tokio::test]
async fn an_idle_lease_holds_no_core() {
    let engine = crate::support::engine_of(1);
    let leased = engine.wrap_model(adding()).build().unwrap();
    let other: Handle<u32, u32> = engine.wrap_model(adding()).build().unwrap();
    let lease = patiently(leased.acquire().into_future()).await.unwrap();
    assert_eq!(patiently(other.infer(1).submit()).await.unwrap().output, 2);
    let gate = Gate::closed();
    let third = engine.wrap_model(adding().gated(&gate)).build().unwrap();
    let holding = third.infer(0).submit();
    gate.entered();
    let mut call = Box::pin(lease.infer(1).submit());
    assert!(poll_once(call.as_mut()).is_pending(), "its runs need one");
    gate.open();
    patiently(holding).await.unwrap();
    assert_eq!(patiently(call).await.unwrap().output, 2);
}

#[tokio::test]
async fn a_lease_is_explained_as_requests_are() {
    let handle = Engine::new().wrap_model(adding()).build().unwrap();
    let lease = patiently(handle.acquire().id("mine").into_future()).await.unwrap();
    patiently(lease.infer(1).id("call").submit()).await.unwrap();
    assert_eq!(*lease.id(), RequestId::Text("mine".into()));
    let told = explained(&handle, "mine").to_string();
    assert!(told.contains("given instance 0 as a lease"), "{told}");
    let told = explained(&handle, "call").to_string();
    assert!(told.contains("run on instance 0, alone"), "{told}");
}

#[tokio::test]
async fn nothing_is_predicted_where_all_instances_are_leased() {
    let handle = Engine::new().wrap_model(adding()).build().unwrap();
    for x in 0..20 {
        patiently(handle.infer(x).submit()).await.unwrap();
    }
    let lease = patiently(handle.acquire().into_future()).await.unwrap();
    let late = handle.infer(1).id("late").timeout(Duration::from_millis(5)).await;
    check_error(late, ErrorKind::DeadlineExceeded, "the deadline passed");
    let told = explained(&handle, "late");
    assert_eq!((told.predicted_wait, told.ahead_requests), (None, 0));
    let (first, second) = (lease.infer(1).submit(), lease.infer(1).id("second").submit());
    patiently(first).await.unwrap();
    patiently(second).await.unwrap();
    drop(lease);
    patiently(handle.infer(1).timeout(LONG).id("soon").submit()).await.unwrap();
    let told = explained(&handle, "soon");
    assert!(told.predicted_wait.is_some(), "it is known again");
}

const HOLDERS: u64 = 16;
const LEASES: u64 = 60;

/// Holders and others at once, on real threads: nobody else ever runs on a leased instance, and all of it comes home.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_leases_leaves_nothing_behind() {
    let engine = Engine::new();
    // Who runs on each instance, by thread: a call says whose it is.
    let active = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&active);
    let model = ScriptedModel::new(move |&(_, call): &(u64, u64), ctx: &RunContext<'_>| {
        let now = counted.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(now <= 3, "{now} runs on 3 instances");
        if call % 7 == 0 {
            (0..20).for_each(|_| std::thread::yield_now());
        }
        counted.fetch_sub(1, Ordering::SeqCst);
        match call % 23 {
            0 => Err(ModelError::crashed("the process died")),
            1 => Err(ModelError::failed("a poor input")),
            _ if ctx.is_cancelled() => Err(ModelError::cancelled()),
            _ => Ok(call),
        }
    });
    let handle = engine
        .wrap_model(model.batching(Batching::Single))
        .options(PoolOptions::default().with_instances(3).with_lease_idle_max(Duration::from_millis(50)))
        .build()
        .unwrap();
    let holders: Vec<_> = (0..HOLDERS)
        .map(|holder| {
            let handle = handle.clone();
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(holder);
                for round in 0..LEASES {
                    if rng.u32(..3) == 0 {
                        let _answer = handle.infer((holder, round)).timeout(Duration::from_millis(5)).await;
                        continue;
                    }
                    let asked = handle.acquire().timeout(Duration::from_millis(rng.u64(1..200))).submit();
                    if rng.u32(..8) == 0 {
                        drop(asked);
                        continue;
                    }
                    let Ok(lease) = asked.await else { continue };
                    for call in 0..rng.u64(..6) {
                        let call = lease.infer((holder, round * 10 + call)).submit();
                        if rng.u32(..6) == 0 {
                            drop(call);
                            break;
                        }
                        match call.await {
                            Ok(answer) => assert_eq!(answer.timings.instance, lease.instance()),
                            Err(error) => assert!(
                                matches!(
                                    error.kind(),
                                    ErrorKind::ModelCrashed | ErrorKind::ModelFailed | ErrorKind::Cancelled
                                ),
                                "{error}"
                            ),
                        }
                    }
                    if rng.bool() {
                        lease.release().await;
                    }
                }
            })
        })
        .collect();
    for holder in holders {
        holder.await.unwrap();
    }
    wait_until(|| handle.status().running == 0 && handle.status().leased == 0);
    let status = handle.status();
    assert_eq!((status.queued, status.queued_bytes), (0, 0));
    let metrics = handle.metrics();
    let failures: u64 = metrics.failed.iter().map(|(_, count)| count).sum();
    assert_eq!(metrics.accepted, metrics.answered + failures, "each has ended once");
    assert!(!patiently(engine.shutdown(LONG)).await.cancelled);
}
