//! A model that breaks costs its instance and its batch, nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use unruffled_engine::{Engine, ErrorKind, Handle, PoolOptions};
use unruffled_model::{FnModel, Footprint, LoadedModel, ModelError, ModelInfo, RunContext, Serve};
use unruffled_testing::scripted::{Gate, Script, ScriptedModel};

use crate::support::{
    adding, check_alive, check_error, engine_of, patiently, poll_once, runtime, wait_until,
};

#[tokio::test]
async fn a_panic_is_answered_and_the_instance_replaced() {
    let model = adding();
    let script = model.script();
    let handle = Engine::new().wrap_model(model).name("nervous").build().unwrap();
    handle.infer(0).await.unwrap();
    script.panic_next(1);
    let outcome = handle.infer(1).await;
    check_error(outcome, ErrorKind::ModelCrashed, "model `nervous`: panicked: the script panics in this run");
    assert_eq!(handle.infer(2).await.unwrap().output, 3);
    assert_eq!(script.instances_built(), 2);
}

#[tokio::test]
async fn what_waits_survives_a_panic() {
    let gate = Gate::closed();
    let model = adding().gated(&gate);
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    script.panic_next(1);
    let doomed = handle.infer(0).submit();
    gate.entered();
    let next = handle.infer(1).submit();
    gate.open();
    assert_eq!(doomed.await.unwrap_err().kind(), ErrorKind::ModelCrashed);
    assert_eq!(next.await.unwrap().output, 2);
}

#[tokio::test]
async fn a_failure_costs_nobody_else() {
    let model = adding();
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    script.fail_next(ModelError::failed("out of luck"));
    check_error(handle.infer(0).await, ErrorKind::ModelFailed, "out of luck");
    assert_eq!(handle.infer(1).await.unwrap().output, 2);
    assert_eq!(script.instances_built(), 1, "a failure is no crash");
}

#[tokio::test]
async fn a_crash_that_the_model_reports_replaces_the_instance() {
    let model = adding();
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    script.fail_next(ModelError::crashed("the process died"));
    check_error(handle.infer(0).await, ErrorKind::ModelCrashed, "the process died");
    assert_eq!(handle.infer(1).await.unwrap().output, 2);
    assert_eq!(script.instances_built(), 2);
}

#[tokio::test]
async fn a_model_that_is_stopped_by_killing_it_is_back_at_once_however_often() {
    let (tell, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let model = FnModel::interruptible(move |_: &u32, ctx: &RunContext<'_>| -> Result<u32, ModelError> {
        tell.send(()).unwrap();
        while !ctx.is_cancelled() {
            std::thread::yield_now();
        }
        Err(ModelError::crashed("killed, as it did not stop"))
    });
    let handle = Engine::new().wrap_model(model).build().unwrap();
    // Taken for crashes, the last of them would be followed by pauses of five seconds each.
    for _ in 0..30 {
        let request = handle.infer(0).submit();
        patiently(begun.recv()).await.unwrap();
        drop(request);
    }
}

#[test]
fn nobody_waits_for_an_instance_that_cannot_be_built() {
    let runtime = runtime();
    let model = adding();
    let script = model.script();
    script.fail_instances(3);
    let handle = Engine::new().wrap_model(model).build().unwrap();
    // Refused or taken out of the queue: answered either way, until the fourth attempt succeeds.
    let outcome = loop {
        match runtime.block_on(async { handle.infer(0).await }) {
            Err(error) if error.kind() == ErrorKind::NotReady => {
                assert!(error.to_string().contains("no instance could be built"), "{error}");
                std::thread::yield_now();
            }
            outcome => break outcome,
        }
    };
    assert_eq!(outcome.unwrap().output, 1);
    check_alive(&runtime, &handle);
}

/// An input whose end panics: a caller's own code, on the instance's thread.
struct Fragile(u32);

impl Drop for Fragile {
    fn drop(&mut self) {
        assert_ne!(self.0, 13, "an unlucky input");
    }
}

#[tokio::test]
async fn an_input_that_panics_when_dropped_hangs_nobody() {
    let model = ScriptedModel::new(|x: &Fragile, _: &RunContext<'_>| Ok(x.0 + 1));
    let script = model.script();
    let handle = Engine::new().wrap_model(model).build().unwrap();
    handle.infer(Fragile(0)).await.unwrap();
    script.fail_next(ModelError::failed("out of luck"));
    let outcome = handle.infer(Fragile(13)).await;
    check_error(outcome, ErrorKind::ModelFailed, "out of luck");
    assert_eq!(handle.infer(Fragile(1)).await.unwrap().output, 2);
    let status = handle.status();
    assert_eq!((status.instances, status.running, status.ready), (1, 0, true));
}

#[tokio::test]
async fn a_crash_of_a_batch_of_one_tensor_request_replaces_the_instance() {
    use unruffled_model::{JointModel, LoadedModel, ModelInfo, Serve, Tensor, TensorRun, Tensors};
    use unruffled_testing::scripted::doubling;

    /// Its first instance crashes at every run; those after it answer.
    struct Mortal(ModelInfo, std::sync::atomic::AtomicUsize);
    struct Run<'a>(&'a Mortal);

    impl TensorRun for Run<'_> {
        fn run(&mut self, inputs: &Tensors, _: &RunContext<'_>) -> Result<Tensors, ModelError> {
            match self.0.1.load(std::sync::atomic::Ordering::SeqCst) {
                1 => Err(ModelError::crashed("the process died")),
                _ => Ok(Tensors::new().with("y", inputs.get("x").unwrap().clone())),
            }
        }
    }

    impl LoadedModel for Mortal {
        type Input = Tensors;
        type Output = Tensors;

        fn info(&self) -> &ModelInfo {
            &self.0
        }

        fn admit(&self, inputs: &Tensors) -> Result<unruffled_model::Footprint, ModelError> {
            unruffled_model::admit_tensors(&self.0, inputs)
        }

        fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
            self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            serve(&mut JointModel::new(&self.0, Run(self)));
            Ok(())
        }
    }

    let model = Mortal(doubling().info().clone(), 0.into());
    let handle = Engine::new().wrap_model(model).build().unwrap();
    let request = || Tensors::new().with("x", Tensor::filled(&[1, 2], 1_f32).unwrap());
    check_error(handle.infer(request()).await, ErrorKind::ModelCrashed, "the process died");
    assert!(handle.infer(request()).await.is_ok(), "the instance was not replaced");
}

#[tokio::test]
async fn a_row_that_reports_a_crash_of_its_own_is_the_culprit_and_its_neighbour_is_run_again() {
    let engine = Engine::new();
    let model = engine
        .wrap_interruptible(|&x: &u32, _| match x {
            13 => Err(ModelError::crashed("the process died")),
            x => Ok(x + 1),
        })
        .build()
        .unwrap();
    // Quick ones first: then several share a hand-over.
    for x in 100..200 {
        model.infer(x).await.unwrap();
    }
    for inputs in [[13, 1], [1, 13]] {
        let report = engine.group(inputs.map(|x| model.infer(x))).run_all().await;
        for (outcome, x) in report.outcomes().iter().zip(inputs) {
            match outcome {
                Ok(response) => assert_eq!((x, response.output), (1, 2)),
                Err(error) => {
                    assert_eq!((x, error.kind()), (13, ErrorKind::ModelCrashed), "{error}");
                    assert!(error.message().contains("the process died"), "{error}");
                }
            }
        }
        if let (13, Ok(neighbour)) = (inputs[0], &report.outcomes()[1]) {
            assert_eq!(neighbour.timings.attempts, 2, "they shared the run");
        }
    }
}

/// Of three instances, one fails once the other two are on their way, which come up when they are told to.
struct Uneven {
    model: ScriptedModel<u32, u32>,
    script: Script,
    begun: AtomicUsize,
    go_on: AtomicUsize,
}

impl LoadedModel for Uneven {
    type Input = u32;
    type Output = u32;

    fn info(&self) -> &ModelInfo {
        self.model.info()
    }

    fn admit(&self, input: &u32) -> Result<Footprint, ModelError> {
        self.model.admit(input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, u32, u32>) -> Result<(), ModelError> {
        if self.begun.fetch_add(1, Ordering::SeqCst) == 0 {
            wait_until(|| self.begun.load(Ordering::SeqCst) == 3);
            self.script.fail_instances(1);
        } else {
            wait_until(|| self.go_on.load(Ordering::SeqCst) == 1);
        }
        self.model.with_instance(serve)
    }
}

#[tokio::test]
async fn an_instance_that_fails_while_others_are_on_their_way_is_no_reason_to_give_up() {
    let model = adding();
    let script = model.script();
    let model = Arc::new(Uneven { model, script, begun: 0.into(), go_on: 0.into() });
    let (engine, lent) = (engine_of(8), Arc::clone(&model));
    let options = PoolOptions::default().with_instances(3);
    let loading = engine.load_with("uneven", options, move |_| Ok(lent as _)).unwrap();
    let mut loading = std::pin::pin!(loading);
    // The one that failed tries again: by then its failure is known.
    wait_until(|| model.begun.load(Ordering::SeqCst) == 4);
    assert!(poll_once(loading.as_mut()).is_pending(), "the others may still come up");
    model.go_on.store(1, Ordering::SeqCst);
    let handle: Handle<u32, u32> = patiently(loading).await.unwrap();
    assert_eq!(patiently(handle.infer(1).submit()).await.unwrap().output, 2);
}

#[tokio::test]
async fn a_request_waits_for_the_instances_that_do_come_up() {
    for _ in 0..100 {
        let model = adding();
        model.script().fail_instances(1);
        let handle = Engine::new().wrap_model(model).instances(3).build().unwrap();
        assert_eq!(patiently(handle.infer(1).submit()).await.unwrap().output, 2);
    }
}
