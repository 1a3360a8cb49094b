//! One call: branches, failures, deadlines, what travels and what is held.

use std::time::Duration;

use unruffled_engine::{Engine, ErrorKind, Handle, Pipeline, PipelineStep, Priority, RequestId};
use unruffled_model::{DType, Dim, ModelError, Tensor, TensorSpec, Tensors};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use super::{build, floats, line, map, scripted, sum, x};
use crate::support::{check_error, engine_of, failed, patiently, wait_until};

type Model = ScriptedModel<Tensors, Tensors>;

/// `x` through `left` and through `right`, and both added.
fn diamond(engine: &Engine, left: Model, right: Model) -> [Handle<Tensors, Tensors>; 4] {
    let [left, right] = [("left", left), ("right", right)].map(|(name, model)| build(engine, name, model));
    let both = build(engine, "sum", sum());
    let pipeline = Pipeline::new()
        .step(PipelineStep::new("both", &both).input("a", "l.y").input("b", "r.y"))
        .step(PipelineStep::new("l", &left).input("x", "input.x"))
        .step(PipelineStep::new("r", &right).input("x", "input.x"))
        .output("y", "both.y");
    let whole = engine.wrap_pipeline(&pipeline).unwrap().name("whole").build().unwrap();
    [whole, left, right, both]
}

#[tokio::test]
async fn branches_run_side_by_side() {
    let (engine, gate) = (engine_of(4), Gate::closed());
    let [whole, ..] = diamond(&engine, map(|x| x + 1.0).gated(&gate), map(|x| 10.0 * x).gated(&gate));
    let answer = whole.infer(x([1.0, 2.0])).id("q").submit();
    // Neither has been let on, and both are there.
    let mut there = [gate.entered(), gate.entered()].concat();
    there.sort_by_key(ToString::to_string);
    assert_eq!(there, [RequestId::Text("q/l".into()), RequestId::Text("q/r".into())]);
    gate.open();
    let answer = patiently(answer).await.unwrap();
    assert_eq!(floats(&answer, "y"), [12.0, 23.0]);
    let steps = &answer.provenance.as_ref().unwrap().steps;
    let mut names: Vec<_> = steps.iter().map(|step| (&*step.name, step.requests)).collect();
    assert_eq!(names.pop(), Some(("both", 1)));
    names.sort_unstable();
    assert_eq!(names, [("l", 1), ("r", 1)]);
    assert!(steps.iter().all(|step| step.total >= step.run && step.run > Duration::ZERO));
}

#[tokio::test]
async fn the_context_travels_to_every_step() {
    let engine = Engine::new();
    let model = unruffled_testing::scripted::tensors(
        super::signature("x: f32 [n]", "y: f32 [n], id: bytes []"),
        |inputs, ctx| {
            let context = ctx.request().expect("one request a run");
            let told = format!(
                "{} {:?} {:?}",
                context.id(),
                context.priority(),
                context.baggage().collect::<Vec<_>>()
            );
            assert!(context.deadline().is_some() && context.caller().is_some());
            let x = inputs.get("x").unwrap().clone();
            Ok(Tensors::new().with("y", x).with("id", Tensor::scalar(unruffled_model::Bytes::from(told))))
        },
    );
    let model = build(&engine, "m", model.batching(unruffled_model::Batching::Single));
    let pipeline = Pipeline::new()
        .step(PipelineStep::new("a", &model).input("x", "input.x"))
        .step(PipelineStep::new("b", &model).input("x", "a.y"))
        .output("a", "a.id")
        .output("b", "b.id");
    let whole = engine.wrap_pipeline(&pipeline).unwrap().build().unwrap();
    let request = whole.infer(x([1.0])).id("q").priority(Priority::Bulk).baggage("tenant", "t");
    let request = request.caller(unruffled_engine::Caller::new("window")).timeout(Duration::from_secs(3600));
    let answer = request.await.unwrap();
    let told = |name: &str| {
        String::from_utf8(answer.get(name).unwrap().elements::<unruffled_model::Bytes>().unwrap()[0].to_vec())
            .unwrap()
    };
    assert_eq!(told("a"), "q/a Bulk [(\"tenant\", \"t\")]");
    assert_eq!(told("b"), "q/b Bulk [(\"tenant\", \"t\")]");
}

#[tokio::test]
async fn the_first_failure_stops_the_others() {
    let (engine, gate) = (engine_of(4), Gate::closed());
    let broken = scripted("x: f32 [n]", "y: f32 [n]", |_| Err(ModelError::failed("no luck")));
    let [whole, left, right, both] = diamond(&engine, map(|x| x).gated(&gate), broken);
    let error = patiently(whole.infer(x([1.0])).submit()).await;
    check_error(error, ErrorKind::ModelFailed, "model `whole`: step `r`: model `right`: no luck");
    // Nothing of it goes on: the other branch has stopped at its gate.
    assert_eq!((left.status().running, left.status().queued, right.status().running), (0, 0, 0));
    assert_eq!(both.metrics().runs, 0);
}

#[tokio::test]
async fn one_deadline_covers_all_steps() {
    let (engine, gate) = (engine_of(4), Gate::closed());
    let [whole, left, right, both] = diamond(&engine, map(|x| x).gated(&gate), map(|x| x));
    let error = patiently(whole.infer(x([1.0])).timeout(Duration::from_millis(30)).submit()).await;
    check_error(error, ErrorKind::DeadlineExceeded, "");
    wait_until(|| left.status().running + right.status().running == 0);
    assert_eq!(both.metrics().runs, 0);
    gate.open();
    assert_eq!(floats(&patiently(whole.infer(x([1.0])).submit()).await.unwrap(), "y"), [2.0]);
}

#[tokio::test]
async fn giving_up_reaches_every_step() {
    let (engine, gate) = (engine_of(4), Gate::closed());
    let [whole, left, right, _] = diamond(&engine, map(|x| x).gated(&gate), map(|x| x).gated(&gate));
    let answer = whole.infer(x([1.0])).submit();
    gate.entered();
    gate.entered();
    patiently(answer.stop()).await;
    wait_until(|| left.status().running + right.status().running == 0);
    assert_eq!(gate.waiting(), 0);
}

#[tokio::test]
async fn a_model_that_dies_is_told_with_its_step() {
    let engine = Engine::new();
    let dying =
        scripted("x: f32 [n]", "y: f32 [n]", |_| std::panic::resume_unwind(Box::new("boom".to_owned())));
    let [whole, ..] = diamond(&engine, map(|x| x), dying);
    let error = patiently(whole.infer(x([1.0])).submit()).await;
    check_error(error, ErrorKind::ModelCrashed, "step `r`: model `right`: panicked: boom");
}

#[tokio::test]
async fn inputs_are_checked_at_the_door() {
    let engine = Engine::new();
    let [whole, left, ..] = diamond(&engine, map(|x| x), map(|x| x));
    let wrong = Tensors::new().with("x", Tensor::scalar(1_i64));
    check_error(
        whole.infer(wrong).await,
        ErrorKind::InvalidInput,
        "`x`: expected elements of type f32, got i64",
    );
    check_error(whole.infer(Tensors::new()).await, ErrorKind::InvalidInput, "input is missing");
    assert_eq!(left.metrics().runs, 0);
}

#[tokio::test]
async fn steps_wait_for_room_and_never_overload_themselves() {
    let engine = engine_of(2);
    let options = unruffled_engine::PoolOptions::default()
        .with_queue(unruffled_engine::QueueLimits { items: 1, bytes: 1 << 20 });
    let narrow = engine.wrap_model(map(|x| x + 1.0)).options(options).build().unwrap();
    let step = |name: &str| PipelineStep::new(name, &narrow).input("x", "input.x");
    let pipeline = (0..8).fold(Pipeline::new(), |pipeline, at| {
        let name = format!("s{at}");
        pipeline.step(step(&name)).output(name.clone(), format!("{name}.y"))
    });
    let whole = engine.wrap_pipeline(&pipeline).unwrap().build().unwrap();
    let calls: Vec<_> = (0..20).map(|at| whole.infer(x([at as f32])).submit()).collect();
    for (at, call) in calls.into_iter().enumerate() {
        let answer = patiently(call).await.unwrap();
        assert!((0..8).all(|step| floats(&answer, &format!("s{step}")) == [at as f32 + 1.0]));
    }
    assert_eq!(failed(&narrow, ErrorKind::Overloaded), 0);
}

#[tokio::test]
async fn a_call_holds_no_more_than_it_may() {
    let engine = Engine::new();
    let wide = build(
        &engine,
        "wide",
        scripted("x: f32 [n]", "y: f32 [m]", |inputs| {
            let x = floats(inputs, "x");
            Ok(Tensors::new().with("y", line(vec![0.0; 100 * x.len()])))
        }),
    );
    let sum = build(
        &engine,
        "count",
        scripted("x: f32 [n]", "y: f32 []", |inputs| {
            Ok(Tensors::new().with("y", Tensor::scalar(floats(inputs, "x").len() as f32)))
        }),
    );
    let pipeline = |bytes| {
        let steps = Pipeline::new()
            .step(PipelineStep::new("wide", &wide).input("x", "input.x"))
            .step(PipelineStep::new("wider", &wide).input("x", "wide.y"))
            .step(PipelineStep::new("count", &sum).input("x", "wider.y"))
            .output("y", "count.y")
            .bytes(bytes);
        engine.wrap_pipeline(&steps).unwrap().build().unwrap()
    };
    // One number of 4 bytes becomes a hundred, then ten thousand. What was taken is let go of.
    let enough = pipeline(40_000);
    assert_eq!(floats(&enough.infer(x([1.0])).await.unwrap(), "y"), [10_000.0]);
    let error = pipeline(39_999).infer(x([1.0])).await;
    check_error(
        error,
        ErrorKind::InvalidInput,
        "step `wider`, output `y`: with it a call would hold 40000 bytes, more than the 39999 that one may",
    );
    check_error(pipeline(3).infer(x([1.0])).await, ErrorKind::InvalidInput, "input `x`: with it");
}

#[tokio::test]
async fn values_are_shared_not_copied() {
    let engine = Engine::new();
    let place = build(
        &engine,
        "place",
        scripted("x: f32 [n]", "y: i64 []", |inputs| {
            let at = inputs.get("x").unwrap().elements::<f32>()?.as_ptr() as i64;
            Ok(Tensors::new().with("y", Tensor::scalar(at)))
        }),
    );
    let pipeline = Pipeline::new()
        .step(PipelineStep::new("a", &place).input("x", "input.x"))
        .step(PipelineStep::new("b", &place).input("x", "input.x"))
        .output("a", "a.y")
        .output("b", "b.y")
        .output("x", "input.x");
    let whole = engine.wrap_pipeline(&pipeline).unwrap().build().unwrap();
    let answer = whole.infer(x([1.0, 2.0, 3.0])).await.unwrap();
    let at = |name: &str| answer.get(name).unwrap().elements::<i64>().unwrap()[0];
    let given = answer.get("x").unwrap().elements::<f32>().unwrap().as_ptr() as i64;
    assert_eq!((at("a"), at("b")), (given, given));
}

#[tokio::test]
async fn constants_and_defaults_stand_in() {
    let engine = Engine::new();
    let add = build(&engine, "sum", sum());
    let declared = TensorSpec {
        default: Some(Tensor::scalar(5_f32)),
        ..TensorSpec::new("b", DType::F32, [Dim::Symbolic("n".into())])
    };
    let declared_a = TensorSpec::new("a", DType::F32, [Dim::Symbolic("n".into())]);
    let pipeline = Pipeline::new()
        .input(declared_a)
        .input(declared)
        .step(PipelineStep::new("first", &add).input("a", "input.a").input("b", "input.b"))
        .step(PipelineStep::new("second", &add).input("a", "first.y").input("b", line([100.0, 200.0])))
        .output("y", "second.y");
    let whole = engine.wrap_pipeline(&pipeline).unwrap().build().unwrap();
    let answer = whole.infer(Tensors::new().with("a", line([1.0, 2.0]))).await.unwrap();
    assert_eq!(floats(&answer, "y"), [106.0, 207.0]);
}

#[tokio::test]
async fn a_pipeline_is_a_step_of_another() {
    let engine = engine_of(2);
    build(&engine, "unused", sum());
    let inner = Pipeline::new()
        .step(PipelineStep::new("up", build(&engine, "up", map(|x| x + 1.0))).input("x", "input.x"))
        .output("y", "up.y");
    engine.wrap_pipeline(&inner).unwrap().name("inner").register().unwrap();
    let outer = Pipeline::new()
        .step(PipelineStep::new("once", "inner").input("x", "input.x"))
        .step(PipelineStep::new("twice", "inner").input("x", "once.y"))
        .output("y", "twice.y");
    let outer = engine.wrap_pipeline(&outer).unwrap().name("outer").build().unwrap();
    let calls: Vec<_> = (0..50).map(|at| outer.infer(x([at as f32])).submit()).collect();
    for (at, call) in calls.into_iter().enumerate() {
        assert_eq!(floats(&patiently(call).await.unwrap(), "y"), [at as f32 + 2.0]);
    }
}
