//! A model that breaks costs its instance and its batch, nothing else.

use unruffled_engine::{Engine, ErrorKind};
use unruffled_model::ModelError;
use unruffled_testing::scripted::Gate;

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
