//! A model in memory and its instances, each with a session of its own.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use ort::ErrorCode;
use ort::session::{NoSelectedOutputs, RunOptions, Session, SessionInputValue};
use unruffled_model::{
    Footprint, Interrupt, JointModel, LoadedModel, ModelError, ModelInfo, Name, RunContext, Serve, Signature,
    TensorRun, Tensors, admit_tensors,
};

use super::compound::Form;
use super::convert::to_ort;
use super::session::Recipe;
use crate::rows;

/// What instances share.
pub(super) struct Loaded {
    recipe: Recipe,
    outputs: Vec<(Name, Form)>,
    info: ModelInfo,
    /// The session that the model was tried with, for the first instance.
    spare: Mutex<Option<Session>>,
}

impl Loaded {
    /// Takes over a session of one thread, and finds out about batches with it.
    ///
    /// # Errors
    ///
    /// If there is no memory for the options of a run.
    pub(super) fn new(
        recipe: Recipe,
        mut session: Session,
        mut signature: Signature,
        outputs: Vec<(Name, Form)>,
        threads: usize,
    ) -> ort::Result<Self> {
        let options = RunOptions::new()?;
        let batching = rows::batching(&mut signature, |inputs| run(&mut session, inputs, &outputs, &options));
        let info = ModelInfo::new("ort", "onnxruntime_onnx")
            .with_signature(signature)
            .with_batching(batching)
            .with_interrupt(Interrupt::Cooperative)
            .with_threads(threads);
        // Threads belong to a session, and inherit from the thread that builds it: an instance's, if there are any.
        let spare = Mutex::new((threads == 1).then_some(session));
        Ok(Self { recipe, outputs, info, spare })
    }
}

impl LoadedModel for Loaded {
    type Input = Tensors;
    type Output = Tensors;

    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn admit(&self, input: &Tensors) -> Result<Footprint, ModelError> {
        admit_tensors(&self.info, input)
    }

    fn with_instance(&self, serve: &mut Serve<'_, Tensors, Tensors>) -> Result<(), ModelError> {
        let fail = |error: ort::Error| {
            ModelError::failed(format!("ONNX Runtime cannot build another instance: {error}"))
                .caused_by(error)
        };
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let session = match spare {
            Some(session) => session,
            None => self.recipe.session(self.info.threads, drop).map_err(fail)?,
        };
        let options = Arc::new(RunOptions::new().map_err(fail)?);
        serve(&mut JointModel::new(&self.info, Run { outputs: &self.outputs, session, options }));
        Ok(())
    }
}

/// One instance.
struct Run<'a> {
    outputs: &'a [(Name, Form)],
    session: Session,
    options: Arc<RunOptions>,
}

impl TensorRun for Run<'_> {
    fn run(&mut self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let options = Arc::clone(&self.options);
        let guard = ctx.on_cancel(move || {
            // It fails only if there are no options to set.
            let _ = options.terminate();
        });
        let result = run(&mut self.session, inputs, self.outputs, &self.options);
        drop(guard);
        if !ctx.is_cancelled() {
            return result;
        }
        let reset = self.options.unterminate();
        reset.map_err(|error| ModelError::crashed(format!("the session stays terminated: {error}")))?;
        result.map_err(|_| ModelError::cancelled())
    }
}

fn run(
    session: &mut Session,
    inputs: &Tensors,
    outputs: &[(Name, Form)],
    options: &RunOptions<NoSelectedOutputs>,
) -> Result<Tensors, ModelError> {
    let values = inputs
        .iter()
        .map(|(name, tensor)| {
            let value = to_ort(tensor).map_err(|error| error.at(name))?;
            Ok((Cow::Borrowed(&**name), value))
        })
        .collect::<Result<Vec<(Cow<'_, str>, SessionInputValue<'_>)>, ModelError>>()?;
    let mut results = session.run_with_options(values, options).map_err(failed)?;
    let mut tensors = Tensors::new();
    for (name, form) in outputs {
        let value = results.remove(name).ok_or_else(|| ModelError::failed("was not computed").at(name))?;
        for (name, tensor) in form.tensors(name, value).map_err(|error| error.at(name))? {
            tensors.insert(name, tensor);
        }
    }
    Ok(tensors)
}

fn failed(error: ort::Error) -> ModelError {
    let message = format!("ONNX Runtime: {}", error.message().trim_end());
    match error.code() {
        ErrorCode::InvalidArgument => ModelError::invalid_input(message),
        _ => ModelError::failed(message),
    }
    .caused_by(error)
}
