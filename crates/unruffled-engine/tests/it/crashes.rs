//! A model that breaks costs its instance and its batch, nothing else.

use unruffled_engine::{Engine, ErrorKind};
use unruffled_model::{ModelError, RunContext};
use unruffled_testing::scripted::{Gate, ScriptedModel};

use crate::support::{adding, check_alive, check_error, runtime};

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
