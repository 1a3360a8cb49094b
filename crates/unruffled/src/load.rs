//! From a folder to a running model: which backend runs it, and [`Load`], the one line that does it all.

mod wait;

mod pipeline;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use unruffled_engine::{Engine, Handle, Loading, Recipe, Rollout};
use unruffled_model::{
    Backend, BackendOptions, LoadContext, ModelError, ModelErrorKind, Rerun, Sampled, Signature,
    SpecialOptions, Support, TensorModel, Tensors,
};
use unruffled_onnx::{OrtOptions, RtenBackend, TreesBackend};
use unruffled_worker::{PythonBackend, PythonOptions};

use crate::chain;
use crate::config::{FallbackConfig, ModelConfig};
use crate::error::{Error, ErrorKind};
use crate::estimator::estimator;
use crate::repository::ModelFolder;
use crate::runtimes::{Runtimes, SoughtOrt};
use crate::seen::seen;
use crate::step::StepBackend;
use crate::told::Told;

/// A model from tensors to tensors that can be asked.
pub type TensorHandle = Handle<Tensors, Tensors>;

/// A model from tensors to tensors that is being loaded: await it for the [`TensorHandle`].
pub type TensorLoading = Loading<Tensors, Tensors>;

/// The ways to run a model file, in the order in which they are tried.
#[derive(Clone)]
pub struct Backends {
    list: Vec<Arc<dyn Backend>>,
    /// The Python of models whose settings name none.
    python: Option<PathBuf>,
}

impl Default for Backends {
    /// Those that need nothing else on the machine, but for a Python where there are Python models.
    fn default() -> Self {
        Self::new(&Runtimes::default())
    }
}

impl Backends {
    /// All that this crate was built with, and the runtimes that are said to be there.
    ///
    /// In this order: `trees`, for classical models; `ort` (ONNX Runtime, if it is to be looked for), which is the fastest at
    /// neural networks; `rten`, which needs nothing; `python`, for Python models; and `step`, for models that are steps.
    pub fn new(runtimes: &Runtimes) -> Self {
        let mut list: Vec<Arc<dyn Backend>> = vec![Arc::new(TreesBackend)];
        if let Some(search) = &runtimes.onnxruntime {
            list.push(SoughtOrt::new(search.clone()));
        }
        list.push(Arc::new(RtenBackend));
        list.push(Arc::new(PythonBackend::new()));
        list.push(Arc::new(StepBackend));
        Self { list, python: runtimes.python.clone() }
    }

    /// These and no others.
    pub fn of(backends: impl IntoIterator<Item = Arc<dyn Backend>>) -> Self {
        Self { list: backends.into_iter().collect(), python: None }
    }

    /// What they are called, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.list.iter().map(|backend| backend.name())
    }

    /// The backend for a model: the one that its settings name, or else the first that can run it. Blocks: reads the file.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` if the settings name one that is not there, `Unsupported` with every backend's reasons if none can
    /// run the model, and why the file cannot be read.
    pub fn choose(&self, folder: &ModelFolder) -> Result<Choice, Error> {
        if folder.config.pipeline.is_some() {
            let message = "is a pipeline: each step is run by its own model; load it into an engine";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if let Some(fallback) = &folder.config.fallback {
            let message =
                format!("is a chain of {}; serve the folder that holds them all", fallback.chain.join(", "));
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let wanted = folder.config.backend.as_deref();
        let format = folder.format();
        let readers = || self.list.iter().filter(|backend| backend.formats().contains(&&*format));
        let candidates: Vec<_> =
            readers().filter(|backend| wanted.is_none_or(|name| backend.name() == name)).collect();
        if candidates.is_empty() {
            let known: Vec<_> = readers().map(|backend| backend.name()).collect();
            let message = match wanted {
                Some(name) => {
                    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                    format!("there is no backend \"{name}\" for .{format} files; there is {known}")
                }
                None => {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        format!("no backend reads .{format} files"),
                    ));
                }
            };
            let error = Error::new(ErrorKind::InvalidConfig, message).at_key("backend");
            return Err(match &folder.config.file {
                Some(file) => error.in_file(file),
                None => error,
            });
        }
        let mut refusals = Vec::new();
        for backend in candidates {
            match backend.supports(&folder.source)? {
                Support::Yes => {
                    return Ok(Choice { backend: Arc::clone(backend), reason: reason(wanted, &refusals) });
                }
                // It is for models of another kind: nobody expects it to run this one, unless it was named.
                Support::No(reasons) if reasons.is_empty() && wanted.is_none() => {}
                Support::No(reasons) if reasons.is_empty() => {
                    refusals.push(format!("{} is for models of another kind", backend.name()));
                }
                Support::No(reasons) => {
                    refusals.push(format!("{} cannot: {}", backend.name(), reasons.join("; ")));
                }
            }
        }
        let message = format!("no backend can run it: {}", refusals.join("; "));
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    /// Loads a model under its name; a pipeline after the models that it asks, from the folder that it lies in, where they
    /// are not in the engine already. Files are read on a thread of the load's own; this returns at once.
    ///
    /// # Errors
    ///
    /// At once if the name is taken or the engine is shutting down. When awaited: what is wrong with the file, the
    /// settings or the model.
    pub fn load(&self, engine: &Engine, folder: &ModelFolder) -> Result<TensorLoading, Error> {
        let options = folder.config.pool_options();
        if folder.config.pipeline.is_some() {
            let (backends, own, found) = (self.clone(), engine.clone(), folder.clone());
            // Once: a loader that stayed would keep the engine that keeps it.
            let loader = move |ctx: &LoadContext<'_>| Ok(pipeline::load(&backends, &own, &found, ctx)?);
            return Ok(engine.load_with(folder.name.clone(), options, loader)?);
        }
        if let Some(fallback) = folder.config.fallback.clone() {
            return load_chain(engine, folder, fallback);
        }
        Ok(engine.load_from(folder.name.clone(), options, self.recipe(folder))?)
    }

    /// Puts a model under its name without loading it: the first request has it loaded. Its other versions, if its folder has
    /// any, are there for those who ask for them. Returns at once.
    ///
    /// # Errors
    ///
    /// If the name is taken or the engine is shutting down. `InvalidInput` for a pipeline or a chain: it takes no memory of
    /// its own, and is [loaded](Self::load). What is wrong with the files, the first request hears.
    pub fn register(&self, engine: &Engine, folder: &ModelFolder) -> Result<TensorHandle, Error> {
        if folder.asks_others() {
            let message = "asks other models, and is loaded at once: it takes no memory of its own";
            return Err(Error::input(message));
        }
        let options = folder.config.pool_options();
        let handle = engine.register(folder.name.clone(), options, self.recipe(folder))?;
        self.register_others(engine, folder)?;
        Ok(handle)
    }

    /// Puts the other versions of a model that is there beside it, for those who ask for them: each is loaded by the first
    /// request that does.
    ///
    /// # Errors
    ///
    /// If there is no model of this name, or another version of it is just being loaded.
    pub fn register_others(&self, engine: &Engine, folder: &ModelFolder) -> Result<(), Error> {
        let options = folder.config.pool_options();
        for version in folder.others() {
            engine.register_version(&folder.name, options, self.recipe(&version))?;
        }
        Ok(())
    }

    /// Loads a model beside the one that runs under its name, and then does with it what `rollout` says; see
    /// [`Engine::reload`]. Returns at once.
    ///
    /// # Errors
    ///
    /// At once if there is no model of this name, or another version of it is just being loaded. When awaited: what is wrong
    /// with the file, the settings or the model.
    pub fn reload(
        &self,
        engine: &Engine,
        folder: &ModelFolder,
        rollout: Rollout,
    ) -> Result<TensorLoading, Error> {
        Ok(engine.reload(&folder.name, folder.config.pool_options(), self.recipe(folder), rollout)?)
    }

    /// How a model comes into memory, again and again if need be. Twice the size of its file is kept free for its first load;
    /// from then on what it was found to take counts, and the size of its file on top while it is being read.
    fn recipe(&self, folder: &ModelFolder) -> Recipe<Tensors, Tensors> {
        let (backends, found) = (self.clone(), folder.clone());
        let loader = move |ctx: &LoadContext<'_>| Ok(backends.load_model(&found, ctx)?);
        let bytes = folder.file_bytes();
        let recipe = Recipe::new(loader).bytes(bytes.saturating_mul(2)).extra(bytes).weigh(Tensors::byte_len);
        match folder.version {
            Some(version) => recipe.version(version.to_string()),
            None => recipe,
        }
    }

    /// Loads a model without an engine, to be wrapped or looked at. Blocks: reads the file, and builds what is shared by
    /// instances.
    ///
    /// # Errors
    ///
    /// What is wrong with the file, the settings or the model.
    pub fn load_model(&self, folder: &ModelFolder, ctx: &LoadContext<'_>) -> Result<TensorModel, Error> {
        let config = &folder.config;
        let mut special = SpecialOptions::default()
            .with(OrtOptions { providers: config.onnxruntime.providers.clone(), ..OrtOptions::default() })
            .with(python_options(config, self.python.as_deref()));
        if let Some(step) = &config.step {
            special = special.with(step.clone());
        }
        let mut options =
            BackendOptions { defaults: config.defaults(), special, ..BackendOptions::default() };
        if let Some(threads) = config.run.threads {
            options.threads = threads.get();
        }
        let choice = self.choose(folder)?;
        let model = choice.backend.load(&folder.source, &options, ctx);
        let model = model.map_err(|error| match (error.kind(), &config.file) {
            // A default that does not fit: the settings are at fault, not a caller.
            (ModelErrorKind::InvalidInput, Some(file)) => misplaced_default(&error).in_file(file),
            _ => error.into(),
        })?;
        let model = match config.estimator {
            Some(_) => estimator(model, config)?,
            None => model,
        };
        config.fit(&model.info().signature)?;
        let model = match &config.sequence {
            Some(sequence) => Told::with_sequence(model, sequence.spec.clone()),
            None => model,
        };
        let model = match &config.foreign {
            Some(settings) => seen(model, settings)?,
            None => model,
        };
        let model = if config.run.one_by_one { Told::one_by_one(model) } else { model };
        if config.run.warm_up.unwrap_or_default() == 0 {
            return Ok(model);
        }
        let sample = sample_of(&model.info().signature).map_err(|error| {
            let error = error.at_key("run.warm_up");
            match &config.file {
                Some(file) => error.in_file(file),
                None => error,
            }
        })?;
        Ok(Arc::new(Sampled::new(model, move || sample.clone())))
    }
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// How many requests a chain follows side by side unless its settings say.
const CHAIN_INSTANCES: usize = 16;

fn load_chain(engine: &Engine, folder: &ModelFolder, config: FallbackConfig) -> Result<TensorLoading, Error> {
    let mut options = folder.config.pool_options();
    if folder.config.run.instances.is_none() {
        options = options.with_instances(CHAIN_INSTANCES);
    }
    let (asked, found) = (engine.clone(), folder.clone());
    let loader = move |ctx: &LoadContext<'_>| Ok(chain::build(&asked, &found, &config, ctx)?);
    Ok(engine.load_with(folder.name.clone(), options, loader)?)
}

/// A backend, and why it was taken.
#[derive(Clone)]
#[non_exhaustive]
pub struct Choice {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// Why it and no other.
    pub reason: String,
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.backend.name(), self.reason)
    }
}

fn reason(wanted: Option<&str>, refusals: &[String]) -> String {
    match (wanted, refusals) {
        (Some(_), _) => "its settings name it".into(),
        (None, []) => "the first that can run it".into(),
        (None, refusals) => refusals.join("; "),
    }
}

fn python_options(config: &ModelConfig, python: Option<&Path>) -> PythonOptions {
    let set = &config.python;
    let mut options = PythonOptions::default()
        .with_trust_pickle(set.trust_pickle)
        .with_reload(set.reload)
        .with_trusted_types(set.trusted_types.iter().cloned());
    if let Some(python) = set.interpreter.as_deref().or(python) {
        options = options.with_python(python);
    }
    // An estimator knows what it takes; what is said of it is how clients see it.
    if let Some(signature) = config.declared().filter(|_| config.estimator.is_none()) {
        options = options.with_signature(signature);
    }
    if let Some(bytes) = set.memory_bytes {
        options = options.with_memory_max(bytes);
    }
    if let Some(timeout) = set.load_timeout {
        options = options.with_load_timeout(timeout);
    }
    if let Some(grace) = set.cancel_grace {
        options = options.with_cancel_grace(grace);
    }
    match set.rerun {
        Some(false) => options.with_rerun(Rerun::Never),
        Some(true) | None => options,
    }
}

/// What a model runs to be warmed up: the least that its signature allows.
fn sample_of(signature: &Signature) -> Result<Tensors, Error> {
    if signature.inputs.is_empty() {
        let message = "the model does not say what it takes; declare its inputs, or leave this out";
        return Err(Error::new(ErrorKind::InvalidConfig, message));
    }
    signature.sample().map_err(|error| Error::new(ErrorKind::InvalidConfig, error.to_string()))
}

/// What a backend has against a default, at the key that sets it.
fn misplaced_default(error: &ModelError) -> Error {
    let text = error.to_string();
    let Some(input) = error.tensor() else {
        return Error::new(ErrorKind::InvalidConfig, text);
    };
    let message = text.strip_prefix(&format!("`{input}`: ")).unwrap_or(&text);
    Error::new(ErrorKind::InvalidConfig, message).at_key(format!("inputs.{input}"))
}

/// Adds models from files to an [`Engine`].
pub trait Load: sealed::Sealed {
    /// Loads the model at a path, a folder or an `.onnx` file, and puts it under its name.
    ///
    /// Never blocks: files are read on threads of the engine.
    ///
    /// # Errors
    ///
    /// Why there is no model at that path, or what is wrong with it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the load and frees the name.
    fn load(
        &self,
        path: impl Into<PathBuf> + Send,
    ) -> impl Future<Output = Result<TensorHandle, Error>> + Send;

    /// Loads a model that has been found, with the default [`Backends`].
    ///
    /// # Errors
    ///
    /// As [`Backends::load`].
    fn load_folder(&self, folder: &ModelFolder) -> Result<TensorLoading, Error>;
}

impl Load for Engine {
    async fn load(&self, path: impl Into<PathBuf> + Send) -> Result<TensorHandle, Error> {
        let path = path.into();
        // Finding the files is itself synchronous work.
        let finder = self.wrap(|path: PathBuf| ModelFolder::open(path)).name("find model").build()?;
        let folder = finder.infer(path).await?.output?;
        Ok(self.load_folder(&folder)?.await?)
    }

    fn load_folder(&self, folder: &ModelFolder) -> Result<TensorLoading, Error> {
        Backends::default().load(self, folder)
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for unruffled_engine::Engine {}
}

#[cfg(test)]
mod tests;
