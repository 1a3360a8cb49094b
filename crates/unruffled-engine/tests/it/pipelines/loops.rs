//! Loops and scans: once for each item.

use std::sync::atomic::{AtomicUsize, Ordering};

use unruffled_engine::{Engine, ErrorKind, Handle, Pipeline, PipelineStep};
use unruffled_model::{Batching, ModelError, Tensor, Tensors};
use unruffled_testing::scripted::Gate;

use super::{Counter, build, floats, line, map, scripted, x};
use crate::support::{check_error, engine_of, patiently, wait_until};

fn whole(engine: &Engine, pipeline: &Pipeline) -> Handle<Tensors, Tensors> {
    engine.wrap_pipeline(pipeline).unwrap_or_else(|error| panic!("{error}")).name("whole").build().unwrap()
}

fn each(engine: &Engine, step: PipelineStep) -> Handle<Tensors, Tensors> {
    let step = step.input("x", "input.x").each(["x"]);
    whole(engine, &Pipeline::new().step(step).output("y", "each.y").output("progress", "each.progress"))
}

#[tokio::test]
async fn results_are_in_the_order_of_the_items() {
    let engine = engine_of(2);
    let up = engine.wrap_model(map(|x| x + 1.0).batching(Batching::Sequential)).instances(3).build().unwrap();
    let every = each(&engine, PipelineStep::new("each", &up));
    for count in [0, 1, 2, 300] {
        let answer = patiently(every.infer(x((0..count).map(|at| at as f32))).submit()).await.unwrap();
        assert_eq!(floats(&answer, "y"), (1..=count).map(|at| at as f32).collect::<Vec<_>>());
        assert_eq!(answer.get("progress").unwrap().elements::<i64>().unwrap(), [count, count]);
        assert_eq!(answer.provenance.as_ref().unwrap().steps[0].requests, count as usize);
    }
}

#[tokio::test]
async fn items_share_runs_and_no_more_are_under_way_than_may_be() {
    let (engine, gate) = (engine_of(1), Gate::closed());
    let model = map(|x| x + 1.0).gated(&gate);
    let script = model.script();
    let up = build(&engine, "up", model);
    let step = PipelineStep::new("each", &up).input("x", "input.x").each(["x"]).in_flight(5);
    let five = whole(&engine, &Pipeline::new().step(step).output("y", "each.y"));
    let answer = five.infer(x((0..12).map(|at| at as f32))).id("q").submit();
    let first = gate.entered().len();
    wait_until(|| up.status().queued + first == 5);
    gate.open();
    assert_eq!(
        floats(&patiently(answer).await.unwrap(), "y"),
        (1..=12).map(|at| at as f32).collect::<Vec<_>>()
    );
    let sizes = script.batch_sizes();
    assert_eq!(sizes.iter().sum::<usize>(), 12);
    // Five at a time: one in a run by itself leaves four that wait for the next.
    assert!(sizes.iter().all(|size| *size <= 5) && sizes.iter().any(|size| *size > 1), "{sizes:?}");
}

#[tokio::test]
async fn rows_may_go_in_groups() {
    let engine = Engine::new();
    let model = scripted("x: f32 [n]", "y: f32 [n], count: i64 []", |inputs| {
        let x = inputs.get("x").unwrap();
        Ok(Tensors::new().with("y", x.clone()).with("count", Tensor::scalar(x.len() as i64)))
    });
    let model = build(&engine, "m", model);
    let step = PipelineStep::new("each", &model).input("x", "input.x").each(["x"]).rows(4);
    let pipeline = Pipeline::new().step(step).output("y", "each.y").output("counts", "each.count");
    let whole = whole(&engine, &pipeline);
    let answer = whole.infer(x((0..10).map(|at| at as f32))).await.unwrap();
    assert_eq!(floats(&answer, "y"), (0..10).map(|at| at as f32).collect::<Vec<_>>());
    assert_eq!(answer.get("counts").unwrap().elements::<i64>().unwrap(), [4, 4, 2]);
}

#[tokio::test]
async fn ragged_results_are_joined_or_refused() {
    let engine = Engine::new();
    let repeat = |inputs: &Tensors, wide: bool| {
        let count = floats(inputs, "x")[0] as usize;
        let shape = if wide { [1, count] } else { [count, 1] };
        Ok(Tensors::new().with("y", Tensor::new(&shape, vec![count as f32; count])?))
    };
    let tall =
        build(&engine, "m", scripted("x: f32 [1]", "y: f32 [? ?]", move |inputs| repeat(inputs, false)));
    let wide =
        build(&engine, "m", scripted("x: f32 [1]", "y: f32 [? ?]", move |inputs| repeat(inputs, true)));
    let answer = each(&engine, PipelineStep::new("each", &tall)).infer(x([2.0, 0.0, 3.0])).await.unwrap();
    assert_eq!(answer.get("y").unwrap().shape(), [5, 1]);
    assert_eq!(floats(&answer, "y"), [2.0, 2.0, 3.0, 3.0, 3.0]);
    let ragged = each(&engine, PipelineStep::new("each", &wide)).infer(x([2.0, 3.0])).await;
    check_error(
        ragged,
        ErrorKind::ModelFailed,
        "step `each`, output `y`: its items cannot be joined: cannot join f32 [1, 3] to f32 [1, 2]",
    );
    // Nobody joins them where they are taken one by one.
    let count = build(
        &engine,
        "count",
        scripted("x: f32 [n m]", "y: f32 []", |inputs| {
            Ok(Tensors::new().with("y", Tensor::scalar(inputs.get("x").unwrap().len() as f32)))
        }),
    );
    let pipeline = Pipeline::new()
        .step(PipelineStep::new("wide", &wide).input("x", "input.x").each(["x"]))
        .step(PipelineStep::new("count", &count).input("x", "wide.y").each(["x"]))
        .output("y", "count.y");
    let answer = whole(&engine, &pipeline).infer(x([2.0, 3.0, 1.0])).await.unwrap();
    assert_eq!(floats(&answer, "y"), [2.0, 3.0, 1.0]);
}

#[tokio::test]
async fn two_inputs_go_along_with_each_other() {
    let engine = Engine::new();
    let add = build(&engine, "sum", super::sum());
    let scale = build(&engine, "ten", map(|x| 10.0 * x));
    let step = |inputs: [&str; 2]| {
        let add = PipelineStep::new("add", &add).input("a", inputs[0]).input("b", inputs[1]).each(["a", "b"]);
        let ten = PipelineStep::new("ten", &scale).input("x", "input.x").each(["x"]);
        whole(&engine, &Pipeline::new().step(ten).step(add).output("y", "add.y"))
    };
    let answer = step(["input.x", "ten.y"]).infer(x([1.0, 2.0, 3.0])).await.unwrap();
    assert_eq!(floats(&answer, "y"), [11.0, 22.0, 33.0]);
    let drop_one = build(
        &engine,
        "drop",
        scripted("x: f32 [n]", "y: f32 [?]", |inputs| {
            Ok(Tensors::new().with("y", line(floats(inputs, "x").into_iter().skip(1))))
        }),
    );
    let pipeline = Pipeline::new()
        .step(PipelineStep::new("drop", &drop_one).input("x", "input.x"))
        .step(PipelineStep::new("add", &add).input("a", "input.x").input("b", "drop.y").each(["a", "b"]))
        .output("y", "add.y");
    check_error(
        whole(&engine, &pipeline).infer(x([1.0, 2.0, 3.0])).await,
        ErrorKind::ModelFailed,
        "step `add`: one of the inputs that it repeats for has 2 items, another more",
    );
}

#[tokio::test]
async fn the_first_item_that_fails_stops_the_others() {
    let (engine, seen) = (engine_of(1), Counter::new(AtomicUsize::new(0)));
    let counted = std::sync::Arc::clone(&seen);
    let model = scripted("x: f32 [n]", "y: f32 [n]", move |inputs| {
        counted.fetch_add(1, Ordering::SeqCst);
        if floats(inputs, "x") == [3.0] { Err(ModelError::failed("three")) } else { Ok(x([0.0])) }
    });
    let picky = build(&engine, "picky", model.batching(Batching::Single));
    let step = PipelineStep::new("each", &picky).input("x", "input.x").each(["x"]).in_flight(2);
    let every = whole(&engine, &Pipeline::new().step(step).output("y", "each.progress"));
    let error = patiently(every.infer(x((0..1000).map(|at| at as f32))).submit()).await;
    check_error(error, ErrorKind::ModelFailed, "step `each`: model `picky`: three");
    assert_eq!((picky.status().queued, picky.status().running), (0, 0));
    assert!(seen.load(Ordering::SeqCst) < 10, "{seen:?} were run");
}

/// The sum of all items so far, and how many there were.
fn running_sum() -> unruffled_testing::scripted::ScriptedModel<Tensors, Tensors> {
    scripted("x: f32 [n], state: f32 [n 2], last: bool [1]", "y: f32 [n], stateN: f32 [n 2]", |inputs| {
        let (x, state) = (floats(inputs, "x"), floats(inputs, "state"));
        let sum = state[0] + x[0];
        let last = inputs.get("last").unwrap().elements::<bool>()?[0];
        let state = Tensor::new(&[1, 2], vec![sum, state[1] + 1.0])?;
        Ok(Tensors::new().with("y", line([if last { -sum } else { sum }])).with("stateN", state))
    })
    .batching(Batching::Sequential)
}

#[tokio::test]
async fn a_scan_hands_its_state_on() {
    let engine = engine_of(2);
    let sum = build(&engine, "sum", running_sum());
    let up = build(&engine, "up", map(|x| x + 1.0));
    let scan = |from: &str| {
        let step = PipelineStep::new("scan", &sum).input("x", from).input("last", "item.last");
        step.scan(["x"]).carry("stateN", "state")
    };
    let rows = whole(
        &engine,
        &Pipeline::new().step(scan("input.x")).output("y", "scan.y").output("state", "scan.stateN"),
    );
    let answer = rows.infer(x([1.0, 2.0, 3.0, 4.0])).await.unwrap();
    assert_eq!(floats(&answer, "y"), [1.0, 3.0, 6.0, -10.0]);
    assert_eq!(floats(&answer, "state"), [1.0, 1.0, 3.0, 2.0, 6.0, 3.0, 10.0, 4.0]);
    let first = scan("input.x").input("state", Tensor::new(&[1, 2], vec![100.0_f32, 0.0]).unwrap());
    let first = whole(&engine, &Pipeline::new().step(first).output("y", "scan.y"));
    assert_eq!(floats(&first.infer(x([1.0, 2.0])).await.unwrap(), "y"), [101.0, -103.0]);
    // Which item is the last is known when those that come item by item have come.
    let items = Pipeline::new()
        .step(PipelineStep::new("up", &up).input("x", "input.x").each(["x"]))
        .step(scan("up.y"))
        .output("y", "scan.y");
    let items = whole(&engine, &items);
    let calls: Vec<_> = (0..20).map(|_| items.infer(x([0.0, 1.0, 2.0])).submit()).collect();
    for call in calls {
        assert_eq!(floats(&patiently(call).await.unwrap(), "y"), [1.0, 3.0, -6.0]);
    }
}
