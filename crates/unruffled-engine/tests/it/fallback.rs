//! Chains: who answers, who is stopped, and what is said of it.

use std::time::Duration;

use unruffled_engine::{
    Breaker, BreakerOptions, BreakerState, Chain, Degraded, Engine, ErrorKind, Handle, Link, PoolOptions,
    Priority, QueueLimits, RequestId, Response,
};
use unruffled_model::{ModelError, RunContext};
use unruffled_testing::scripted::{Gate, Script, ScriptedModel};

use crate::support::{adding, check_error, patiently, pending_until, wait_until};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

/// A model that adds so much, and what it is told.
fn model(engine: &Engine, name: &str, more: u32) -> (Handle<u32, u32>, Script) {
    let model = ScriptedModel::new(move |x: &u32, _: &RunContext<'_>| Ok(x + more));
    let script = model.script();
    (engine.wrap_model(model).name(name).build().unwrap(), script)
}

/// As [`model`], held at a gate.
fn gated(engine: &Engine, name: &str, more: u32, gate: &Gate) -> Handle<u32, u32> {
    let model = ScriptedModel::new(move |x: &u32, _: &RunContext<'_>| Ok(x + more)).gated(gate);
    engine.wrap_model(model).name(name).build().unwrap()
}

fn degraded<O>(response: &Response<O>) -> Option<Degraded> {
    response.provenance.as_ref()?.degraded.clone()
}

/// Checks who gave an answer, and what was said against the others.
#[track_caller]
fn check_degraded<O>(response: &Response<O>, by: &str, why: &[(&str, &str)]) {
    let degraded = degraded(response).expect("somebody else answered");
    assert_eq!((&*degraded.by, degraded.why.len()), (by, why.len()), "{degraded:?}");
    for ((name, reason), (expected, text)) in degraded.why.iter().zip(why) {
        assert_eq!(&**name, *expected);
        assert!(reason.contains(text), "`{reason}` does not mention `{text}`");
    }
}

#[tokio::test]
async fn the_first_answers_as_long_as_it_can() {
    let engine = Engine::new();
    let ((large, script), (small, _)) = (model(&engine, "large", 1), model(&engine, "small", 2));
    let chain = engine.fallback(&large).then(&small).build();
    let answer = chain.infer(10).await.unwrap();
    assert_eq!((answer.output, answer.is_degraded()), (11, false));
    script.fail_next(ModelError::failed("no luck"));
    let answer = chain.infer(10).await.unwrap();
    assert_eq!(answer.output, 12);
    check_degraded(&answer, "small", &[("large", "no luck")]);
    script.panic_next(1);
    let answer = chain.infer(10).await.unwrap();
    check_degraded(&answer, "small", &[("large", "the script panics in this run")]);
    assert_eq!(chain.infer(10).await.unwrap().output, 11);
    let status = chain.status();
    let counts = |at: usize| (status.links[at].asked, status.links[at].answered, status.links[at].failed);
    assert_eq!((counts(0), counts(1)), ((4, 2, 2), (2, 2, 0)));
}

#[tokio::test]
async fn a_wrong_input_is_nobodys_failure() {
    let engine = Engine::new();
    let picky = |x: &u32, _: &RunContext<'_>| match x {
        0 => Err(ModelError::invalid_input("no zero")),
        _ => Ok(*x),
    };
    let large = engine.wrap_model(ScriptedModel::new(picky)).name("large").build().unwrap();
    let (small, script) = model(&engine, "small", 2);
    let chain = engine.fallback(&large).then(&small).default(|_| 99).name("chain").build();
    for _ in 0..20 {
        check_error(chain.infer(0).await, ErrorKind::InvalidInput, "no zero");
    }
    assert_eq!(script.batches().len(), 0, "nobody else was asked");
    let breaker = chain.status().links[0].breaker.unwrap();
    assert_eq!((breaker.state, breaker.failures), (BreakerState::Closed, 0));
    assert_eq!(chain.infer(1).await.unwrap().output, 1);
}

#[tokio::test]
async fn who_gives_up_is_not_answered_by_another() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let large = gated(&engine, "large", 1, &gate);
    let (small, script) = model(&engine, "small", 2);
    let chain = engine.fallback(&large).then(&small).default(|_| 99).build();
    let attempt = chain.infer(1).submit();
    gate.entered();
    drop(attempt);
    wait_until(|| large.status().running == 0);
    assert_eq!((gate.waiting(), script.batches().len()), (0, 0), "stopped, and nobody else began");
    assert_eq!(chain.status().links[0].stopped, 1);
}

#[tokio::test]
async fn all_have_failed() {
    let engine = Engine::new();
    let ((large, first), (small, second)) = (model(&engine, "large", 1), model(&engine, "small", 2));
    let chain = engine.fallback(&large).then(&small).name("chain").build();
    first.fail_next(ModelError::failed("no luck"));
    second.panic_next(1);
    let error =
        check_error(chain.infer(1).await, ErrorKind::ModelCrashed, "`large`: no luck; `small`: panicked");
    assert_eq!(error.model(), Some("chain"));

    let chain = engine.fallback(&large).then(&small).default(|x| x + 90).build();
    first.fail_next(ModelError::failed("no luck"));
    second.fail_next(ModelError::failed("nor here"));
    let answer = chain.infer(1).id("a").await.unwrap();
    assert_eq!((answer.output, &answer.id), (91, &RequestId::Text("a".into())));
    check_degraded(&answer, "default", &[("large", "no luck"), ("small", "nor here")]);
    assert_eq!(chain.status().defaults, 1);
}

#[tokio::test]
async fn a_budget_that_is_used_up_stops_the_model() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let large = gated(&engine, "large", 1, &gate);
    let (small, _) = model(&engine, "small", 2);
    let chain = engine.fallback(Link::new(&large).budget(5 * MS)).then(&small).build();
    let answer = patiently(chain.infer(1).timeout(HOUR).submit()).await.unwrap();
    assert_eq!(answer.output, 3);
    check_degraded(&answer, "small", &[("large", "has used up its budget of 5.0ms")]);
    wait_until(|| large.status().running == 0);
    assert_eq!(gate.waiting(), 0, "it was told to stop");
}

#[tokio::test]
async fn what_cannot_be_stopped_keeps_its_slot_and_holds_nobody_up() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let stuck = adding().gated(&gate).uninterruptible();
    let large = engine.wrap_model(stuck).name("large").build().unwrap();
    let (small, _) = model(&engine, "small", 2);
    let chain = engine.fallback(Link::new(&large).budget(5 * MS)).then(&small).build();
    assert_eq!(patiently(chain.infer(1).submit()).await.unwrap().output, 3);
    assert_eq!((large.status().running, gate.waiting()), (1, 1), "its slot is not free");
    gate.open();
    wait_until(|| large.status().running == 0);
}

#[tokio::test]
async fn the_deadline_is_that_of_the_whole() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let (large, small) = (gated(&engine, "large", 1, &gate), gated(&engine, "small", 2, &gate));
    let chain = engine.fallback(Link::new(&large).budget(2 * MS)).then(&small).default(|_| 99).build();
    let outcome = patiently(chain.infer(1).timeout(20 * MS).submit()).await;
    check_error(outcome, ErrorKind::DeadlineExceeded, "`large`: has used up its budget of 2.0ms; `small`");
    wait_until(|| large.status().running + small.status().running == 0);
    assert_eq!(gate.waiting(), 0);
}

#[tokio::test]
async fn a_full_queue_is_a_reason_to_ask_the_next() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let options = PoolOptions::default().with_queue(QueueLimits { items: 1, bytes: 1 << 20 });
    let large = engine.wrap_model(adding().gated(&gate)).name("large").options(options).build().unwrap();
    let (small, _) = model(&engine, "small", 2);
    let chain = engine.fallback(&large).then(&small).build();
    let running = large.infer(1).submit();
    gate.entered();
    let queued = large.infer(1).submit();
    for _ in 0..20 {
        let answer = chain.infer(1).await.unwrap();
        check_degraded(&answer, "small", &[("large", "the queue is full")]);
    }
    let breaker = chain.status().links[0].breaker.unwrap();
    assert_eq!((breaker.state, breaker.calls), (BreakerState::Closed, 0), "a full queue is no illness");
    gate.open();
    assert_eq!((running.await.unwrap().output, queued.await.unwrap().output), (2, 2));
}

#[tokio::test]
async fn a_hedge_that_is_first_is_said_to_be() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let large = gated(&engine, "large", 1, &gate);
    let (small, _) = model(&engine, "small", 2);
    let chain = engine.fallback(Link::new(&large).hedge_after(5 * MS)).then(&small).build();
    let answer = patiently(chain.infer(1).submit()).await.unwrap();
    assert_eq!(answer.output, 3);
    check_degraded(&answer, "small", &[("large", "had not answered yet")]);
    wait_until(|| large.status().running == 0);
    let status = chain.status();
    assert_eq!((status.links[0].stopped, status.links[1].answered), (1, 1));
}

#[tokio::test]
async fn a_hedge_that_is_second_is_stopped() {
    let (engine, gate, other) = (Engine::new(), Gate::closed(), Gate::closed());
    let (large, small) = (gated(&engine, "large", 1, &gate), gated(&engine, "small", 2, &other));
    let chain = engine.fallback(Link::new(&large).hedge_after(2 * MS)).then(&small).build();
    let mut attempt = std::pin::pin!(chain.infer(1).submit());
    pending_until(attempt.as_mut(), || other.waiting() == 1);
    gate.release(1);
    let answer = patiently(attempt).await.unwrap();
    assert_eq!((answer.output, answer.is_degraded()), (2, false));
    wait_until(|| small.status().running == 0);
    assert_eq!(other.waiting(), 0);
}

#[tokio::test]
async fn in_a_race_the_first_success_wins() {
    let (engine, gate) = (Engine::new(), Gate::closed());
    let slow = gated(&engine, "a", 1, &gate);
    let broken = engine.wrap(|x: u32| x.checked_sub(100).expect("boom")).name("b").build().unwrap();
    let (quick, _) = model(&engine, "c", 3);
    let chain = engine.fallback(&slow).then(&broken).then(&quick).race().build();
    let answer = patiently(chain.infer(1).submit()).await.unwrap();
    assert_eq!(answer.output, 4);
    assert_eq!(&*degraded(&answer).unwrap().by, "c");
    wait_until(|| slow.status().running == 0);
    assert_eq!(gate.waiting(), 0, "the loser was told to stop");
}

#[tokio::test]
async fn who_would_be_late_is_passed_over() {
    let engine = Engine::new();
    // What it has cost is known once it has run.
    let large = engine
        .wrap_interruptible(|x: &u32, ctx: &RunContext<'_>| {
            let until = std::time::Instant::now() + 30 * MS;
            while std::time::Instant::now() < until && !ctx.is_cancelled() {
                std::hint::spin_loop();
            }
            Ok(x + 1)
        })
        .name("large")
        .build()
        .unwrap();
    let (small, _) = model(&engine, "small", 2);
    let chain = engine.fallback(&large).then(&small).by_slack().build();
    assert_eq!(chain.infer(1).timeout(HOUR).await.unwrap().output, 2, "nothing is known: it is tried");
    let answer = chain.infer(1).timeout(10 * MS).await.unwrap();
    assert_eq!(answer.output, 3);
    check_degraded(&answer, "small", &[("large", "would take about")]);
    assert_eq!(chain.infer(1).timeout(HOUR).await.unwrap().output, 2, "there is time for the better one");
    assert_eq!(chain.status().links[0].passed_over, 1);
}

#[tokio::test]
async fn a_breaker_opens_keeps_calls_away_and_closes() {
    let engine = Engine::new();
    let ((large, script), (small, _)) = (model(&engine, "large", 1), model(&engine, "small", 2));
    let options = BreakerOptions::default().with_calls_min(3).with_open(MS, MS).with_probes(1, 1);
    let breaker = Breaker::new("large", options);
    let chain = engine.fallback(Link::new(&large).breaker(&breaker)).then(&small).build();
    for _ in 0..3 {
        script.fail_next(ModelError::failed("ill"));
        check_degraded(&chain.infer(1).await.unwrap(), "small", &[("large", "ill")]);
    }
    assert_eq!((breaker.status().state, breaker.status().opened), (BreakerState::Open, 1));
    // Once its time is over, the next call is the probe that closes it.
    patiently(async {
        while chain.infer(1).await.unwrap().output != 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(breaker.status().state, BreakerState::Closed);
    let (asked, kept_away) = (chain.status().links[0].asked, breaker.status().refused);
    assert_eq!((asked, chain.status().links[0].passed_over), (4, kept_away));
}

#[tokio::test]
async fn an_open_breaker_without_another_model_says_when_to_come_again() {
    let engine = Engine::new();
    let (large, script) = model(&engine, "large", 1);
    let breaker = Breaker::new("large", BreakerOptions::default().with_calls_min(1).with_open(HOUR, HOUR));
    let chain = engine.fallback(Link::new(&large).breaker(&breaker)).build();
    script.fail_next(ModelError::failed("ill"));
    check_error(chain.infer(1).await, ErrorKind::ModelFailed, "ill");
    let error = check_error(chain.infer(1).await, ErrorKind::NotReady, "its breaker is open for another");
    assert!(error.retry_after().is_some_and(|wait| wait > HOUR / 2));
    // Another chain that was given the same breaker knows it, one that was not does not.
    let other: Chain<u32, u32> = engine.fallback(Link::new(&large).breaker(&breaker)).build();
    check_error(other.infer(1).await, ErrorKind::NotReady, "its breaker is open");
    assert_eq!(engine.fallback(&large).build().infer(1).await.unwrap().output, 2);
}

#[tokio::test]
async fn models_of_other_types_are_links_too() {
    let engine = Engine::new();
    let large = engine.wrap(|x: u32| x.checked_sub(1).expect("boom")).name("large").build().unwrap();
    let text = engine.wrap(|text: String| text.len()).name("text").build().unwrap();
    let link = Link::converting(&text, |x: &u32| "x".repeat(*x as usize + 7), |len| len as u32);
    let chain = engine.fallback(&large).then(link).build();
    assert_eq!(chain.infer(0).await.unwrap().output, 7);
}

#[tokio::test]
async fn a_chain_is_asked_like_a_model_and_the_context_travels() {
    let engine = Engine::new();
    let seen = |_: &u32, ctx: &RunContext<'_>| Ok(ctx.request().unwrap().clone());
    let broken = |_: &u32, _: &RunContext<'_>| Err(ModelError::failed("no luck"));
    let large = engine.wrap_model(ScriptedModel::new(broken)).name("large").build().unwrap();
    let small = engine.wrap_model(ScriptedModel::new(seen)).name("small").build().unwrap();
    let chain = engine.fallback(&large).then(&small).name("chain").build();
    let model = engine.wrap_chain(&chain).register().unwrap();
    assert_eq!(&**model.name(), "chain");
    let found: Handle<u32, unruffled_engine::RequestContext> = engine.get("chain").unwrap();
    let answer =
        found.infer(1).id("a").priority(Priority::Bulk).baggage("tenant", "t").timeout(HOUR).await.unwrap();
    check_degraded(&answer, "small", &[("large", "no luck")]);
    assert_eq!(
        (answer.output.id(), answer.output.priority()),
        (&RequestId::Text("a".into()), Priority::Bulk)
    );
    assert_eq!(answer.output.baggage().collect::<Vec<_>>(), [("tenant", "t")]);
    assert!(answer.output.deadline().is_some());
    // A chain of chains tells of both.
    let outer = engine.fallback(&large).then(&found).build();
    check_degraded(&outer.infer(1).await.unwrap(), "small", &[("large", "no luck"), ("large", "no luck")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_of_a_storm_ends_once() {
    let engine = Engine::new();
    let unsteady = |more: u64| {
        move |&(caller, call): &(u64, u64), ctx: &RunContext<'_>| match (call + more) % 7 {
            0 => panic!("a bad input"),
            1 => Err(ModelError::failed("a poor input")),
            2 if more < 7 => {
                while !ctx.is_cancelled() {
                    std::thread::yield_now();
                }
                Err(ModelError::cancelled())
            }
            _ => Ok(caller * 1_000_000 + call),
        }
    };
    let build = |name: &str, more| {
        let options =
            PoolOptions::default().with_instances(2).with_queue(QueueLimits { items: 16, bytes: 1 << 20 });
        engine.wrap_interruptible(unsteady(more)).name(name.to_owned()).options(options).build().unwrap()
    };
    let (large, small, tiny) = (build("large", 0), build("small", 3), build("tiny", 8));
    let link = |model| Link::new(model).budget(3 * MS).hedge_after(MS);
    let in_turn = engine.fallback(link(&large)).then(link(&small)).then(&tiny).default(|_| u64::MAX).build();
    let race = engine.fallback(link(&large)).then(link(&small)).then(&tiny).race().build();
    let callers: Vec<_> = (0..16_u64)
        .map(|caller| {
            let chain = if caller % 2 == 0 { in_turn.clone() } else { race.clone() };
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(caller);
                for call in 0..200 {
                    let attempt =
                        chain.infer((caller, call)).timeout(Duration::from_micros(rng.u64(1..20_000)));
                    let attempt = attempt.submit();
                    if rng.u32(..5) == 0 {
                        drop(attempt);
                        continue;
                    }
                    match attempt.await {
                        Ok(response) => {
                            assert!([caller * 1_000_000 + call, u64::MAX].contains(&response.output));
                        }
                        Err(error) => assert!(
                            !matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::InvalidInput),
                            "{error}"
                        ),
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        patiently(caller).await.unwrap();
    }
    for chain in [&in_turn, &race] {
        for link in chain.status().links {
            assert_eq!(link.asked, link.answered + link.failed + link.stopped, "{link:?}");
        }
    }
    drop((in_turn, race));
    let drained = engine.shutdown(Duration::from_secs(60)).await;
    assert!(!drained.cancelled, "{drained:?}");
}

#[tokio::test]
async fn a_wrong_input_is_wrong_though_the_breaker_is_open() {
    let (engine, breaker) =
        (Engine::new(), Breaker::new("large", BreakerOptions::default().with_calls_min(1)));
    let (large, script) = {
        let model = unruffled_testing::scripted::doubling();
        let script = model.script();
        (engine.wrap_model(model).build().unwrap(), script)
    };
    let chain = engine.fallback(Link::new(&large).breaker(&breaker)).default(Clone::clone).build();
    let x = |sizes: &[usize]| {
        let tensor = unruffled_model::Tensor::filled(sizes, 1.0_f32).unwrap();
        unruffled_model::Tensors::new().with("x", tensor)
    };
    script.fail_next(ModelError::failed("ill"));
    assert!(chain.infer(x(&[1, 2])).await.unwrap().is_degraded());
    assert_eq!(breaker.status().state, BreakerState::Open);
    check_error(chain.infer(x(&[1, 3])).await, ErrorKind::InvalidInput, "expected shape [batch, 2]");
}
