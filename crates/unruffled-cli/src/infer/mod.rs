//! `unruffled infer`: one request, here or on a server, and its answer.

mod steps;

mod live;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use unruffled::engine::Step;
use unruffled::{
    Answer, Backends, Engine, InputReader, ModelConfig, ModelFolder, Signature, TensorHandle, Tensors,
    Timings, sample,
};

use crate::args::Infer;
use crate::exit::{Exit, Failure};
use crate::remote::Remote;
use crate::terminal::{FAINT, HINT, NAME, milliseconds};
use crate::{find, page, terminal};

/// How much ink a pixel of the built-in digits holds at most, and how wide they are.
const INK_MAX: f32 = 16.0;
const WIDTH: usize = 8;

const NEXT: &[(&str, &str)] = &[
    ("unruffled infer digits --input @picture.png", "a picture of your own"),
    ("unruffled inspect digits", "what the model takes and gives"),
    ("unruffled serve", "the same behind HTTP"),
    ("unruffled infer --help", "other models and inputs"),
];

/// An answer with all that is told about it.
struct Told {
    model: String,
    version: Option<String>,
    /// What ran it.
    backend: String,
    /// Where that is: built in, or on which server.
    place: Option<String>,
    outputs: Tensors,
    times: Times,
}

/// Where the time went, as far as it is known.
struct Times {
    load: Option<Duration>,
    total: Duration,
    engine: Option<Timings>,
    server: Option<String>,
    /// What each step took, of a pipeline.
    steps: Vec<Step>,
}

pub(crate) fn run(args: &Infer, backends: &Backends) -> Result<(), Failure> {
    let (told, config) = match &args.url {
        Some(url) => remote(url, args)?,
        None => {
            let folder = find::model(args.model.as_deref(), args.models.as_ref())?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime =
                runtime.map_err(|error| Failure::new(Exit::Failed, format!("no runtime: {error}")))?;
            match runtime.block_on(local(&folder, args, backends))? {
                Some(told) => (told, folder.config),
                None => return Ok(()),
            }
        }
    };
    let answer = Answer::read(&told.outputs, &config, args.top.map(usize::from));
    if args.json {
        terminal::print(&format!("{:#}\n", document(&told, &answer)));
        return Ok(());
    }
    let is_first_try = args.model.is_none() && args.inputs.is_empty();
    let mut page = String::new();
    if is_first_try {
        page.push_str(&first_try(&told));
    } else {
        writeln!(page, "{}", head(&told)).expect("a String takes everything");
    }
    page.push_str(&page::answer(&answer));
    if is_first_try || args.timings {
        page.push_str(&times(&told.times));
        page.push_str(&steps::table(&told.times.steps));
    }
    if is_first_try {
        page.push_str(&next(args.url.as_deref()));
    }
    terminal::print(&page);
    Ok(())
}

/// Asks a model here. Nothing is left to tell of an answer that was shown as it came.
async fn local(folder: &ModelFolder, args: &Infer, backends: &Backends) -> Result<Option<Told>, Failure> {
    let engine = Engine::new();
    let begin = Instant::now();
    let loading = backends.load(&engine, folder).map_err(Failure::loading)?;
    let handle: TensorHandle = tokio::select! {
        loaded = loading => loaded.map_err(Failure::loading)?,
        _ = tokio::signal::ctrl_c() => return Err(interrupted()),
    };
    let load = begin.elapsed();
    let info = handle.info();
    let inputs = match inputs(args, folder.file().is_none(), &info.signature, &folder.config)? {
        Some(inputs) => inputs,
        None => return Err(nothing_given(&folder.name, &info.signature, &folder.config)),
    };
    let mut request = handle.infer(inputs);
    if let Some(timeout) = args.timeout {
        request = request.timeout(timeout);
    }
    if folder.pipeline_config().is_some_and(|pipeline| !pipeline.emit.is_empty()) {
        return live::show(request.outputs(), folder, args, load).await.map(|()| None);
    }
    let begin = Instant::now();
    let answer = tokio::select! {
        answer = request.submit() => answer.map_err(Failure::asking)?,
        _ = tokio::signal::ctrl_c() => return Err(interrupted()),
    };
    let steps = answer.provenance.as_ref().map(|provenance| provenance.steps.clone()).unwrap_or_default();
    let (total, engine) = (begin.elapsed(), Some(answer.timings));
    Ok(Some(Told {
        model: folder.name.to_string(),
        version: folder.version.map(|version| version.to_string()),
        backend: info.backend.to_string(),
        place: folder.file().is_none().then(|| "built in".to_owned()),
        times: Times { load: Some(load), total, engine, server: None, steps },
        outputs: answer.output,
    }))
}

/// Asks a server. What labels and pictures mean is read from the model's settings here, if there are any.
fn remote(url: &str, args: &Infer) -> Result<(Told, ModelConfig), Failure> {
    let name = args.model.as_deref().unwrap_or(sample::NAME);
    let config = find::model(Some(name), args.models.as_ref()).map(|folder| folder.config);
    let config = config.unwrap_or_default();
    let model = Remote::new(url, name, args.timeout)?;
    let (mut signature, platform) = model.describe()?;
    for default in config.defaults() {
        // A model of the same name that takes something else: its own server will say so.
        let _ = signature.set_default(&default);
    }
    let Some(inputs) = inputs(args, name == sample::NAME, &signature, &config)? else {
        return Err(nothing_given(name, &signature, &config));
    };
    let begin = Instant::now();
    let reply = model.infer(inputs, args.timeout)?;
    let told = Told {
        model: name.to_owned(),
        version: reply.version,
        backend: platform,
        place: Some(format!("at {url}")),
        outputs: reply.outputs,
        times: Times {
            load: None,
            total: begin.elapsed(),
            engine: None,
            server: reply.timing,
            steps: Vec::new(),
        },
    };
    Ok((told, config))
}

/// The inputs that are given; the built-in seven where none need be.
fn inputs(
    args: &Infer,
    is_sample: bool,
    signature: &Signature,
    config: &ModelConfig,
) -> Result<Option<Tensors>, Failure> {
    let reader = InputReader::new(signature, config);
    if args.inputs.is_empty() && is_sample {
        return Ok(Some(sample::seven()));
    }
    if args.inputs.is_empty() && reader.required().next().is_some() {
        return Ok(None);
    }
    let inputs = reader.read(args.inputs.iter().map(String::as_str)).map_err(Failure::asking)?;
    // Said here, where the words are those of the command line, and not only by the model.
    match reader.required().find(|spec| inputs.get(&spec.name).is_none()) {
        Some(missing) => {
            let example = reader.example(missing);
            Err(Failure::new(
                Exit::Input,
                format!("`{}`: input is missing; expected {missing}", missing.name),
            )
            .hint(format!("--input {}={example}", missing.name)))
        }
        None => Ok(Some(inputs)),
    }
}

fn nothing_given(name: &str, signature: &Signature, config: &ModelConfig) -> Failure {
    let reader = InputReader::new(signature, config);
    let required: Vec<_> = reader.required().collect();
    let listed: Vec<_> = required.iter().map(ToString::to_string).collect();
    let typed: Vec<_> =
        required.iter().map(|spec| format!("--input {}={}", spec.name, reader.example(spec))).collect();
    Failure::new(Exit::Input, format!("no input is given; the model needs {}", listed.join(", ")))
        .hint(format!("unruffled infer {name} {}", typed.join(" ")))
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted")
}

fn head(told: &Told) -> String {
    let version = told.version.as_ref().map(|version| format!("version {version}"));
    let parts = [version, Some(told.backend.clone()), told.place.clone()];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    format!("{NAME}{}{NAME:#}  {FAINT}{}{FAINT:#}", told.model, parts.join(", "))
}

/// The same for an answer that is shown as it comes.
fn head_of(folder: &ModelFolder) -> String {
    format!("{NAME}{}{NAME:#}  {FAINT}pipeline{FAINT:#}", folder.name)
}

fn first_try(told: &Told) -> String {
    let seven = sample::seven();
    let ink = seven.get("image").and_then(|image| image.elements::<f32>().ok()).unwrap_or_default();
    format!(
        "A handwritten digit, {WIDTH} x {WIDTH}:\n\n{}\n{}\n",
        page::drawing(ink, WIDTH, INK_MAX),
        head(told)
    )
}

fn next(url: Option<&str>) -> String {
    let mut page = format!("\n{HINT}Next{HINT:#}\n");
    let width = NEXT.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, what) in NEXT.iter().filter(|(command, _)| url.is_none() || !command.ends_with("serve")) {
        writeln!(page, "  {command:width$}  {FAINT}{what}{FAINT:#}").expect("a String takes everything");
    }
    page
}

fn times(times: &Times) -> String {
    let mut line = format!("answered in {}", milliseconds(times.total));
    if let Some(timings) = &times.engine {
        let (queue, run) = (milliseconds(timings.queue), milliseconds(timings.run));
        write!(line, ": waited {queue}, ran {run}").expect("a String takes everything");
    }
    if let Some(timing) = &times.server {
        write!(line, "; the server says {timing}").expect("a String takes everything");
    }
    if let Some(load) = times.load {
        write!(line, "; loaded in {}", milliseconds(load)).expect("a String takes everything");
    }
    format!("  {FAINT}{line}{FAINT:#}\n")
}

/// Milliseconds, as precise as they mean anything.
fn in_ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn document(told: &Told, answer: &Answer) -> Value {
    let ms = |duration: Duration| json!(in_ms(duration));
    let mut times = json!({ "total_ms": ms(told.times.total) });
    if let Some(load) = told.times.load {
        times["load_ms"] = ms(load);
    }
    if let Some(timings) = &told.times.engine {
        times["queue_ms"] = ms(timings.queue);
        times["run_ms"] = ms(timings.run);
    }
    if let Some(timing) = &told.times.server {
        times["server"] = json!(timing);
    }
    if !told.times.steps.is_empty() {
        times["steps"] = steps::json(&told.times.steps);
    }
    json!({
        "model": told.model,
        "version": told.version,
        "backend": told.backend,
        "outputs": answer.to_json(),
        "timings": times,
    })
}
