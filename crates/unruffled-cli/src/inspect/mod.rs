//! `unruffled inspect`: what a model is and what runs models here, in words or as JSON.

mod runtimes;

mod graph;

mod settings;

use std::fmt::{Display, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use unruffled::{
    Backends, Batching, Dim, Engine, ErrorKind, InputReader, ModelFolder, ModelInfo, OnnxSummary, Repository,
    Runtimes, TensorSpec,
};

use self::runtimes::Survey;

use crate::args::Inspect;
use crate::exit::{Exit, Failure};
use crate::terminal::{BAD, FAINT, GOOD, HINT, NAME, WARN, size};
use crate::{find, notes, terminal};

/// How many operators are named; the others are counted.
const OPERATORS: usize = 8;

/// What can run models here, and which model will be run by what.
pub(crate) fn runtimes(args: &Inspect, runtimes: &Runtimes, backends: &Backends) -> Result<(), Failure> {
    let repository = match folder(args)? {
        Target::Many(repository) => repository,
        Target::One(model) => Repository::of([*model]),
    };
    find::warn(&repository);
    let survey = Survey::new(runtimes, backends, &repository);
    let page = if args.json { format!("{:#}\n", survey.to_json()) } else { survey.page() };
    terminal::print(&page);
    Ok(())
}

pub(crate) fn run(args: &Inspect, backends: &Backends) -> Result<(), Failure> {
    match folder(args)? {
        Target::Many(repository) => {
            find::warn(&repository);
            let page =
                if args.json { format!("{:#}\n", table_json(&repository)) } else { table(&repository) };
            terminal::print(&page);
            Ok(())
        }
        Target::One(model) => {
            let report = Report::new(*model, backends)?;
            let page = if args.json { format!("{:#}\n", report.to_json()) } else { report.page() };
            terminal::print(&page);
            // The page shows what there is; a script still learns that the model does not run.
            report.info.map(drop).map_err(|error| Failure::new(Exit::Model, error))
        }
    }
}

enum Target {
    One(Box<ModelFolder>),
    Many(Repository),
}

fn folder(args: &Inspect) -> Result<Target, Failure> {
    let Some(word) = &args.model else {
        return Ok(Target::Many(find::repository(args.models.as_ref())?));
    };
    if Path::new(word).is_dir() {
        match Repository::open(word) {
            Ok(repository) => match repository.models() {
                [one] if repository.warnings().len() == 0 => return Ok(Target::One(Box::new(one.clone()))),
                _ => return Ok(Target::Many(repository)),
            },
            // A name may be that of a model and of some folder.
            Err(error) if error.kind() == ErrorKind::ModelNotFound && !word.contains(['/', '.']) => {}
            Err(error) => return Err(Failure::loading(error)),
        }
    }
    find::model(Some(word), args.models.as_ref()).map(|model| Target::One(Box::new(model)))
}

fn table(repository: &Repository) -> String {
    let models = repository.models();
    let width = models.iter().map(|model| model.name.len()).max().unwrap_or(0);
    let mut page = String::new();
    for model in models {
        let what = match &model.config.description {
            Some(description) => description.clone(),
            None => in_and_out(model),
        };
        let version = versions(model);
        let bytes = if model.file_bytes() > 0 { size(model.file_bytes() as u64) } else { String::new() };
        line(
            &mut page,
            format_args!(
                "{NAME}{:width$}{NAME:#}  {FAINT}{version:4} {bytes:>8}{FAINT:#}  {what}",
                model.name
            ),
        );
    }
    line(&mut page, format_args!("\n{HINT}try{HINT:#}: unruffled inspect NAME"));
    page
}

/// The version that is served, and how many others there are.
fn versions(model: &ModelFolder) -> String {
    let Some(version) = model.version else { return String::new() };
    match model.versions.len() {
        0 | 1 => format!("v{version}"),
        count => format!("v{version} +{}", count - 1),
    }
}

/// What a model without a description takes and gives.
fn in_and_out(model: &ModelFolder) -> String {
    if let Some(pipeline) = model.pipeline_config() {
        return format!("a pipeline of {} steps", pipeline.steps.len());
    }
    if let Some(step) = &model.config.step {
        return format!("the step {}", step.step.kind());
    }
    if !model.is_onnx() {
        let file = model.file().and_then(Path::file_name).unwrap_or_default();
        return format!("{}, run in a Python worker", file.display());
    }
    match OnnxSummary::read(&model.source) {
        Ok(file) => format!("{} -> {}", file.inputs.join(", "), file.outputs.join(", ")),
        Err(error) => format!("{BAD}broken{BAD:#}: {error}"),
    }
}

fn table_json(repository: &Repository) -> Value {
    let models = repository.models().iter().map(|model| {
        json!({
            "name": &*model.name,
            "version": model.version,
            "versions": model.versions,
            "file_bytes": model.file_bytes(),
            "description": model.config.description,
        })
    });
    let warnings = repository.warnings().map(ToString::to_string);
    json!({ "models": models.collect::<Vec<_>>(), "warnings": warnings.collect::<Vec<_>>() })
}

/// Everything that is found out about one model.
struct Report {
    model: ModelFolder,
    /// `None` of what is no ONNX file.
    file: Option<OnnxSummary>,
    backend: String,
    /// What the loaded model says, or why it could not be loaded.
    info: Result<ModelInfo, String>,
}

impl Report {
    fn new(model: ModelFolder, backends: &Backends) -> Result<Self, Failure> {
        let read = || OnnxSummary::read(&model.source).map_err(Failure::loading);
        let file = model.is_onnx().then(read).transpose()?;
        let (backend, info) = match backends.choose(&model) {
            _ if model.pipeline_config().is_some() => {
                let info = load(&model, backends).map_err(|error| error.to_string());
                ("each step is run by its own model".into(), info)
            }
            Err(error) => ("none".into(), Err(error.to_string())),
            Ok(choice) => {
                let backend = format!("{} ({})", choice.backend.name(), choice.reason);
                (backend, load(&model, backends).map_err(|error| error.to_string()))
            }
        };
        Ok(Self { model, file, backend, info })
    }

    fn page(&self) -> String {
        let mut page = String::new();
        let (model, config) = (&self.model, &self.model.config);
        let version = model.version.map_or("no versions".into(), |version| format!("version {version}"));
        let others: Vec<_> = model.versions.iter().filter(|other| Some(**other) != model.version).collect();
        let others = if others.is_empty() { String::new() } else { format!(", also there: {others:?}") };
        let place = model.file().map_or("built in".into(), |file| file.display().to_string());
        line(
            &mut page,
            format_args!("{NAME}{}{NAME:#}  {FAINT}{version}{others}, {place}{FAINT:#}", model.name),
        );
        if let Some(description) = &config.description {
            line(&mut page, description);
        }
        match &self.info {
            Ok(info) => self.running(&mut page, info),
            Err(error) => {
                let list =
                    |lines: &[String]| lines.iter().map(|text| format!("  {text}\n")).collect::<String>();
                if let Some(file) = &self.file {
                    heading(&mut page, "inputs");
                    page.push_str(&list(&file.inputs));
                    heading(&mut page, "outputs");
                    page.push_str(&list(&file.outputs));
                }
                line(&mut page, format_args!("\n{BAD}does not run{BAD:#}: {error}"));
            }
        }
        if let Some(pipeline) = model.pipeline_config() {
            heading(&mut page, "steps");
            page.push_str(&graph::drawing(pipeline));
        }
        settings::page(&mut page, model);
        self.file(&mut page);
        if let Ok(info) = &self.info {
            let reader = InputReader::new(&info.signature, config);
            let inputs =
                reader.required().map(|spec| format!(" --input {}={}", spec.name, reader.example(spec)));
            let (name, inputs) = (self.typed_name(), inputs.collect::<String>());
            line(&mut page, format_args!("\n{HINT}try{HINT:#}: unruffled infer {name}{inputs}"));
        }
        page
    }

    /// What a person types to mean this model.
    fn typed_name(&self) -> String {
        let model = &self.model;
        match model.file() {
            None => model.name.to_string(),
            Some(_) if Path::new("models").join(&*model.name).is_dir() => model.name.to_string(),
            Some(file) => file.display().to_string(),
        }
    }

    fn running(&self, page: &mut String, info: &ModelInfo) {
        let config = &self.model.config;
        let rows = |specs: &[TensorSpec], note: &dyn Fn(&TensorSpec) -> String| {
            let width = specs.iter().map(|spec| spec.to_string().chars().count()).max().unwrap_or(0);
            let row = |spec: &TensorSpec| match note(spec).as_str() {
                "" => format!("  {spec}\n"),
                note => format!("  {:width$}  {FAINT}{note}{FAINT:#}\n", spec.to_string()),
            };
            specs.iter().map(row).collect::<String>()
        };
        heading(page, "inputs");
        page.push_str(&rows(&info.signature.inputs, &|spec| self.input_note(spec)));
        heading(page, "outputs");
        page.push_str(&rows(&info.signature.outputs, &|spec| {
            config.output(&spec.name).map_or(String::new(), notes::output)
        }));
        let options = config.pool_options();
        heading(page, "runs");
        field(page, "backend", &self.backend);
        match info.batching {
            Batching::Joint => {
                let most = options.max_batch();
                let joined = format_args!("{GOOD}requests are joined{GOOD:#}, up to {most} rows a run");
                field(page, "batching", joined);
            }
            Batching::Sequential => field(page, "batching", "requests run one after the other"),
            Batching::Single if config.run.one_by_one => {
                field(page, "batching", "one request a run, as its settings say");
            }
            Batching::Single => {
                field(
                    page,
                    "batching",
                    format_args!("{WARN}one request a run{WARN:#}: its rows cannot be joined"),
                );
            }
        }
        if let Some(sequence) = &info.sequence {
            field(page, "sessions", notes::kept(sequence));
        }
        let (least, most) = (options.instances(), options.instances_max());
        let instances = if least == most { least.to_string() } else { format!("{least} to {most}") };
        field(
            page,
            "instances",
            format_args!("{instances}, of {} thread{}", info.threads, plural(info.threads)),
        );
        let queue = options.queue();
        field(page, "queue", format_args!("{} requests, {}", queue.items, size(queue.bytes as u64)));
    }

    fn input_note(&self, spec: &TensorSpec) -> String {
        let config = self.model.config.input(&spec.name);
        let mut note = match config.and_then(|input| input.default.as_ref()) {
            Some(default) => format!("may be left out: {}", default.value),
            None => String::new(),
        };
        if let Some(from) = config.and_then(|input| input.from.as_ref()) {
            note.push_str(&notes::source(from));
        }
        note
    }

    fn file(&self, page: &mut String) {
        let config = &self.model.config;
        let producer = self.file.as_ref().and_then(|file| file.producer.as_ref());
        let told = [
            ("producer", producer),
            ("licence", config.license.as_ref()),
            ("source", config.source.as_ref()),
        ];
        if self.file.is_none() && told.iter().all(|(_, value)| value.is_none()) {
            return;
        }
        heading(page, "file");
        if let Some(file) = &self.file {
            let weights = if file.external_weights { ", some in a second file" } else { "" };
            field(page, "weights", format_args!("{}{weights}", size(file.weight_bytes)));
            field(page, "operators", operators(file));
            let opsets: Vec<_> =
                file.opsets.iter().map(|(domain, version)| format!("{domain} {version}")).collect();
            field(page, "opsets", opsets.join(", "));
        }
        for (name, value) in told {
            if let Some(value) = value {
                field(page, name, value);
            }
        }
    }

    fn to_json(&self) -> Value {
        let config = &self.model.config;
        let dim = |dim: &Dim| match dim {
            Dim::Fixed(size) => json!(size),
            Dim::Symbolic(_) | Dim::Any => json!(dim.to_string()),
        };
        let tensor = |spec: &TensorSpec| {
            let dims = spec.dims.as_ref().map(|dims| dims.iter().map(dim).collect::<Value>());
            json!({ "name": &*spec.name, "dtype": spec.dtype.name(), "dims": dims })
        };
        let input = |spec: &TensorSpec| {
            let mut input = tensor(spec);
            input["required"] = json!(spec.default.is_none());
            input
        };
        let mut document = json!({
            "name": &*self.model.name,
            "version": self.model.version,
            "versions": self.model.versions,
            "file": self.model.file(),
            "description": config.description,
            "license": config.license,
            "source": config.source,
            "backend": self.backend,
            "settings": settings::json(&self.model),
        });
        if let Some(pipeline) = self.model.pipeline_config() {
            document["steps"] = graph::json(pipeline);
        }
        if let Some(file) = &self.file {
            document["weight_bytes"] = json!(file.weight_bytes);
            document["operators"] = json!(file.operators);
            document["producer"] = json!(file.producer);
            document["opsets"] = json!(file.opsets);
        }
        match &self.info {
            Err(error) => document["error"] = json!(error),
            Ok(info) => {
                document["inputs"] = info.signature.inputs.iter().map(input).collect();
                document["outputs"] = info.signature.outputs.iter().map(tensor).collect();
                document["joins_requests"] = json!(info.batching == Batching::Joint);
                document["threads"] = json!(info.threads);
                document["sequence"] = json!(info.sequence.as_ref().map(notes::kept));
            }
        }
        document
    }
}

/// The operators by how often they occur.
fn operators(file: &OnnxSummary) -> String {
    let mut operators: Vec<_> = file.operators.iter().collect();
    operators.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let shown = operators.iter().take(OPERATORS).map(|(name, count)| match count {
        1 => (*name).clone(),
        _ => format!("{name} x{count}"),
    });
    let mut shown: Vec<_> = shown.collect();
    if operators.len() > OPERATORS {
        shown.push(format!("and {} others", operators.len() - OPERATORS));
    }
    shown.join(", ")
}

/// Loads a model to hear what it says of itself.
fn load(model: &ModelFolder, backends: &Backends) -> Result<ModelInfo, unruffled::Error> {
    let engine = Engine::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| {
        unruffled::engine::Error::new(unruffled::engine::ErrorKind::NotReady, format!("no runtime: {error}"))
    })?;
    let handle = runtime.block_on(backends.load(&engine, model)?)?;
    Ok((*handle.info()).clone())
}

fn heading(page: &mut String, text: &str) {
    line(page, format_args!("\n{HINT}{text}{HINT:#}"));
}

fn field(page: &mut String, name: &str, value: impl Display) {
    line(page, format_args!("  {FAINT}{name:9}{FAINT:#}  {value}"));
}

fn line(page: &mut String, text: impl Display) {
    writeln!(page, "{text}").expect("a String takes everything");
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
