//! Runs a loaded model as the engine would: admitted, in batches, on an instance.

use unruffled_model::{
    Batch, CancelToken, Model, ModelError, RequestContext, RequestId, RunContext, TensorModel, Tensors,
};

/// The answers to requests that were joined into one batch.
pub(crate) type Answers = Vec<Result<Tensors, ModelError>>;

/// Admits requests and runs them as one batch on an instance of their own.
///
/// # Errors
///
/// What kept the batch from being run.
pub(crate) fn run(model: &TensorModel, requests: &[&Tensors]) -> Result<Answers, ModelError> {
    run_under(model, requests, &CancelToken::new())
}

/// As [`run`], under a token that may be cancelled.
pub(crate) fn run_under(
    model: &TensorModel,
    requests: &[&Tensors],
    cancel: &CancelToken,
) -> Result<Answers, ModelError> {
    for request in requests {
        model.admit(request)?;
    }
    let mut answers = Vec::new();
    model.with_instance(&mut |instance| answers = run_on(instance, requests, cancel))?;
    Ok(answers)
}

/// Runs requests as one batch on this instance.
pub(crate) fn run_on(
    instance: &mut dyn Model<Input = Tensors, Output = Tensors>,
    requests: &[&Tensors],
    cancel: &CancelToken,
) -> Answers {
    let contexts: Vec<_> =
        (0..requests.len() as u64).map(|i| RequestContext::new(RequestId::Number(i))).collect();
    let mut batch = Batch::new(requests.iter().map(|&inputs| inputs.clone()));
    let outcome = instance.run(&mut batch, &RunContext::new(cancel, None, &contexts));
    let unanswered = outcome.err().unwrap_or_else(|| ModelError::failed("the row was left unanswered"));
    let rows = batch.into_rows().into_iter();
    rows.map(|row| row.into_answer().unwrap_or_else(|| Err(unanswered.clone()))).collect()
}

/// Runs one request alone.
///
/// # Errors
///
/// Why there is no answer.
pub(crate) fn run_one(model: &TensorModel, request: &Tensors) -> Result<Tensors, ModelError> {
    run(model, &[request])?.pop().unwrap_or_else(|| Err(ModelError::failed("the instance was not lent")))
}
