//! A model in memory and its instances, each with a session of its own.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use ort::ErrorCode;
use ort::session::{NoSelectedOutputs, RunOptions, Session, SessionInputValue};
use unruffled_model::{
    Footprint, Interrupt, JointModel, LoadContext, LoadedModel, ModelError, ModelInfo, Name, RunContext,
    Serve, TensorRun, Tensors, admit_tensors,
};

use super::compound::Form;
use super::convert::to_ort;
use super::session::Recipe;
use super::signature::Interface;
use crate::rows;

/// What instances share.
pub(super) struct Loaded {
    recipe: Recipe,
    outputs: Vec<(Name, Form)>,
    info: ModelInfo,
    /// The session that the model was tried with, of one thread, for the first instance.
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
        interface: Interface,
        threads: usize,
        ctx: &LoadContext<'_>,
    ) -> ort::Result<Self> {
        let Interface { mut signature, mut outputs, is_classical } = interface;
        let options = Arc::new(RunOptions::new()?);
        let stopped = Arc::clone(&options);
        // A model may run for ever on what was made up; whoever loads it may not want to wait for that.
        let _guard = ctx.on_cancel(move || {
            // It fails only if there are no options to set.
            let _ = stopped.terminate();
        });
        if is_classical {
            let found =
                rows::corrected(&mut signature, |inputs| run(&mut session, inputs, &outputs, &options));
            for (name, form) in &mut outputs {
                found
                    .as_ref()
                    .and_then(|found| found.get(name))
                    .into_iter()
                    .for_each(|tensor| form.learn(tensor));
            }
        }
        let batching = rows::batching(&mut signature, |inputs| run(&mut session, inputs, &outputs, &options));
        let info = ModelInfo::new("ort", "onnxruntime_onnx")
            .with_signature(signature)
            .with_batching(batching)
            .with_interrupt(Interrupt::Cooperative)
            .with_threads(threads);
        Ok(Self { recipe, outputs, info, spare: Mutex::new(Some(session)) })
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
        let narrow = match spare {
            Some(session) => session,
            None => self.recipe.session(1, drop).map_err(fail)?,
        };
        // Its threads inherit from this one.
        let wide = match self.info.threads {
            1 => None,
            threads => Some(self.recipe.session(threads, drop).map_err(fail)?),
        };
        let options = Arc::new(RunOptions::new().map_err(fail)?);
        serve(&mut JointModel::new(&self.info, Run { loaded: self, narrow, wide, options }));
        Ok(())
    }
}

/// One instance.
struct Run<'a> {
    loaded: &'a Loaded,
    /// For one thread.
    narrow: Session,
    /// For as many as the model may use, if these are more.
    wide: Option<Session>,
    options: Arc<RunOptions>,
}

impl Run<'_> {
    /// The session for so many threads. A pool cannot be told to leave some out: rather than take twice what it was
    /// granted, or more, a run makes do with one thread.
    fn session(&mut self, granted: usize) -> &mut Session {
        match &mut self.wide {
            Some(wide) if 2 * granted > self.loaded.info.threads => wide,
            _ => &mut self.narrow,
        }
    }
}

impl TensorRun for Run<'_> {
    fn run(&mut self, inputs: &Tensors, ctx: &RunContext<'_>) -> Result<Tensors, ModelError> {
        let options = Arc::clone(&self.options);
        let guard = ctx.on_cancel(move || {
            // It fails only if there are no options to set.
            let _ = options.terminate();
        });
        let (outputs, options) = (&self.loaded.outputs, Arc::clone(&self.options));
        let result = run(self.session(ctx.threads()), inputs, outputs, &options);
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
