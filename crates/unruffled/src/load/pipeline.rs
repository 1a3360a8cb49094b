//! Pipelines from files: what their steps ask is loaded first.

use std::path::Path;

use unruffled_engine::{Engine, ErrorKind as EngineErrorKind, Feed, Pipeline, PipelineError, PipelineStep};
use unruffled_model::{
    Backend as _, BackendOptions, Dim, LoadContext, ModelSource, Name, SpecialOptions, Tensor, TensorModel,
    TensorSpec, Tensors,
};

use super::wait::wait;
use super::{Backends, TensorHandle, TensorLoading};
use crate::config::{
    PIPELINE_FILE_NAME, PipelineConfig, PipelineStepConfig, StepAsks, StepConfig, StepFeed, StepRepeat,
    TRITON_FILE_NAME,
};
use crate::error::{Error, ErrorKind};
use crate::repository::{ModelFolder, Repository};
use crate::step::StepBackend;

/// A model that a step asks: there, or on its way.
enum Asked {
    There(TensorHandle),
    OnItsWay(TensorLoading),
    /// Somebody else loads it.
    Awaited,
}

/// Makes a pipeline's model, on the thread of its load.
pub(super) fn load(
    backends: &Backends,
    engine: &Engine,
    folder: &ModelFolder,
    ctx: &LoadContext<'_>,
) -> Result<TensorModel, Error> {
    let Some(config) = folder.pipeline_config() else { unreachable!("only pipelines are loaded like this") };
    let place = Place { folder, config };
    place.check_recursion(&mut vec![folder.name.clone()], config)?;
    let models = config.models();
    // All are begun before the first is waited for: they load side by side.
    let begun =
        models.iter().map(|name| place.begin(backends, engine, name)).collect::<Result<Vec<_>, _>>()?;
    let mut handles: Vec<(&str, TensorHandle)> = Vec::new();
    for (at, (name, asked)) in models.iter().zip(begun).enumerate() {
        ctx.step(at as f32 / models.len() as f32)?;
        let handle = match asked {
            Asked::There(handle) => {
                // What is registered only says what it takes and gives once it was in memory.
                wait(handle.ready(), ctx)?.map_err(|error| place.at_model(name, error.into()))?;
                handle
            }
            Asked::OnItsWay(loading) => {
                wait(loading, ctx)?.map_err(|error| place.at_model(name, error.into()))?
            }
            Asked::Awaited => {
                wait(engine.loaded(name), ctx)?.map_err(|error| place.at_model(name, error.into()))?
            }
        };
        handles.push((name, handle));
    }
    let mut pipeline = Pipeline::new();
    for step in &config.steps {
        let handle = match &step.asks {
            StepAsks::Model(model) => {
                handles.iter().find(|(name, _)| name == model).map(|(_, handle)| handle.clone())
            }
            StepAsks::Step(own) => Some(place.inline(engine, step, own, ctx)?),
        };
        let handle = handle.expect("every model was loaded just now");
        pipeline = pipeline.step(place.step(step, &handle)?);
    }
    for (name, value) in &config.outputs {
        pipeline = pipeline.output(name.as_str(), value.as_str());
    }
    if let Some(bytes) = config.call_bytes {
        pipeline = pipeline.bytes(bytes.get());
    }
    pipeline = pipeline.emit(config.emit.iter().map(String::as_str));
    for spec in folder.config.declared().into_iter().flat_map(|declared| declared.inputs) {
        let default = folder.config.input(&spec.name).and_then(|input| input.default.as_ref());
        let default = default.map(|default| {
            let scalar = Tensor::from_number(spec.dtype, default.value)?;
            default.shape.as_ref().map_or(Ok(scalar.clone()), |shape| scalar.repeated(shape))
        });
        let default =
            default.transpose().map_err(|error| place.error(error.to_string(), None, Some(&spec.name)))?;
        pipeline = pipeline.input(TensorSpec { default, ..spec });
    }
    let model = engine.check_pipeline(&pipeline).map_err(|error| place.refusal(&error))?;
    folder.config.fit(&model.info().signature)?;
    Ok(model)
}

/// A pipeline, and where it stands.
struct Place<'a> {
    folder: &'a ModelFolder,
    config: &'a PipelineConfig,
}

impl Place<'_> {
    /// The folder of models that it lies in.
    fn repository(&self) -> Option<&Path> {
        self.folder.file()?.parent()?.parent()
    }

    /// A pipeline asks itself nowhere, not through others either.
    fn check_recursion(&self, path: &mut Vec<Name>, config: &PipelineConfig) -> Result<(), Error> {
        for name in config.models() {
            if path.iter().any(|above| **above == *name) {
                let round: Vec<_> = path.iter().map(|name| &**name).chain([name]).collect();
                let message = format!("asks itself: {}; cut the circle", round.join(" -> "));
                let first = path.get(1).map_or(name, |first| &**first);
                return Err(self.at_model(first, Error::new(ErrorKind::InvalidConfig, message)));
            }
            let Some(folder) = self.repository().map(|repository| repository.join(name)) else { continue };
            let is_there = |file: &str| folder.join(file).is_file();
            if ![PIPELINE_FILE_NAME, TRITON_FILE_NAME].into_iter().any(is_there) {
                continue;
            }
            let other = ModelFolder::open(&folder)?;
            if let Some(config) = other.pipeline_config() {
                path.push(name.into());
                self.check_recursion(path, config)?;
                path.pop();
            }
        }
        Ok(())
    }

    /// Finds a model, or begins to load it.
    fn begin(&self, backends: &Backends, engine: &Engine, name: &str) -> Result<Asked, Error> {
        match engine.get::<Tensors, Tensors>(name) {
            Ok(handle) => return Ok(Asked::There(handle)),
            Err(error) if error.kind() == EngineErrorKind::NotReady => return Ok(Asked::Awaited),
            Err(error) if error.kind() == EngineErrorKind::NotFound => {}
            Err(error) => return Err(self.at_model(name, error.into())),
        }
        let folder = self.find(name).map_err(|error| self.at_model(name, error))?;
        match backends.load(engine, &folder) {
            Ok(loading) => Ok(Asked::OnItsWay(loading)),
            // Somebody was quicker.
            Err(error) if error.kind() == ErrorKind::Engine(EngineErrorKind::InvalidInput) => {
                Ok(Asked::Awaited)
            }
            Err(error) => Err(self.at_model(name, error)),
        }
    }

    /// The model of this name beside the pipeline.
    fn find(&self, name: &str) -> Result<ModelFolder, Error> {
        let Some(repository) = self.repository() else {
            let message = format!("there is no model `{name}` in the engine; load it first");
            return Err(Error::new(ErrorKind::ModelNotFound, message));
        };
        Repository::open(repository)?.find(name).cloned()
    }

    /// A step that stands in the file, as a model of its own.
    fn inline(
        &self,
        engine: &Engine,
        step: &PipelineStepConfig,
        own: &StepConfig,
        ctx: &LoadContext<'_>,
    ) -> Result<TensorHandle, Error> {
        let special = SpecialOptions::default().with(own.clone());
        let options = BackendOptions { special, ..BackendOptions::default() };
        let source = match self.folder.file() {
            Some(file) => ModelSource::File(file.to_owned()),
            None => self.folder.source.clone(),
        };
        let model = StepBackend.load(&source, &options, ctx)?;
        let name = format!("{}/{}", self.folder.name, step.name);
        let instances = step.instances.map_or(1, usize::from);
        Ok(engine.wrap_model(model).name(name).instances(instances).build()?)
    }

    fn step(&self, step: &PipelineStepConfig, handle: &TensorHandle) -> Result<PipelineStep, Error> {
        let mut made = PipelineStep::new(step.name.as_str(), handle);
        for (input, feed) in &step.inputs {
            let feed = match feed {
                StepFeed::Value(value) => Feed::from(value.as_str()),
                StepFeed::Number(number) => {
                    let info = handle.info();
                    let spec = info.signature.inputs.iter().find(|spec| *spec.name == **input);
                    match spec {
                        Some(spec) => Feed::from(self.number(step, spec, *number)?),
                        // The check says that there is no such input.
                        None => Feed::from(Tensor::scalar(*number)),
                    }
                }
            };
            made = made.input(input.as_str(), feed);
        }
        Ok(match &step.repeat {
            StepRepeat::Once => made,
            StepRepeat::Several => made.several(),
            StepRepeat::Each { items, rows, in_flight } => {
                let made = made.each(items.iter().map(String::as_str)).rows(rows.map_or(1, usize::from));
                match in_flight {
                    Some(count) => made.in_flight(count.get()),
                    None => made,
                }
            }
            StepRepeat::Scan { items, rows, carry } => {
                let made = made.scan(items.iter().map(String::as_str)).rows(rows.map_or(1, usize::from));
                carry.iter().fold(made, |made, (output, input)| made.carry(output.as_str(), input.as_str()))
            }
        })
    }

    /// A number in the type and the shape that an input has.
    fn number(&self, step: &PipelineStepConfig, spec: &TensorSpec, number: f64) -> Result<Tensor, Error> {
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbolic(_) | Dim::Any => 1,
        };
        let shape: Vec<usize> = spec.dims.iter().flatten().map(size).collect();
        let tensor = Tensor::from_number(spec.dtype, number).and_then(|scalar| scalar.repeated(&shape));
        tensor.map_err(|error| self.error(error.to_string(), Some(&step.name), Some(&spec.name)))
    }

    /// What is wrong with a model that steps ask, at the first of them.
    fn at_model(&self, model: &str, error: Error) -> Error {
        let asks =
            |step: &&PipelineStepConfig| matches!(&step.asks, StepAsks::Model(name) if *name == *model);
        match self.config.steps.iter().find(asks) {
            Some(step) => self.error(error.to_string(), Some(&step.name), None).caused_by(error),
            None => error,
        }
    }

    fn refusal(&self, error: &PipelineError) -> Error {
        self.error(error.message(), error.step(), error.tensor()).caused_by(error.clone())
    }

    /// An error at a step, at an input of it, or at an input or output of the pipeline.
    fn error(&self, message: impl Into<String>, step: Option<&str>, tensor: Option<&str>) -> Error {
        let error = Error::new(ErrorKind::InvalidConfig, message);
        let found = step.and_then(|name| self.config.steps.iter().find(|step| step.name == name));
        let line_in = |lines: &[(String, usize)]| {
            lines.iter().find(|(name, _)| Some(name.as_str()) == tensor).map(|(_, line)| *line)
        };
        let (key, line) = match (found, tensor) {
            (Some(step), Some(input)) => {
                let line = line_in(&step.lines).unwrap_or(step.line);
                (Some(format!("step.{}.inputs.{input}", step.name)), Some(line))
            }
            (Some(step), None) => (Some(format!("step.{}", step.name)), Some(step.line)),
            (None, Some(name)) => {
                let is_output = self.config.outputs.iter().any(|(output, _)| output == name);
                let table = if is_output { "outputs" } else { "inputs" };
                (Some(format!("{table}.{name}")), line_in(&self.config.lines))
            }
            (None, None) => (None, None),
        };
        let error = match self.folder.file() {
            Some(file) => error.in_file(file),
            None => error,
        };
        let error = match line {
            Some(line) => error.at_line(line),
            None => error,
        };
        match key {
            Some(key) => error.at_key(key),
            None => error,
        }
    }
}
