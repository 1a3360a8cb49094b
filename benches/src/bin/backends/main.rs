//! What backends take, alone and behind the engine, beside Python's `onnxruntime` called in a loop, which is the limit, and
//! awaited in an executor, which is the usual way: the same models and inputs, one thread each, rounds in turn.
//!
//! `cargo run --release -p benches --bin backends`, about ten minutes. Options: `--quick` (about a minute), `--models a,b`,
//! `--rounds N`, `--seconds S` per round, `--json` (a line per figure). It fails if the engine with ONNX Runtime has less
//! than 0.95 of the loop's throughput with a model of a millisecond or more. It needs `cargo xtask test setup`, and the models
//! of `cargo xtask models`.

mod subject;

mod way;

mod direct;
mod engine;
mod python;

mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use unruffled_model::{Backend, BackendOptions, CancelToken, LoadContext, ModelSource, Support, TensorModel};
use unruffled_onnx::{OrtBackend, OrtRuntime, OrtSearch, RtenBackend, TreesBackend};

use crate::direct::Direct;
use crate::engine::Engines;
use crate::python::Python;
use crate::report::{Cell, Report};
use crate::subject::{SUBJECTS, Subject};
use crate::way::{Round, Way};

/// What can be asked for.
#[derive(Debug, PartialEq)]
struct Options {
    models: Vec<String>,
    rounds: usize,
    seconds: f64,
    json: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { models: Vec::new(), rounds: 7, seconds: 0.5, json: false };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--quick" => (options.rounds, options.seconds) = (3, 0.1),
                "--json" => options.json = true,
                "--models" => options.models = value()?.split(',').map(str::to_owned).collect(),
                "--rounds" => options.rounds = value()?.parse().context("--rounds")?,
                "--seconds" => options.seconds = value()?.parse().context("--seconds")?,
                _ => bail!("unknown option {argument}"),
            }
        }
        if let Some(name) = options.models.iter().find(|name| SUBJECTS.iter().all(|one| one.name != **name)) {
            let known: Vec<_> = SUBJECTS.iter().map(|subject| subject.name).collect();
            bail!("there is no model `{name}`; there are {}", known.join(", "));
        }
        if options.rounds == 0 || !(options.seconds > 0.0 && options.seconds <= 60.0) {
            bail!("--rounds must be at least 1, and --seconds within 0 and 60");
        }
        Ok(options)
    }

    fn round(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let scratch = tempfile::tempdir()?;
    let chain = scratch.path().join("chain.onnx");
    python::run(&root, "chain.py", &[&chain])?;
    let python = Python::start(&root)?;
    let backends = backends(&root)?;
    let engines = Engines::new();
    let mut report = Report::new(options.json);
    report.heading(options.rounds, options.round());
    for subject in
        SUBJECTS.iter().filter(|one| options.models.is_empty() || options.models.contains(&one.name.into()))
    {
        let file: PathBuf = subject.file.map_or_else(|| chain.clone(), |file| root.join(file));
        if !file.exists() {
            report.missing(subject.name, &file);
            continue;
        }
        report.model(subject.name);
        let models = load(&backends, &file)?;
        for &rows in subject.batches {
            let ways = ways(subject, rows, &file, &models, &python, &engines, scratch.path())?;
            report.cell(&measure(&options, subject.name, rows, ways)?);
        }
    }
    report.end()
}

/// All that can run ONNX here.
fn backends(root: &Path) -> Result<Vec<Arc<dyn Backend>>> {
    let runtime = OrtRuntime::find(&OrtSearch::default().with_folder(root))?;
    Ok(vec![Arc::new(OrtBackend::new(runtime)), Arc::new(RtenBackend), Arc::new(TreesBackend)])
}

/// The model, by each backend that takes it.
fn load(backends: &[Arc<dyn Backend>], file: &Path) -> Result<Vec<(&'static str, TensorModel)>> {
    let (source, cancel) = (ModelSource::File(file.into()), CancelToken::new());
    let mut models = Vec::new();
    for backend in backends {
        if backend.supports(&source)? == Support::Yes {
            let ctx = LoadContext::new(&cancel, &|_| ());
            models.push((backend.name(), backend.load(&source, &BackendOptions::default(), &ctx)?));
        }
    }
    Ok(models)
}

/// Every way to run so many rows.
fn ways(
    subject: &Subject,
    rows: usize,
    file: &Path,
    models: &[(&'static str, TensorModel)],
    python: &Python,
    engines: &Engines,
    scratch: &Path,
) -> Result<Vec<(String, Box<dyn Way>)>> {
    let inputs = (subject.inputs)(rows);
    let saved = subject::save(&inputs, scratch)?;
    // As many wait as run, so that the next batch is there when one is done.
    let callers = 2 * rows;
    let mut ways: Vec<(String, Box<dyn Way>)> = vec![
        (report::LIMIT.into(), Box::new(python.looped(file, &saved, rows))),
        ("Python run_in_executor".into(), Box::new(python.awaited(file, &saved, rows, callers))),
    ];
    if rows == 1 {
        ways.push((
            "Python run_in_executor, one caller".into(),
            Box::new(python.awaited(file, &saved, rows, 1)),
        ));
    }
    for (name, model) in models {
        let direct = Direct::start(Arc::clone(model), inputs.clone(), rows)?;
        ways.push((format!("{name} directly"), Box::new(direct)));
        let load = |callers| engines.load(Arc::clone(model), &inputs, rows, callers);
        ways.push((report::engine(name), Box::new(load(callers)?)));
        if rows == 1 {
            ways.push((format!("engine with {name}, one caller"), Box::new(load(1)?)));
        }
    }
    Ok(ways)
}

/// Runs all ways in turn, several times.
fn measure(
    options: &Options,
    model: &'static str,
    rows: usize,
    mut ways: Vec<(String, Box<dyn Way>)>,
) -> Result<Cell> {
    for (_, way) in &mut ways {
        way.round(options.round() / 4)?;
    }
    let mut rounds: Vec<Vec<Round>> = ways.iter().map(|_| Vec::new()).collect();
    for number in 0..options.rounds {
        for at in 0..ways.len() {
            // Each begins once in a while, and each has another one before it.
            let at = (at + number) % ways.len();
            rounds[at].push(ways[at].1.round(options.round())?);
        }
    }
    let names = ways.into_iter().map(|(name, _)| name);
    Ok(Cell { model, rows, ways: names.zip(rounds).collect() })
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[track_caller]
    fn check(arguments: &str, expected: Result<(usize, f64, bool), &str>) {
        let parsed = Options::parse(arguments.split_whitespace().map(str::to_owned));
        let parsed = parsed.map(|options| (options.rounds, options.seconds, options.json));
        assert_eq!(parsed.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn options_are_read_or_refused() {
        check("", Ok((7, 0.5, false)));
        check("--quick --json --models digits", Ok((3, 0.1, true)));
        check("--rounds", Err("--rounds needs a value"));
        check("--rounds 0", Err("--rounds must be at least 1, and --seconds within 0 and 60"));
        check(
            "--models none",
            Err(
                "there is no model `none`; there are minilm-16, minilm-64, magika, ppocr-rec, silero-vad, digits, chain, rf_100x10, rf_digits784",
            ),
        );
    }
}
