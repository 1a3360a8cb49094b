//! Asynchronous functions as models.

use std::time::Duration;

use futures_util::StreamExt as _;
use unruffled_engine::{Call, Degraded, Engine, ErrorKind, Handle, Priority, RequestId};
use unruffled_model::RunContext;
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{adding, check_error, engine_of, patiently};

/// Asks `model` on behalf of whoever asks it.
fn asking(engine: &Engine, model: &Handle<u32, u32>) -> Handle<u32, u32> {
    let model = model.clone();
    let ask = async move |x: u32, call: &mut Call<'_, u32>| {
        Ok(model.infer(x).context(call.context().clone()).await?.output)
    };
    engine.wrap_async(ask).name("asking").build().unwrap()
}

#[tokio::test]
async fn what_asks_others_is_asked_like_one() {
    let engine = engine_of(1);
    let inner = engine.wrap_model(adding()).build().unwrap();
    let outer = asking(&engine, &inner);
    let answers: Vec<_> = (0..100).map(|x| outer.infer(x).submit()).collect();
    for (answer, x) in answers.into_iter().zip(1..) {
        assert_eq!(answer.await.unwrap().output, x);
    }
    assert_eq!((outer.metrics().runs, outer.info().threads), (100, 0));
}

#[tokio::test]
async fn the_context_travels() {
    let engine = Engine::new();
    let inner = engine
        .wrap_model(ScriptedModel::new(|(): &(), ctx: &RunContext<'_>| Ok(ctx.request().unwrap().clone())))
        .build()
        .unwrap();
    let outer = engine
        .wrap_async(async move |(): (), call: &mut Call<'_, _>| {
            Ok(inner.infer(()).context(call.context().clone()).await?.output)
        })
        .build()
        .unwrap();
    let request = outer.infer(()).id("a").priority(Priority::Bulk).baggage("tenant", "t");
    let seen = request.timeout(Duration::from_secs(3600)).await.unwrap().output;
    assert_eq!((seen.id(), seen.priority()), (&RequestId::Text("a".into()), Priority::Bulk));
    assert!(seen.deadline().is_some());
    assert_eq!(seen.baggage().collect::<Vec<_>>(), [("tenant", "t")]);
}

#[tokio::test]
async fn giving_up_reaches_what_it_asks() {
    let (engine, gate) = (engine_of(1), Gate::closed());
    let inner = engine.wrap_model(adding().gated(&gate)).build().unwrap();
    let outer = asking(&engine, &inner);
    let answer = outer.infer(1).submit();
    gate.entered();
    patiently(answer.stop()).await;
    // Dropped with the call, the request has cancelled its run: the gate lets it go.
    patiently(async {
        while inner.status().running > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(gate.waiting(), 0);
    gate.open();
    assert_eq!(patiently(outer.infer(1).submit()).await.unwrap().output, 2);
}

#[tokio::test]
async fn what_it_asks_fails_as_it_failed() {
    let engine = Engine::new();
    let broken = engine.wrap(|x: u32| assert!(x > 0, "no zero")).name("broken").build().unwrap();
    let outer = engine
        .wrap_async(async move |x: u32, call: &mut Call<'_, ()>| {
            broken.infer(x).context(call.context().clone()).await.map(|response| response.output)
        })
        .name("outer")
        .build()
        .unwrap();
    check_error(
        outer.infer(0).await,
        ErrorKind::ModelCrashed,
        "model `outer`: model `broken`: panicked: no zero",
    );
    // The instance that asked is whole.
    outer.infer(1).await.unwrap();
    assert_eq!(outer.status().instances, 16);
}

#[tokio::test]
async fn a_panic_costs_its_call_alone() {
    let engine = Engine::new();
    let outer = engine
        .wrap_async(async |x: u32, _: &mut Call<'_, u32>| {
            assert!(x != 3, "three");
            Ok(x)
        })
        .instances(2)
        .build()
        .unwrap();
    let answers: Vec<_> = (0..8).map(|x| outer.infer(x).submit()).collect();
    for (answer, x) in answers.into_iter().zip(0..) {
        match answer.await {
            Ok(response) => assert_eq!((response.output, x == 3), (x, false)),
            Err(error) => assert_eq!((error.kind(), x), (ErrorKind::ModelCrashed, 3)),
        }
    }
}

#[tokio::test]
async fn outputs_come_as_they_are_emitted() {
    let engine = Engine::new();
    let inner = engine.wrap_model(adding()).build().unwrap();
    let count = engine
        .wrap_async_streaming(async move |to: u32, call: &mut Call<'_, u32>| {
            for x in 0..to {
                let next = inner.infer(x).context(call.context().clone()).await?.output;
                call.emit(next)?;
            }
            Ok(())
        })
        .build()
        .unwrap();
    let outputs: Vec<u32> = count.infer(40).outputs().map(Result::unwrap).collect().await;
    assert_eq!(outputs, (1..=40).collect::<Vec<_>>());
    check_error(count.infer(2).await, ErrorKind::InvalidInput, "ask for them with `outputs`");
}

#[tokio::test]
async fn an_answer_says_where_it_comes_from() {
    let engine = Engine::new();
    let outer = engine
        .wrap_async(async |second: bool, call: &mut Call<'_, ()>| {
            if second {
                call.provenance().degraded = Some(Degraded::new("small").after("large", "it was busy"));
            }
            Ok(())
        })
        .build()
        .unwrap();
    assert!(!outer.infer(false).await.unwrap().is_degraded());
    let response = outer.infer(true).await.unwrap();
    let degraded = response.provenance.clone().unwrap().degraded.unwrap();
    assert!(response.is_degraded());
    assert_eq!((&*degraded.by, degraded.why), ("small", vec![("large".into(), "it was busy".into())]));
}
