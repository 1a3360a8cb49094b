//! [`OrtBackend`]: from a file to a loaded model.

use std::sync::Arc;

use ort::ErrorCode;
use ort::session::builder::GraphOptimizationLevel;
use unruffled_model::{
    Backend, BackendOptions, Dim, LoadContext, ModelError, ModelSource, Support, TensorModel, TensorSpec,
};

use super::limits::limits;
use super::loaded::Loaded;
use super::options::OrtOptions;
use super::provider;
use super::runtime::OrtRuntime;
use super::session::{Origin, Recipe};
use super::signature;
use crate::graph::OnnxFile;
use crate::source::{display_name, malformed, unsupported};

/// Runs ONNX models with ONNX Runtime, whatever is in them.
///
/// - Each instance has a session of its own; large weights, and what the kernels make of them, are there once for all
///   instances (MiniLM: 170 MB for the first, 3 MB for each one more). Weights that lie in another file are mapped.
///   An instance keeps the memory of its largest run for the next.
/// - With one thread a run stays on the thread that asks for it. With more, each instance has the others in a pool, named
///   `ort-0`, `ort-1` and so on, which inherit the priority of the thread that builds it where the system has it so (Linux).
///   They do not spin while they wait. A run that was granted half of them or fewer keeps to one thread.
/// - A cancelled run stops between two nodes of the model, or at the next turn of a loop.
/// - Sequences and maps come as tensors: a map `p`, or a sequence of maps with the same keys, as `p` and `p.keys`; a sequence
///   of tensors of one shape as one tensor with a dimension more.
/// - Strings must be UTF-8 without NUL characters.
/// - Rows of different requests are joined if all inputs and outputs begin with one symbolic dimension, or if a trial when
///   loading shows that they may be although the file does not say so.
///
/// [`OrtOptions`] are the options of its own.
#[derive(Clone, Debug)]
pub struct OrtBackend {
    runtime: OrtRuntime,
}

impl OrtBackend {
    /// A backend over the library that was found.
    pub fn new(runtime: OrtRuntime) -> Self {
        Self { runtime }
    }

    /// The library.
    pub fn runtime(&self) -> &OrtRuntime {
        &self.runtime
    }
}

/// What errors call it.
const NAME: &str = "ONNX Runtime";

impl Backend for OrtBackend {
    fn name(&self) -> &'static str {
        "ort"
    }

    fn formats(&self) -> &'static [&'static str] {
        &["onnx"]
    }

    fn supports(&self, source: &ModelSource) -> Result<Support, ModelError> {
        let file = OnnxFile::read(source)?;
        // Only ONNX Runtime knows what it can do, so it is asked, with as little work as possible.
        let recipe = Recipe {
            runtime: self.runtime.clone(),
            providers: Vec::new(),
            optimization: GraphOptimizationLevel::Disable,
            has_one_shape: false,
            model: Origin::plain(source, &file)?,
        };
        let reasons = match takes(&file) {
            Err(reasons) => reasons,
            Ok(_) => match recipe.session(1, drop) {
                Ok(session) => signature::interface(&file, session.outputs()).err().unwrap_or_default(),
                Err(error) if is_unsupported(&error) => vec![reason(source, &error)],
                Err(error) => return Err(load_error(source, error)),
            },
        };
        Ok(if reasons.is_empty() { Support::Yes } else { Support::No(reasons) })
    }

    fn load(
        &self,
        source: &ModelSource,
        options: &BackendOptions,
        ctx: &LoadContext<'_>,
    ) -> Result<TensorModel, ModelError> {
        ctx.step(0.0)?;
        let own = options.special.get::<OrtOptions>().cloned().unwrap_or_default();
        let providers = provider::choose(&own.providers, self.runtime.providers())?;
        let file = OnnxFile::read(source)?;
        let inputs = takes(&file).map_err(|reasons| unsupported(NAME, source, &reasons))?;
        ctx.step(0.1)?;
        let mut recipe = Recipe {
            runtime: self.runtime.clone(),
            providers,
            optimization: own.optimization.into(),
            has_one_shape: inputs.iter().all(|input| {
                let dims = input.dims.as_ref();
                dims.is_some_and(|dims| dims.iter().all(|dim| matches!(dim, Dim::Fixed(_))))
            }),
            // What runs on a device has its weights there.
            model: match own.providers.iter().all(|provider| provider == "cpu") {
                true => Origin::shared(source, &file)?,
                false => Origin::plain(source, &file)?,
            },
        };
        ctx.step(0.3)?;
        let session = |recipe: &Recipe| {
            let mut guard = None;
            recipe.session(1, |canceler| {
                guard = Some(ctx.on_cancel(move || {
                    // It fails only if there is no session to stop.
                    let _ = canceler.cancel();
                }));
            })
        };
        let session = match session(&recipe) {
            // Some other version may not know what to do with shared weights.
            Err(error) if matches!(recipe.model, Origin::Shared(_)) && !ctx.is_cancelled() => {
                recipe.model = Origin::plain(source, &file)?;
                let session = session(&recipe);
                if session.is_ok() {
                    tracing::debug!(%error, "instances of {} do not share weights", display_name(source));
                }
                session
            }
            session => session,
        };
        ctx.step(0.8)?;
        let session = session.map_err(|error| load_error(source, error))?;
        let mut interface = signature::interface(&file, session.outputs())
            .map_err(|reasons| unsupported(NAME, source, &reasons))?;
        options.defaults.iter().try_for_each(|default| interface.signature.set_default(default))?;
        let loaded = Loaded::new(recipe, session, interface, options.threads.max(1), ctx);
        let loaded = loaded.map_err(|error| load_error(source, error))?;
        ctx.step(1.0)?;
        Ok(Arc::new(loaded))
    }
}

/// Whether all inputs and nodes are such that answers will be right, or what is not.
fn takes(file: &OnnxFile) -> Result<Vec<TensorSpec>, Vec<String>> {
    let (inputs, mut reasons) = match signature::inputs(file) {
        Ok(inputs) => (inputs, Vec::new()),
        Err(reasons) => (Vec::new(), reasons),
    };
    reasons.extend(limits(file));
    if reasons.is_empty() { Ok(inputs) } else { Err(reasons) }
}

/// Whether an error says that the model is sound, but wants something that the library has not.
fn is_unsupported(error: &ort::Error) -> bool {
    const SIGNS: [&str; 6] = [
        // A kernel does not take what its node asks for, or the system has not what it needs: a locale, say.
        "Exception during initialization",
        "is not a registered function/op",
        "No Op registered for",
        "Could not find an implementation",
        "ONNX Runtime only *guarantees* support",
        "Unsupported model IR version",
    ];
    error.code() == ErrorCode::NotImplemented || SIGNS.iter().any(|sign| error.message().contains(sign))
}

fn load_error(source: &ModelSource, error: ort::Error) -> ModelError {
    if error.code() == ErrorCode::ModelLoadCanceled {
        return ModelError::cancelled();
    }
    let reason = reason(source, &error);
    match is_unsupported(&error) {
        true => unsupported(NAME, source, &[reason]),
        false => malformed(source, reason),
    }
    .caused_by(error)
}

/// What the library says, without folders: whole paths are nothing for clients.
fn reason(source: &ModelSource, error: &ort::Error) -> String {
    let message = error.message().trim_end();
    let ModelSource::File(path) = source else { return message.into() };
    let absolute = std::path::absolute(path).ok();
    let real = path.canonicalize().ok();
    let paths = [Some(path), absolute.as_ref(), real.as_ref()];
    let folders = paths
        .into_iter()
        .flatten()
        .filter_map(|path| path.parent())
        .map(|folder| folder.display().to_string());
    folders.filter(|folder| !folder.is_empty()).fold(message.to_owned(), |message, folder| {
        message.replace(&format!("{folder}{}", std::path::MAIN_SEPARATOR), "").replace(&folder, "its folder")
    })
}
