//! From what a `config.pbtxt` says to settings of our own.

use std::sync::Arc;

use unruffled_engine::CacheOptions;
use unruffled_model::{Dim, SequenceSpec};

use super::ensemble;
use super::field::Said;
use super::said::{Port, Settings};
use super::schedule::{Sequence, State};
use super::text::Fault;
use crate::config::beside::is_beside;
use crate::config::check::{TOP, split_labels};
use crate::config::typed::{
    Declared, Decode, DefaultValue, Foreign, InputConfig, Labels, ModelConfig, OutputConfig, Reshape,
    RunConfig, SequenceConfig, Versions,
};

/// The model's file in each of its versions.
const MODEL: &str = "model.onnx";

/// The most versions that a model has in an engine.
const VERSIONS_MAX: usize = 16;

/// Where a file lies, and what is beside it.
pub(super) struct Place<'a> {
    /// The folder's name.
    pub(super) folder: &'a str,
    /// Reads a file that lies beside it.
    pub(super) read_beside: &'a dyn Fn(&str) -> std::io::Result<String>,
}

pub(super) fn config(mut said: Settings, place: &Place<'_>) -> Result<ModelConfig, Fault> {
    check_name(&said, place)?;
    check_backend(&said)?;
    check_versions(&said)?;
    let rows = said.max_batch.as_ref().map_or(0, |rows| rows.value);
    let mut config = ModelConfig {
        run: run(&said, rows),
        cache: said.caches.then(CacheOptions::default),
        versions: said.versions.take().map_or(Versions::Latest(1), |versions| versions.value),
        ..ModelConfig::default()
    };
    let batched = said.max_batch.as_ref().filter(|rows| rows.value > 0).map(|rows| rows.line);
    let mut foreign = Foreign { batched, ..Foreign::default() };
    for port in &said.inputs {
        let key = format!("inputs.{}", port.name);
        check_once(&foreign, &key, port)?;
        foreign.lines.push((key, port.line));
        foreign.optional.extend(port.optional.map(|_| port.name.clone()));
        foreign.inputs.extend(reshape(port, rows));
        let declared = declared(port, rows);
        config.inputs.push(InputConfig { name: port.name.clone(), declared, default: None, from: None });
    }
    for port in &said.outputs {
        let key = format!("outputs.{}", port.name);
        check_once(&foreign, &key, port)?;
        foreign.lines.push((key, port.line));
        foreign.outputs.extend(reshape(port, rows));
        config.outputs.push(OutputConfig {
            name: port.name.clone(),
            declared: declared(port, rows),
            labels: port.labels.as_ref().map(|file| labels(file, place)).transpose()?,
            top: TOP.try_into().expect("it is not 0"),
            decode: Decode::Classes,
        });
    }
    foreign.listed =
        (!said.outputs.is_empty()).then(|| said.outputs.iter().map(|port| port.name.clone()).collect());
    if let Some(sequence) = &said.sequence {
        keep(sequence, rows, &mut config, &mut foreign)?;
    }
    match said.ensemble.take() {
        Some(steps) => ensemble::add(&steps.value, &said, &mut config, &foreign)?,
        None => config.model_file = Some(model_file(&said)?),
    }
    config.foreign = Some(Arc::new(foreign));
    said.notes.dedup_by(|next, last| next.key == last.key);
    config.notes = said.notes;
    Ok(config)
}

fn fault<T>(at: &Said<T>, key: &str, message: impl Into<String>) -> Fault {
    Fault { line: at.line, key: Some(key.to_owned()), message: message.into() }
}

fn check_name(said: &Settings, place: &Place<'_>) -> Result<(), Fault> {
    match &said.name {
        Some(name) if !name.value.is_empty() && name.value != place.folder => {
            let message = format!(
                "is \"{}\", and the folder is \"{}\"; a model is called as its folder is: give both one name",
                name.value.escape_debug(),
                place.folder
            );
            Err(fault(name, "name", message))
        }
        _ => Ok(()),
    }
}

/// What runs the model there must be something that does so here.
fn check_backend(said: &Settings) -> Result<(), Fault> {
    let named = [("platform", &said.platform), ("backend", &said.backend)];
    for (key, named) in named.into_iter().filter_map(|(key, named)| Some((key, named.as_ref()?))) {
        match (&*named.value, said.ensemble.is_some()) {
            ("", _) | ("onnxruntime_onnx" | "onnxruntime" | "onnx", false) | ("ensemble", true) => {}
            ("ensemble", false) => {
                return Err(fault(named, key, "is an ensemble without steps; add `ensemble_scheduling`"));
            }
            (_, true) => {
                let message = "has steps, so it is an ensemble; write platform: \"ensemble\"";
                return Err(fault(named, key, message));
            }
            ("python", false) => {
                let message = "runs a TritonPythonModel, which is not run here; make its `execute` the `predict` of a class \
                               `Model` in a model.py, and take the config.pbtxt away";
                return Err(fault(named, key, message));
            }
            (other, false) => {
                let message = format!(
                    "\"{}\" does not run models here; convert the model to ONNX, and write backend: \"onnxruntime\"",
                    other.escape_debug()
                );
                return Err(fault(named, key, message));
            }
        }
    }
    Ok(())
}

fn check_versions(said: &Settings) -> Result<(), Fault> {
    let Some(versions) = &said.versions else { return Ok(()) };
    let count = match &versions.value {
        Versions::All => return Ok(()),
        Versions::Latest(count) => *count,
        Versions::These(list) => list.len(),
    };
    match count {
        1..=VERSIONS_MAX => Ok(()),
        _ => {
            let message = format!("names {count} versions; 1 to {VERSIONS_MAX} of a model are served");
            Err(fault(versions, "version_policy", message))
        }
    }
}

fn run(said: &Settings, rows: usize) -> RunConfig {
    // Where nothing is said of shapes, the model itself says whether requests are joined.
    let is_told = said.max_batch.is_some() || !said.inputs.is_empty();
    RunConfig {
        instances: said.instances.as_ref().and_then(|instances| instances.value.try_into().ok()),
        warm_up: Some(said.warm_up).filter(|runs| *runs > 0),
        threads: said.threads.and_then(|threads| threads.try_into().ok()),
        max_batch: rows.try_into().ok(),
        queue_items: said.queue_items.and_then(|items| items.try_into().ok()),
        one_by_one: rows == 0 && is_told && said.ensemble.is_none(),
        ..RunConfig::default()
    }
}

fn check_once(foreign: &Foreign, key: &str, port: &Port) -> Result<(), Fault> {
    match foreign.lines.iter().find(|(known, _)| known == key) {
        None => Ok(()),
        Some((_, line)) => {
            let message = format!("is in line {line} already; say it once");
            Err(Fault { line: port.line, key: Some(key.to_owned()), message })
        }
    }
}

/// The whole shape: a batch dimension is in front of what is said.
fn whole(dims: &[Dim], rows: usize) -> Vec<Dim> {
    (rows > 0).then_some(Dim::Any).into_iter().chain(dims.iter().cloned()).collect()
}

/// What the model itself has.
fn declared(port: &Port, rows: usize) -> Option<Declared> {
    let dims = match &port.reshape {
        Some(shape) => Some(whole(&shape.value, rows)),
        None => (!port.dims.is_empty()).then(|| whole(&port.dims, rows)),
    };
    Some(Declared { dtype: port.dtype?, dims })
}

fn reshape(port: &Port, rows: usize) -> Option<Reshape> {
    let models = whole(&port.reshape.as_ref()?.value, rows);
    Some(Reshape { name: port.name.clone(), callers: whole(&port.dims, rows), models, batched: rows > 0 })
}

fn labels(file: &Said<String>, place: &Place<'_>) -> Result<Labels, Fault> {
    let name = &file.value;
    let refuse = |message: String| Err(fault(file, "output.label_filename", message));
    if !is_beside(name) {
        return refuse(format!(
            "\"{}\" is not the name of a file in the model's own folder",
            name.escape_debug()
        ));
    }
    match (place.read_beside)(name) {
        Err(error) => refuse(format!("cannot read \"{name}\": {error}; put it beside config.pbtxt")),
        Ok(text) if text.is_empty() => refuse(format!("\"{name}\" is empty; write one label a line")),
        Ok(text) => Ok(split_labels(&text)),
    }
}

fn model_file(said: &Settings) -> Result<String, Fault> {
    let Some(file) = said.file.as_ref().filter(|file| !file.value.is_empty()) else {
        return Ok(MODEL.to_owned());
    };
    let name = &file.value;
    let message = if !is_beside(name) {
        "is not the name of a file in the folder of a version"
    } else if !name.to_ascii_lowercase().ends_with(".onnx") {
        "is no ONNX file; convert the model to ONNX"
    } else {
        return Ok(name.clone());
    };
    Err(fault(file, "default_model_filename", format!("\"{}\" {message}", name.escape_debug())))
}

/// What sessions keep, and what it is before the first call.
fn keep(
    sequence: &Said<Sequence>,
    rows: usize,
    config: &mut ModelConfig,
    foreign: &mut Foreign,
) -> Result<(), Fault> {
    let (mut spec, mut lines) = (SequenceSpec::new(), Vec::new());
    for state in &sequence.value.states {
        let key = format!("inputs.{}", state.input);
        if foreign.lines.iter().any(|(known, _)| *known == key) {
            let message =
                format!("`{}` is an input or a state already; callers give a state no value", state.input);
            let key = Some("sequence_batching.state".to_owned());
            return Err(Fault { line: state.line, key, message });
        }
        lines.push((state.output.clone(), state.line));
        lines.push((state.input.clone(), state.line));
        foreign.lines.push((key, state.line));
        spec = spec.with_state(state.output.as_str(), state.input.as_str());
        config.inputs.push(InputConfig {
            name: state.input.clone(),
            declared: state.dtype.map(|dtype| Declared {
                dtype,
                dims: (!state.dims.is_empty()).then(|| whole(&state.dims, rows)),
            }),
            default: first(state, rows),
            from: None,
        });
    }
    for control in &sequence.value.controls {
        let key = format!("inputs.{}", control.input);
        if foreign.lines.iter().any(|(known, _)| *known == key) {
            let message = format!("`{}` is an input, a state or a control already", control.input);
            let key = Some("sequence_batching.control_input".to_owned());
            return Err(Fault { line: control.line, key, message });
        }
        foreign.lines.push((key, control.line));
        if control.first != control.later {
            foreign.starts.push((control.input.clone(), control.later));
        }
        config.inputs.push(InputConfig {
            name: control.input.clone(),
            declared: Some(Declared { dtype: control.dtype, dims: None }),
            default: Some(DefaultValue { value: control.first, shape: None }),
            from: None,
        });
    }
    config.sequence = Some(SequenceConfig { spec, lines });
    Ok(())
}

/// Zeros of the shape that is said; `None` leaves it to the model's own.
fn first(state: &State, rows: usize) -> Option<DefaultValue> {
    let dims = state.initial.as_ref().filter(|dims| !dims.is_empty()).unwrap_or(&state.dims);
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Symbolic(_) | Dim::Any => None,
    };
    let sizes: Vec<usize> = dims.iter().map(size).collect::<Option<_>>()?;
    let shape = (rows > 0).then_some(1).into_iter().chain(sizes).collect::<Vec<_>>();
    (!dims.is_empty()).then_some(DefaultValue { value: 0.0, shape: Some(shape) })
}
