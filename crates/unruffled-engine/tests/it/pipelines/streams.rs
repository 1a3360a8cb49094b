//! What comes in several outputs, and what is given in several.

use futures_util::StreamExt as _;
use unruffled_engine::{Engine, ErrorKind, Handle, Pipeline, PipelineStep};
use unruffled_model::{ModelError, Tensors};
use unruffled_testing::scripted::Gate;

use super::{Streaming, build, floats, line, map, scripted, x};
use crate::support::{check_error, engine_of, patiently, wait_until};

/// Each number of `x` as an output of its own.
fn split(engine: &Engine) -> Handle<Tensors, Tensors> {
    let split = Streaming::new("x: f32 [n]", "y: f32 [1]", |inputs, emit| {
        floats(inputs, "x").into_iter().try_for_each(|x| emit(Tensors::new().with("y", line([x]))))
    });
    engine.wrap_model(split).name("split").build().unwrap()
}

/// `x` item by item through `up`, emitted.
fn emitting(engine: &Engine, up: &Handle<Tensors, Tensors>) -> Handle<Tensors, Tensors> {
    let pipeline = Pipeline::new()
        .step(PipelineStep::new("up", up).input("x", "input.x").each(["x"]).in_flight(2))
        .output("y", "up.y")
        .output("progress", "up.progress")
        .output("x", "input.x")
        .emit(["y", "progress"]);
    engine.wrap_pipeline(&pipeline).unwrap().name("emitting").build().unwrap()
}

fn progress(output: &Tensors) -> Vec<i64> {
    output.get("progress").unwrap().elements::<i64>().unwrap().to_vec()
}

#[tokio::test]
async fn several_outputs_are_items() {
    let engine = engine_of(2);
    let (split, up) = (split(&engine), build(&engine, "up", map(|x| x + 1.0)));
    let pipeline = Pipeline::new()
        .step(PipelineStep::new("split", &split).input("x", "input.x").several())
        .step(PipelineStep::new("up", &up).input("x", "split.y").each(["x"]))
        .output("y", "up.y")
        .output("all", "split.y");
    let whole = engine.wrap_pipeline(&pipeline).unwrap().build().unwrap();
    for count in [0, 1, 200] {
        let given: Vec<f32> = (0..count).map(|at| at as f32).collect();
        let answer = patiently(whole.infer(x(given.clone())).submit()).await.unwrap();
        assert_eq!(floats(&answer, "all"), given);
        assert_eq!(floats(&answer, "y"), given.iter().map(|x| x + 1.0).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_slow_loop_holds_whoever_gives_its_items() {
    let (engine, gate) = (engine_of(2), Gate::closed());
    let given = super::Counter::default();
    let counted = given.clone();
    let endless = Streaming::new("x: f32 [n]", "y: f32 [1]", move |_, emit| {
        loop {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            emit(Tensors::new().with("y", line([0.0])))?;
        }
    });
    let endless = engine.wrap_model(endless).build().unwrap();
    let slow = build(&engine, "slow", map(|x| x).gated(&gate));
    let pipeline = Pipeline::new()
        .step(PipelineStep::new("endless", &endless).input("x", "input.x").several())
        .step(PipelineStep::new("slow", &slow).input("x", "endless.y").each(["x"]).in_flight(4))
        .output("y", "slow.y");
    let whole = engine.wrap_pipeline(&pipeline).unwrap().build().unwrap();
    let call = whole.infer(x([])).submit();
    let first = gate.entered().len();
    wait_until(|| slow.status().queued + first == 4);
    // Those under way, those that wait, those in the channel, and the one in hand.
    let most = 4 + 16 + 16 + 1;
    wait_until(|| given.load(std::sync::atomic::Ordering::SeqCst) == most);
    patiently(call.stop()).await;
    wait_until(|| endless.status().running + slow.status().running == 0);
    assert_eq!(given.load(std::sync::atomic::Ordering::SeqCst), most);
}

#[tokio::test]
async fn items_are_given_as_they_come() {
    let (engine, gate) = (engine_of(1), Gate::closed());
    let up = build(&engine, "up", map(|x| x + 1.0).gated(&gate).batching(unruffled_model::Batching::Single));
    let whole = emitting(&engine, &up);
    let mut outputs = whole.infer(x([1.0, 2.0, 3.0])).outputs();
    for at in 1..=3_i64 {
        gate.entered();
        gate.release(1);
        let output = patiently(outputs.next()).await.unwrap().unwrap();
        assert_eq!((floats(&output, "y"), progress(&output)), (vec![at as f32 + 1.0], vec![at, 3]));
    }
    let last = patiently(outputs.next()).await.unwrap().unwrap();
    assert_eq!((floats(&last, "x"), last.len()), (vec![1.0, 2.0, 3.0], 1));
    assert!(patiently(outputs.next()).await.is_none());
}

#[tokio::test]
async fn who_asks_for_one_answer_gets_all_at_once() {
    let engine = Engine::new();
    let up = build(&engine, "up", map(|x| x + 1.0));
    let answer = patiently(emitting(&engine, &up).infer(x([1.0, 2.0])).submit()).await.unwrap();
    assert_eq!((floats(&answer, "y"), progress(&answer), answer.len()), (vec![2.0, 3.0], vec![2, 2], 3));
}

#[tokio::test]
async fn nothing_is_no_output_but_progress_is_told() {
    let engine = Engine::new();
    let odd = build(
        &engine,
        "odd",
        scripted("x: f32 [1]", "y: f32 [?]", |inputs| {
            Ok(Tensors::new().with("y", line(floats(inputs, "x").into_iter().filter(|x| x % 100.0 == 99.0))))
        }),
    );
    let whole = emitting(&engine, &odd);
    let outputs: Vec<_> =
        whole.infer(x((0..1000).map(|at| at as f32))).outputs().map(Result::unwrap).collect().await;
    let given: Vec<f32> = outputs
        .iter()
        .filter_map(|output| output.get("y"))
        .flat_map(|y| y.elements::<f32>().unwrap().to_vec())
        .collect();
    assert_eq!(given, (0..10).map(|at| 100.0 * at as f32 + 99.0).collect::<Vec<_>>());
    let told: Vec<_> =
        outputs.iter().filter(|output| output.get("progress").is_some()).map(progress).collect();
    assert!(told.is_sorted() && told.len() > 50 && told.len() < 150, "{} times", told.len());
    assert_eq!(told.last(), Some(&vec![1000, 1000]));
}

#[tokio::test]
async fn what_came_before_a_failure_is_given() {
    let engine = Engine::new();
    let up = build(
        &engine,
        "up",
        scripted("x: f32 [1]", "y: f32 [1]", |inputs| {
            let x = floats(inputs, "x")[0];
            if x < 5.0 { Ok(Tensors::new().with("y", line([x]))) } else { Err(ModelError::failed("five")) }
        }),
    );
    let mut outputs = emitting(&engine, &up).infer(x((0..9).map(|at| at as f32))).outputs();
    let (mut given, mut error) = (Vec::new(), None);
    while let Some(output) = patiently(outputs.next()).await {
        match output {
            Ok(output) => given.extend(floats(&output, "y")),
            Err(told) => error = Some(told),
        }
    }
    assert_eq!(given, [0.0, 1.0, 2.0, 3.0, 4.0]);
    let error = error.map(Err::<unruffled_engine::Response<Tensors>, _>).unwrap();
    check_error(error, ErrorKind::ModelFailed, "step `up`: model `up`: five");
}

#[tokio::test]
async fn dropping_the_outputs_stops_the_steps() {
    let (engine, gate) = (engine_of(1), Gate::closed());
    let up = build(&engine, "up", map(|x| x).gated(&gate));
    let whole = emitting(&engine, &up);
    let outputs = whole.infer(x([1.0; 100])).outputs();
    gate.entered();
    drop(outputs);
    wait_until(|| up.status().running + up.status().queued == 0 && whole.status().running == 0);
}
