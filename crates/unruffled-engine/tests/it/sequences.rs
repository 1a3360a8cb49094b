//! Sessions on real threads: state that survives what happens to instances, and callers in any order.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use unruffled_engine::{Engine, ErrorKind, Handle, PoolOptions, Recipe, Rollout, SequenceOptions, Sequences};
use unruffled_model::{
    Batching, DType, Dim, ModelError, RunContext, SequenceSpec, SharedModel, Signature, Stateful,
    StatefulCarrier, Tensor, TensorCarrier, TensorSpec, Tensors,
};
use unruffled_testing::scripted::{Gate, ScriptedModel, tensors};

use crate::support::{patiently, runtime};

/// Counts, and panics at numbers that cannot be counted.
struct Count;

impl Stateful for Count {
    type Item = Option<u64>;
    type Reply = u64;
    type State = u64;

    fn initial(&self) -> u64 {
        0
    }

    fn run(&self, item: &Option<u64>, sum: &mut u64, _: &RunContext<'_>) -> Result<u64, ModelError> {
        *sum += item.expect("a number");
        Ok(*sum)
    }
}

fn counts(engine: &Engine, instances: usize) -> Sequences<StatefulCarrier<Count>> {
    let counts = engine.wrap_stateful(Count).name("count").instances(instances).build().unwrap();
    counts.sequences(SequenceOptions::default()).unwrap()
}

#[test]
fn an_instance_that_dies_takes_no_session_with_it() {
    let engine = Engine::new();
    let sequences = counts(&engine, 2);
    runtime().block_on(async {
        let sessions: Vec<_> = (0..8).map(|_| sequences.begin().unwrap()).collect();
        for round in 1..=20 {
            let deadly = &sessions[round % 8];
            let died = deadly.infer(None).submit();
            let all = sessions.iter().map(|session| session.infer(Some(1)).submit());
            for outcome in patiently(join_all(all)).await {
                assert_eq!(outcome.unwrap().output, round as u64);
            }
            assert_eq!(patiently(died).await.unwrap_err().kind(), ErrorKind::ModelCrashed);
        }
    });
}

/// Each session's successes count, and nothing else does, whatever callers do with their futures.
#[test]
fn a_storm_of_callers_leaves_every_session_right() {
    let engine = Engine::new();
    let sequences = counts(&engine, 3);
    let sequences = &sequences;
    std::thread::scope(|scope| {
        let storm = |seed: u64, sequences: &Sequences<StatefulCarrier<Count>>| {
            let mut random = fastrand::Rng::with_seed(seed);
            runtime().block_on(async {
                let session = sequences.begin().unwrap();
                for _ in 0..200 {
                    let before = session.snapshot().unwrap();
                    let calls: Vec<_> =
                        (0..random.usize(1..6)).map(|_| session.infer(Some(1)).submit()).collect();
                    let mut answers = Vec::new();
                    for call in calls {
                        match random.u32(..4) {
                            0 => drop(call),
                            1 => {
                                call.canceller().cancel();
                                answers.extend(patiently(call).await.ok());
                            }
                            _ => answers.push(patiently(call).await.unwrap()),
                        }
                    }
                    // Dropped ones may have been answered before; nothing goes on any more once this has been.
                    let last = patiently(session.infer(Some(0)).into_future()).await.unwrap();
                    let after = session.snapshot().unwrap();
                    let counted = answers.len() as u64 + 1;
                    assert!(after.steps() >= before.steps() + counted);
                    assert!(answers.is_sorted_by(|a, b| a.output < b.output), "in order");
                    assert_eq!(after.state().unwrap(), last.output);
                }
            });
        };
        (0..4_u64).for_each(|seed| drop(scope.spawn(move || storm(seed, sequences))));
    });
    let status = sequences.status();
    assert_eq!((status.sessions, status.waiting, status.running, status.bytes), (0, 0, 0, 0));
}

/// Adds what comes to its state, for all rows at once, and tells the end of the last input as well.
fn adder() -> ScriptedModel<Tensors, Tensors> {
    adding_times(1.0)
}

/// The same, but that what comes counts so many times.
fn adding_times(times: f32) -> ScriptedModel<Tensors, Tensors> {
    let rows = || Dim::Symbolic("batch".into());
    let signature = Signature {
        inputs: vec![
            TensorSpec::new("x", DType::F32, [rows(), Dim::Symbolic("length".into())]),
            TensorSpec::new("state", DType::F32, [Dim::Fixed(1), rows()]),
        ],
        outputs: vec![
            TensorSpec::new("y", DType::F32, [rows(), Dim::Any]),
            TensorSpec::new("next", DType::F32, [Dim::Fixed(1), rows()]),
        ],
    };
    let model = tensors(signature, move |inputs, _| {
        let x = inputs.get("x").unwrap();
        let added: f32 = x.elements::<f32>()?.iter().sum();
        let sum = times * added + inputs.get("state").unwrap().elements::<f32>()?[0];
        Ok(Tensors::new().with("y", x.clone()).with("next", Tensor::filled(&[1, 1], sum)?))
    });
    model.with_info(|info| {
        *info =
            info.clone().with_sequence(SequenceSpec::new().with_state("next", "state").with_overlap("x", 1));
    })
}

fn x(number: f32) -> Tensors {
    Tensors::new().with("x", Tensor::filled(&[1, 1], number).unwrap())
}

#[test]
fn tensors_are_kept_and_calls_of_sessions_meet() {
    let engine = Engine::new();
    let gate = Gate::closed();
    let model = adder().gated(&gate).batching(Batching::Joint);
    let script = model.script();
    let handle = engine.wrap_model(model).options(PoolOptions::default().with_max_batch(8)).build().unwrap();
    let sequences: Sequences<TensorCarrier> = handle.sequences(SequenceOptions::default()).unwrap();
    runtime().block_on(async {
        let sessions: Vec<_> = (0..5).map(|_| sequences.begin().unwrap()).collect();
        let mut calls = vec![sessions[0].infer(x(1.0)).submit()];
        let _first = gate.entered();
        calls.extend(sessions[1..].iter().map(|session| session.infer(x(1.0)).submit()));
        gate.open();
        patiently(join_all(calls)).await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
        assert_eq!(script.batch_sizes(), [1, 4], "those that waited met");
        let answer = patiently(sessions[3].infer(x(2.0)).into_future()).await.unwrap();
        assert_eq!(answer.get("y").unwrap().elements::<f32>().unwrap(), [1.0, 2.0], "with the one before");
        assert_eq!(answer.get("next"), None);
        let snapshot = sessions[3].snapshot().unwrap();
        assert_eq!(snapshot.state().get("state").unwrap().elements::<f32>().unwrap(), [4.0]);
    });
}

#[test]
fn sessions_go_on_with_a_new_version_from_the_state_that_they_have() {
    let engine = Engine::new();
    let recipe = |times: f32| Recipe::once(move |_| Ok(Arc::new(adding_times(times)) as SharedModel<_, _>));
    runtime().block_on(async {
        let loading = engine.load_from("adder", PoolOptions::default(), recipe(1.0)).unwrap();
        let handle: Handle<Tensors, Tensors> = patiently(loading).await.unwrap();
        let session = handle.sequences(SequenceOptions::default()).unwrap().begin().unwrap();
        let next = || async { patiently(session.infer(x(1.0)).into_future()).await.unwrap() };
        let kept = || session.snapshot().unwrap().state().get("state").unwrap().elements::<f32>().unwrap()[0];
        next().await;
        next().await;
        // With the one before, which is 0 at first.
        assert_eq!(kept(), 1.0 + 2.0);
        let loading =
            engine.reload("adder", PoolOptions::default(), recipe(100.0), Rollout::Replace).unwrap();
        let _: Handle<Tensors, Tensors> = patiently(loading).await.unwrap();
        next().await;
        assert_eq!(kept(), 3.0 + 200.0, "the old state, and what the new version adds");
    });
}

#[test]
fn what_keeps_no_state_has_no_sessions() {
    let engine = Engine::new();
    let handle = engine.wrap_model(unruffled_testing::scripted::doubling()).name("double").build().unwrap();
    let error = handle.sequences(SequenceOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("model `double`: keeps no state between calls"), "{error}");
    let sequences =
        engine.wrap_model(adder()).build().unwrap().sequences(SequenceOptions::default()).unwrap();
    let wrong = Tensors::new().with("x", Tensor::scalar(1_f32));
    let error = runtime().block_on(sequences.begin().unwrap().infer(wrong).into_future()).unwrap_err();
    assert_eq!((error.kind(), error.tensor()), (ErrorKind::InvalidInput, Some("x")));
}

#[test]
fn shutting_down_ends_sessions() {
    let engine = Engine::new();
    let sequences = counts(&engine, 1);
    runtime().block_on(async {
        let session = sequences.begin_named("x").unwrap();
        session.infer(Some(1)).await.unwrap();
        engine.shutdown(Duration::from_secs(20)).await;
        let error = session.infer(Some(1)).await.unwrap_err();
        assert_eq!((error.kind(), error.model()), (ErrorKind::ShuttingDown, Some("count")));
        assert_eq!(sequences.begin().unwrap_err().kind(), ErrorKind::ShuttingDown);
        assert_eq!(sequences.status().sessions, 0);
    });
}
