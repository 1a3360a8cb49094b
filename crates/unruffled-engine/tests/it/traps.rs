//! What hand-written wrappers get wrong and no other file here is about: `docs/guide/usual-wrapper.md` has the whole list.

use std::pin::pin;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use unruffled_engine::{Engine, ErrorKind, PoolOptions, Priority};
use unruffled_model::{Batching, Footprint, RunContext};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{adding, check_error, ids, poll_once, wait_until};

/// Trap 4: a context that is set somewhere and read somewhere else outlives its request.
#[tokio::test]
async fn what_one_request_says_the_next_does_not() {
    let model = ScriptedModel::new(|_: &u32, ctx: &RunContext<'_>| {
        let request = &ctx.requests()[0];
        let tenant = request.baggage().next().map(|(_, value)| value.to_owned());
        Ok((tenant, request.priority(), request.deadline().is_some()))
    });
    let model = Engine::new().wrap_model(model.batching(Batching::Single)).build().unwrap();
    for round in 0..3 {
        let tenant = format!("tenant {round}");
        let said = model
            .infer(0)
            .baggage("tenant", tenant.clone())
            .priority(Priority::Bulk)
            .timeout(Duration::from_secs(3600));
        assert_eq!(said.await.unwrap().output, (Some(tenant), Priority::Bulk, true));
        assert_eq!(model.infer(0).await.unwrap().output, (None, Priority::Normal, false));
    }
}

/// Trap 9: a destructor that waits for the model. The gate opens only after everything has been dropped.
#[test]
fn nothing_that_is_dropped_waits_for_a_model() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let model = adding().gated(&gate).uninterruptible();
    let handle = engine.wrap_model(model).name("stubborn").register().unwrap();
    let running = handle.infer(0).submit();
    gate.entered();
    let queued = handle.infer(1).submit();
    let mut shutdown = Box::pin(engine.shutdown(Duration::from_secs(3600)));
    assert!(poll_once(shutdown.as_mut()).is_pending());
    drop(shutdown);
    drop(queued);
    drop(handle);
    drop(engine);
    drop(running);
    gate.open();
}

/// Trap 11: readiness that is told by somebody who does not know.
#[tokio::test]
async fn readiness_knows_of_a_model_that_is_gone_and_of_one_that_is_busy() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let busy = engine.wrap_model(adding().gated(&gate).uninterruptible()).name("busy").register().unwrap();
    let _running = busy.infer(0).submit();
    gate.entered();
    assert!(engine.is_ready(), "busy is not broken");
    let model = adding();
    let script = model.script();
    let broken = engine.wrap_model(model).name("broken").register().unwrap();
    broken.infer(0).await.unwrap();
    assert!(engine.is_ready());
    script.fail_instances(usize::MAX);
    script.panic_next(1);
    check_error(broken.infer(0).await, ErrorKind::ModelCrashed, "its instance is replaced");
    assert!(!engine.is_ready() && !broken.status().ready, "true by the time that its caller hears of it");
    gate.open();
}

/// Trap 12: a deadline that is noticed when somebody looks. Here nobody does, and there is no runtime.
#[test]
fn a_deadline_fires_though_nobody_looks() {
    let gate = Gate::closed();
    let handle = Engine::new().wrap_model(adding().gated(&gate)).build().unwrap();
    let running = handle.infer(0).submit();
    gate.entered();
    let mut queued = pin!(handle.infer(1).timeout(Duration::from_millis(5)).submit());
    wait_until(|| handle.status().queued == 0);
    let std::task::Poll::Ready(outcome) = poll_once(queued.as_mut()) else { panic!("it has ended") };
    check_error(outcome, ErrorKind::DeadlineExceeded, "the deadline passed");
    drop(running);
}

/// Trap 13: a table of replies by name, from which one who leaves takes another's away.
#[tokio::test]
async fn requests_of_one_name_keep_their_own_answers() {
    let gate = Gate::closed();
    let handle = Engine::new().wrap_model(adding().gated(&gate)).build().unwrap();
    let held = handle.infer(0).submit();
    gate.entered();
    let twins: Vec<_> = (1..=4).map(|x| handle.infer(x).id("same").submit()).collect();
    let [first, second, third, fourth] = twins.try_into().unwrap();
    drop(first);
    third.canceller().cancel();
    gate.open();
    check_error(third.await, ErrorKind::Cancelled, "cancelled");
    assert_eq!((second.await.unwrap().output, fourth.await.unwrap().output), (3, 5));
    held.await.unwrap();
}

enum Work {
    Busy(Duration),
    Hold(mpsc::Receiver<()>),
}

/// Trap 14: a limit that is checked against the whole queue, not against the part ahead.
#[tokio::test]
async fn work_behind_a_request_refuses_it_nothing() {
    let model = Engine::new()
        .wrap(|work: Mutex<Work>| match work.into_inner().unwrap() {
            Work::Busy(cost) => {
                let begin = Instant::now();
                while begin.elapsed() < cost {
                    std::hint::spin_loop();
                }
            }
            Work::Hold(until) => until.recv().unwrap(),
        })
        .build()
        .unwrap();
    let cost = Duration::from_millis(20);
    let busy = || model.infer(Mutex::new(Work::Busy(cost)));
    for _ in 0..5 {
        busy().await.unwrap();
    }
    let (open, held) = mpsc::channel();
    let holding = model.infer(Mutex::new(Work::Hold(held))).submit();
    wait_until(|| model.status().running == 1);
    // Twenty seconds of work, and ten allowed.
    let library: Vec<_> = (0..1000).map(|_| busy().priority(Priority::Bulk).submit()).collect();
    let allowed = Duration::from_secs(10);
    let click = busy().priority(Priority::Interactive).timeout(allowed).submit();
    assert_eq!(model.status().queued, 1001, "what is behind does not count");
    let late = busy().priority(Priority::Bulk).timeout(allowed).await;
    check_error(late, ErrorKind::Overloaded, "of work is ahead");
    drop(library);
    open.send(()).unwrap();
    holding.await.unwrap();
    click.await.unwrap();
}

/// Trap 14: what does not fit is put back at the end, and is overtaken for ever.
#[tokio::test]
async fn a_request_larger_than_a_batch_keeps_its_place() {
    let gate = Gate::closed();
    let model = adding()
        .gated(&gate)
        .batching(Batching::Joint)
        .admitting(|rows: &u32| Ok(Footprint::new(*rows as usize, 4, 0)));
    let script = model.script();
    let options = PoolOptions::default().with_max_batch(4);
    let handle = Engine::new().wrap_model(model).options(options).build().unwrap();
    let held = handle.infer(1).id("held").submit();
    gate.entered();
    let rows = [("a", 1), ("b", 2), ("large", 9), ("c", 1), ("d", 3), ("e", 1)];
    let answers = rows.map(|(id, rows)| handle.infer(rows).id(id).submit());
    gate.open();
    held.await.unwrap();
    for answer in answers {
        answer.await.unwrap();
    }
    let runs: Vec<_> = script.batches().into_iter().skip(1).map(|run| run.requests).collect();
    assert_eq!(runs, [ids(&["a", "b"]), ids(&["large"]), ids(&["c", "d"]), ids(&["e"])]);
}
